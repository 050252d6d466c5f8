"""The conditions of each example, as arrays: its own label and text, wrong ones, a latent code. Imports no torch.

All of it is a pure function of (seed, epoch, index), and in validation of the index.

Names, of pairs: `label` `[K]` float32, `tokens` `[T]` int64, `z` `[Z]` float32, as `Conditions.encode` makes them;
`wrong_label` and `wrong_tokens`: those of another pair, drawn uniformly from all that differ from the pair's own.
With domains `label` and `tokens` are the partner's, the goal of the translation, `own_label` and `own_tokens` those of
the source itself, from which `wrong_label` and `wrong_tokens` differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from translate.conditions import Arrays, Conditions
from translate.datasets.examples import generator
from translate.datasets.pairs import Pair

WRONG_AND_CODES = 0x57EE  # stream of these draws, apart from the augmentation's
PARTNERS = 0x9A17


class ExampleConditions:
    """Labels and texts of examples, encoded once.

    Args:
        pairs: of the examples, in their order.
        conditions: of the model.
        train: draw anew in each epoch.
        seed: of the draws. Validation has its own.
        beside: more pairs that wrong labels and texts are drawn from, where those of `pairs` are all alike.
    """

    def __init__(
        self, pairs: Sequence[Pair], *, conditions: Conditions, train: bool, seed: int, beside: Sequence[Pair] = ()
    ) -> None:
        conditions = conditions.in_training
        self._count = len(pairs)
        self._train, self._seed, self._z = train, seed, conditions.z
        every = [*pairs, *beside] if conditions.labels or conditions.text else []
        self._encoded: dict[str, _Encoded] = {}
        if conditions.labels:
            # where pictures may have several labels, none is a label of its own
            labels = [pair.label or ("" if conditions.several else None) for pair in every]
            self._encoded["label"] = _Encoded(
                labels, lambda text: conditions.encode_label(text or None), count=len(pairs)
            )
        if conditions.text:
            self._encoded["tokens"] = _Encoded([pair.text for pair in every], conditions.encode_text, count=len(pairs))

    def of_pair(self, epoch: int, index: int) -> Arrays:
        """The arrays of example `index` in pass `epoch`, whose label and text are the goal."""
        return self._arrays(epoch, index, goal=index)

    def of_domains(self, epoch: int, index: int, *, partner: int) -> Arrays:
        """The same where the goal is to become like `partner`; with the source's own label and text."""
        own = {f"own_{name}": values.at(index) for name, values in self._encoded.items()}
        return self._arrays(epoch, index, goal=partner) | own

    def partner(self, epoch: int, index: int) -> int:
        """The picture that example `index` of domains shall become like: any other; in validation of another label."""
        rng = self._generator(epoch, index, PARTNERS)
        if not self._train:
            differs = np.zeros(self._count, bool)
            for values in self._encoded.values():
                differs |= values.of[: self._count] != values.of[index]
            others = np.flatnonzero(differs)
            if len(others):
                return int(others[rng.integers(len(others))])
        if self._count == 1:
            return index
        drawn = int(rng.integers(self._count - 1))
        return drawn + (drawn >= index)

    def _arrays(self, epoch: int, index: int, *, goal: int) -> Arrays:
        rng = self._generator(epoch, index, WRONG_AND_CODES)
        arrays: Arrays = {}
        for name, values in self._encoded.items():
            arrays[name] = values.at(goal)
            arrays[f"wrong_{name}"] = values.other_than(index, rng=rng)
        if self._z:
            arrays["z"] = rng.standard_normal(self._z).astype(np.float32)
        return arrays

    def _generator(self, epoch: int, index: int, stream: int) -> np.random.Generator:
        return generator(self._seed, epoch, index, stream) if self._train else generator(0, 0, index, stream)


class _Encoded:
    """Labels, or texts, of all pairs: each different one once, and which of them a pair has."""

    def __init__(self, texts: Sequence[str | None], encode: Callable[[str], np.ndarray], *, count: int) -> None:
        numbers: dict[bytes, int] = {}
        rows: list[np.ndarray] = []
        known: dict[str, int] = {}
        for text in dict.fromkeys(text or "" for text in texts):
            # compared as encoded: texts that differ in capital letters only are the same
            row = encode(text)
            known[text] = numbers.setdefault(row.tobytes(), len(rows))
            if known[text] == len(rows):
                rows.append(row)
        self._rows = rows
        self.of = np.array([known[text or ""] for text in texts])
        given = np.array([text is not None for text in texts])
        among = [np.sort(self.of[:end][given[:end]]) for end in (count, len(texts))]
        self._among = (
            among[0] if len(np.unique(among[0])) > 1 else among[1]
        )  # an entry for each pair, so that all pairs are equally likely

    def at(self, index: int) -> np.ndarray:
        """The encoded value of pair `index`."""
        return self._rows[self.of[index]]

    def other_than(self, index: int, *, rng: np.random.Generator) -> np.ndarray:
        """The value of another pair that differs from that of `index`."""
        start, stop = (np.searchsorted(self._among, self.of[index], side) for side in ("left", "right"))
        left = len(self._among) - int(stop - start)
        assert left > 0, "labels or captions that are all the same are refused in preparation"
        drawn = int(rng.integers(left))
        return self._rows[self._among[drawn if drawn < start else drawn + int(stop - start)]]
