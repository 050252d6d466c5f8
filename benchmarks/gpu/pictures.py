"""Pictures without OpenCV: read by Pillow, of load size already, or made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from translate.datasets.examples import Example, Key, generator
from translate.datasets.examples.transforms import Augment
from translate.images import ImageSpec
from translate.settings import DataSettings

COLOUR = ImageSpec(channels=3)


def made_up(folder: Path, *, size: int, count: int, held: int, paired: bool) -> Path:
    """Write pictures of coloured rectangles and their outlines: pairs side by side, or two sides. JPEG, as photos are.

    Args:
        size: of a side, in pixels.
        count: pairs, or pictures of each side, to train on.
        held: to validate on.
    """
    for part, numbers in (("train", range(count)), ("val" if paired else "test", range(count, count + held))):
        for number in numbers:
            sides = _pair(number, size)
            if paired:
                _write(folder / part / f"{number}.jpg", np.concatenate(sides, 1))
            else:
                for letter, pixels in zip("AB", sides, strict=True):
                    _write(folder / f"{part}{letter}" / f"{number}.jpg", pixels)
    return folder


def _pair(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, and what it was made from: `[size, size, 3]` uint8."""
    rng = np.random.default_rng(number)
    labels = np.zeros((size, size, 3), np.uint8)
    photo = np.full((size, size, 3), 200, np.uint8)
    for shade in range(1, 6):
        top, left = rng.integers(0, size * 3 // 4, 2)
        high, wide = rng.integers(size // 8, size // 2, 2)
        labels[top : top + high, left : left + wide] = (40 * shade, 255 - 40 * shade, 128)
        photo[top : top + high, left : left + wide] = rng.integers(0, 255, 3)
    grain = rng.normal(0, 6, photo.shape)
    return (photo + grain).clip(0, 255).astype(np.uint8), labels


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


class Pairs:
    """Pairs as a loader takes them: from the files each time, or from memory; cropped and mirrored as in training."""

    def __init__(self, files: Sequence[Path], settings: DataSettings, *, cached: bool) -> None:
        self.files, self.settings = files, settings
        self.augment = Augment(settings, source=COLOUR, target=COLOUR)
        self.kept = [self._read(file) for file in files] if cached else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> Example:
        epoch, index = key
        pixels = self._read(self.files[index]) if self.kept is None else self.kept[index]
        middle = pixels.shape[1] // 2
        rng = generator(self.settings.load_size.height if self.settings.load_size else 0, epoch, index)
        source, target = self.augment.geometry(pixels[:, :middle], pixels[:, middle:], rng=rng)
        assert source is not None
        return Example({"source": source, "target": target}, name=self.files[index].name)

    def with_cache(self, *, folder: Path | None = None, fingerprint: str = "", progress: bool = False) -> Self:
        """It has its cache already."""
        return self

    def _read(self, file: Path) -> np.ndarray:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
