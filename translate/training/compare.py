"""Several runs on the same pictures: `translate compare`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from translate.allow import OwnClass
from translate.batch import Batch, quantize
from translate.card import Card
from translate.conditions import Conditions
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.base import Measure
from translate.evaluation.features import Features, judging_features, trained_on
from translate.evaluation.intervals import NORMAL, paired_interval
from translate.evaluation.sets import SetFigures
from translate.evaluation.sheet import displayable, shrunk
from translate.figures import direction
from translate.images import ImageSpec
from translate.inference.translator import model_file, read_card
from translate.models import Model, load_for_inference, model_class
from translate.outside import about
from translate.pages.comparison import Comparison, Difference, Example, FigureRow
from translate.pages.pictures import spread
from translate.pages.render import page_file, write_page
from translate.pages.runs import RunView, read_run
from translate.settings import DataSettings, ModelSettings
from translate.training.evaluate import evaluation_data
from translate.training.outputs import ModelOutputs, Whole, outputs_of
from translate.training.validation import examples_of, validate
from translate.weights import load_tensors

LARGEST_CELL = 512  # pixels of a side to which larger pictures are shrunk on the pages
NOTHING_TRANSLATED = "with --count 0, which translates nothing"
SAME = (
    ("source", "pictures to translate"),
    ("target", "pictures that come out"),
    ("size", "the size of training"),
    ("scale", "times that outputs are larger"),
    ("derive", "--derive"),
    ("derive_amount", "--derive-amount"),
    ("direction", "--direction"),
)
"""What has to be equal on the cards of runs that are compared, in words."""


class CompareSettings(OwnClass):
    """Pictures to compare on, and what is written."""

    out: Path = Field(Path("comparison.html"), description="page to write")
    ab: Path | None = Field(
        None, description="of two runs: also a page to choose the better output of each picture, without their names"
    )
    data: Path | None = Field(
        None, description="pictures to compare on, laid out as for training (default: those of the runs, if the same)"
    )
    split: Literal["val", "test"] = Field("val", description="those of validation, or of testing")
    count: int = Field(
        24, ge=0, le=1000, description="pictures that the pages show; 0: none is translated, settings and curves alone"
    )
    batch_size: int = Field(4, ge=1, description="pictures in one pass of a network; of whole ones it is 1")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")

    def unused(self) -> dict[str, str]:
        names = ("ab", "data", "split", "batch_size", "device") if not self.count else ()
        return super().unused() | dict.fromkeys(names, NOTHING_TRANSLATED)


@dataclass(frozen=True)
class _Run:
    """One run with its model."""

    view: RunView
    name: str
    file: Path
    card: Card
    cls: type[Model]
    science: ModelSettings


@dataclass
class _Shown:
    """Collects the pictures for the pages while all are measured."""

    wanted: frozenset[int]
    start: int = 0  # place of the batch's first picture in the split
    names: list[str] = field(default_factory=list)
    cells: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    def keep(self, role: str, pictures: Tensor, spec: ImageSpec) -> None:
        """Keep those of a batch `[B, C, H, W]` in [-1, 1] that are wanted."""
        for i in range(len(pictures)):
            if self.start + i in self.wanted:
                pixels = displayable(quantize(pictures[i : i + 1], spec)[0].cpu().numpy(), spec)
                self.cells.setdefault(self.start + i, {})[role] = shrunk(pixels, LARGEST_CELL)


def compare_runs(paths: Sequence[Path], settings: CompareSettings, *, say: Callable[[str], None]) -> str:
    """Compare runs and write the pages; returns what was found, as lines of text.

    Raises:
        NotAllowed: a run's model is a class that the settings do not allow.
        ValueError: a path is no run, runs cannot be compared, or there are no pictures to compare them on.
    """
    settings.refuse_unused()
    out, ab = page_file(settings.out, given="--out"), settings.ab and page_file(settings.ab, given="--ab")
    if ab is not None and len(paths) != 2:
        raise ValueError(f"--ab {ab}: two runs are chosen between, not {len(paths)}")
    if ab is not None and ab.resolve() == out.resolve():
        raise ValueError(f"--ab {ab} and --out are the same file")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("the same run is named twice")
    views = [read_run(path) for path in paths]
    names = [view.name for view in views]
    names = names if len(set(names)) == len(names) else [str(path) for path in paths]
    found = Comparison(tuple(views), tuple(names))
    if settings.count:
        runs = [_opened(view, name, allow=settings.allow) for view, name in zip(views, names, strict=True)]
        _check_comparable(runs, given=settings.data is not None)
        found = _measured(found, runs, settings, say=say)
    write_page(out, found.page())
    said = [found.describe(), f"look at {out}"]
    if ab is not None:
        write_page(ab, found.choices_page())
        said.append(f"choose at {ab}: it does not tell which output is whose before the end")
    return "\n".join(said)


def _opened(view: RunView, name: str, *, allow: str | None) -> _Run:
    file = model_file(view.path)
    card = read_card(file)
    cls = model_class(card.model, allow=allow, file=file)
    card.check_tokenizer(path=file)
    with about(file):
        return _Run(view, name, file, card, cls, cls.settings_class.make(card.settings))


def _check_comparable(runs: Sequence[_Run], *, given: bool) -> None:
    """
    Raises:
        ValueError: two runs that translate other kinds of pictures, or saw other pictures and none are `given`.
    """
    first, *others = runs
    if first.card.source is None or any(run.card.source is None for run in others):
        raise ValueError("models of noise translate nothing: give --count 0, for settings and curves alone")
    for run in others:
        for name, words in SAME:
            a, b = getattr(first.card, name), getattr(run.card, name)
            if a != b:
                raise ValueError(
                    f"{first.view.path} and {run.view.path} cannot be compared: {words}: {_brief(a)}, and {_brief(b)}"
                )
        a, b = first.card.conditions, run.card.conditions
        if a and b and a != b:
            raise ValueError(f"{first.view.path} and {run.view.path} cannot be compared: other labels, texts or codes")
        if "domains" in (first.cls.data, run.cls.data) and first.cls.data != run.cls.data:
            raise ValueError(
                f"{first.view.path} and {run.view.path} cannot be compared: {first.card.model} is for "
                f"{first.cls.data}, and {run.card.model} for {run.cls.data}"
            )
        prints = [one.view.config["data"].get("fingerprint") for one in (first, run)]
        if not given and (None in prints or prints[0] != prints[1]):
            raise ValueError(
                f"{first.view.path} and {run.view.path} were not trained on the same pictures: give --data FOLDER with "
                "those to compare them on, which neither should have been trained on"
            )


def _brief(value: Any) -> str:
    return value.describe() if hasattr(value, "describe") else str(value)


def _prepared(
    runs: Sequence[_Run], settings: CompareSettings, *, say: Callable[[str], None]
) -> tuple[Prepared, DataSettings]:
    """The pictures, found as in the training of the first run that needs pairs, or else of the first."""
    lead = next((run for run in runs if run.cls.data == "pairs"), runs[0])
    conditions = next((run.card.conditions for run in runs if run.card.conditions), Conditions())
    conditioned = next((run for run in runs if run.card.conditions), lead)
    data = evaluation_data(lead.view.path, {} if settings.data is None else {"data": str(settings.data)})
    if data.val_whole and settings.batch_size > 1 and "batch_size" in settings.model_fields_set:
        raise ValueError(f"--batch-size {settings.batch_size}: whole pictures (--fit none) go one by one: leave it out")
    with about(lead.view.path):
        prepared = prepare(
            data,
            kind=lead.cls.data,
            data_needs=conditioned.cls.data_needs(conditioned.science),
            scale=lead.card.scale,
            conditions=conditions,
            say=say,
        )
    pairs = prepared.val if settings.split == "val" else prepared.test
    if not pairs:
        raise ValueError(f"there are no pictures to compare on: no {settings.split} folder, and none held out for it")
    return replace(prepared, source=lead.card.source, target=lead.card.target, val=pairs, conditions=conditions), data


def _measured(
    found: Comparison, runs: Sequence[_Run], settings: CompareSettings, *, say: Callable[[str], None]
) -> Comparison:
    prepared, data = _prepared(runs, settings, say=say)
    device = pick_device(settings.device)
    dataset = make_dataset(prepared, settings=data, part="val", seed=int(runs[0].card.run.get("seed") or 0))
    shown = _Shown(frozenset(spread(range(len(dataset)), settings.count)))
    used = [name for run in runs for name in trained_on(run.science)]
    judge = judging_features(prepared.target, trained_on=used)
    remarks = [] if isinstance(judge, Features) else [f"without figures on features: {judge}"]
    source = prepared.source
    assert source is not None, "models of noise were refused"
    specs = {"source": source, "target": prepared.target}

    def batches() -> Iterator[Batch]:
        for raw in ordered_batches(dataset, batch=1 if data.val_whole else settings.batch_size):
            batch = raw.to(device, specs)
            shown.start = len(shown.names)
            shown.names += raw.names
            shown.keep("source", batch.source, source)
            if prepared.val_paired:
                shown.keep("target", batch.target, prepared.target)
            yield batch

    say(f"translating {len(dataset)} pictures with each of {len(runs)} runs")
    models = {run.name: _outputs(run, shown, data, device=device, allow=settings.allow) for run in runs}
    examples = replace(examples_of(prepared), features=judge if isinstance(judge, Features) else None)
    measures = validate(models, batches(), examples=examples).measures
    return replace(
        found,
        rows=tuple(_rows([list(measures[run.name].values()) for run in runs])),
        examples=tuple(
            Example(shown.names[i], cells["source"], tuple(cells[run.name] for run in runs), cells.get("target"))
            for i, cells in sorted(shown.cells.items())
        ),
        count=len(dataset),
        split=settings.split,
        remarks=tuple(remarks),
    )


def _outputs(run: _Run, shown: _Shown, data: DataSettings, *, device: torch.device, allow: str | None) -> ModelOutputs:
    """The model's outputs, of which those that the pages show are kept on the way."""
    with about(run.file):
        model = load_for_inference(run.card, load_tensors(run.file), allow=allow).to(device)
    outputs = outputs_of(model, Whole(run.card, lambda _: None) if data.val_whole else None)

    def output(batch: Batch) -> Tensor:
        made = outputs.output(batch)
        shown.keep(run.name, made, run.card.target)
        return made

    return replace(outputs, output=output)


def _rows(measures: Sequence[Sequence[Measure]]) -> Iterator[FigureRow]:
    """The figures of each run's measures: values, standard errors, and differences from the first run."""
    figures = [_merged(measure.figures() for measure in each if not measure.apart) for each in measures]
    errors = [_merged(measure.errors() for measure in each) for each in measures]
    differences = [_differences(measures[0], each) for each in measures[1:]]
    for name in figures[0]:
        if not all(name in own for own in figures):
            continue
        yield FigureRow(
            name,
            direction(name),
            tuple(own[name] for own in figures),
            tuple(own.get(name) for own in errors),
            tuple(
                Difference(own[name] - figures[0][name], *known.get(name, (None, None)))
                for own, known in zip(figures[1:], differences, strict=True)
            ),
        )


def _differences(first: Sequence[Measure], second: Sequence[Measure]) -> dict[str, tuple[float, float]]:
    """95 % intervals of the figures of one run less those of another, of the same pictures: all that can be known."""
    found: dict[str, tuple[float, float]] = {}
    for one, other in zip(first, second, strict=True):
        before, after = one.each(), other.each()
        for name in before.keys() - one.errors().keys() - other.errors().keys():  # means over the pictures
            interval = paired_interval(after[name], before[name])
            # no spread at all, such as of a run and its copy: nothing to draw from
            found |= {name: (0.0, 0.0)} if before[name] == after[name] else {name: interval} if interval else {}
        if isinstance(one, SetFigures) and isinstance(other, SetFigures):
            for name, (value, error) in other.kid_less(one).items():
                found |= {name: (value - NORMAL * error, value + NORMAL * error)} if error is not None else {}
    return found


def _merged(each: Iterable[dict[str, float]]) -> dict[str, float]:
    return {name: value for figures in each for name, value in figures.items()}
