"""Settings of a run that are not the defaults of its model. The model's own defaults need PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from translate.fields import Settings
from translate.recipes import versioned
from translate.settings import DataSettings, RunSettings

PLACES = ("data", "source", "target", "val_source", "val_target", "out")
"""Where pictures and runs lie on one machine, which pages leave out."""


def changed_settings(model: str, settings: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and default of each setting that is not the default; "" for a default that is not known."""
    defaults = _defaults(model, settings)
    found = []
    for name, value in settings.items():
        field = defaults.get(name)
        if name in PLACES or (field is None and value is None):
            continue
        if field is None:
            found.append((name, as_text(value), ""))
        elif value not in (field.default, [field.default, field.default], _versioned(name, field.default)):
            found.append((name, as_text(value), as_text(field.default)))
    return found


def different_settings(runs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs by name: the setting, and its value in each."""
    names = dict.fromkeys(name for settings in runs.values() for name in settings if name not in PLACES)
    missing = object()
    found = []
    for name in names:
        values = [settings.get(name, missing) for settings in runs.values()]
        if any(value != values[0] for value in values):
            found.append((name, ["" if value is missing else as_text(value) for value in values]))
    return found


def as_text(value: object) -> str:
    """A value as it is written on the command line; of a file only the name, as a page is passed on."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return "x".join(map(str, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return f"{value:g}" if isinstance(value, float) else str(value)


def _versioned(name: str, default: Any) -> Any:
    """The default as it is stored: a recipe with its version. (A square is stored by its two sides.)"""
    return versioned(default) if name == "recipe" else default


def _defaults(model: str, settings: Mapping[str, Any]) -> dict[str, FieldInfo]:
    """The fields of a model in the table with the parts that the settings choose; of another, those of all runs."""
    own: tuple[type[Settings], ...] = ()
    try:
        from translate.models import MODELS

        if model in MODELS:
            cls = MODELS[model].settings_class
            known = {name: value for name, value in settings.items() if name in cls.known_names()}
            own = (cls.fitted(known)[0],)
    except (ImportError, ValueError):  # without PyTorch; settings of another version
        own = ()
    parts: tuple[type[Settings], ...] = (*own, DataSettings, RunSettings)
    return {name: field for part in parts for name, field in part.model_fields.items()}
