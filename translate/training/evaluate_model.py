"""A trained model on a set of pictures, laid out as for its training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from translate.card import Card
from translate.datasets.batches import make_dataset
from translate.datasets.layouts import choose, layouts_of
from translate.datasets.layouts.found import Found
from translate.datasets.pairs import ROLES, Pair, of_side
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.base import Examples
from translate.evaluation.choice import Choice
from translate.evaluation.features import TrainingFeatures, trained_on
from translate.evaluation.result import Evaluation
from translate.evaluation.sheet import save_image
from translate.fields import flag
from translate.figures import plain
from translate.inference.pieces import PieceReport
from translate.inference.translator import model_file, read_card
from translate.models import Model, load_for_inference, model_class
from translate.outside import about
from translate.settings import VAL_FRACTION_UNUSED, DataSettings, ModelSettings
from translate.training.baselines import of_training_pairs, source_itself
from translate.training.evaluate_columns import Columns
from translate.training.evaluate_extras import features_for, judge_for, with_networks
from translate.training.evaluate_set import GROUP, Pictures, Timed, extremes, measured
from translate.training.evaluate_settings import EvaluateSettings
from translate.training.evaluate_training import PooledFigures, TrainingPictures, nearest_page, task
from translate.training.outputs import ModelOutputs, Translate, Whole, outputs_of
from translate.training.validation import Measures, examples_of
from translate.weights import load_tensors

FITTED = ("target_share", "obeyed")  # measures by classifiers of training pictures
POOLED = "pooled"  # the measure that keeps features, for what is made of them afterwards


@dataclass(frozen=True)
class Subject:
    """The model, and the set that it is evaluated on."""

    path: Path
    card: Card
    cls: type[Model]
    science: ModelSettings
    model: Model
    data: DataSettings
    prepared: Prepared  # its validation pictures are those of the split
    device: torch.device

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.card.run.get("seed") or 0)

    @property
    def unpaired(self) -> bool:
        """Whether sources and targets are two sets."""
        return self.prepared.kind == "unpaired" and not self.prepared.val_paired

    def side(self, role: str) -> Sequence[Pair]:
        """The pictures of one side, `source` or `target`, in their order."""
        pairs = self.prepared.val
        return of_side(pairs, "source" if role == "source" else "target") if self.unpaired else pairs

    def columns(self, name: str, settings: EvaluateSettings) -> Columns:
        """The column that the setting `name` asks for."""
        tables = [] if settings.table is None else [settings.table]
        if not tables and self.data.data is not None:
            tables = list(_found(self.data, self.cls, self.science).tables)
        return Columns(getattr(settings, name), tables=tables, flag=flag(name))


def evaluate_model(
    path: Path,
    data: DataSettings,
    settings: EvaluateSettings,
    choice: Choice,
    *,
    given: Collection[str] = (),
    say: Callable[[str], None],
) -> Evaluation:
    """Evaluate the model at `path`, a run folder or `.safetensors` file.

    Args:
        given: names of data settings that were given, and are not those of the training.

    Raises:
        NotAllowed: its model is a class that the settings do not allow.
        ValueError: no such model, no pictures to evaluate it on, or a figure that they do not allow for.
    """
    subject = _opened(path, data, settings, given=given, say=say)
    card, prepared, device = subject.card, subject.prepared, subject.device
    if prepared.kind == "domains":
        choice = choice.without("sets", "in a set of many domains a source given back unchanged would be perfect")
    features, reason = features_for(card.target, settings, choice, trained_on=trained_on(subject.science))
    columns = {name: subject.columns(name, settings) for name in ("group_by", "task") if getattr(settings, name)}

    pieces: list[PieceReport] = []
    whole = Whole(card, pieces.append) if data.val_whole and card.source is not None else None
    outputs = outputs_of(subject.model, whole, conditioned=bool(card.conditions))
    training = TrainingPictures(prepared, data, device=device)
    examples = with_networks(examples_of(prepared, features=features), settings, choice)
    if settings.judge is not None and card.source is not None and prepared.val_paired:
        judge = judge_for(settings, source=card.source, target=card.target, pairs=prepared.train, data=data)
        examples = replace(examples, judge=judge)
    features_of = _training_features(training, examples, settings, choice, outputs.output)
    examples = replace(examples, training=features_of)

    pictures = _pictures(subject, settings, examples, columns.get("group_by"))
    timed = Timed(outputs.output, device)
    if settings.memorised is not None or settings.task is not None:
        choice = replace(choice, measures={**choice.measures, POOLED: PooledFigures})
    found, measures = measured(
        replace(outputs, output=timed),
        pictures,
        choice,
        settings,
        baselines=lambda: _baselines(subject, pictures, choice),
        without={} if reason is None else {"features": reason},
    )
    found = replace(found, pictures_per_second=timed.pictures_per_second)
    if settings.split == "train" and any(plain(name) in FITTED for name in found.figures):
        note = "the classifier was fitted on these very pictures, as --split train has it: its shares are too good"
        found = replace(found, notes=(*found.notes, note))
    if settings.sheet is not None:
        save_image(settings.sheet, extremes(found, outputs, pictures, prepared.specs))
    if features_of is not None:
        found = _beside_training(found, measures, settings, training, features_of, pictures, outputs, subject, columns)
    if inexact := [report for report in pieces if not report.exact]:
        say(f"a picture that does not fit in memory was {inexact[0].text}")
    return found


def _opened(
    path: Path,
    data: DataSettings,
    settings: EvaluateSettings,
    *,
    given: Collection[str],
    say: Callable[[str], None],
) -> Subject:
    """The model at `path`, and the pictures of the split.

    Raises:
        NotAllowed, ValueError: as `evaluate_model`.
    """
    file = model_file(path)
    card = read_card(file)
    if file.suffix != ".safetensors":
        raise ValueError(f"{file}: give the run folder or .safetensors file that it was exported from")
    cls = model_class(card.model, allow=settings.allow, file=file)
    card.check_tokenizer(path=file)
    with about(file):
        science = cls.settings_class.make(card.settings)
    if "val_fraction" in given and _found(data, cls, science).listing.val:
        raise ValueError(f"--val-fraction {data.val_fraction} changes nothing {VAL_FRACTION_UNUSED}: leave it out")
    with about(file):
        prepared = _prepared(data, cls, science, card, split=settings.split, say=say)
    device = pick_device(settings.device)
    with about(file):
        model = load_for_inference(card, load_tensors(file), allow=settings.allow).to(device)
    return Subject(path, card, cls, science, model, data, prepared, device)


def _found(data: DataSettings, cls: type[Model], science: ModelSettings) -> Found:
    """The files of the set."""
    kind, needs = cls.data, cls.data_needs(science)
    conditioned = bool(needs.label or needs.text)
    layout = layouts_of(kind, conditioned=conditioned)[choose(data, kind=kind, conditioned=conditioned)]
    return layout.find(data) if kind == "pairs" or layout.find_sides is None else layout.find_sides(data)


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
    pairs: Sequence[Pair] = {"val": prepared.val, "test": prepared.test, "train": prepared.train}[split]
    if not pairs:
        raise ValueError(f"there are no pictures to evaluate on: no {split} folder, and none held out for it")
    paired = prepared.kind == "pairs" or all(pair.source and pair.target for pair in pairs)
    if prepared.kind == "unpaired" and not paired:
        pairs = tuple(single for role in ROLES for single in of_side(pairs, role))
        if lacking := [role for role in ROLES if not of_side(pairs, role)]:
            raise ValueError(f"there are no {lacking[0]} pictures to evaluate on in {split}")
    return replace(prepared, source=card.source, target=card.target, val=pairs, val_paired=paired)


def _pictures(subject: Subject, settings: EvaluateSettings, examples: Examples, groups: Columns | None) -> Pictures:
    data, prepared, shown = subject.data, subject.prepared, subject.side("source")
    own = {name: tuple(getattr(pair, name) or "" for pair in shown) for name in ("label", "text")}
    return Pictures(
        make_dataset(prepared, settings=data, part="val", seed=subject.seed),
        batch=1 if data.val_whole else settings.batch_size,
        to_batch=lambda raw: raw.to(subject.device, prepared.specs),
        examples=examples,
        names=tuple(pair.name for pair in shown),
        columns={name: values for name, values in own.items() if any(values)}
        | ({} if groups is None else {GROUP: groups.of(shown)}),
    )


def _training_features(
    training: TrainingPictures, examples: Examples, settings: EvaluateSettings, choice: Choice, outputs: Translate
) -> TrainingFeatures | None:
    """Features of training pictures, where they are needed: asked for, or beside sets without pairs."""
    if examples.features is None:
        return None
    asked = choice.figures is not None and {*FITTED} & choice.measures.keys()
    usual = choice.figures is None and not examples.paired
    if not (asked or usual or settings.memorised or settings.task):
        return None
    found = training.features(examples.features, outputs if settings.task else None)
    return replace(found, apart=settings.split != "train")


def _baselines(subject: Subject, pictures: Pictures, choice: Choice) -> dict[str, Translate]:
    """The baselines of a run, those of pairs only if something is measured by pairs: they read the training pairs."""
    card, prepared = subject.card, subject.prepared
    found = source_itself(card.source, card.target, scale=card.scale)
    of_pairs = any("pairs" in measure.needs for measure in choice.measures.values())
    if card.source is not None and prepared.val_paired and of_pairs:
        found |= of_training_pairs(prepared, pictures.batches, settings=subject.data, seed=subject.seed)
    return found


def _beside_training(
    found: Evaluation,
    measures: Measures,
    settings: EvaluateSettings,
    training: TrainingPictures,
    features: TrainingFeatures,
    pictures: Pictures,
    outputs: ModelOutputs,
    subject: Subject,
    columns: Mapping[str, Columns],
) -> Evaluation:
    """With what the training pictures say: whether outputs are copies of them, and how a task is done."""
    kept = measures.get(POOLED)
    if not isinstance(kept, PooledFigures):
        return found
    notes = list(found.notes)
    if settings.memorised is not None:
        copies, page = nearest_page(kept.pooled, training, features, some=pictures.some, outputs=outputs.output)
        save_image(settings.memorised, page)
        notes.append(copies.describe())
    if settings.task is None:
        return replace(found, notes=tuple(notes))
    verdict = task(columns["task"], features, training, test=kept.pooled.real, test_pairs=subject.side("target"))
    return replace(found, notes=(*notes, *verdict.describe().splitlines()), task=verdict)
