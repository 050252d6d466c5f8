"""Looks at picture files, and keeps the facts that decisions need, not the pixels. Imports no torch."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from translate.datasets.pairs import Problem, Role, View
from translate.datasets.preparation.facts import SAMPLE_DIVISOR_8_BITS, Colours, Facts, Packed
from translate.datasets.preparation.holdout import Looks, looks
from translate.datasets.preparation.index import settled
from translate.datasets.preparation.roles import Colour, Side, in_three
from translate.datasets.regions import take
from translate.images import ImageError, ImageSpec, Picture, filled, to_spec
from translate.images.convert import check_finite
from translate.images.glance import glance_hashed
from translate.images.picture import Refused, full_scale
from translate.images.read import read_hashed

COLOURS_A_FILE = 256  # a clean label map has no more
COLOURS_OF_NOISE = 16  # the most frequent, kept of a map with more: its real colours are among them
JPEG_TOLERANCE = 40  # levels within which noise makes two colours of one

BLACK = np.zeros((1, 1, 1), np.uint8)
NO_VALUES = np.zeros(0, np.uint8)
NO_LOOKS = Looks(0, (0, 0, 0))

Wanted = Sequence[tuple[Role, View]]
"""The views of one file, with their sides."""

State = tuple[int, int] | None
"""Size and time of change of a file before it was read; None if it may yet change unnoticed, or was not decoded."""


@dataclass(frozen=True)
class How:
    """How pictures are looked at."""

    sides: Mapping[Role, Side]
    sample: int  # values that are kept of each file
    max_pixels: int
    decoded: int = 1  # of so many files one is decoded, of the others only their bytes are read where that is enough


@dataclass
class Looked:
    """What is kept of some files: rows for the views of each in turn, and the state of each, or why it is unusable."""

    packed: Packed
    files: list[State | Problem]


def look(some: Sequence[Wanted], how: How) -> Looked:
    """What is kept of some files, each decoded once and alone."""
    found = Looked(Packed(sum(map(len, some))), [])
    row = 0
    for wanted in some:
        found.files.append(_look(wanted, how, into=found.packed, row=row))
        row += len(wanted)
    return found


def _look(wanted: Wanted, how: How, *, into: Packed, row: int) -> State | Problem:
    file = wanted[0][1].file
    try:
        if how.decoded > 1 and _chance(wanted) % how.decoded and _glanced(wanted, how, into=into, row=row):
            return None
        now = time.time_ns()
        picture, digest, state = read_hashed(file, max_pixels=how.max_pixels)
        facts = [_facts(take(picture, view), how.sides[role], file, sample=how.sample) for role, view in wanted]
    except ImageError as error:
        return Problem(Path(file), str(error).removeprefix(f"{file}: "))
    for place, each in enumerate(facts, row):
        into.put(place, each, digest)
    return (state.st_size, state.st_mtime_ns) if settled(state, at=now) else None


def _chance(wanted: Wanted) -> int:
    """A number of the file's name: which files are decoded does not depend on where the set lies."""
    return zlib.crc32(os.fsencode(wanted[0][1].name))


def _glanced(wanted: Wanted, how: How, *, into: Packed, row: int) -> bool:
    """Whether the bytes of a file tell enough of it; if so, it is kept.

    Raises:
        ImageError: it cannot be halved.
    """
    found = glance_hashed(wanted[0][1].file, max_pixels=how.max_pixels)
    if found is None:
        return False
    (height, width, bands), digest = found
    whole = Picture(np.broadcast_to(BLACK, (height, width, bands)), None, "")
    for place, (_, view) in enumerate(wanted, row):
        pixels = take(whole, view).pixels
        stub = Picture(pixels[:1, :1].repeat(2, axis=1), None, "")
        facts = Facts(
            height=height,
            width=pixels.shape[1],
            stub=stub,
            looks=NO_LOOKS,
            frames=1,
            values=NO_VALUES,
            sampled_bands=bands,
            glanced=True,
        )
        into.put(place, facts, digest)
    return True


def _facts(picture: Picture, side: Side, path: str, *, sample: int) -> Facts:
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
    return Picture(pixels, alpha, picture.format)


def _flat_labels(picture: Picture, side: Side, path: str) -> Picture:
    """A label map as training will see it, gray or colour: where it is transparent it is the background."""
    spec = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0),), background=side.background)
    pixels = to_spec(picture, spec, name=path)
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
