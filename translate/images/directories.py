"""Directories of TIFF files and EXIF blocks, followed without a library: what they hold is counted before."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import BinaryIO, NamedTuple

from translate.images.picture import refuse_many

MAX_TAGS = 4096

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by its type."""

NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
RATIONAL = 5
SLACK = 65536  # bytes of values that several tags of a small file may share


class Tag(NamedTuple):
    """An entry of a directory: where its value is."""

    kind: int
    values: int  # how many
    place: int  # of the entry's last field, which is the value or its offset


class Directories:
    """The directories of a TIFF file, or of an EXIF block."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises struct.error: it is cut off."""
        self._file = file
        self.size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        self.order = "<" if head[:1] == b"I" else ">"  # as `struct` writes it
        self._big = b"+" in head[2:4]
        self.first = self._number("Q", head[8:16]) if self._big else self._number("I", head[4:8])

    def read(self, place: int) -> tuple[dict[int, Tag], int]:
        """Tags of the directory there, and where the next one is: 0 for nowhere.

        Raises:
            Refused: more tags than any directory has.
            struct.error: it is cut off.
        """
        counter, entry, offset = ("Q", 20, "Q") if self._big else ("H", 12, "I")
        width = struct.calcsize(offset)
        self._file.seek(place)
        count = self._number(counter, self._file.read(struct.calcsize(counter)))
        refuse_many(count, MAX_TAGS, "tags in a directory")
        data = self._file.read(count * entry + width)
        following = self._number(offset, data[count * entry :])
        last = place + struct.calcsize(counter) + entry - width
        fields = struct.iter_unpack(f"{self.order}HH{offset}{width}x", data[: count * entry])
        tags = {tag: Tag(kind, values, last + i * entry) for i, (tag, kind, values) in enumerate(fields)}
        return tags, following

    def numbers(self, tag: Tag) -> list[int]:
        """The whole numbers of a tag; none if they are others, not in the file, or more than a directory has tags."""
        form = NUMBERS.get(tag.kind)
        data = self.raw(tag, longest=SIZES[tag.kind] * MAX_TAGS) if form else None
        return list(struct.unpack(f"{self.order}{tag.values}{form}", data)) if data else []

    def raw(self, tag: Tag, *, longest: int) -> bytes | None:
        """The bytes of a tag's values; None if they are more than `longest`, or not in the file."""
        length = SIZES.get(tag.kind, 0) * tag.values
        if length > longest:
            return None
        place = self._offset(tag) if self._outside(tag) else tag.place
        if place + length > self.size:
            return None
        self._file.seek(place)
        data = self._file.read(length)
        return data if len(data) == length else None

    def rational(self, tag: Tag) -> Fraction | None:
        """The number of a tag that holds one fraction of whole numbers."""
        data = self.raw(tag, longest=8) if tag.kind == RATIONAL and tag.values == 1 else None
        above, below = struct.unpack(self.order + "II", data) if data else (0, 0)
        return Fraction(above, below) if below else None

    def is_bomb(self, tags: dict[int, Tag]) -> bool:
        """Whether values overlap, so that reading all of them takes more than the file has."""
        total = 0
        for tag in tags.values():
            length = SIZES.get(tag.kind, 0) * tag.values
            if self._outside(tag) and self._offset(tag) + length <= self.size:  # others cannot be read
                total += length
        return total > self.size + SLACK

    def _offset(self, tag: Tag) -> int:
        self._file.seek(tag.place)
        return self._number("Q", self._file.read(8)) if self._big else self._number("I", self._file.read(4))

    def _outside(self, tag: Tag) -> bool:
        return SIZES.get(tag.kind, 0) * tag.values > (8 if self._big else 4)

    def _number(self, form: str, data: bytes) -> int:
        return int(struct.unpack(self.order + form, data)[0])
