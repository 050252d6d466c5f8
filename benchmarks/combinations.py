"""Every model with every objective and every discriminator: two steps work, or the reason against it is said at once.

    python -m benchmarks.combinations [--models pix2pix,cut]

A tiny model of each combination is trained for two steps on made-up pictures. The table has how many combinations of a
model work and how many are refused; below it stands each refusal, with one combination that it was said of. It ends
with exit code 1 where a combination fails otherwise, or where a loss is not finite. The tests try a part of this
product in which each pair of choices is met, with stabilisers beside it: see `pairwise`.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from benchmarks import command
from benchmarks.measure import table
from translate.batch import Batch
from translate.conditions import Conditions, TextInput
from translate.draws import draw_all
from translate.fields import Settings, flag
from translate.images import ImageSpec
from translate.losses import OBJECTIVES
from translate.models import MODELS
from translate.models.game_settings import GameSettings
from translate.networks import DISCRIMINATORS
from translate.training.job import new_job
from translate.training.session import Session

COUNT, SIDE = 2, 32  # pictures a batch, and their side in pixels
SMALL = {
    **{"width": 4, "discriminator_width": 4, "patch": 16, "blocks": 1, "code_width": 4, "encoder_width": 2},
    **{"nce_patches": 8, "nce_width": 4, "text_length": 6, "vocabulary": 300, "z": 3, "d_backbone_size": 32},
}
PLAYING = {name: cls for name, cls in MODELS.items() if issubclass(cls.settings_class, GameSettings)}
Choices = dict[str, Any]


class Flags(Settings):
    """Which models are tried."""

    models: str = Field(",".join(PLAYING), description="models, with commas between")
    objectives: str = Field(",".join(OBJECTIVES), description="objectives, with commas between")
    discriminators: str = Field(",".join(DISCRIMINATORS), description="discriminators, with commas between")
    steps: int = Field(2, ge=1, le=100, description="steps of each training")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.models.split(","):
            if MODELS[name] not in PLAYING.values():
                raise ValueError(f"--models: {name} has no discriminator")
        for known, names in ((OBJECTIVES, self.objectives), (DISCRIMINATORS, self.discriminators)):
            for name in names.split(","):
                known[name]  # lists the choices, and the closest
        return self


def tried(model: str, choices: Mapping[str, Any], *, folder: Path, steps: int = 2) -> str:
    """Two steps of a tiny model. Returns why it was refused, or "" where it was not.

    Raises:
        ArithmeticError: a loss is not finite.
    """
    fields = MODELS[model].settings_class.every_field()
    # a discriminator that labels pixels needs label maps
    labelled = choices.get("discriminator") == "segment" and MODELS[model].data == "pairs"
    source, target = ImageSpec(channels=3), ImageSpec(channels=3)
    if labelled:
        source = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (0, 255, 0), (255, 0, 0)))
    values: dict[str, Any] = {name: value for name, value in SMALL.items() if name in fields} | {
        "batch": COUNT,
        "size": SIDE,
    }
    values |= {"source_kind": "labels"} if labelled else {}
    while True:
        try:
            job = new_job(model, {**values, **choices, "data": folder, "out": folder / "run", "device": "cpu"})
            break
        except ValueError as error:
            idle = [name for name in values if str(error).startswith(f"{flag(name)} ") and name not in choices]
            if not idle:
                return str(error)
            del values[idle[0]]  # small, and of a network that was not chosen
    needs = MODELS[model].data_needs(job.science)
    text = TextInput(tokenizer="", length=needs.length, vocabulary=needs.vocabulary) if needs.text else None
    conditions = Conditions(labels=("one", "other") if needs.label else (), text=text, z=needs.z)
    specs = None if MODELS[model].data == "targets" else source
    try:
        session = Session(
            job, source=specs, target=target, conditions=conditions, examples=8, device=torch.device("cpu")
        )
    except ValueError as error:
        return str(error)
    for step in range(steps):
        session.advance([_batch(session, conditions, 100 * step + i) for i in range(session.batches_a_step)])
    if session.meter.bad_step() is not None:
        raise ArithmeticError(f"a loss is not finite: {session.meter.means()}")
    return ""


def tried_with(model: str, choices: Mapping[str, Any], beside: Sequence[Mapping[str, Any]], *, folder: Path) -> str:
    """The same with further settings beside `choices`; those that are refused by name are left out again.

    Returns why the choices themselves were refused, or "".
    """
    left = [dict(one) for one in beside if one]
    while True:
        why = tried(model, {**choices, **{k: v for one in left for k, v in one.items()}}, folder=folder)
        named = [one for one in left if any(flag(name) in why for name in one)]
        if not why or not named:
            return why
        left.remove(named[0])


def _batch(session: Session, conditions: Conditions, seed: int) -> Batch:
    """Made-up pictures with all that a model may ask for."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.rand(COUNT, 3, SIDE, SIDE, generator=generator) * 2 - 1 for _ in range(2))
    condition: dict[str, torch.Tensor] = {}
    for prefix, shift in (("", 0), ("own_", 1), ("wrong_", 1)):
        if conditions.labels:
            condition[f"{prefix}label"] = torch.eye(2)[[(i + shift) % 2 for i in range(COUNT)]]
        if conditions.text:
            condition[f"{prefix}tokens"] = torch.randint(1, 250, (COUNT, conditions.text.length), generator=generator)
    classes = torch.randint(3, (COUNT, SIDE, SIDE), generator=generator)
    draws = session.model.draws()
    each = [draw_all(draws, seed=0, epoch=0, index=seed * COUNT + i) for i in range(COUNT)]
    drawn = {name: torch.from_numpy(np.stack([numbers[name] for numbers in each])) for name in draws}
    pictures = {"source": source, "target": target}
    return Batch(pictures, condition=condition, classes=classes, class_count=3, draws=drawn)


def pairwise(axes: Mapping[str, Sequence[Any]], *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of one value of each axis, in which each pair of values of two axes is met; by a greedy search."""
    chance = random.Random(seed)
    names = list(axes)
    # values by their place, since some are no keys
    open_pairs = {
        (a, i, b, j)
        for a, b in itertools.combinations(range(len(names)), 2)
        for i in range(len(axes[names[a]]))
        for j in range(len(axes[names[b]]))
    }

    def met(row: Mapping[int, int]) -> set[tuple[int, int, int, int]]:
        return {(a, row[a], b, row[b]) for a, b in itertools.combinations(sorted(row), 2)} & open_pairs

    while open_pairs:
        a, i, b, j = min(open_pairs)
        row = {a: i, b: j}
        for other in chance.sample(range(len(names)), len(names)):
            if other not in row:
                places = chance.sample(range(len(axes[names[other]])), len(axes[names[other]]))
                row[other] = max(places, key=lambda place: len(met({**row, other: place})))
        open_pairs -= met(row)
        yield {name: axes[name][row[index]] for index, name in enumerate(names)}


@torch.random.fork_rng()
def benchmark(flags: Flags) -> None:
    """Try all combinations, and print what happened.

    Raises:
        ArithmeticError: a loss is not finite.
    """
    torch.set_num_threads(1)
    rows: list[list[str]] = []
    reasons: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in flags.models.split(","):
            counts: Counter[str] = Counter()
            for objective, discriminator in itertools.product(
                flags.objectives.split(","), flags.discriminators.split(",")
            ):
                choices = {"objective": objective, "discriminator": discriminator}
                why = tried(model, choices, folder=Path(folder), steps=flags.steps)
                counts["refused" if why else "work"] += 1
                if why:
                    reasons.setdefault(why, f"{model}, {objective}, {discriminator}")
            rows.append([model, str(counts["work"]), str(counts["refused"])])
            print(f"{model}: {counts['work']} work, {counts['refused']} refused", flush=True)
    print(table(rows, titles=["model", "work", "refused"]))
    for why, example in reasons.items():
        print(f"{example}: {why}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.combinations", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
