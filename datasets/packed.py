"""Pairs and names in a few blocks of memory: 40 bytes a pair, which forked workers share and others are sent once.

A million pairs as objects take 300 MB, and each process that looks at them makes a copy of its own: counting references
writes to them. No torch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

from translate.datasets.pairs import ROLES, Half, Pair, View

HALVES: tuple[Half, ...] = (None, "left", "right")
NONE = -1


class Texts(Sequence[str]):
    """Texts one after another, as UTF-8; names of files that are no UTF-8 as well."""

    def __init__(self, texts: Iterable[str]) -> None:
        data, ends = bytearray(), array("Q", [0])
        for text in texts:
            data += text.encode(errors="surrogatepass")
            ends.append(len(data))
        self._data, self._ends = bytes(data), np.array(ends, np.uint32 if len(data) < 2**32 else np.uint64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]  # raises outside, which ends an iteration
        return self._data[self._ends[place] : self._ends[place + 1]].decode(errors="surrogatepass")


class _Column:
    """A text or None of each pair; equal ones are kept once."""

    def __init__(self, values: Iterable[str | None]) -> None:
        known: dict[str | None, int] = {None: NONE}
        codes = array("i", (known.setdefault(value, len(known) - 1) for value in values))
        self._texts = Texts(value for value in known if value is not None)
        self._codes = np.array(codes, np.int32) if len(known) > 1 else None

    def __getitem__(self, place: int) -> str | None:
        return None if self._codes is None or self._codes[place] < 0 else self._texts[self._codes[place]]


class _Side:
    """The view of each pair on one side, or None."""

    def __init__(self, views: Sequence[View | None], names: Texts) -> None:
        self._folders = _Column(None if view is None else view.folder for view in views)
        self._halves = np.array([HALVES.index(view.half) if view else 0 for view in views], np.uint8)
        own = any(view is not None and view.name != name for view, name in zip(views, names, strict=True))
        self._names = Texts("" if view is None else view.name for view in views) if own else names

    def __getitem__(self, place: int) -> View | None:
        folder = self._folders[place]
        return None if folder is None else View.of(folder, self._names[place], HALVES[self._halves[place]])


class PackedPairs(Sequence[Pair]):
    """Pairs that are made when asked for; equal to a tuple of the same."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        every = pairs if isinstance(pairs, tuple | list) else tuple(pairs)
        self._names = Texts(pair.name for pair in every)
        self._sides = tuple(_Side([getattr(pair, role) for pair in every], self._names) for role in ROLES)
        self._labels, self._texts, self._folders = (
            _Column(getattr(pair, name) for pair in every) for name in ("label", "text", "folder")
        )

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> Texts:
        """Of the pairs, in order."""
        return self._names

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Pair, ...]: ...
    def __getitem__(self, index: int | slice) -> Pair | tuple[Pair, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        return Pair(
            self._names[place],
            source=self._sides[0][place],
            target=self._sides[1][place],
            label=self._labels[place],
            text=self._texts[place],
            folder=self._folders[place],
        )

    def __iter__(self) -> Iterator[Pair]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedPairs | tuple):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def packed(pairs: Sequence[Pair]) -> PackedPairs:
    """`pairs` in a few blocks of memory."""
    return pairs if isinstance(pairs, PackedPairs) else PackedPairs(pairs)
