"""One pass over a set of pictures: the figures of outputs and of baselines, and the sheet of the worst and the best."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from translate.batch import Batch, RawBatch, quantize
from translate.datasets.batches import Examples as Dataset
from translate.datasets.batches import ordered_batches
from translate.datasets.examples import Example, Key
from translate.evaluation.base import NEEDS, Examples, Figures, Measure, Need
from translate.evaluation.choice import Choice, check
from translate.evaluation.intervals import Interval, paired_interval
from translate.evaluation.measures import described
from translate.evaluation.metrics import by_group
from translate.evaluation.result import MODEL, NAMED, RANKED_BY, Evaluation
from translate.evaluation.sheet import displayable, sheet, shrunk
from translate.fields import flag
from translate.figures import BASELINES
from translate.images import ImageSpec
from translate.images.sheet import INK, PAPER
from translate.outside import visible
from translate.training.evaluate_settings import NEEDED_BY, EvaluateSettings
from translate.training.outputs import ModelOutputs, Translate
from translate.training.validation import Measures, validate

GROUP = "group"
"""The column of `--group-by`."""

CELL = (
    192  # pixels of a side of the sheet's cells: larger pictures are shrunk, and smaller ones enlarged as far as fits
)
LETTERS = 28  # of a name in a cell of it


@dataclass(frozen=True)
class Pictures:
    """A set to measure on."""

    dataset: Dataset
    batch: int
    to_batch: Callable[[RawBatch], Batch]
    examples: Examples
    names: tuple[str, ...]  # of the outputs
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # label, text or group of each output

    def batches(self) -> Iterator[Batch]:
        """All of them, in order."""
        return map(self.to_batch, ordered_batches(self.dataset, batch=self.batch))

    def some(self, places: Sequence[int]) -> Iterator[Batch]:
        """Those at some places, one a batch."""
        return map(self.to_batch, ordered_batches(_Some(self.dataset, places), batch=1))


class _Some:
    """The examples at some places of a dataset."""

    def __init__(self, dataset: Dataset, places: Sequence[int]) -> None:
        self._dataset, self._places = dataset, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Key) -> Example:
        epoch, index = key
        return self._dataset[epoch, self._places[index]]

    def with_cache(self, **_: object) -> _Some:
        return self


class Timed:
    """Outputs, and how many pictures a second the model makes; its first batch is slower and does not count."""

    def __init__(self, outputs: Translate, device: torch.device) -> None:
        self._outputs, self._device = outputs, device
        self._pictures: list[int] = []
        self._seconds: list[float] = []

    def __call__(self, batch: Batch) -> Tensor:
        self._wait()
        start = time.perf_counter()
        made = self._outputs(batch)
        self._wait()
        self._seconds.append(time.perf_counter() - start)
        self._pictures.append(len(made))
        return made

    @property
    def pictures_per_second(self) -> float | None:
        """None before the first batch."""
        counted = slice(1 if len(self._pictures) > 1 else 0, None)
        seconds = sum(self._seconds[counted])
        return sum(self._pictures[counted]) / seconds if seconds > 0 else None

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()


def measured(
    outputs: ModelOutputs,
    pictures: Pictures,
    choice: Choice,
    settings: EvaluateSettings,
    *,
    baselines: Callable[[], Mapping[str, Translate]],
    without: Mapping[Need, str],
) -> tuple[Evaluation, Measures]:
    """The figures that were chosen, of outputs and of baselines; and the measures of the outputs.

    Args:
        baselines: makes outputs to compare with, by the names in `BASELINES`; called once all is checked.
        without: why a need of measures is not met, in words, where that is known.

    Raises:
        ValueError: a figure was asked for that these pictures do not allow for, or a file that would have no content.
    """
    examples = pictures.examples
    check(choice, examples, without=without)
    for name, measure in NEEDED_BY.items():
        if getattr(settings, name) is not None and (need := examples.lack(choice.measures[measure].needs)) is not None:
            raise ValueError(f"{flag(name)} needs {NEEDS[need]}: leave it out")
    _check_files(settings, choice, examples)
    guesses = {BASELINES[name]: ModelOutputs(guess) for name, guess in baselines().items()}
    found = validate(
        {MODEL: outputs, **guesses},
        pictures.batches(),
        examples=examples,
        measures=choice.measures,
    )
    measures = found.measures[MODEL]
    named = choice.figures is not None
    shown = {name: measure for name, measure in measures.items() if named or not measure.apart}
    each = _each(shown, choice)
    of_baselines = {words: _each(found.measures[words], choice) for words in guesses}
    of_others = {
        words: _figures({name: m for name, m in found.measures[words].items() if name in shown}, choice)
        for words in guesses
    }
    for words, figures in _references(shown, choice).items():
        of_others[words] = of_others.get(words, {}) | figures
    groups = pictures.columns.get(GROUP)
    result = Evaluation(
        names=pictures.names,
        figures=_figures(shown, choice),
        each=each,
        errors={name: error for m in shown.values() for name, error in m.errors().items()},
        baselines=of_others,
        differences={words: _differences(each, other) for words, other in of_baselines.items() if other},
        apart={name: m.figures() for name, m in measures.items() if name not in shown},
        columns=pictures.columns,
        groups={} if groups is None else _by_group(each, groups),
        left_out=_left_out(choice, examples, without)
        | {k: v for name, measure in shown.items() for k, v in choice.of(name, measure.left_out()).items()},
        notes=tuple(
            [text for measure in measures.values() if (text := measure.describe())]
            + [f"warning: {alarm.message}" for measure in measures.values() for alarm in measure.alarms()]
        ),
        targets=examples.targets if not examples.paired else None,
    )

    return result, measures


def _check_files(settings: EvaluateSettings, choice: Choice, examples: Examples) -> None:
    """
    Raises:
        ValueError: a table or a sheet is asked for, and no picture has a figure of its own for it.
    """
    made = [measure for measure in choice.measures.values() if examples.lack(measure.needs) is None]
    if all(measure.each is Measure.each for measure in made):
        for name, what in (("csv", "has a line for each picture"), ("group_by", "takes the mean over each group")):
            if getattr(settings, name) is not None:
                raise ValueError(f"{flag(name)} {what}, and pictures have no figures of their own here: leave it out")
    if settings.sheet is not None and not any(set(RANKED_BY) & measure.better.keys() for measure in made):
        raise ValueError(
            f"--sheet shows pictures by their distance from their own targets ({' or '.join(RANKED_BY)}), which is not "
            "measured here: leave it out"
        )


def _left_out(choice: Choice, examples: Examples, without: Mapping[Need, str]) -> dict[str, str]:
    """Figures that there would be with a pretrained network, and why there is none."""
    found: dict[str, str] = {}
    for measure in choice.measures.values():
        if examples.lack(measure.needs) == "features" and "features" in without:
            found |= dict.fromkeys(measure.better, without["features"])
    return found


def _by_group(each: Mapping[str, list[float]], groups: Sequence[str]) -> dict[str, Figures]:
    """The figures of each group, by name, and how many pictures it has."""
    counts = Counter(groups)
    return {name: {"count": counts[name], **figures} for name, figures in sorted(by_group(each, groups).items())}


def _figures(measures: Measures, choice: Choice) -> Figures:
    return {k: v for name, measure in measures.items() for k, v in choice.of(name, measure.figures()).items()}


def _references(measures: Measures, choice: Choice) -> dict[str, Figures]:
    """Figures of other pictures that measures know, by what these are."""
    found: dict[str, Figures] = {}
    for name, measure in measures.items():
        for words, figures in measure.references().items():
            found[words] = found.get(words, {}) | choice.of(name, figures)
    return {words: figures for words, figures in found.items() if figures}


def _each(measures: Measures, choice: Choice) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, measure in measures.items():
        values = measure.each()
        found |= {figure: values[figure] for figure in choice.of(name, dict.fromkeys(values, 0.0))}
    return found


def _differences(each: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    found = {name: paired_interval(values, other[name]) for name, values in each.items() if name in other}
    return {name: interval for name, interval in found.items() if interval is not None}


@torch.no_grad()
def extremes(
    found: Evaluation, outputs: ModelOutputs, pictures: Pictures, specs: Mapping[str, ImageSpec]
) -> Image.Image:
    """A page of the worst pictures, the very worst first, and then of the best: source, output, target, figure.

    Args:
        specs: of `source` (where the batches have one) and `target`.
    """
    by = found.ranked_by
    assert by is not None, "a picture has a figure of its own"
    ranking = found.ranking()
    shown = min(NAMED, max(1, found.count // 2))
    places = [*ranking[::-1][:shown], *ranking[:shown]][: found.count]
    words = [f"{word} {rank}" for word in ("worst", "best") for rank in range(1, shown + 1)]
    rows = []
    for word, place, batch in zip(words, places, pictures.some(places), strict=False):
        columns = [(batch.pictures["source"], specs["source"])] if "source" in specs else []
        columns += [(outputs.output(batch), specs["target"]), (batch.target, specs["target"])]
        cells = [displayable(quantize(x, spec)[0].cpu().numpy(), spec) for x, spec in columns]
        if len(cells) == 3 and (scale := batch.scale) > 1:
            cells[0] = cells[0].repeat(scale, 0).repeat(scale, 1)
        text = [word, described({by: found.each[by][place]}), visible(found.names[place])[-LETTERS:]]
        rows.append([*map(_fitted, cells), _written(text)])
    titles = [*(["source"] if "source" in specs else []), "output", "target", ""]
    return sheet(rows, titles=titles)


def _fitted(cell: np.ndarray) -> np.ndarray:
    """An RGB picture `[H, W, 3]` uint8 as large as fits, enlarged by whole pixels."""
    times = max(1, CELL // max(cell.shape[:2]))
    return shrunk(cell, CELL).repeat(times, 0).repeat(times, 1)


def _written(lines: Sequence[str]) -> np.ndarray:
    """A cell with text."""
    cell = Image.new("RGB", (CELL, 16 * len(lines) + 4), color=PAPER)
    ImageDraw.Draw(cell).multiline_text((2, 2), "\n".join(lines), fill=INK)
    return np.asarray(cell)
