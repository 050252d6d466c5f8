"""The conditions of each picture of a conversion: for one output, several, or a sheet of them. Imports no torch."""

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

ALL = "all"  # stands for all labels, unless the model has a label of this name
SHEET = ImageSpec(channels=3)


class Variants:
    """The conditions of every picture: for one output, several, or a sheet of several."""

    def __init__(self, card: Card, settings: ConvertSettings, *, code: np.ndarray | None = None) -> None:
        """
        Args:
            code: of every picture, that of `settings.like`.

        Raises:
            ValueError: a condition that the model does not take, a label that it does not know, none where it needs
                one, or settings that exclude each other.
        """
        self._card = card
        self._conditions = conditions = card.conditions
        self._samples, self._code = settings.samples is not None, code
        label = settings.label
        every = label == ALL and bool(conditions.labels) and ALL not in conditions.labels
        self._request = Request(label=None if every else label, text=settings.text, z=code, seed=settings.seed)
        self.titles: tuple[str, ...] = ()  # of the outputs in a sheet; empty: each output is a file
        self.rows: ConditionTable | None = None
        self._cells: list[Arrays] = []
        by_code = next((name for name in SEVERAL if getattr(settings, name) is not None), None)
        if every and by_code:
            raise ValueError(f"--label {ALL} and {flag(by_code)} each make several outputs of a picture: leave one out")
        if by_code and not conditions.z:
            without = conditions if by_code == "samples" else conditions.model_copy(update={"seeds": ()})
            _encode(without, Request(seed=0), instead=by_code)
        if every:
            self.titles = conditions.labels
            self._cells = [_encode(conditions, replace(self._request, label=name)) for name in conditions.labels]
        elif settings.interpolate:
            assert settings.seed is not None
            assert settings.seed_to is not None
            self._interpolate(settings.interpolate, settings.seed, settings.seed_to)
        elif settings.arithmetic:
            self._add_up(settings.arithmetic)
        elif settings.labels_from is not None:
            if not conditions.labels and conditions.text is None:
                able = conditions.describe() or "nothing but its picture"
                raise ValueError(f"--labels-from: this model is conditioned on {able}")
            _encode(conditions.model_copy(update={"required": False}), self._request)
            self.rows = ConditionTable(settings.labels_from, conditions)
        else:
            _encode(conditions, self._request)

    @property
    def planned(self) -> Card:
        """The card of a model whose target is the files that are written: the model's own, or of sheets."""
        return self._card.model_copy(update={"target": SHEET}) if self.titles else self._card

    def problem(self, job: Job) -> str | None:
        """An error message if the table has no conditions for a picture, or None."""
        try:
            if self.rows is not None:
                self.of(job)
        except ValueError as error:
            return str(error)
        return None

    def of(self, job: Job) -> list[Arrays]:
        """The encoded conditions of a job: one, or one for each output of its sheet.

        Raises:
            ValueError: the table has no line for it.
        """
        return self._cells or [encode(self._conditions, self._of(job))]

    def conditioned(self, name: str) -> dict[str, Any]:
        """The conditions of the input of this name in the table, and the code of another picture, as plain values."""
        like = {} if self._code is None else {"like": self._code.tolist()}
        if self.rows is None:
            return like
        try:
            request = self.rows.find(name).request
        except ValueError:  # reported as the picture's failure
            return like
        return {"label": request.label, "text": request.text, **like}

    def notes(self, job: Job) -> tuple[str, ...]:
        """Notes for the report."""
        warning = cut_short(self._conditions, self._of(job))
        return (warning,) if warning else ()

    def page(self, source: np.ndarray, results: Sequence[np.ndarray]) -> np.ndarray:
        """A sheet of a source `[H, W, Cs]` and its outputs, `[H', W', 3]` uint8."""
        cells = [displayable(result, self._card.target) for result in results]
        row = [displayable(source, self._card.taken), *cells]
        return np.asarray(sheet([row], titles=("source", *self.titles)))

    def _of(self, job: Job) -> Request:
        request = self._request
        if self.rows is not None:
            row = self.rows.find(job.name).request
            request = replace(request, label=row.label, text=row.text)
        if not self._samples:
            return request
        return replace(request, seed=(request.seed or 0) + number_of(job.target.name) - 1)

    def _interpolate(self, steps: int, seed: int, seed_to: int) -> None:
        one, other = (draw_z(self._conditions.z, number) for number in (seed, seed_to))
        shares = [step / (steps - 1) for step in range(steps)]
        without = replace(self._request, seed=None)
        self._cells = [_encode(self._conditions, replace(without, z=between(one, other, share))) for share in shares]
        self.titles = (f"seed {seed}", *(f"{share:.0%}" for share in shares[1:-1]), f"seed {seed_to}")

    def _add_up(self, formula: str) -> None:
        """Arithmetic on codes, as in DCGAN (Radford 2016): a sheet of the terms and their sum.

        The mean of three codes is shorter than one code by a factor of sqrt(3), so a sum of three such means has the
        length of a code again.
        """
        terms: list[tuple[str, str]] = re.findall(r"([+-]?)([\d,]+)", formula)
        codes = [
            np.mean([draw_z(self._conditions.z, int(number)) for number in numbers.split(",")], axis=0)
            for _, numbers in terms
        ]
        signed = [-code if sign == "-" else code for (sign, _), code in zip(terms, codes, strict=True)]
        self._cells = [
            _encode(self._conditions, replace(self._request, z=code)) for code in (*codes, np.sum(signed, 0))
        ]
        self.titles = (*(numbers for _, numbers in terms), formula)


def _encode(conditions: Conditions, request: Request, *, instead: str | None = None) -> Arrays:
    """`encode` with errors that name flags; `instead`: the flag to name whatever was wrong."""
    try:
        return encode(conditions, request, named=lambda name: flag(instead or name))
    except ValueError as error:
        if not str(error).startswith("this model needs"):
            raise
        flags = [flag(name) for name, able in (("label", conditions.labels), ("text", conditions.text)) if able]
        raise ValueError(f"{error}: give {', '.join((*flags, '--labels-from'))}") from None
