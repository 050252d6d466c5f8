"""Turns the conditions that a caller requests for each picture into inputs of the network. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from translate.conditions import Arrays, Conditions, Request

MIN_ANGLE_SINE = 1e-4  # of the angle between two codes; below, they have the same direction


@dataclass(frozen=True)
class Requests:
    """Conditions requested for some pictures, as `Translator.__call__` takes them. None: not requested."""

    label: Any = None
    text: Any = None
    z: Any = None
    seed: Any = None
    samples: Any = None

    def of_each(self, conditions: Conditions, count: int, *, several: bool) -> list[list[Request]]:
        """The requests for each of `count` pictures: one, or `samples` of them.

        Args:
            several: the caller gave a list of pictures, so that a list of conditions may hold one for each.

        Raises:
            ValueError: a list of another length, a wrong type, or a condition that the model does not take.
        """
        whole(self.seed, name="seed", least=0)
        whole(self.samples, name="samples", least=1)
        self._check_samples(conditions)
        labels = _divided(self.label, "label", count, apart=several and self._one_each(count, conditions.several))
        texts = _divided(self.text, "text", count, apart=several and _is_list(self.text))
        codes = _divided(self.z, "z", count, apart=several and _is_matrix(self.z))
        for label in labels:
            _check_label(label)
        for text in texts:
            if not isinstance(text, str | None):
                raise ValueError(f"text: a text is wanted, not {type(text).__name__}")
        requests = [
            Request(label=label, text=text, z=_numbers(z), seed=self.seed)
            for label, text, z in zip(labels, texts, codes, strict=True)
        ]
        if self.samples is None:
            return [[one] for one in requests]
        return [[replace(one, seed=(self.seed or 0) + number) for number in range(self.samples)] for one in requests]

    def _check_samples(self, conditions: Conditions) -> None:
        if self.samples is None:
            return
        if not conditions.z:
            encode(conditions, Request(seed=0), named=lambda _: "samples")
        if self.z is not None:
            raise ValueError("z and samples: give the code, or how many are drawn, not both")

    def _one_each(self, count: int, any_number: bool) -> bool:
        """Whether the labels are a list with one for each picture, and not the labels of all pictures."""
        if not _is_list(self.label):
            return False
        return not any_number or len(self.label) == count or not all(isinstance(one, str) for one in self.label)


def encode(conditions: Conditions, request: Request, *, named: Callable[[str], str] = str) -> Arrays:
    """`Conditions.encode`, whose errors begin with the name of the wrong condition, as `named(name)` gives it.

    Raises:
        ValueError: as `Conditions.encode`.
    """
    try:
        return conditions.encode(request)
    except ValueError as error:
        text = str(error)
    for name in ("label", "text", "z", "seed"):
        if text.startswith(f"{name}:"):
            raise ValueError(f"{named(name)}{text.removeprefix(name)}")
    if request.label is not None:
        text = f"{named('label')}: {text}"
    raise ValueError(text)


def cut_short(conditions: Conditions, request: Request) -> str | None:
    """A warning for a text that is longer than the model reads, or None."""
    if conditions.text is None or not request.text or not conditions.too_long(request.text):
        return None
    return f"the text is longer than the {conditions.text.length} tokens that the model reads: its end changes nothing"


def between(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """The code at `share` of the way between two, `[Z]` float32, along the sphere on which such codes lie.

    Halfway along a line a code would be much shorter than any that the model was trained on (White 2016).
    """
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    cosine = float(np.dot(one, other)) / lengths if lengths else 1.0
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    if math.sin(angle) < MIN_ANGLE_SINE:
        return ((1 - share) * one + share * other).astype(np.float32)
    weights = math.sin((1 - share) * angle), math.sin(share * angle)
    return ((weights[0] * one + weights[1] * other) / math.sin(angle)).astype(np.float32)


def whole(value: object, *, name: str, least: int) -> None:
    """
    Raises:
        ValueError: `value` is neither None nor a whole number of at least `least`.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least):
        raise ValueError(f"{name} is a whole number from {least} on, not {value!r}")


def _divided(value: Any, name: str, count: int, *, apart: bool) -> list[Any]:
    """The value of each of `count` pictures: the same for all, or one each from a list."""
    if not apart:
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name}: {len(value)} for {count} pictures: give one for all of them, or one for each")
    return list(value)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_matrix(value: object) -> bool:
    if value is None:
        return False
    try:
        return np.ndim(value) == 2  # type: ignore[arg-type]
    except ValueError:  # rows of several lengths
        return False


def _numbers(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    try:
        return np.asarray(value, np.float32)
    except (ValueError, TypeError):
        raise ValueError("z: a code is a list of numbers") from None


def _check_label(label: object) -> None:
    if isinstance(label, Mapping):
        for name, share in label.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not math.isfinite(share):
                raise ValueError(f'label: the share of "{name}" is a number, not {share!r}')
        return
    names = [label] if isinstance(label, str) or label is None else label
    if not isinstance(names, Sequence) or not all(isinstance(name, str | None) for name in names):
        raise ValueError(f"label: a name, a list of names, or shares by name are wanted, not {label!r}")
