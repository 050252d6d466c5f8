"""`translate evaluate`: the figures of a trained model on a set of pictures, or of a folder of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate import console
from translate.evaluation.choice import Choice, choose
from translate.evaluation.result import Evaluation
from translate.fields import check_names, flag
from translate.files import write_text
from translate.inference.translator import read_card
from translate.outside import about
from translate.settings import DataSettings
from translate.training.evaluate_folders import evaluate_folders, folder_data
from translate.training.evaluate_model import evaluate_model
from translate.training.evaluate_settings import NEEDED_BY, EvaluateSettings, refuse_pointless
from translate.training.folder import RunFolder
from translate.training.job import PATHS, as_before


@dataclass(frozen=True)
class EvaluateJob:
    """An evaluation whose settings are checked; no picture has been read."""

    model: Path | None  # None: of outputs that are there already
    data: DataSettings
    settings: EvaluateSettings
    choice: Choice
    given: frozenset[str] = frozenset()  # settings of pictures that were given with the command

    def run(self, *, say: Callable[[str], None]) -> Evaluation:
        """Measure, and write the files that the settings name; `say` gets what is found about the pictures.

        Raises:
            NotAllowed: the model is a class that the settings do not allow.
            ValueError: no such model, no pictures, or a figure that they do not allow for.
        """
        if self.model is None:
            found = evaluate_folders(self.data, self.settings, self.choice, say=say)
        else:
            found = evaluate_model(self.model, self.data, self.settings, self.choice, given=self.given, say=say)
        if self.settings.csv is not None:
            write_text(self.settings.csv, found.as_csv())
        return found


def evaluate(
    model: str | Path | None = None, *, say: Callable[[str], None] = console.say, **settings: Any
) -> Evaluation:
    """Measure a model on pictures, or a folder of outputs, and return the figures.

    `settings` are the names that `translate evaluate --help` lists: `evaluate("runs/facades", split="test")`, or
    `evaluate(outputs="out", targets="truth")`. Progress is printed; `say` may be another function of a line.

    Raises:
        NotAllowed: the model is a class that `allow` does not name.
        ValueError: a setting, a path or the pictures are wrong, or a figure was asked for that they do not allow for.
    """
    return new_evaluation(model, settings).run(say=say)


def new_evaluation(model: str | Path | None, values: Mapping[str, Any]) -> EvaluateJob:
    """
    Args:
        values: settings of the evaluation and of the pictures.

    Raises:
        ValueError: no such model, an unknown setting, a wrong value, or one that changes nothing.
    """
    check_names(values, [*EvaluateSettings.model_fields, *DataSettings.model_fields])
    own = {name: value for name, value in values.items() if name in EvaluateSettings.model_fields}
    given = {name: value for name, value in values.items() if name not in own}
    settings = EvaluateSettings.make(own)
    if model is None and settings.outputs is None:
        raise ValueError("missing MODEL (a run folder or model file), or --outputs FOLDER --targets FOLDER: see --help")
    if model is not None and settings.outputs is not None:
        raise ValueError(f"--outputs are measured without a model: leave out {model}")
    choice = choose(settings.metrics)
    on_features = choice.on_features or settings.memorised is not None or settings.task is not None
    used = {"features": on_features, "features_weights": on_features}
    used |= {name: measure in choice.measures for name, measure in NEEDED_BY.items()}
    for name, is_used in used.items():
        if not is_used and getattr(settings, name) != EvaluateSettings.model_fields[name].default:
            raise ValueError(f"{flag(name)} changes nothing with --metrics {settings.metrics}: leave it out")
    refuse_pointless(given, settings)
    data = folder_data(settings, given) if model is None else evaluation_data(model, given)
    if data.val_whole and settings.batch_size > 1 and "batch_size" in settings.model_fields_set:
        raise ValueError(
            f"--batch-size {settings.batch_size}: whole pictures (--fit none) go one by one: leave it out, or give "
            f"{'--size' if settings.outputs else '--val-crop'}"
        )
    return EvaluateJob(None if model is None else Path(model), data, settings, choice, frozenset(given))


def evaluation_data(path: str | Path, given: Mapping[str, object]) -> DataSettings:
    """Data settings: those of the training of the model at `path`, with what is `given` in their place.

    A run folder has the paths of its pictures; a model file has none.

    Raises:
        ValueError: no such model, an unknown setting, or a wrong value.
    """
    fields = DataSettings.model_fields
    card = read_card(path)
    run = as_before(card.run)
    trained = {name: value for name, value in run.items() if name in fields and value is not None}
    trained.pop("load_size", None)  # of training alone, and may not go with what is given
    folder = RunFolder(Path(path))
    if folder.config.is_file() and not given.keys() & {"data", "source", "target"}:
        stored = folder.read_config()["settings"]
        trained |= {name: stored[name] for name in PATHS if stored.get(name) is not None}
    if given.get("fit", "none") != "none":
        trained.pop("val_crop", None)
    with about(path):
        return DataSettings.make({**trained, "cache": "none", **given}).for_scale(card.scale)
