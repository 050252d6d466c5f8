"""Which settings each command takes, and under which headings its help lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from translate.allow import OwnClass
from translate.fields import Settings, flag
from translate.help import is_switch

OWN = "A class of your own"


def sections(command: str, model: str | None = None) -> list[tuple[str, type[Settings]]]:
    """Headings and settings of a command; `model` is the one that `train` is to train, if it is known."""
    if command == "train":
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
    if command == "convert":
        from translate.inference.options import ConvertSettings, LoadSettings

        return [("The model", LoadSettings), ("The pictures", ConvertSettings)]
    if command == "sample":
        from translate.inference.options import LoadSettings
        from translate.inference.sample import SampleSettings

        return [("The model", LoadSettings), ("The pictures", SampleSettings)]
    if command == "import":
        from translate.importing.options import ImportSettings

        return [("The import", ImportSettings)]
    if command == "export":
        from translate.export.options import ExportSettings

        return [("The file", ExportSettings), (OWN, OwnClass)]
    if command == "evaluate":
        from translate.settings import DataSettings
        from translate.training.evaluate import EvaluateSettings

        return [("The evaluation", EvaluateSettings), ("The pictures (default: as in training)", DataSettings)]
    if command == "report":
        from translate.pages.report import ReportSettings

        return [("The report", ReportSettings)]
    if command == "compare":
        from translate.training.compare import CompareSettings

        return [("The comparison", CompareSettings)]
    if command == "inspect":
        from translate.inspection.options import InspectedData, InspectSettings

        return [("The inspection", InspectSettings), ("The pictures, as for training", InspectedData)]
    if command == "demo":
        from translate.demo import DemoSettings

        return [("The demo", DemoSettings)]
    return []


def training_classes(model: str, *, allow: str | None = None, file: object = "this model") -> list[type[Settings]]:
    """The settings classes of a training: the model's own, the pictures', the run's.

    Raises:
        NotAllowed: a class of no table that is not `allow`.
        ValueError: there is no such model.
    """
    from translate.models import model_class
    from translate.settings import DataSettings, RunSettings

    return [model_class(model, allow=allow, file=file).settings_class, DataSettings, RunSettings]


def known_to_any() -> set[str]:
    """The names of all settings of a training, of any model."""
    from translate.models import MODELS

    return {name for model in MODELS for cls in training_classes(model) for name in cls.known_names()}


def switches(words: Sequence[str]) -> set[str]:
    """Flags that need no value, of the command that `words` begin with."""
    command, *rest = words or [""]
    if command in ("info", "merge-reports"):
        return {"json"}
    model, more = "pix2pix", {"json"} if command == "evaluate" else set[str]()
    if command == "train":
        if rest and not rest[0].startswith("--"):
            return set()  # the model is named already: other words are values of flags
        from translate.models import MODELS

        model = next((word for word in rest if word in MODELS), model)
    return more | {name for _, cls in sections(command, model) for name in cls.model_fields if is_switch(cls, name)}


def catalogue() -> str:
    """What there is to choose from: the tables of models, recipes, layouts and derivations, as text."""
    from translate.datasets.derive import DERIVATIONS
    from translate.datasets.layouts import DOMAIN_LAYOUTS, LAYOUTS
    from translate.models import MODELS
    from translate.recipes import RECIPES

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
