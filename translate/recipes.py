"""Recipes: named, versioned sets of settings that were measured together. Imports no torch.

A recipe gives defaults; every flag overrides it. A version never changes: what is found to be better becomes the next
one, and a name without a version means the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from translate.tables import Table, closest

PUBLISHED, SHARP = "published", "sharp"


@dataclass(frozen=True)
class Recipe:
    """One version of a recipe."""

    summary: str  # what it is for, and what it was measured to give
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by model; other models do not have it
    every_model: bool = False

    def of(self, model: str) -> Mapping[str, Any]:
        """The settings of one model that differ from its defaults."""
        return self.settings.get(model, {})


RECIPES: Table[Recipe] = Table(
    "recipe",
    {
        "published-1": Recipe(
            "every model as its paper has it: the default",
            {"srresnet": {"size": 96, "fit": "none"}},  # small crops of pictures as they are, never resized
            every_model=True,
        ),
        "sharp-1": Recipe(
            "pix2pix for pictures that look right: a perceptual term, no grid. Facades at 64 pixels: KID (Lite1) 135 "
            "where published has 620, SSIM 0.30 for 0.23; a step takes 1.8 times as long",
            {
                "pix2pix": {
                    "norm": "instance",
                    "upsample": "resize",
                    "objective": "lsgan",
                    "lambda_l1": 20.0,
                    "lambda_perceptual": 30.0,
                    "best": "last",
                }
            },
        ),
    },
)


def versioned(name: str) -> str:
    """The table's name for a recipe, of which the version may be left out: `sharp` -> `sharp-1`.

    Raises:
        ValueError: there is no such recipe.
    """
    if name in RECIPES:
        return name
    versions = [int(key.rpartition("-")[2]) for key in RECIPES if key.rpartition("-")[0] == name]
    if not versions:
        names = list(dict.fromkeys(key.rpartition("-")[0] for key in RECIPES))
        raise ValueError(
            f'no recipe is called "{name}"{closest(name, [*names, *RECIPES])}: there is {", ".join(names)}'
        )
    return f"{name}-{max(versions)}"


def with_recipe(model: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, with the recipe that they name as defaults.

    Raises:
        ValueError: there is no such recipe, or it has no settings for this model.
    """
    name = versioned(str(values.get("recipe", PUBLISHED)))
    recipe = RECIPES[name]
    if not recipe.every_model and model not in recipe.settings:
        raise ValueError(
            f"--recipe {name} is for {', '.join(recipe.settings)}, and has nothing for {model}: leave it out"
        )
    return {**recipe.of(model), **values}


def described(model: str, settings: Mapping[str, Any], *, name: str) -> str:
    """The recipe of a trained model, and its overridden settings, in words."""
    if not name:  # from before there were recipes
        return ""
    try:
        own = RECIPES[versioned(name)].of(model)
    except ValueError:  # of a newer version of this software
        return name
    changed = [
        f"{key} {'x'.join(map(str, given)) if isinstance(given, list) else given}"
        for key, value in own.items()
        if key in settings and (given := settings[key]) not in (value, [value, value])  # a square by its side
    ]
    return name + (f", but for {', '.join(changed)}" if changed else "")
