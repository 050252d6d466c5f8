"""`translate evaluate`: the figures of a trained model on a set of pictures, or of a folder of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from translate import console
from translate.card import Card
from translate.datasets.batches import make_dataset
from translate.datasets.pairs import ROLES, Pair, of_side
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.base import Figures
from translate.evaluation.choice import Choice, choose
from translate.evaluation.result import Evaluation
from translate.evaluation.sheet import save_image
from translate.fields import check_names
from translate.files import write_text
from translate.inference.pieces import PieceReport
from translate.inference.translator import model_file, read_card
from translate.models import Model, load_for_inference, model_class
from translate.outside import about
from translate.settings import DataSettings, ModelSettings, RunSettings
from translate.training.baselines import baseline_figures
from translate.training.evaluate_folders import evaluate_folders, folder_data
from translate.training.evaluate_set import SOURCE, Pictures, Timed, as_target, extremes, features_for, measured
from translate.training.evaluate_settings import EvaluateSettings, refuse_pointless
from translate.training.folder import RunFolder
from translate.training.job import PATHS, Job, as_before
from translate.training.outputs import Translate, Whole, outputs_of
from translate.training.validation import BASELINES, examples_of
from translate.weights import load_tensors


@dataclass(frozen=True)
class EvaluateJob:
    """An evaluation whose settings are checked; no picture has been read."""

    model: Path | None  # None: of outputs that are there already
    data: DataSettings
    settings: EvaluateSettings
    choice: Choice

    def run(self, *, say: Callable[[str], None]) -> Evaluation:
        """Measure, and write the files that the settings name; `say` gets what is found about the pictures.

        Raises:
            NotAllowed: the model is a class that the settings do not allow.
            ValueError: no such model, no pictures, or a figure that they do not allow for.
        """
        if self.model is None:
            found = evaluate_folders(self.data, self.settings, self.choice, say=say)
        else:
            found = evaluate_model(self.model, self.data, self.settings, self.choice, say=say)
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
    for name in ("features", "features_weights"):
        if name in own and not choice.on_features and own[name] != EvaluateSettings.model_fields[name].default:
            raise ValueError(
                f"--{name.replace('_', '-')} changes nothing with --metrics {settings.metrics}: leave it out"
            )
    if model is None:
        refuse_pointless(given, settings)
        return EvaluateJob(None, folder_data(settings, given), settings, choice)
    data = evaluation_data(model, given)
    refuse_pointless(given, settings)
    return EvaluateJob(Path(model), data, settings, choice)


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


def evaluate_model(
    path: Path, data: DataSettings, settings: EvaluateSettings, choice: Choice, *, say: Callable[[str], None]
) -> Evaluation:
    """Evaluate the model at `path`, a run folder or `.safetensors` file.

    Raises:
        NotAllowed: its model is a class that the settings do not allow.
        ValueError: no such model, no pictures to evaluate it on, or a figure that they do not allow for.
    """
    file = model_file(path)
    card = read_card(file)
    if file.suffix != ".safetensors":
        raise ValueError(f"{file}: give the run folder or .safetensors file that it was exported from")
    if data.val_whole and settings.batch_size > 1 and "batch_size" in settings.model_fields_set:
        raise ValueError(
            f"--batch-size {settings.batch_size}: whole pictures (--fit none) go one by one: leave it out, or give "
            "--val-crop"
        )
    cls = model_class(card.model, allow=settings.allow, file=file)
    card.check_tokenizer(path=file)
    with about(file):
        science = cls.settings_class.make(card.settings)
    with about(file):
        prepared = _prepared(data, cls, science, card, split=settings.split, say=say)
    if prepared.kind == "domains":
        choice = choice.without("sets", "in a set of many domains a source given back unchanged would be perfect")
    device = pick_device(settings.device)
    with about(file):
        model = load_for_inference(card, load_tensors(file), allow=settings.allow).to(device)

    trained_on = str(getattr(science, "features", "")) if getattr(science, "lambda_perceptual", 0) else None
    features, reason = features_for(card.target, settings, choice, trained_on=trained_on)
    sides = {role: len(of_side(prepared.val, role)) for role in ROLES}
    unpaired = prepared.kind == "unpaired" and not prepared.val_paired
    examples = replace(
        examples_of(prepared),
        features=features,
        sources=sides["source"] if unpaired else None,
        targets=sides["target"] if unpaired else None,
    )
    shown = of_side(prepared.val, "source") if unpaired else prepared.val
    pictures = Pictures(
        make_dataset(prepared, settings=data, part="val", seed=int(card.run.get("seed") or 0)),
        batch=1 if data.val_whole or (unpaired and data.fit == "none") else settings.batch_size,
        to_batch=lambda raw: raw.to(device, prepared.specs),
        examples=examples,
        names=tuple(pair.name for pair in shown),
        columns=_columns(shown),
    )
    pieces: list[PieceReport] = []
    whole = Whole(card, pieces.append) if data.val_whole and card.source is not None else None
    outputs = outputs_of(model, whole, conditioned=bool(card.conditions))
    timed = Timed(outputs.output, device)
    found = measured(
        replace(outputs, output=timed),
        pictures,
        choice,
        settings,
        baselines=_source_itself(card),
        without={} if reason is None else {"features": reason},
    )
    if card.source is not None and prepared.val_paired and any("pairs" in m.needs for m in choice.measures.values()):
        job = Job(
            card.model, cls, science, data, RunSettings.make({"seed": card.run.get("seed") or 0}), RunFolder(path)
        )
        reached = baseline_figures(job, prepared, pictures.batches)
        found = replace(found, baselines={**found.baselines, **_wanted(reached, found.figures)})
    if settings.sheet is not None:
        save_image(settings.sheet, extremes(found, outputs, pictures, prepared.specs))
    if inexact := [report for report in pieces if not report.exact]:
        say(f"a picture that does not fit in memory was {inexact[0].text}")
    return replace(found, pictures_per_second=timed.pictures_per_second)


def _prepared(
    data: DataSettings,
    cls: type[Model],
    science: ModelSettings,
    card: Card,
    *,
    split: str,
    say: Callable[[str], None],
) -> Prepared:
    """The set, whose validation pictures are those of `split`.

    Raises:
        ValueError: there are none.
    """
    prepared = prepare(
        data,
        kind=cls.data,
        data_needs=cls.data_needs(science),
        scale=card.scale,
        conditions=card.conditions,
        say=say,
    )
    pairs: tuple[Pair, ...] = {"val": prepared.val, "test": prepared.test, "train": prepared.train}[split]
    if not pairs:
        raise ValueError(f"there are no pictures to evaluate on: no {split} folder, and none held out for it")
    paired = prepared.kind == "pairs" or all(pair.source and pair.target for pair in pairs)
    if prepared.kind == "unpaired" and not paired:
        pairs = tuple(single for role in ROLES for single in of_side(pairs, role))
        if lacking := [role for role in ROLES if not of_side(pairs, role)]:
            raise ValueError(f"there are no {lacking[0]} pictures to evaluate on in {split}")
    return replace(prepared, source=card.source, target=card.target, val=pairs, val_paired=paired)


def _source_itself(card: Card) -> dict[str, Translate]:
    """What giving the source back unchanged reaches, where that is a picture of the target's kind."""
    source, target = card.source, card.target
    if source is None or "labels" in (source.kind, target.kind):
        return {}
    if source.channels != target.channels and {source.channels, target.channels} != {1, 3}:
        return {}
    return {SOURCE: lambda batch: as_target(batch, target.channels)}


def _wanted(reached: Mapping[str, Figures], figures: Figures) -> dict[str, Figures]:
    """The baselines of a run by what they are, in words, with the figures that are shown."""
    return {
        BASELINES.get(name, name.replace("_", " ")): {k: v for k, v in values.items() if k in figures}
        for name, values in reached.items()
        if name != "source"
    }


def _columns(pairs: tuple[Pair, ...]) -> dict[str, tuple[str, ...]]:
    """Labels and texts of the pictures, where there are any."""
    found = {name: tuple(getattr(pair, name) or "" for pair in pairs) for name in ("label", "text")}
    return {name: values for name, values in found.items() if any(values)}
