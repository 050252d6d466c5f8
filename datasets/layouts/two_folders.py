"""Any two folders, `--source` and `--target`, paired by file stem; or `--target` alone with `--derive`."""

from __future__ import annotations

from pathlib import Path

from translate.datasets.files import has_pictures, require_folder
from translate.datasets.layouts.found import (
    DIVIDED,
    Found,
    kept_aside,
    listing,
    of_sides,
    refuse_direction,
    same_splits,
)
from translate.datasets.layouts.splits import inside, refuse_inside
from translate.fields import flag
from translate.settings import DataSettings

LOOKED_FOR = (
    "--source FOLDER and --target FOLDER, or --target FOLDER and --derive (with train/, val/, test/ inside or without)"
)

Places = dict[str, tuple[Path | None, Path]]
"""The folders of source and target of each split."""


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    if settings.target is None:
        return "it goes with --source FOLDER --target FOLDER, not with --data"
    for name, folder in (("source", settings.source), ("target", settings.target)):
        if folder is not None and not has_pictures(require_folder(folder, flag=flag(name))):
            return f"no pictures in {folder}"
    return None


def find(settings: DataSettings) -> Found:
    """Pairs of the given folders.

    Raises:
        ValueError: a folder is missing, a validation folder has no counterpart, or no two stems are alike.
    """
    return _find(settings, paired=True)


def find_sides(settings: DataSettings) -> Found:
    """The pictures of each folder, without pairs; with `--val-paired` those for validation are pairs.

    Raises:
        ValueError: a folder is missing, a validation folder has no counterpart, or there is none for `--val-paired`.
    """
    assert settings.source is not None
    return _find(settings, paired=False)


def _find(settings: DataSettings, *, paired: bool) -> Found:
    _check(settings)
    source, target = settings.source, settings.target
    assert target is not None
    for name in ("source", "target", "val_source", "val_target"):
        folder: Path | None = getattr(settings, name)
        if folder is not None:
            require_folder(folder, flag=flag(name))
    places, reread = _places(source, target)
    roots = [source, target]
    if settings.val_target is not None:
        given = settings.val_source, settings.val_target
        _refuse_two_vals(places, given)
        places["val"] = given
        roots += given
    if settings.val_paired and "val" not in places:
        raise ValueError(
            "--val-paired goes with --val-source FOLDER and --val-target FOLDER: give them, or leave it out"
        )
    for split, sides in places.items():
        for side in sides:
            if side is not None and side not in (source, target):
                refuse_inside(side, split)
    _refuse_nested(places)
    pairs, problems = of_sides(places, paired=paired, val_paired=settings.val_paired)
    found = listing(pairs, problems)
    notes = kept_aside(found)
    return Found(found, roots=tuple(root for root in roots if root is not None), notes=notes, reread=reread)


def _places(source: Path | None, target: Path) -> tuple[Places, tuple[str, ...]]:
    """The folders of source and target of each split, and what the first version read otherwise."""
    targets = inside(target)
    sources: dict[str, Path] = {}
    if source is not None:
        sources = inside(source)
        same_splits(sources, targets, folders=(source, target))
    if not targets:
        return {"train": (source, target)}, ()
    names = " ".join(f"{folder.name}/" for folder in targets.values())
    return {split: (sources.get(split), folder) for split, folder in targets.items()}, (DIVIDED.format(names),)


def _refuse_two_vals(places: Places, given: tuple[Path | None, Path]) -> None:
    """Raises:
    ValueError: there is another validation split inside the folders.
    """
    for inner, outer, name in zip(places.get("val", ()), given, ("--val-source", "--val-target"), strict=False):
        if inner is not None and outer is not None and inner.resolve() != outer.resolve():
            raise ValueError(f"{name} {outer}: there is {inner}, too: leave out the one or move the other away")


def _refuse_nested(places: Places) -> None:
    """Raises:
    ValueError: one of the folders lies in another, where its pictures would be found as well.
    """
    used = {side.resolve(): side for sides in places.values() for side in sides if side is not None}
    for inner, shown in used.items():
        outer = next((used[above] for above in inner.parents if above in used), None)
        if outer is not None:
            raise ValueError(
                f"{shown} lies in {outer}, so that its pictures would be used as those of {outer}, too: "
                "put the folders beside each other"
            )


def _check(settings: DataSettings) -> None:
    """Raises:
    ValueError: folders that do not go together, or a direction.
    """
    refuse_direction(settings, instead="give the folders the other way round, as --source and --target")
    if settings.source is not None and (settings.val_source is None) != (settings.val_target is None):
        raise ValueError("--val-source and --val-target go together: give both, or neither to hold out a part")
    _refuse_same(settings)


def _refuse_same(settings: DataSettings) -> None:
    """Raises:
    ValueError: two of the folders are one.
    """
    seen: dict[Path, str] = {}
    for name in ("source", "target", "val_source", "val_target"):
        folder: Path | None = getattr(settings, name)
        if folder is None:
            continue
        other = seen.setdefault(folder.resolve(), flag(name))
        if other != flag(name):
            raise ValueError(f"{other} and {flag(name)} are the same folder, {folder}")
