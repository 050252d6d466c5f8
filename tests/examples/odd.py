"""Pictures whose files say more than their pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
from PIL import Image

Save = Callable[[Image.Image, Path], None]


def sideways(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def with_profile(image: Image.Image, path: Path) -> None:
    primaries = (0.64, 0.33, 1.0, 0.21, 0.71, 1.0, 0.15, 0.06, 1.0)  # Adobe RGB
    profile = imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.329, 1.0), primaries=primaries, gamma=2.2)
    image.save(path, icc_profile=profile)


def with_gray_profile(image: Image.Image, path: Path) -> None:
    image.convert("L").save(path, icc_profile=imagecodecs.cms_profile("gray", gamma=1.8))


def with_a_hole(image: Image.Image, path: Path) -> None:
    image = image.convert("RGBA")
    image.paste((9, 99, 199, 100), (5, 6, 30, 20))
    image.save(path)


def with_a_clear_colour(image: Image.Image, path: Path) -> None:
    image.quantize(64).save(path, transparency=3)


ODD: dict[str, tuple[Save, bool]] = {
    "plain": (lambda image, path: image.save(path), False),
    "gray": (lambda image, path: image.convert("L").save(path), False),
    "sideways": (sideways, True),
    "a profile": (with_profile, True),
    "a gray profile": (with_gray_profile, True),
    "a hole": (with_a_hole, True),
    "a clear colour": (with_a_clear_colour, True),
}
"""How a picture may be stored, and whether that has to be seen to."""
