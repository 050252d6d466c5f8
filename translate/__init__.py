"""Conditional image-to-image translation with GANs.

    run = translate.train("pix2pix", data="photos", out="runs/photos")
    t = translate.load("runs/photos")
    picture = t("sketch.png")

The names below are loaded when they are first used, so that `import translate` stays quick.
"""

import importlib
from typing import TYPE_CHECKING

from translate.version import __version__

if TYPE_CHECKING:
    from translate.inference.shard_reports import merge_reports
    from translate.inference.translator import Translator, load
    from translate.inspection.command import inspect
    from translate.training.evaluate import evaluate
    from translate.training.run import train

__all__ = ["Translator", "__version__", "evaluate", "inspect", "load", "merge_reports", "train"]

_HOMES = {
    "Translator": "translate.inference.translator",
    "evaluate": "translate.training.evaluate",
    "inspect": "translate.inspection.command",
    "load": "translate.inference.translator",
    "merge_reports": "translate.inference.shard_reports",
    "train": "translate.training.run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
