"""What help and the checks of words know of every command and model, without importing PyTorch.

It is read from `commands.json`, which is made of the settings classes: `python -m translate.command_table` makes it
again, and a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from translate.allow import is_class
from translate.arguments import OFF
from translate.command_settings import SECTIONS, sections
from translate.fields import check_names
from translate.help import Row, Rows, rows
from translate.recipes import RECIPES
from translate.tables import Table

FILE = Path(__file__).with_name("commands.json")


class CommandTable(NamedTuple):
    """What is written down of the commands."""

    models: Table[str]  # name -> what it is for
    layouts: Mapping[str, str]
    derivations: Mapping[str, str]
    former: Mapping[str, Mapping[str, bool]]  # command -> names that fields had, and whether they were switches
    sections: Mapping[str, list[tuple[str, Rows]]]  # `convert`, `train`, `train pix2pix` -> headings and rows


@cache
def table() -> CommandTable:
    """The table, read once."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    settings: dict[str, Rows] = {
        name: {field: Row(**row) for field, row in fields.items()} for name, fields in found["settings"].items()
    }
    headed = {
        command: [(title, settings[name]) for title, name in parts.items()]
        for command, parts in found["sections"].items()
    }
    return CommandTable(
        Table("model", found["models"]), found["layouts"], found["derivations"], found["former"], headed
    )


def described(command: str, model: str | None = None) -> list[tuple[str, Rows]]:
    """Headings and rows of a command; `model` is the one that `train` is to train, if it is known.

    Raises:
        ValueError: there is no such model.
    """
    if model is not None and is_class(model):  # of no table: its module is imported
        return [(title, rows(cls)) for title, cls in sections(command, model)]
    if model is not None:
        table().models[model]  # lists the choices, and the closest
    return table().sections.get(_key(command, model), [])


def switches(words: Sequence[str]) -> set[str]:
    """Flags that need no value, of the command that `words` begin with."""
    command, *rest = words or [""]
    if command in ("info", "merge-reports"):
        return {"json"}
    model, more = None, {"json"} if command == "evaluate" else set[str]()
    if command == "train":
        if rest and not rest[0].startswith("--"):
            return set()  # the model is named already: other words are values of flags
        model = next((word for word in rest if word in table().models), "pix2pix")
    former = {name for name, switch in table().former.get(_key(command, model), {}).items() if switch}
    own = {name for _, fields in described(command, model) for name, row in fields.items() if row.switch}
    return more | former | own


def known_to_any() -> set[str]:
    """The names of all settings of a training, of any model."""
    return {name for model in table().models for name in _known(model)}


def check_training(model: str, flags: Mapping[str, str]) -> None:
    """Check a model's name and the names of its flags before PyTorch is loaded; nothing of a class of one's own.

    Raises:
        ValueError: there is no such model, or it has no such flag.
    """
    if not is_class(model):
        known = _known(model)
        check_names([name for name in flags if name.removeprefix(OFF) not in known], known)


def _known(model: str) -> list[str]:
    headed = described("train", model)[:-1]  # without that of `--allow`, which is no setting
    return [*{name: None for _, fields in headed for name in fields}, *table().former.get(_key("train", model), ())]


def _key(command: str, model: str | None) -> str:
    return f"{command} {model}" if model else command


def catalogue() -> str:
    """What there is to choose from: the tables of models, recipes, layouts and derivations, as text."""
    tables: dict[str, Mapping[str, str]] = {
        "Models (translate train MODEL)": table().models,
        "Recipes (--recipe)": {name: recipe.summary for name, recipe in RECIPES.items()},
        "Layouts of folders (--layout)": table().layouts,
        "Derived sources (--derive)": table().derivations,
    }
    lines = []
    for title, entries in tables.items():
        lines += [f"{title}:", *(f"  {name.ljust(14)} {summary}" for name, summary in entries.items())]
    return "\n".join(lines)


def made() -> str:
    """The text of the file as the settings classes and tables have it now, a field in a line."""
    from translate.datasets.derive import DERIVATIONS
    from translate.datasets.layouts import DOMAIN_LAYOUTS, LAYOUTS
    from translate.models import MODELS

    settings: dict[str, Any] = {}
    headed: dict[str, Any] = {}
    former: dict[str, Any] = {}
    asked: list[tuple[str, str | None]] = [*((c, None) for c in ("train", *SECTIONS)), *(("train", m) for m in MODELS)]
    for command, model in asked:
        key = _key(command, model)
        named = headed[key] = {}
        for title, cls in sections(command, model):
            for name in cls.former:
                former.setdefault(key, {})[name] = name in cls.former_switches
            own = {name: _stored(row) for name, row in rows(cls).items()}
            name = cls.__name__
            if settings.setdefault(name, own) != own:  # a part with the defaults that this model has for it
                name = f"{name} of {model}"
                assert settings.setdefault(name, own) == own, f"two classes are called {name}"
            assert title not in named, f"two headings of {command} are called {title}"
            named[title] = name
    found = {
        "models": {name: cls.summary for name, cls in MODELS.items()},
        "layouts": {name: layout.looked_for for name, layout in {**DOMAIN_LAYOUTS, **LAYOUTS}.items()},
        "derivations": {name: derivation.summary for name, derivation in DERIVATIONS.items()},
        "former": former,
        "sections": headed,
        "settings": settings,
    }
    return _text(found, deep=3) + "\n"


def _stored(row: Row) -> dict[str, str | None]:
    """A row without what is as usual."""
    return {key: value for key, value in row._asdict().items() if value != Row._field_defaults.get(key, ...)}


def _text(value: object, *, deep: int, indent: str = "") -> str:
    """JSON whose objects take a line for each entry, down to some depth."""
    if not isinstance(value, dict) or not deep or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    lines = [f"{inner}{json.dumps(k)}: {_text(v, deep=deep - 1, indent=inner)}" for k, v in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
