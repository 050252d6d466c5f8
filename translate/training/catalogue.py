"""What there is to choose from: the tables of models, layouts and derivations, in words."""

from __future__ import annotations

from collections.abc import Mapping

from translate.datasets.derive import DERIVATIONS
from translate.datasets.layouts import DOMAIN_LAYOUTS, LAYOUTS
from translate.models import MODELS
from translate.recipes import RECIPES


def catalogue() -> str:
    """The tables, one below the other."""
    tables: dict[str, Mapping[str, str]] = {
        "Models (translate train MODEL)": {name: cls.summary for name, cls in MODELS.items()},
        "Recipes (--recipe)": {name: recipe.summary for name, recipe in RECIPES.items()},
        "Layouts of folders (--layout)": {
            name: layout.looked_for for name, layout in {**DOMAIN_LAYOUTS, **LAYOUTS}.items()
        },
        "Derived sources (--derive)": {name: derivation.summary for name, derivation in DERIVATIONS.items()},
    }
    lines = []
    for title, rows in tables.items():
        lines += [f"{title}:", *(f"  {name.ljust(14)} {summary}" for name, summary in rows.items())]
    return "\n".join(lines)
