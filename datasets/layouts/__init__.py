"""The folder layouts that pairs are found in.

A new one is a file with `LOOKED_FOR`, `missing` and `find`, and a line in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from translate.datasets.files import pictures, subfolders, walk
from translate.datasets.layouts import classes, folders, metadata, side_by_side, single, two_folders
from translate.datasets.layouts.found import Found, data_root
from translate.images import is_image_name
from translate.settings import DataKind, DataSettings
from translate.tables import closest


@dataclass(frozen=True)
class Layout:
    """One way to lay out pictures in folders."""

    looked_for: str  # what has to be there, in words
    missing: Callable[[DataSettings], str | None]  # why it does not fit, or None
    find: Callable[[DataSettings], Found]
    find_sides: Callable[[DataSettings], Found] | None = (
        None  # the same without pairs; None: this layout has pairs only
    )


LAYOUTS: dict[str, Layout] = {
    # In the order they are tried: the most explicit first.
    "metadata": Layout(metadata.LOOKED_FOR, metadata.missing, metadata.find),
    "folders": Layout(folders.LOOKED_FOR, folders.missing, folders.find, folders.find_sides),
    "side-by-side": Layout(side_by_side.LOOKED_FOR, side_by_side.missing, side_by_side.find),
    "single": Layout(single.LOOKED_FOR, single.missing, single.find),
    "two-folders": Layout(two_folders.LOOKED_FOR, two_folders.missing, two_folders.find, two_folders.find_sides),
}

DOMAIN_LAYOUTS: dict[str, Layout] = {
    "metadata": Layout(metadata.LOOKED_FOR_DOMAINS, metadata.missing_domains, metadata.find_domains),
    "classes": Layout(classes.LOOKED_FOR, classes.missing, classes.find),
}
"""Those of single pictures with labels or texts, in which there are no sides."""


TARGETS: dict[str, Layout] = {"single": Layout(single.LOOKED_FOR_TARGETS, single.missing_targets, single.find)}
"""Those of single pictures without labels or texts."""


def layouts_of(kind: DataKind, *, conditioned: bool = False) -> dict[str, Layout]:
    """What pictures of a kind are found in; `conditioned`: on labels or texts."""
    if kind == "targets":
        return DOMAIN_LAYOUTS if conditioned else TARGETS
    return DOMAIN_LAYOUTS if kind == "domains" else LAYOUTS


def choose(settings: DataSettings, *, kind: DataKind = "pairs", conditioned: bool = False) -> str:
    """The name of the layout of the given folders, of `layouts_of`.

    Only of pairs the folder of `--data` may hold targets whose sources are derived.

    Raises:
        ValueError: an unknown name, a folder that is missing, or one that fits no layout; the line says what
            was looked for in each and what was found instead.
    """
    table, paired = layouts_of(kind, conditioned=conditioned), kind == "pairs"
    if settings.layout != "auto":
        if settings.layout not in table:
            choices = ", ".join(["auto", *table])
            of = f"those for this model: {choices}" if settings.layout in {**DOMAIN_LAYOUTS, **LAYOUTS} else choices
            raise ValueError(f"--layout {settings.layout} is not one of {of}{closest(settings.layout, table)}")
        reason = table[settings.layout].missing(settings)
        if reason:
            looked_for = table[settings.layout].looked_for
            raise ValueError(f"--layout {settings.layout} looks for {looked_for}; found {_found(settings)}: {reason}")
        return settings.layout
    names = ["two-folders"] if settings.data is None else [name for name in table if name != "two-folders"]
    if not paired and kind != "targets":
        names = [name for name in names if name != "single"]
    reasons: dict[str, str] = {}
    for name in names:
        reason = table[name].missing(settings)
        if reason is None:
            return name
        reasons[name] = reason
    hint = "" if kind in ("domains", "targets") else _hint(settings, paired=paired)
    tried = "; ".join(f"{name} ({table[name].looked_for}): {reason}" for name, reason in reasons.items())
    raise ValueError(f"no usable layout: found {_found(settings)}.{hint} Looked for {tried}")


def find(settings: DataSettings, *, kind: DataKind = "pairs") -> Found:
    """The pairs of the given folders, in the layout that is named or fits; without pairs the pictures.

    A layout whose pictures only come in pairs gives these in either case.

    Raises:
        ValueError: as `choose`, or the layout's folders contradict each other.
    """
    layout = layouts_of(kind)[choose(settings, kind=kind)]
    return layout.find(settings) if kind == "pairs" or layout.find_sides is None else layout.find_sides(settings)


def _found(settings: DataSettings) -> str:
    """What lies in the folder of `--data`, in a few words."""
    if settings.data is None:
        return f"{settings.source or 'no --source'} and {settings.target}"
    inside = [path.parent == settings.data for path in pictures(settings.data)]
    below = subfolders(settings.data)
    text = f"{inside.count(True)} pictures directly in {settings.data}"
    if below:
        more = f" and {len(below) - 8} more" if len(below) > 8 else ""
        names = ", ".join(f"{folder.name}/" for folder in below[:8])
        text += f" and {inside.count(False)} in its subfolders {names}{more}"
    else:
        text += ", no train/ or any other subfolder"
    others = sum(not is_image_name(path) for path in walk(settings.data))
    return text + (f", {others} files that are no pictures" if others else "")


def _hint(settings: DataSettings, *, paired: bool) -> str:
    """A hint at the flags that would make it work; empty where there is none."""
    if settings.data is None or settings.derive:
        return ""
    root = data_root(settings)
    with_pictures = [folder for folder in subfolders(root) if pictures(folder)]
    if len(with_pictures) == 2 and not any(path.parent == root for path in pictures(root)):
        source, target = with_pictures
        aim = "pair these two folders by file stem" if paired else "translate between these two folders"
        return f" To {aim}, use --source {source} --target {target}, or the reverse."
    if pictures(root) and paired:
        return " To make the sources from these pictures, add --derive gray (edges, lowres, holes, blur, noise)."
    return ""
