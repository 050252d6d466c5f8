"""Which settings each command takes, and under which headings its help lists them.

What help and the checks of words need of them is read from `command_table`, which is made of these.
"""

from __future__ import annotations

from collections.abc import Callable

from translate.allow import OwnClass
from translate.fields import Settings, flag

OWN = "A class of your own"


Sections = list[tuple[str, type[Settings]]]


def _convert() -> Sections:
    from translate.inference.options import ConvertSettings, LoadSettings

    return [("The model", LoadSettings), ("The pictures", ConvertSettings)]


def _sample() -> Sections:
    from translate.inference.options import LoadSettings
    from translate.inference.sample import SampleSettings

    return [("The model", LoadSettings), ("The pictures", SampleSettings)]


def _import() -> Sections:
    from translate.importing.options import ImportSettings

    return [("The import", ImportSettings)]


def _export() -> Sections:
    from translate.export.options import ExportSettings

    return [("The file", ExportSettings), (OWN, OwnClass)]


def _evaluate() -> Sections:
    from translate.settings import DataSettings
    from translate.training.evaluate import EvaluateSettings

    return [("The evaluation", EvaluateSettings), ("The pictures (default: as in training)", DataSettings)]


def _report() -> Sections:
    from translate.pages.report import ReportSettings

    return [("The report", ReportSettings)]


def _compare() -> Sections:
    from translate.training.compare import CompareSettings

    return [("The comparison", CompareSettings)]


def _inspect() -> Sections:
    from translate.inspection.options import InspectedData, InspectSettings

    return [("The inspection", InspectSettings), ("The pictures, as for training", InspectedData)]


def _demo() -> Sections:
    from translate.demo import DemoSettings

    return [("The demo", DemoSettings)]


SECTIONS: dict[str, Callable[[], Sections]] = {
    "convert": _convert,
    "sample": _sample,
    "import": _import,
    "export": _export,
    "evaluate": _evaluate,
    "report": _report,
    "compare": _compare,
    "inspect": _inspect,
    "demo": _demo,
}
"""Command -> its headings and settings; `train` has others for each model, and a command that is not here has none."""


def sections(command: str, model: str | None = None) -> Sections:
    """Headings and settings of a command; `model` is the one that `train` is to train, if it is known."""
    if command == "train":
        return _train(model)
    return SECTIONS[command]() if command in SECTIONS else []


def _train(model: str | None) -> Sections:
    if model is None:
        from translate.settings import DataSettings, ModelSettings, RunSettings

        every = ("Every model, each with defaults of its own", ModelSettings)
        return [every, ("The pictures", DataSettings), ("The run", RunSettings), (OWN, OwnClass)]
    science, data, run = training_classes(model, allow=model)
    parts = []
    for part in science.alternatives():
        usual, *others = part.names
        names = " or ".join([f"{usual} (default)" if part.default else usual, *others])
        parts.append((f"With {flag(part.choice)} {names}", part.settings))
    own = (f"The model, {model}", science)
    return [own, *parts, ("The pictures", data), ("The run", run), (OWN, OwnClass)]


def training_classes(model: str, *, allow: str | None = None, file: object = "this model") -> list[type[Settings]]:
    """The settings classes of a training: the model's own, the pictures', the run's.

    Raises:
        NotAllowed: a class of no table that is not `allow`.
        ValueError: there is no such model.
    """
    from translate.models import model_class
    from translate.settings import DataSettings, RunSettings

    return [model_class(model, allow=allow, file=file).settings_class, DataSettings, RunSettings]
