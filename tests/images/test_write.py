"""What is written is read back the same, whole or not at all; and what each format can hold."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from translate.images import (
    FORMATS,
    IMAGE_SUFFIXES,
    ImageError,
    can_hold,
    format_for,
    is_image_name,
    read,
    suffix_for,
    write,
)

WRITABLE = [name for name, entry in FORMATS.items() if entry.depths]
LOSSY = {"JPEG": 6.0, "WEBP": 8.0, "AVIF": 8.0}  # mean error that is theirs, on a hard-edged picture


def pixels_of(channels: int, dtype: str) -> np.ndarray:
    y, x = np.mgrid[:24, :32]
    shares = np.stack([(x * (k + 1) + y * 3) % 97 / 96 for k in range(channels)], -1)
    if dtype == "float32":
        return (shares * 30 - 4).astype(np.float32)
    return np.rint(shares * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("format", WRITABLE)
def test_what_can_be_held_comes_back(format: str, channels: int, dtype: str, alpha: bool, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix_for(format)}"
    pixels = pixels_of(channels, dtype)
    layer = pixels_of(1, dtype)[..., 0] if alpha else None
    if not can_hold(format, channels=channels, dtype=dtype, alpha=alpha):
        with pytest.raises(ImageError, match=f"{format} cannot hold {channels} channels of {dtype}"):
            write(path, pixels, alpha=layer)
        assert list(tmp_path.iterdir()) == []
        return
    write(path, pixels, alpha=layer, quality=100)
    assert list(tmp_path.iterdir()) == [path]
    picture = read(path)
    assert picture.format == format
    assert picture.pixels.dtype == dtype
    assert picture.frames == 1
    found = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    expected = pixels if layer is None else np.dstack([pixels, layer])
    if format in ("WEBP", "AVIF") and channels < 3:  # they know no gray
        expected = np.dstack([expected[..., :1]] * 3 + [expected[..., 1:]] * (expected.shape[2] > 1))
        if picture.alpha is None and expected.shape[2] == 4:
            found = np.dstack([found, np.full(found.shape[:2], 255, np.uint8)])
    if format in LOSSY:
        assert np.abs(found.astype(int) - expected).mean() < LOSSY[format]
    else:
        np.testing.assert_array_equal(found, expected)


def test_png_means_the_same_to_pillow(photo: np.ndarray, tmp_path: Path) -> None:
    """Red is red: OpenCV, which encodes it, has blue first."""
    write(tmp_path / "a.png", photo, alpha=photo[..., 0].copy())
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.array(image), np.dstack([photo, photo[..., 0]]))


def test_tiff_says_what_its_bands_are(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pixels_of(5, "uint16"), alpha=pixels_of(1, "uint16")[..., 0])
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert [kind.name for kind in tif.pages.first.extrasamples] == ["UNSPECIFIED"] * 4 + ["UNASSALPHA"]


def test_gray_may_come_without_a_channel_axis(tmp_path: Path) -> None:
    write(tmp_path / "a.png", pixels_of(1, "uint8")[..., 0])
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, pixels_of(1, "uint8"))


def test_quality_is_obeyed(photo: np.ndarray, tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp"):
        for quality in (20, 95):
            write(tmp_path / f"{quality}{suffix}", photo, quality=quality)
        assert (tmp_path / f"20{suffix}").stat().st_size < (tmp_path / f"95{suffix}").stat().st_size


def test_the_format_may_differ_from_the_name(photo: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", photo, format="png")
    assert read(tmp_path / "a.jpg").format == "PNG"


def test_folders_are_made_and_files_replaced(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.png"
    write(path, photo)
    write(path, photo[::-1])
    np.testing.assert_array_equal(read(path).pixels, photo[::-1])
    assert list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask  # not the private mode of temporary files


def test_a_full_disk_leaves_what_was_there(photo: np.ndarray, tmp_path: Path) -> None:
    """The system's limit on file size stands for the full disk: the write itself fails."""
    path = tmp_path / "a.bmp"
    path.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(ImageError, match=f"{path}: cannot be written: File too large") as caught:
            write(path, photo)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_leaves_nothing_behind(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.png", photo)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("a.xyz", {}, 'no picture format is called ".xyz"'),
        ("a", {}, "no suffix, so the format is unknown"),
        ("a.psd", {}, "PSD cannot hold"),
        ("a.jpg", {"alpha": np.zeros((24, 32), np.uint8)}, "JPEG cannot hold 3 channels of uint8 with alpha"),
        ("a.png", {"alpha": np.zeros((2, 2), np.uint8)}, r"the alpha is uint8 \(2, 2\)"),
        ("a.png", {"alpha": np.zeros((24, 32), np.uint16)}, "the alpha is uint16"),
        ("a.png", {"pixels": np.zeros((24, 32, 3), np.float64)}, "values of type float64"),
        ("a.png", {"pixels": np.zeros((0, 32, 3), np.uint8)}, "shape"),
        ("a.jpg", {"quality": 0}, "quality 0"),
        ("a.webp", {"pixels": np.zeros((1, 20_000, 3), np.uint8)}, "cannot be written as WEBP"),
        ("file/a.png", {}, "cannot be written"),
    ],
)
def test_what_cannot_be_written_says_so(
    name: str, changes: dict[str, Any], message: str, photo: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / name
    with pytest.raises(ImageError, match=message) as caught:
        write(path, **{"pixels": photo, **changes})
    assert str(caught.value).startswith(f"{path}: ")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_formats_and_suffixes() -> None:
    assert [format_for(name) for name in (".jpg", "JPEG", "jpeg", ".TIF", "png")] == [
        "JPEG",
        "JPEG",
        "JPEG",
        "TIFF",
        "PNG",
    ]
    assert suffix_for("JPEG") == ".jpg"
    with pytest.raises(ValueError, match='did you mean "jpeg"'):
        format_for("jpgeg")
    for name, entry in FORMATS.items():
        for suffix in entry.suffixes:
            assert format_for(suffix) == name
    suffixes = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(IMAGE_SUFFIXES)


def test_image_names() -> None:
    assert all(map(is_image_name, ["a.png", "B.JPG", "dir/c.Tiff", "name with spaces é.webp"]))
    assert not any(map(is_image_name, [".a.png", "._b.jpg", "Thumbs.db", "notes.txt", "no_extension", ".png", "a.pdf"]))
