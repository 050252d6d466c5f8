"""Pictures inside a page, as data URIs of a limited size. Imports no torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from translate.files import of_step, steps_in

PAGES = 12  # sample pages in a report: the first, the last, and those between them
PAGES_BYTES = 2_000_000  # of all of them together
ENLARGED = 600  # pixels of width up to which small ones are shown larger
LARGEST_PAGE = 40_000_000  # pixels of a sample page that is read
QUALITIES = ((1.0, 88), (1.0, 75), (0.75, 75), (0.5, 75), (0.35, 70), (0.2, 70))  # scale and JPEG's quality, in turn
UNREADABLE = (OSError, ValueError, SyntaxError)  # raised by Pillow for a damaged PNG


@dataclass(frozen=True)
class Shown:
    """A picture as it is put into a page."""

    uri: str
    width: int  # pixels of the original: what it is shown at
    height: int

    @property
    def times(self) -> int:
        """How often a small picture is enlarged to be seen."""
        return max(1, min(3, ENLARGED // self.width))


@dataclass(frozen=True)
class Pages:
    """The sample pages of a run."""

    shown: tuple[tuple[int, Shown], ...]  # of each step
    left_out: int  # those that are not shown
    unreadable: tuple[str, ...] = ()


def sample_pages(folder: Path, *, most: int = PAGES, budget: int = PAGES_BYTES) -> Pages:
    """The sample pages in `samples/`, spread evenly over the run, small enough to be `budget` bytes together."""
    steps = steps_in(folder, ".png") if folder.is_dir() else []
    chosen = spread(steps, most)
    shown, unreadable = [], []
    for step in chosen:
        path = of_step(folder, step, ".png")
        try:
            shown.append((step, embedded(path, budget=budget // len(chosen))))
        except UNREADABLE as error:
            unreadable.append(f"{path.name}: {error}")
    return Pages(tuple(shown), len(steps) - len(chosen), tuple(unreadable))


def embedded(path: Path, *, budget: int) -> Shown:
    """A PNG file as it is, if it has at most `budget` bytes, or smaller as a JPEG.

    Raises:
        OSError, ValueError, SyntaxError: it cannot be read.
    """
    with Image.open(path, formats=["PNG"]) as image:
        if image.width * image.height > LARGEST_PAGE:
            raise ValueError(f"{image.width}x{image.height} pixels")
        width, height = image.size
        if path.stat().st_size * 4 // 3 <= budget:
            image.verify()
            return Shown(data_uri(path.read_bytes(), "png"), width, height)
        picture = image.convert("RGB")
    return Shown(_small(picture, budget=budget), width, height)


def alike(pictures: Sequence[np.ndarray], *, budget: int) -> list[Shown]:
    """RGB pictures `[H, W, 3]` uint8, all as PNGs or all as JPEGs of one quality, so that their files tell no more.

    Each has `budget` bytes at most, or is as near to that as the last of `QUALITIES` comes.
    """
    images = [Image.fromarray(pixels) for pixels in pictures]
    made: list[str] = []
    for part, quality in ((1.0, None), *QUALITIES):
        made = [_png(image) if quality is None else _jpeg(image, part, quality) for image in images]
        if max(map(len, made)) <= budget:
            break
    return [Shown(uri, *image.size) for uri, image in zip(made, images, strict=True)]


def spread(items: Sequence[int], most: int) -> list[int]:
    """At most `most` of the items, evenly spread, with the first and the last."""
    if len(items) <= most:
        return list(items)
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[place] for place in dict.fromkeys(places.tolist())]


def data_uri(data: bytes, kind: str) -> str:
    """The bytes of a picture file as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _small(image: Image.Image, *, budget: int) -> str:
    made = ""
    for part, quality in QUALITIES:
        made = _jpeg(image, part, quality)
        if len(made) <= budget:
            break
    return made


def _jpeg(image: Image.Image, part: float, quality: int) -> str:
    size = max(1, round(image.width * part)), max(1, round(image.height * part))
    data = io.BytesIO()
    small = image if part == 1 else image.resize(size, Image.Resampling.BOX)
    small.save(data, format="JPEG", quality=quality, subsampling=0)
    return data_uri(data.getvalue(), "jpeg")


def _png(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data_uri(data.getvalue(), "png")
