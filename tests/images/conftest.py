"""Small pictures whose values are known, and the real odd files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def awkward(shared_data: Path) -> Path:
    return shared_data / "awkward"


@pytest.fixture(scope="session")
def reference(awkward: Path) -> np.ndarray:
    """`[168, 224, 3]` uint8: what most of the odd files were made from."""
    return np.array(Image.open(awkward / "reference.png"))


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """`[24, 32, 3]` uint8: soft gradients and one hard edge."""
    y, x = np.mgrid[:24, :32]
    pixels = np.stack([x * 8, y * 10, (x + y) * 4], -1).astype(np.uint8)
    pixels[6:12, 8:20] = (200, 30, 90)
    return pixels


@pytest.fixture(scope="session")
def deep() -> np.ndarray:
    """`[24, 32, 3]` uint16 that uses low and high bytes, so that nothing survives 8 bits unchanged."""
    return np.random.default_rng(0).integers(0, 65536, (24, 32, 3), dtype=np.uint16)
