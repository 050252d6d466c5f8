"""What steers each picture of a conversion, and what its outputs then are. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from translate.card import Card
from translate.conditions import Arrays, Conditions, Request, draw_z
from translate.fields import flag
from translate.images import ImageSpec
from translate.images.sheet import displayable, sheet
from translate.inference.condition_table import ConditionTable
from translate.inference.names import number_of
from translate.inference.options import SEVERAL, ConvertSettings
from translate.inference.plan import Job
from translate.inference.requests import between, cut_short, encode

ALL = "all"  # the label that stands for all of them, unless the model knows one of this name
SHEET = ImageSpec(channels=3)


class Variants:
    """What is asked for every picture: one output, several, or a sheet of several."""

    def __init__(self, card: Card, settings: ConvertSettings) -> None:
        """
        Raises:
            ValueError: the model is not steered by what the settings ask for, does not know the label, needs one, or
                the settings ask for two things at once.
        """
        self._card = card
        self._conditions = conditions = card.conditions
        self._samples = settings.samples is not None
        label = settings.label
        every = label == ALL and bool(conditions.labels) and ALL not in conditions.labels
        self._asked = Request(label=None if every else label, text=settings.text, seed=settings.seed)
        self.titles: tuple[str, ...] = ()  # of the outputs in a sheet; none: each output is a file
        self.rows: ConditionTable | None = None
        self._cells: list[Arrays] = []
        by_code = next((name for name in SEVERAL if getattr(settings, name) is not None), None)
        if every and by_code:
            raise ValueError(f"--label {ALL} and {flag(by_code)} each make several outputs of a picture: leave one out")
        if by_code and not conditions.z:
            _encode(conditions, Request(seed=0), instead=by_code)
        if every:
            self.titles = conditions.labels
            self._cells = [_encode(conditions, replace(self._asked, label=name)) for name in conditions.labels]
        elif settings.interpolate:
            assert settings.seed is not None
            assert settings.seed_to is not None
            self._interpolate(settings.interpolate, settings.seed, settings.seed_to)
        elif settings.arithmetic:
            self._add_up(settings.arithmetic)
        elif settings.labels_from is not None:
            if not conditions.labels and conditions.text is None:
                able = conditions.describe() or "nothing but its picture"
                raise ValueError(f"--labels-from: this model is steered by {able}")
            _encode(conditions.model_copy(update={"required": False}), self._asked)
            self.rows = ConditionTable(settings.labels_from, conditions)
        else:
            _encode(conditions, self._asked)

    @property
    def planned(self) -> Card:
        """The card of a model whose outputs are the files that are written."""
        return self._card.model_copy(update={"target": SHEET}) if self.titles else self._card

    def problem(self, job: Job) -> str | None:
        """Why a picture cannot be converted, or None."""
        try:
            if self.rows is not None:
                self.of(job)
        except ValueError as error:
            return str(error)
        return None

    def of(self, job: Job) -> list[Arrays]:
        """What the network takes for a job: once, or for each output of its sheet.

        Raises:
            ValueError: the table of labels says nothing for it.
        """
        return self._cells or [encode(self._conditions, self._of(job))]

    def conditioned(self, name: str) -> dict[str, Any]:
        """What the table says of the input of this name, as plain values."""
        if self.rows is None:
            return {}
        try:
            asked = self.rows.find(name).asked
        except ValueError:  # told as the picture's failure
            return {}
        return {"label": asked.label, "text": asked.text}

    def notes(self, job: Job) -> tuple[str, ...]:
        """What the report has to say."""
        note = cut_short(self._conditions, self._of(job))
        return (note,) if note else ()

    def page(self, source: np.ndarray, results: Sequence[np.ndarray]) -> np.ndarray:
        """A source `[H, W, Cs]` and what was made of it, beside each other, `[H', W', 3]` uint8."""
        cells = [displayable(result, self._card.target) for result in results]
        row = [displayable(source, self._card.taken), *cells]
        return np.asarray(sheet([row], titles=("source", *self.titles)))

    def _of(self, job: Job) -> Request:
        asked = self._asked
        if self.rows is not None:
            row = self.rows.find(job.name).asked
            asked = replace(asked, label=row.label, text=row.text)
        return replace(asked, seed=(asked.seed or 0) + number_of(job.target.name) - 1) if self._samples else asked

    def _interpolate(self, steps: int, seed: int, seed_to: int) -> None:
        one, other = (draw_z(self._conditions.z, number) for number in (seed, seed_to))
        shares = [step / (steps - 1) for step in range(steps)]
        without = replace(self._asked, seed=None)
        self._cells = [_encode(self._conditions, replace(without, z=between(one, other, share))) for share in shares]
        self.titles = (f"seed {seed}", *(f"{share:.0%}" for share in shares[1:-1]), f"seed {seed_to}")

    def _add_up(self, asked: str) -> None:
        """The terms and their sum, as of the generator's codes in DCGAN (Radford 2016).

        The mean of three codes differs from the middle by 1/sqrt(3) of what one does, so that a sum of three such means
        is like a code again.
        """
        terms: list[tuple[str, str]] = re.findall(r"([+-]?)([\d,]+)", asked)
        codes = [
            np.mean([draw_z(self._conditions.z, int(number)) for number in numbers.split(",")], axis=0)
            for _, numbers in terms
        ]
        signed = [-code if sign == "-" else code for (sign, _), code in zip(terms, codes, strict=True)]
        self._cells = [_encode(self._conditions, replace(self._asked, z=code)) for code in (*codes, np.sum(signed, 0))]
        self.titles = (*(numbers for _, numbers in terms), asked)


def _encode(conditions: Conditions, asked: Request, *, instead: str | None = None) -> Arrays:
    """With errors that name flags; `instead` of whatever was wrong, this one."""
    try:
        return encode(conditions, asked, named=lambda name: flag(instead or name))
    except ValueError as error:
        if not str(error).startswith("this model needs"):
            raise
        flags = [flag(name) for name, able in (("label", conditions.labels), ("text", conditions.text)) if able]
        raise ValueError(f"{error}: give {', '.join((*flags, '--labels-from'))}") from None
