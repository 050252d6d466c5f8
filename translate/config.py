"""Settings from a file, as `--config` takes them. Imports no torch."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any


def read_config(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The model, if named, and the flat settings in a JSON or TOML file; a run's own `config.json` works as it is.

    Names may be written as flags are, with hyphens.

    Raises:
        ValueError: the file is missing, is neither, holds no table of settings, or one of them twice.
    """
    if not path.is_file():
        raise ValueError(f"--config: no file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        suffix = path.suffix.lower()
        if suffix not in (".toml", ".json"):
            hint = ", like lr = 0.0002 for lr: 0.0002" if suffix in (".yaml", ".yml") else ""
            raise ValueError(
                f"--config {path}: no TOML or JSON: write the settings as TOML in a file called .toml{hint}, or as JSON"
            ) from None
        raise ValueError(f"--config {path}: this is no valid {suffix[1:].upper()}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"--config {path}: expected a table of settings, found a {type(values).__name__}")
    model = values.pop("model", None)
    settings = values.get("settings", values)
    if not isinstance(settings, dict) or not isinstance(model, str | None):
        raise ValueError(f"--config {path}: the model is a text, and the settings are a table")
    named = {name.replace("-", "_"): value for name, value in settings.items()}
    if len(named) < len(settings):
        twice = next(name for name in settings if "-" in name and name.replace("-", "_") in settings)
        raise ValueError(
            f"--config {path}: {twice} and {twice.replace('-', '_')} are the same setting: keep one of them"
        )
    return model, named
