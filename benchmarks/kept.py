"""Results that a command keeps in a file, so that a later call adds to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translate.files import write_text


def kept(path: Path) -> dict[str, Any]:
    """Results of earlier calls.

    Raises:
        ValueError: the file is not one of ours.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"--out: {path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"--out: {path} holds no results of this command")
    return found


def keep(results: Mapping[str, Any], path: Path, *, order: Iterable[str]) -> None:
    """Write them down, those named in `order`."""
    write_text(path, json.dumps({name: results[name] for name in order if name in results}, indent=1) + "\n")
