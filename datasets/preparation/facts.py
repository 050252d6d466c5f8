"""What is kept of every picture that was read, packed: a set has millions of them. Imports no torch."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from translate.datasets.pairs import View
from translate.datasets.preparation.holdout import Looks
from translate.datasets.preparation.roles import Colour
from translate.images import Picture

DEPTHS = ("uint8", "uint16", "float32")
DEPTH_OF = {np.dtype(name): place for place, name in enumerate(DEPTHS)}  # `dtype.name` takes microseconds
ALPHA, COLOURED, LABELS, VALUES, PLACES = (1 << bit for bit in range(5))
KNOWN_FLAGS = 1 << 5  # what an index may hold
GLANCED = 1 << 5  # not decoded yet: looks and values are not known

SAMPLE_DIVISOR_8_BITS = 8  # so many times fewer values are kept of 8-bit files, whose range is known

ROW = np.dtype(
    [
        ("height", "<u4"),
        ("width", "<u4"),
        ("bands", "<u2"),
        ("sampled_bands", "<u2"),
        ("depth", "u1"),  # of DEPTHS
        ("flags", "u1"),
        ("frames", "<u4"),
        ("clear", "<f8"),
        ("bits", "<u8"),  # of the looks
        ("colour", "u1", (3,)),
        ("place", "<u8"),  # of the rest, in the bytes beside the rows
        ("values", "<u4"),  # how many are there
        ("colours", "<u4"),  # of a label map
        ("digest", "u1", (32,)),  # sha256 of the file
    ]
)
FLOAT = struct.Struct("<fff")  # of a float picture: lowest and highest value, alpha of its first pixel
COUNTS = struct.Struct("<IQQ")  # of a label map, as in `Colours`
ENTRY = np.dtype([("colour", "<u4"), ("count", "<u8")])  # of a label map


@dataclass(frozen=True)
class Colours:
    """Which colours a label map holds."""

    counts: dict[Colour, int]  # pixels of each colour; of the most frequent only, where there are too many
    distinct: int  # how many there are
    outliers: int  # pixels that are no colour of the given palette
    far: int  # those of them that are no shade of one either


@dataclass(frozen=True, eq=False)
class Facts:
    """What the scan keeps of one picture."""

    height: int
    width: int
    stub: Picture  # two pixels that convert, or fail to, as the whole does
    looks: Looks
    frames: int
    clear: float = 0.0  # share of the pixels that are not quite opaque
    values: np.ndarray | None = None  # [N], a sample of an image's values, from all bands
    places: np.ndarray | None = None  # [N], the band of each; None where the bands come in turn
    sampled_bands: int = 0  # how many these are: with alpha, where that has a range
    colours: Colours | None = None  # of label maps
    glanced: bool = False  # it was not decoded: looks and values are not known

    @property
    def dtype(self) -> str:
        return self.stub.pixels.dtype.name

    @property
    def bands(self) -> int:
        return int(self.stub.pixels.shape[-1])


class Packed:
    """Facts of many pictures and digests of their files: `rows` `[N]` of `ROW`, and bytes of varying number."""

    def __init__(self, count: int) -> None:
        self.rows = np.zeros(count, ROW)
        self.rest = bytearray()

    @classmethod
    def of(cls, rows: np.ndarray, rest: memoryview | bytearray) -> Packed:
        """Rows from elsewhere, which are not added to."""
        made = cls(0)
        made.rows = rows
        made.rest = rest  # type: ignore[assignment]
        return made

    def put(self, row: int, facts: Facts, digest: bytes) -> None:
        """Keep what is known of a picture; once for each row."""
        stub, looks, into = facts.stub, facts.looks, self.rest
        pixels = stub.pixels
        depth = DEPTH_OF[pixels.dtype]
        place, colours = len(into), facts.colours
        coloured = colours is not None and pixels.shape[-1] == 3 and (pixels[0, 1] != pixels[0, 1, 0]).any()
        flags = ALPHA * (stub.alpha is not None) | COLOURED * bool(coloured) | GLANCED * facts.glanced
        if depth == 2:
            alpha = 0.0 if stub.alpha is None else stub.alpha[0, 0]
            into += FLOAT.pack(pixels[0, 0, 0], pixels[0, 1, 0], alpha)
        if facts.values is not None:
            flags |= VALUES
            into += facts.values.tobytes()
            if facts.places is not None:
                flags |= PLACES
                into += facts.places.astype("<u2", copy=False).tobytes()
        if colours is not None:
            flags |= LABELS
            into += COUNTS.pack(colours.distinct, colours.outliers, colours.far)
            entries = [(int.from_bytes(bytes(colour), "big"), count) for colour, count in colours.counts.items()]
            into += np.array(entries, ENTRY).tobytes()
        self.rows[row] = (
            *(facts.height, facts.width, pixels.shape[-1], facts.sampled_bands, depth, flags),
            *(min(facts.frames, 2**32 - 1), facts.clear, looks.bits, looks.colour, place),
            *(0 if facts.values is None else len(facts.values), 0 if colours is None else len(colours.counts)),
            np.frombuffer(digest, np.uint8),
        )

    def take(self, others: Packed, rows: Sequence[int] | np.ndarray, at: Sequence[int] | np.ndarray) -> None:
        """Keep `rows` of others as those `at`; once for each row, but for a row that is known by now."""
        found = others.rows[rows]
        sizes, starts = lengths(found), found["place"].astype(np.int64)
        begin, rest = len(self.rest), memoryview(others.rest)
        for start, end in zip(starts.tolist(), (starts + sizes).tolist(), strict=True):
            self.rest += rest[start:end]
        self.rows[at] = found
        self.rows["place"][at] = begin + np.cumsum(sizes) - sizes

    def __getitem__(self, row: int) -> Facts:
        found = self.rows[row]
        flags, bands, depth = int(found["flags"]), int(found["bands"]), DEPTHS[found["depth"]]
        pixels, place = np.zeros((1, 2, bands), depth), int(found["place"])
        alpha = np.zeros((1, 2), depth) if flags & ALPHA else None
        if depth == "float32":
            pixels[:, 0], pixels[:, 1], opacity = FLOAT.unpack_from(self.rest, place)
            if alpha is not None:
                alpha[:] = opacity
            place += FLOAT.size
        elif flags & COLOURED:
            pixels[0, 1, 0] = 1
        values, places = self.values(row), None
        if values is not None:
            place += values.nbytes
            if flags & PLACES:
                places = np.frombuffer(self.rest, "<u2", len(values), place)
                place += places.nbytes
        return Facts(
            height=int(found["height"]),
            width=int(found["width"]),
            stub=Picture(pixels, alpha, ""),
            looks=Looks(int(found["bits"]), tuple(found["colour"].tolist())),
            frames=int(found["frames"]),
            clear=float(found["clear"]),
            values=values,
            places=places,
            sampled_bands=int(found["sampled_bands"]),
            colours=self._colours(found, place) if flags & LABELS else None,
            glanced=bool(flags & GLANCED),
        )

    def values(self, row: int) -> np.ndarray | None:
        """The sampled values of a picture, in memory that is shared."""
        found = self.rows[row]
        if not found["flags"] & VALUES:
            return None
        skipped = FLOAT.size if found["depth"] == 2 else 0
        return np.frombuffer(self.rest, DEPTHS[found["depth"]], found["values"], int(found["place"]) + skipped)

    def _colours(self, found: np.void, place: int) -> Colours:
        distinct, outliers, far = COUNTS.unpack_from(self.rest, place)
        entries = np.frombuffer(self.rest, ENTRY, found["colours"], place + COUNTS.size)
        width = int(found["bands"])
        counts = {
            tuple((colour % 256**width).to_bytes(width, "big")): count
            for colour, count in zip(entries["colour"].tolist(), entries["count"].tolist(), strict=True)
        }
        return Colours(counts, distinct, outliers, far)


def lengths(rows: np.ndarray) -> np.ndarray:
    """Bytes beside each of `rows` `[N]`, int64."""
    sizes = np.array([np.dtype(depth).itemsize for depth in DEPTHS])[rows["depth"]]
    sizes = sizes + 2 * (rows["flags"] & PLACES > 0)
    found = sizes * rows["values"].astype(np.int64) + FLOAT.size * (rows["depth"] == 2)
    return found + (rows["flags"] & LABELS > 0) * (COUNTS.size + ENTRY.itemsize * rows["colours"].astype(np.int64))


class Pictures(Mapping[View, Facts]):
    """Facts of some views, in an order: unpacked one at a time, or a column of all.

    Args:
        views: each once.
        at: the row of each in `packed`, int64 `[N]`.
    """

    def __init__(self, views: Sequence[View], at: np.ndarray, packed: Packed) -> None:
        self.views, self.at, self.packed = views, at, packed
        self._place: dict[View, int] | None = None

    def __len__(self) -> int:
        return len(self.views)

    def __iter__(self) -> Iterator[View]:
        return iter(self.views)

    def __getitem__(self, view: View) -> Facts:
        if self._place is None:
            self._place = dict(zip(self.views, self.at.tolist(), strict=True))
        return self.packed[self._place[view]]

    def column(self, name: str) -> np.ndarray:
        """A field of `ROW` of every view, `[N, ...]`."""
        return self.packed.rows[name][self.at]

    def where(self, chosen: np.ndarray) -> Pictures:
        """Those where `chosen` bool `[N]` is true."""
        if chosen.all():
            return self
        return Pictures([self.views[i] for i in np.flatnonzero(chosen).tolist()], self.at[chosen], self.packed)
