"""Which synthetic set a folder holds, so that an earlier call is completed and anything else left alone. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.files import write_text
from translate.outside import parsed, read_text, visible

RECIPE = "synthetic.json"


def claim(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes the folder ours: new, empty, or an earlier set of the same recipe.

    Raises:
        ValueError: it is a file, or holds anything else.
    """
    marker = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give a folder for the synthetic set")
    if marker.is_file():
        earlier = _read(marker)
        changes = [
            f"{visible(name)[:100]} {visible(earlier.get(name))[:100]} there, {recipe.get(name)} wanted"
            for name in {**recipe, **earlier}
            if earlier.get(name) != recipe.get(name)
        ]
        if changes:
            raise ValueError(
                f"{folder}: holds another synthetic set ({'; '.join(changes)}); remove it or give another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty and holds no {RECIPE}; give a new or an empty folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(marker, json.dumps(recipe, indent=2) + "\n")


def _read(marker: Path) -> dict[str, Any]:
    """Raises:
    ValueError: the file is not the JSON table that this module writes.
    """
    try:
        recipe = parsed(read_text(marker))
    except ValueError:
        recipe = None
    if not isinstance(recipe, dict):
        raise ValueError(f"{marker}: not readable as JSON; give a new or an empty folder")
    return recipe
