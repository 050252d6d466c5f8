"""Settings from a file, as `--config` takes them. Imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from translate.fields import Settings, check_names, explain
from translate.files import SPECIAL, is_special
from translate.outside import about, parsed, read_text, visible

LONGEST = 10_000_000  # bytes


def check_config(path: str, values: Mapping[str, Any], classes: Sequence[type[Settings]]) -> None:
    """Check each value of a file against its field.

    Raises:
        ValueError: one is not, or belongs to none of the classes; names the file.
    """
    with about(f"--config {path}"):
        check_names(values, [name for cls in classes for name in cls.known_names()])
        for cls in classes:
            own = {name: value for name, value in values.items() if name in cls.known_names()}
            whole, own = cls.fitted(own)
            try:
                whole(**own)
            except ValidationError as error:  # some of these errors follow from others
                if wrong := [explain(whole, e) for e in error.errors() if e["loc"] and e["loc"][0] in values]:
                    raise ValueError("; ".join(wrong)) from None


def read_config(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The model, if named, and the flat settings in a JSON or TOML file; a run's own `config.json` works, too.

    Names may be written as flags are, with hyphens.

    Raises:
        ValueError: the file is missing, is neither, holds no table of settings, or one of them twice.
    """
    if is_special(path):
        raise ValueError(f"--config {path}: {SPECIAL}")
    if not path.is_file():
        raise ValueError(f"--config: no file {path}")
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        text = read_text(path, longest=LONGEST)
        values = tomllib.loads(text) if kind == "TOML" else parsed(text)
    except RecursionError:
        raise ValueError(f"--config {path}: this is no valid {kind}: nested too deep") from None
    except ValueError as error:
        suffix = path.suffix.lower()
        if suffix not in (".toml", ".json"):
            hint = ", like lr = 0.0002 for lr: 0.0002" if suffix in (".yaml", ".yml") else ""
            raise ValueError(
                f"--config {path}: no TOML or JSON: write the settings as TOML in a file called .toml{hint}, or as JSON"
            ) from None
        raise ValueError(f"--config {path}: this is no valid {kind}: {visible(error)}") from None
    if not isinstance(values, dict):
        raise ValueError(f"--config {path}: expected a table of settings, found a {type(values).__name__}")
    model = values.pop("model", None)
    settings = values.get("settings", values)
    if not isinstance(settings, dict) or not isinstance(model, str | None):
        raise ValueError(f"--config {path}: the model is a text, and the settings are a table")
    if "allow" in settings:
        raise ValueError(f"--config {path}: no file can allow a class: give --allow on the command line")
    named = {name.replace("-", "_"): value for name, value in settings.items()}
    if len(named) < len(settings):
        twice = next(name for name in settings if "-" in name and name.replace("-", "_") in settings)
        raise ValueError(
            f"--config {path}: {twice} and {twice.replace('-', '_')} are the same setting: keep one of them"
        )
    return model, named


def overridden(config: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file, overridden by flags; `--steps` also replaces `epochs` of the file, and the reverse."""
    other = {"steps": "epochs", "epochs": "steps"}
    replaced = {other[name] for name in flags if name in other}
    return {name: value for name, value in config.items() if name not in replaced} | dict(flags)
