"""Valid JSON values and states made wrong in one or two places, by a seed: what the files of strangers may hold."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import torch

SIGNS = "\x1b[31m\x9b2J\x07\u202e\u2066\r\n\x7f"  # what no terminal may get

ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 3, 2**31, 2**63, 10**9, 10**400, -(10**9), 0.5, 1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "3", f"a{SIGNS}b", SIGNS, "\ud800", "\x00", "x" * 10_000),
    *("AtoB", "os:system", "no_such_module:Class", "../../etc/passwd", "pix2pix", "float32", "#ffffff", "0,1"),
    *([], [[]], {}, {"a": 1}, [1, 2, 3], [None], ["a"] * 1000, [[255, 255, 255]] * 3, {SIGNS: SIGNS}),
]
TENSORS = [
    torch.zeros(()),
    torch.zeros(0),
    torch.ones(3, 4, 4),
    torch.zeros(2, 3, 4, 4, dtype=torch.int64),
    torch.zeros(1, dtype=torch.complex64),
    torch.zeros(1).expand(10**9),  # a gigabyte and more, if anybody believes it
    torch.eye(3).to_sparse(),
]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in items for place in places(part, (*path, key)))]


def changed(value: Any, chance: random.Random, *, odd: list[Any] = ODD) -> Any:
    """A copy with a part of another type or range, without one, or with one too many."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 2))):
        *way, last = chance.choice(places(value)[1:]) or (None,)
        holder = value
        for key in way:
            holder = holder[key]
        what = chance.random()
        if what < 0.15:
            del holder[last]
        elif what < 0.2 and isinstance(holder, dict):
            holder[f"{last}{SIGNS}"] = holder[last]
        elif what < 0.25 and odd is ODD:
            holder[last] = nested(chance.choice((5, 30, 400)))
        else:
            holder[last] = chance.choice(odd)
        if not places(value)[1:]:
            break
    return value


def as_text(value: Any, chance: random.Random) -> str:
    """As JSON; now and then cut, with signs changed, or something else altogether."""
    text = json.dumps(value)
    what = chance.random()
    if what < 0.05:
        return text[: chance.randrange(len(text))]
    if what < 0.1:
        at = chance.randrange(len(text))
        return text[:at] + chance.choice('{}[]",:\\0\x1b\u202e') + text[at + 1 :]
    if what < 0.13:
        return chance.choice(("", "null", "[]", "3", '"x"', "[" * 100_000, '{"a":' * 100_000, "9" * 5000, SIGNS))
    return text
