"""One pass over the validation examples: every measure of every model's outputs, and the sample page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from translate.batch import Batch, quantize
from translate.datasets.pairs import of_side
from translate.datasets.prepare import Prepared
from translate.evaluation.base import Examples, Figures, Measure
from translate.evaluation.features import Features
from translate.evaluation.measures import MEASURES, described
from translate.evaluation.sheet import displayable, sheet, shrunk
from translate.figures import BASELINES, ROUGH, in_words, plain
from translate.training.outputs import ModelOutputs

SHOWN_OF_BASELINES = ("l1", "psnr", "perceptual", "kid")

Measures = dict[str, Measure]  # by their names in the table


@dataclass(frozen=True)
class Validation:
    """Result of `validate`."""

    measures: dict[str, Measures]  # of each model
    measures_back: dict[str, Measures]  # of each model's way back
    page: Image.Image | None  # the first examples

    def figures(self, *also: str) -> dict[str, Figures]:
        """The figures of each model: of the measures that are not `apart`, and the figures `also` of any measure."""
        wanted = {plain(figure) for figure in also}
        return {
            name: {
                figure: value
                for measure in measures.values()
                if not measure.apart or wanted & measure.better.keys()
                for figure, value in measure.figures().items()
                if not measure.apart or plain(figure) in wanted
            }
            for name, measures in self.measures.items()
        }

    def errors(self) -> dict[str, Figures]:
        """The standard errors of each model's figures, as far as they are known; without models that have none."""
        found = {
            name: {figure: error for measure in measures.values() for figure, error in measure.errors().items()}
            for name, measures in self.measures.items()
        }
        return {name: errors for name, errors in found.items() if errors}


def validation_sides(data: Prepared) -> tuple[int, int]:
    """Different validation sources and targets; without pairs the shorter side is gone through again."""
    if data.kind != "unpaired" or data.val_paired:
        return len(data.val), len(data.val)
    return len(of_side(data.val, "source")), len(of_side(data.val, "target"))


def examples_of(data: Prepared, *, features: Features | None = None, most: int | None = None) -> Examples:
    """The description of a run's validation examples for measures.

    Args:
        features: to judge by.
        most: pictures of each side in figures of sets.
    """
    counted: list[int | None] = [None, None]  # every example has pictures of its own
    if most is not None or (data.kind == "unpaired" and not data.val_paired):
        counted = [count if most is None else min(count, most) for count in validation_sides(data)]
    sources, targets = counted
    return Examples(
        source=data.source,
        target=data.target,
        paired=data.val_paired,
        conditions=data.conditions,
        domains=data.kind == "domains",
        sources=sources,
        targets=targets,
        features=features,
    )


@torch.no_grad()
def validate(
    models: Mapping[str, ModelOutputs],
    batches: Iterable[Batch],
    *,
    examples: Examples,
    measures: Mapping[str, type[Measure]] = MEASURES,
    samples: int = 0,
    largest: int | None = None,
) -> Validation:
    """Every measure that the examples allow for, of each model over all examples, and a page of the first `samples`.

    A row of the page has the source, the outputs, the target (without pairs: any target), and the outputs of the way
    back, from that target.

    Args:
        models: name -> outputs; a measure that needs other conditions is left out of models without `conditioned`.
        largest: side in pixels to which larger pictures are shrunk on the page; None: never.
    """
    back = {name: model.back for name, model in models.items() if model.back is not None}
    found = {name: _made(measures, examples, model) for name, model in models.items()}
    reverse = replace(examples, source=examples.target, target=examples.source or examples.target)
    both_ways = {name: measure for name, measure in measures.items() if measure.both_ways}
    found_back = {name: _made(both_ways, reverse, ModelOutputs(translate)) for name, translate in back.items()}

    rows: list[list[np.ndarray]] = []
    for batch in batches:
        outputs = {name: model.output(batch) for name, model in models.items()}
        for name, model in models.items():
            classes = {} if model.classes is None else {"classes": model.classes(batch)}
            _add(found[name], batch, {"output": outputs[name], **classes}, model)
        outputs_back = {name: translate(batch) for name, translate in back.items()}
        for name, output in outputs_back.items():
            exchanged = replace(batch, pictures={"source": batch.target, "target": batch.source})
            _add(found_back[name], exchanged, {"output": output}, ModelOutputs(back[name]))

        source, target = examples.source, examples.target
        if source is None:
            continue  # a model of noise has another page
        columns = [(batch.source, source), *((o, target) for o in outputs.values()), (batch.target, target)]
        columns += [(output, source) for output in outputs_back.values()]
        for i in range(min(len(batch), samples - len(rows))):
            cells = [displayable(quantize(x[i : i + 1], spec)[0].cpu().numpy(), spec) for x, spec in columns]
            if examples.paired and (scale := batch.scale) > 1:  # nearest neighbour: shows the source's pixels
                cells[0] = cells[0].repeat(scale, 0).repeat(scale, 1)
            rows.append([shrunk(cell, largest) if largest else cell for cell in cells])
    titles = ["source", *models, "target" if examples.paired else "a target", *(f"{name} back" for name in back)]
    return Validation(found, found_back, sheet(rows, titles=titles) if rows else None)


def _made(measures: Mapping[str, type[Measure]], examples: Examples, model: ModelOutputs) -> Measures:
    """New measures: those that examples and model allow for."""
    return {
        name: measure(examples)
        for name, measure in measures.items()
        if examples.lack(measure.needs) is None and (model.conditioned is not None or not measure.asks_conditions)
    }


def _add(measures: Measures, batch: Batch, outputs: dict[str, torch.Tensor], model: ModelOutputs) -> None:
    """Add a batch to each measure, with the further outputs that it needs; each output is computed once."""
    for measure in measures.values():
        for name, condition in measure.conditions(batch).items():
            if name not in outputs:
                assert model.conditioned is not None, f"{type(measure).__name__}.asks_conditions is not set"
                outputs[name] = model.conditioned(batch.pictures.get("source"), condition)
        measure.add(batch, outputs)


def summary(figures: Figures, errors: Figures, weights: str) -> str:
    """One line: figures of a model, and which weights it has: raw or averaged."""
    shown = {name: value for name, value in figures.items() if plain(name) not in ROUGH}
    return f"validation {described(shown, errors)} ({weights})"


def baselines_summary(baselines: Mapping[str, Figures]) -> str:
    """One line: what each baseline reaches."""
    first = next(iter(baselines.values()))
    every = dict.fromkeys(figure for figures in (first, *baselines.values()) for figure in figures)
    shown = [name for name in every if plain(name) in SHOWN_OF_BASELINES]
    rows = [
        f"{words} " + " / ".join(f"{baselines[name][f]:.4g}" if f in baselines[name] else "-" for f in shown)
        for name, words in BASELINES.items()
        if name in baselines
    ]
    return f"without any training, {' / '.join(map(in_words, shown))}: {'; '.join(rows)}"
