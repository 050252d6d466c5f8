"""Reads every picture once before training, and keeps the facts that decisions need, not the pixels. No torch."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from translate.console import bar
from translate.datasets.pairs import Pair, Problem, Role, View
from translate.datasets.preparation.holdout import Looks, looks
from translate.datasets.preparation.roles import Colour, Side, in_three
from translate.datasets.regions import take
from translate.images import ImageError, ImageSpec, Picture, filled, read, to_spec
from translate.images.convert import check_finite
from translate.images.extras import NOTHING
from translate.images.picture import Refused, full_scale

VALUES_IN_ALL = 2**24  # sampled values over all files: 64 MB of float32
VALUES_A_FILE = (256, 65_536)  # the fewest and the most of one file
SAMPLE_DIVISOR_8_BITS = 8  # so many times fewer values of 8-bit files, whose range is known
COLOURS_A_FILE = 256  # a clean label map has no more
COLOURS_OF_NOISE = 16  # the most frequent, kept of a map with more: its real colours are among them
JPEG_TOLERANCE = 40  # levels within which noise makes two colours of one


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

    @property
    def dtype(self) -> str:
        return str(self.stub.pixels.dtype)

    @property
    def bands(self) -> int:
        return int(self.stub.pixels.shape[-1])


@dataclass(frozen=True)
class Scan:
    """Facts of every picture that could be read, digests of their files, and why the others could not."""

    facts: dict[tuple[Role, View], Facts]
    digests: dict[Path, str]
    problems: tuple[Problem, ...]

    def of(self, pairs: Iterable[Pair], role: Role) -> dict[View, Facts]:
        """Facts of one side of `pairs`, all of which were read."""
        views = (pair.target if role == "target" else pair.source for pair in pairs)
        return {view: self.facts[role, view] for view in views if view is not None}

    def looks(self, pair: Pair) -> tuple[Looks, ...]:
        """How the sides of `pair` look, the source's first if it has one."""
        sides: tuple[tuple[Role, View | None], ...] = (("source", pair.source), ("target", pair.target))
        return tuple(self.facts[role, view].looks for role, view in sides if view is not None)


def scan(pairs: Iterable[Pair], *, source: Side | None, target: Side, max_pixels: int, progress: bool = False) -> Scan:
    """Reads the files of `pairs`, each once, in threads; at most one decoded picture a thread is held."""
    wanted: dict[Path, dict[tuple[Role, View], Side]] = {}
    for pair in pairs:
        for view, side in ((pair.target, target), (pair.source, source)):
            if view is not None and side is not None:
                key: tuple[Role, View] = (side.role, view)
                wanted.setdefault(view.path, {})[key] = side
    sample = int(np.clip(VALUES_IN_ALL // max(len(wanted), 1), *VALUES_A_FILE))
    facts: dict[tuple[Role, View], Facts] = {}
    digests: dict[Path, str] = {}
    problems: list[Problem] = []

    def look(path: Path) -> tuple[str, dict[tuple[Role, View], Facts]] | Problem:
        return _look(path, wanted[path], sample=sample, max_pixels=max_pixels)

    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        results = pool.map(look, wanted)
        for path, result in zip(
            wanted,
            bar(progress, iterable=results, desc="checking pictures", total=len(wanted)),
            strict=True,
        ):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                digests[path], seen = result
                facts |= seen
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for a hundred thousand files
    return Scan(facts, digests, tuple(problems))


def _look(
    path: Path, wanted: Mapping[tuple[Role, View], Side], *, sample: int, max_pixels: int
) -> tuple[str, dict[tuple[Role, View], Facts]] | Problem:
    """Digest of the file and facts of the views of it that are `wanted`, or why it cannot be used."""
    try:
        picture = read(path, max_pixels=max_pixels)
        seen = {
            (role, view): _facts(take(picture, view), side, path, sample=sample)
            for (role, view), side in wanted.items()
        }
        with path.open("rb") as file:  # a second pass over the bytes, which the system still has in memory
            return hashlib.file_digest(file, "sha256").hexdigest(), seen
    except ImageError as error:
        return Problem(path, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror}")


def _facts(picture: Picture, side: Side, path: Path, *, sample: int) -> Facts:
    """Raises:
    ImageError: a label map of another depth or number of channels than label maps have.
    """
    values = places = None
    sampled_bands, clear = 0, 0.0
    if picture.alpha is not None:
        clear = (
            np.count_nonzero(picture.alpha != picture.alpha.dtype.type(full_scale(picture.alpha))) / picture.alpha.size
        )
    if side.kind == "labels":
        picture = _flat_labels(picture, side, path)
    else:
        try:
            check_finite(picture, side.nodata)
        except Refused as error:
            raise ImageError(f"{path}: {error}") from None
        stack = picture.pixels
        if side.range == "bands" and picture.alpha is not None and side.channels == stack.shape[2] + 1:
            stack = np.dstack([stack, picture.alpha])
        sampled_bands = stack.shape[2]
        if stack.dtype == np.uint8 and not side.samples_values:
            values = _on_a_grid(stack, sample // SAMPLE_DIVISOR_8_BITS)
        else:
            values, places = _sampled(stack, sample)
    pixels = picture.pixels
    measured = replace(picture, pixels=filled(pixels, side.nodata)) if side.nodata is not None else picture
    return Facts(
        height=pixels.shape[0],
        width=pixels.shape[1],
        stub=_stub(picture, labels=side.kind == "labels"),
        looks=looks(measured, background=side.background),
        frames=picture.frames,
        clear=clear,
        values=values,
        places=places,
        sampled_bands=sampled_bands,
        colours=_colours(pixels, side) if side.kind == "labels" else None,
    )


def _sampled(pixels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Up to `count` values `[N]` of `[H, W, C]`, and the band of each; None where the bands come in turn."""
    if pixels.size <= count:
        return pixels.ravel().copy(), None
    # Random places, since a grid could fall in step with a pattern; seeded, so that scans repeat exactly.
    chosen = np.random.default_rng(0).integers(pixels.size, size=count)
    bands = pixels.shape[2]
    return pixels[np.unravel_index(chosen, pixels.shape)], (chosen % bands).astype(np.uint16) if bands > 1 else None


def _on_a_grid(pixels: np.ndarray, count: int) -> np.ndarray:
    """About `count` values of `[H, W, C]` on a grid, at a fraction of the cost, the bands in turn."""
    step = max(1, math.ceil(math.sqrt(pixels.size / count)))
    first = [min(step // 2, side - 1) for side in pixels.shape[:2]]
    return pixels[first[0] :: step, first[1] :: step].flatten()


def _stub(picture: Picture, *, labels: bool) -> Picture:
    """Two pixels with all of `picture` that a conversion may object to.

    These are depth, bands and alpha, the extremes of float values, and a coloured pixel of label maps.
    """
    pixels = picture.pixels[:1, :1].repeat(2, axis=1)
    if pixels.dtype == np.float32:
        pixels[:, 0], pixels[:, 1] = picture.pixels.min(), picture.pixels.max()
    elif labels and pixels.shape[-1] == 3:
        red, green, blue = np.moveaxis(picture.pixels, -1, 0)
        coloured = (red != green) | (red != blue)
        pixels[0, 1] = picture.pixels[np.unravel_index(coloured.argmax(), coloured.shape)]
    alpha = None if picture.alpha is None else picture.alpha[:1, :1].repeat(2, axis=1)
    return replace(picture, pixels=pixels, alpha=alpha, icc=None, exif=None, extras=NOTHING)


def _flat_labels(picture: Picture, side: Side, path: Path) -> Picture:
    """A label map as training will see it, gray or colour: where it is transparent it is the background."""
    spec = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0),), background=side.background)
    pixels = to_spec(picture, spec, name=str(path))
    gray = picture.pixels.shape[-1] == 1 and (picture.alpha is None or len(set(side.background)) == 1)
    return replace(picture, pixels=pixels[..., :1] if gray else pixels, alpha=None)


def _colours(pixels: np.ndarray, side: Side) -> Colours:
    """Colours of a label map `[H, W, 1 or 3]`."""
    bands = pixels.shape[-1]
    packed = np.zeros(pixels.shape[:2], np.int64)
    for band in range(bands):
        packed = (packed << 8) | pixels[..., band]
    flat = packed.ravel()
    # Label maps are made of runs of one colour; sorting these, colour above length, is cheaper than pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    runs = np.sort((flat[starts] << 32) | np.diff(starts, append=flat.size))
    colour = runs >> 32
    first = np.concatenate([[0], np.flatnonzero(colour[1:] != colour[:-1]) + 1])
    found, counts = colour[first], np.add.reduceat(runs & 0xFFFFFFFF, first)
    outliers = far = 0
    if side.palette is not None:
        away = _distance(found, [in_three(entry) for entry in (*side.palette, side.ignore) if entry is not None], bands)
        outliers, far = int(counts[away > 0].sum()), int(counts[away > JPEG_TOLERANCE].sum())
    kept = np.arange(len(found))
    if len(found) > COLOURS_A_FILE:
        kept = np.argsort(-counts, kind="stable")[:COLOURS_OF_NOISE]
    each = {_unpack(int(found[i]), bands): int(counts[i]) for i in kept}
    return Colours(each, distinct=len(found), outliers=outliers, far=far)


def _distance(packed: np.ndarray, palette: Sequence[Colour], bands: int) -> np.ndarray:
    """Levels `[N]` by which packed colours `[N]` differ, in one channel at least, from all of `palette`."""
    shifts = (16, 8, 0) if bands == 3 else (0, 0, 0)
    colours = np.stack([packed >> shift & 255 for shift in shifts], -1).astype(np.int16)  # [N, 3]
    nearest = np.full(len(packed), 255, np.int16)
    for entry in palette:  # one by one, since all at once would be gigabytes for a photograph
        nearest = np.minimum(nearest, np.abs(colours - np.array(entry, np.int16)).max(-1))
    return nearest


def _unpack(value: int, bands: int) -> Colour:
    return (value,) if bands == 1 else (value >> 16, value >> 8 & 255, value & 255)
