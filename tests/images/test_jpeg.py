"""JPEG files are those of Pillow, and other threads go on while they are made."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from translate.images import read
from translate.images.exif import PREFIX
from translate.images.jpeg import encode
from translate.images.pillow import decode_jpeg

SIDES = [(24, 40), (1, 1), (1, 9), (7, 1), (33, 17)]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BLOCK = PREFIX + b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a directory without entries


def noise(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def decode(data: bytes) -> np.ndarray:
    return decode_jpeg(io.BytesIO(data), head=data[:33], max_pixels=10**6).pixels


def by_pillow(bands: np.ndarray, *, quality: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    subsampling = "4:4:4" if quality >= 90 else "4:2:0"
    image = Image.fromarray(bands if bands.shape[2] == 3 else bands[..., 0])
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [1, 50, 89, 90, 95, 100])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_pixels_are_those_of_pillow(height: int, width: int, quality: int) -> None:
    for channels in (1, 3):
        bands = noise(height, width, channels)
        made, theirs = encode(bands, quality=quality), by_pillow(bands, quality=quality)
        with Image.open(io.BytesIO(made)) as ours, Image.open(io.BytesIO(theirs)) as reference:
            assert ours.mode == reference.mode
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(reference))


def test_profile_and_exif_lie_where_pillow_puts_them() -> None:
    bands = noise(16, 16, 3)
    long = SRGB + bytes(150_000)  # three segments
    for icc in (None, SRGB, long):
        for exif in (None, BLOCK, BLOCK + bytes(60_000)):
            made = encode(bands, quality=90, icc=icc, exif=exif)
            with Image.open(io.BytesIO(made)) as image:
                assert image.info.get("icc_profile") == icc
                assert image.info.get("exif") == exif
            options = {"icc_profile": icc} if icc else {}
            options |= {"exif": exif} if exif else {}
            assert made == by_pillow(bands, quality=90, **options)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="EXIF block is too long"):
        encode(noise(8, 8, 3), quality=90, exif=BLOCK + bytes(65_536))
    with pytest.raises(ValueError, match="profile is too long"):
        encode(noise(8, 8, 3), quality=90, icc=bytes(255 * 65_519 + 1))
    with pytest.raises(Exception, match=r"6553[0-9]|65500"):
        encode(np.zeros((1, 70_000, 3), np.uint8), quality=90)


def test_views_of_any_stride_are_taken() -> None:
    wide = noise(9, 9, 4)
    for view in (
        wide[..., :3],
        wide[:1, :1, :3],
        wide[::2, ::-1, 1:],
        wide[:1, ::3, 1:2],
        wide.swapaxes(0, 1)[..., :1],
    ):
        assert encode(view, quality=90) == encode(np.array(view, order="C"), quality=90)


KINDS: list[dict[str, Any]] = [
    {"subsampling": "4:2:0"},
    {"subsampling": "4:2:2", "optimize": True},
    {"progressive": True},
    {"restart_marker_blocks": 2},
    {"quality": 1},
]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: next(iter(options)))
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_decoded_as_by_pillow(height: int, width: int, options: dict[str, Any]) -> None:
    for mode in ("L", "RGB"):
        buffer = io.BytesIO()
        Image.fromarray(noise(height, width, 3)).convert(mode).save(buffer, "JPEG", **options)
        bands = decode(buffer.getvalue())
        assert bands.flags.writeable
        with Image.open(buffer) as image:
            np.testing.assert_array_equal(bands if mode == "RGB" else bands[..., 0], np.asarray(image))


def test_real_photos_are_decoded_as_by_pillow(shared_data: Path) -> None:
    files = sorted((shared_data / "horse2zebra").rglob("*.jpg"))[::20]
    assert files
    for file in files:
        with Image.open(file) as image:
            np.testing.assert_array_equal(decode(file.read_bytes()), np.asarray(image))


def test_half_a_picture_is_refused(tmp_path: Path) -> None:
    preview = encode(noise(16, 16, 3), quality=50)  # within EXIF, with an end of its own
    data = encode(noise(40, 40, 3), quality=95, exif=BLOCK + preview)
    assert decode(data).shape == (40, 40, 3)
    assert decode(data + b"and more, as of phones with several pictures in one").shape == (40, 40, 3)
    for length in (20, len(BLOCK + preview) + 40, len(data) // 2, len(data) - 1):
        (tmp_path / "half.jpg").write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"half\.jpg: .*truncated"):
            read(tmp_path / "half.jpg")


def test_damage_is_met_as_by_pillow() -> None:
    """Whatever bytes are changed: the same pixels, or no pixels from either."""
    data = by_pillow(noise(48, 48, 3), quality=90)
    rng = np.random.default_rng(0)
    equal = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(2, len(data), 3):
            damaged[place] = rng.integers(256)
        try:
            with Image.open(io.BytesIO(damaged)) as image:
                theirs = np.asarray(image) if image.mode == "RGB" else None
        except Exception:
            theirs = None
        try:
            ours = decode(bytes(damaged))
        except Exception:
            ours = None
        if ours is not None and theirs is not None:
            np.testing.assert_array_equal(ours, theirs)
            equal += 1
    assert equal > 100


def test_other_threads_go_on_meanwhile() -> None:
    large = noise(3000, 3000, 3)
    encode(large[:8, :8], quality=95)  # imports what it needs
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        encode(large, quality=95)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    turns = 0
    while not done.is_set():
        time.sleep(1e-4)
        turns += 1
    thread.join()
    assert turns > 10  # of hundreds; with Python's lock held throughout there are one or two
