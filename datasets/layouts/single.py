"""One folder of photos, each the target of a source that `--derive` makes from it."""

from __future__ import annotations

from translate.datasets.files import alone, has_pictures
from translate.datasets.layouts.found import (
    Found,
    data_root,
    kept_aside,
    listing,
    refuse_direction,
)
from translate.datasets.layouts.splits import read_otherwise, roots
from translate.settings import DataSettings

LOOKED_FOR_TARGETS = "one folder of pictures, with train/, val/, test/ or without"
LOOKED_FOR = "one folder of photos, with --derive to make the sources from them"


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    if not settings.derive:
        data_root(settings)
        return "it needs --derive (gray, edges, lowres, holes, blur or noise)"
    return missing_targets(settings)


def missing_targets(settings: DataSettings) -> str | None:
    """Why this layout does not fit pictures that are made of noise, or None."""
    root = data_root(settings)
    try:
        folders = roots(root)
    except ValueError as error:
        return str(error)
    if "train" not in folders:
        return f"{' and '.join(folder.name + '/' for folder in folders.values())} but no train/"
    if not has_pictures(folders["train"]):
        return "no pictures" if folders["train"] == root else f"no pictures in {folders['train'].name}/"
    return None


def find(settings: DataSettings) -> Found:
    """Every picture below the folder, or below its `train/ val/ test/`."""
    refuse_direction(settings, instead="with one folder of photos the source is made from the target")
    root = data_root(settings)
    folders = roots(root)
    found = listing({split: alone(folder) for split, folder in folders.items()})
    return Found(found, roots=(root,), notes=kept_aside(found), reread=read_otherwise(folders))
