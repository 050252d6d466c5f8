"""A second look at each usable picture, as training will see it: what the checks compare, not the pixels. No torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from translate.console import bar
from translate.datasets.pairs import Pair, Role, View
from translate.datasets.preparation.holdout import Looks, looks
from translate.datasets.regions import take
from translate.images import FULL_SCALE, ImageError, ImageSpec, Picture, read, to_spec
from translate.images.sheet import displayable

SIDE = 128  # pixels of the reduced pictures that are compared
SIDES = ((10_000, SIDE), (50_000, SIDE // 2))  # up to so many pictures; further ones are kept at a quarter of it
COLOURS = 64  # most distinct colours that are counted: a label map has fewer
NEUTRAL = 2.5  # levels of 255 by which the channels of a gray picture differ at most: JPEG rounds

Key = tuple[Role, View]


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of one picture."""

    height: int
    width: int
    bands: int  # of the file, without alpha
    dtype: str  # of the file
    format: str
    alpha: bool  # whether it is transparent in places
    low: float  # the least and the largest value of the file
    high: float
    digest: bytes  # of the pixels, as training sees them
    file: bytes  # of the file's bytes, and of which half of it
    looks: Looks  # to find near-duplicates
    neutral: bool  # no colour anywhere; also of files of one channel
    colours: tuple[int, ...] | None  # the distinct ones, packed; None: more than `COLOURS`
    small: np.ndarray  # [side, side, 3] uint8, whatever its proportions; the side by `SIDES`

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


def look_at(
    pairs: Iterable[Pair], specs: Mapping[str, ImageSpec], *, max_pixels: int, progress: bool = False
) -> dict[Key, Look]:
    """Every picture of `pairs`, each file read once, in threads. Files that have gone since are left out."""
    wanted: dict[object, list[Key]] = {}
    sides: tuple[Role, ...] = ("source", "target")
    for pair in pairs:
        for role in sides:
            view = getattr(pair, role)
            if view is not None and (role, view) not in wanted.setdefault(view.path, []):
                wanted[view.path].append((role, view))

    count = sum(map(len, wanted.values()))
    reduced = next((pixels for most, pixels in SIDES if count <= most), SIDE // 4)

    def work(keys: list[Key]) -> dict[Key, Look]:
        path = keys[0][1].path
        try:
            picture = read(path, max_pixels=max_pixels)
            with path.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").digest()
            return {key: _look(take(picture, key[1]), specs[key[0]], key[1], whole, side=reduced) for key in keys}
        except (ImageError, OSError):
            return {}

    found: dict[Key, Look] = {}
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        results = pool.map(work, wanted.values())
        for seen in bar(progress, iterable=results, desc="comparing pictures", total=len(wanted)):
            found |= seen
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _look(picture: Picture, spec: ImageSpec, view: View, file: bytes, *, side: int) -> Look:
    seen = np.ascontiguousarray(to_spec(picture, spec, name=str(view.path)))
    shown = displayable(seen, spec)
    height, width = shown.shape[:2]
    values = picture.pixels
    alpha = picture.alpha
    return Look(
        height=height,
        width=width,
        bands=values.shape[-1],
        dtype=str(values.dtype),
        format=picture.format,
        alpha=alpha is not None and bool((alpha < FULL_SCALE[str(alpha.dtype)]).any()),
        low=float(values.min()),
        high=float(values.max()),
        digest=hashlib.blake2b(f"{seen.shape}{seen.dtype}".encode() + seen.tobytes(), digest_size=16).digest(),
        file=file + (view.half or "").encode(),
        looks=looks(picture, background=spec.background),
        neutral=_neutral(shown),
        colours=_colours(shown),
        small=resized(shown, side),
    )


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """`[H, W, 3]` uint8 brought to a square, antialiased where it becomes smaller."""
    smaller = min(picture.shape[:2]) > side
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _neutral(shown: np.ndarray) -> bool:
    """Whether red, green and blue are alike, but for a thousandth of the pixels."""
    spread = shown.max(-1).astype(np.int16) - shown.min(-1)
    return bool((spread > NEUTRAL).mean() < 1e-3)


def _colours(shown: np.ndarray) -> tuple[int, ...] | None:
    packed = shown.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    some = np.unique(packed[:: max(1, packed.shape[0] // 16)])  # most photos are known by a few rows
    if len(some) > COLOURS:
        return None
    every = np.unique(packed)
    return tuple(every.tolist()) if len(every) <= COLOURS else None
