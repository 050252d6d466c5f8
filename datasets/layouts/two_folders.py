"""Any two folders, `--source` and `--target`, paired by file stem; or `--target` alone with `--derive`."""

from __future__ import annotations

from pathlib import Path

from translate.datasets.files import alone, pair_by_stem, pictures, require_folder
from translate.datasets.layouts.found import NOT_PAIRED, Found, refuse_direction
from translate.datasets.pairs import Listing, Pair, Problem
from translate.settings import DataSettings, flag

LOOKED_FOR = "--source FOLDER and --target FOLDER, or --target FOLDER and --derive"


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    if settings.target is None:
        return "it goes with --source FOLDER --target FOLDER, not with --data"
    for name, folder in (("source", settings.source), ("target", settings.target)):
        if folder is not None and not pictures(require_folder(folder, flag=flag(name))):
            return f"no pictures in {folder}"
    return None


def find(settings: DataSettings) -> Found:
    """Pairs of the given folders.

    Raises:
        ValueError: a folder is missing, a validation folder has no counterpart, or no two stems are alike.
    """
    _check(settings)
    assert settings.target is not None
    train, problems = _pairs(settings.source, settings.target, prefix="--")
    roots = [settings.source, settings.target]
    val: tuple[Pair, ...] = ()
    if settings.val_target is not None:
        val, unpaired = _pairs(settings.val_source, settings.val_target, prefix="--val-")
        problems += unpaired
        roots += [settings.val_source, settings.val_target]
    return Found(
        Listing(train=train, val=val, problems=problems),
        roots=tuple(root for root in roots if root is not None),
    )


def find_sides(settings: DataSettings) -> Found:
    """The pictures of each folder, without pairs; with `--val-paired` those for validation are pairs.

    Raises:
        ValueError: a folder is missing, a validation folder has no counterpart, or there is none for `--val-paired`.
    """
    _check(settings)
    assert settings.source is not None
    assert settings.target is not None
    roots = [settings.source, settings.target]
    val: tuple[Pair, ...] = ()
    problems: tuple[Problem, ...] = ()
    if settings.val_source is not None and settings.val_target is not None:
        roots += [settings.val_source, settings.val_target]
        if settings.val_paired:
            val, problems = _pairs(settings.val_source, settings.val_target, prefix="--val-", otherwise=NOT_PAIRED)
        else:
            val = _singles(settings.val_source, settings.val_target, prefix="--val-")
    elif settings.val_paired:
        raise ValueError(
            "--val-paired goes with --val-source FOLDER and --val-target FOLDER: give them, or leave it out"
        )
    train = _singles(settings.source, settings.target, prefix="--")
    return Found(Listing(train=train, val=val, problems=problems), roots=tuple(roots))


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


def _pairs(
    source: Path | None, target: Path, *, prefix: str, **words: str
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    require_folder(target, flag=f"{prefix}target")
    if source is None:
        return alone(target), ()
    return pair_by_stem(require_folder(source, flag=f"{prefix}source"), target, **words)


def _singles(source: Path, target: Path, *, prefix: str) -> tuple[Pair, ...]:
    require_folder(target, flag=f"{prefix}target")
    return alone(require_folder(source, flag=f"{prefix}source"), "source") + alone(target, "target")
