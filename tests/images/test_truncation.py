"""A file that is cut short is an error that names it, unless the picture is complete all the same."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from translate.images import ImageError, Picture, read

Y, X = np.mgrid[:48, :64]
EIGHT = np.stack([X * 4, Y * 5, (X ^ Y) * 3], -1).astype(np.uint8)
SIXTEEN = EIGHT.astype(np.uint16) * 250 + X[..., None].astype(np.uint16)


def by_pillow(format: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def by_tifffile(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def by_opencv(suffix: str, pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


PLANES = np.ascontiguousarray(np.moveaxis(SIXTEEN, -1, 0))
FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: by_pillow("JPEG"),
    "jpeg progressive": lambda: by_pillow("JPEG", progressive=True),
    "jpeg cmyk": lambda: by_pillow("JPEG", mode="CMYK"),
    "png": lambda: by_pillow("PNG"),
    "png palette": lambda: by_pillow("PNG", mode="P"),
    "png 16": lambda: by_opencv(".png", SIXTEEN),
    "gif": lambda: by_pillow("GIF"),
    "bmp": lambda: by_pillow("BMP"),
    "tga": lambda: by_pillow("TGA", compression="tga_rle"),
    "webp": lambda: by_pillow("WEBP"),
    "webp lossless": lambda: by_pillow("WEBP", lossless=True),
    "ppm": lambda: by_pillow("PPM"),
    "ppm 16": lambda: b"P6\n64 48\n65535\n" + SIXTEEN.astype(">u2").tobytes(),
    "pfm": lambda: b"PF\n64 48\n-1.0\n" + (EIGHT / 255).astype("<f4").tobytes(),
    "hdr": lambda: by_opencv(".hdr", (EIGHT / 50).astype(np.float32)),
    "jpeg 2000": lambda: by_pillow("JPEG2000"),
    "jpeg 2000 16": lambda: bytes(imagecodecs.jpeg2k_encode(SIXTEEN, level=0, reversible=True)),
    "tiff": lambda: by_pillow("TIFF"),
    "tiff lzw": lambda: by_pillow("TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: by_pillow("TIFF", compression="jpeg"),
    "tiff palette": lambda: by_pillow("TIFF", mode="P"),
    "tiff cmyk": lambda: by_pillow("TIFF", mode="CMYK"),
    "tiff fax": lambda: by_pillow("TIFF", mode="1", compression="group4"),
    "tiff 16": lambda: by_tifffile(SIXTEEN, photometric="rgb"),
    "tiff 16 strips": lambda: by_tifffile(SIXTEEN, photometric="rgb", rowsperstrip=5, compression="zlib"),
    "tiff 16 tiles": lambda: by_tifffile(SIXTEEN, photometric="rgb", tile=(16, 16), compression="lzw"),
    "tiff big": lambda: by_tifffile(SIXTEEN, photometric="rgb", bigtiff=True, byteorder=">"),
    "tiff planes": lambda: by_tifffile(PLANES, photometric="rgb", planarconfig="separate"),
    "tiff channel pages": lambda: by_tifffile(PLANES, imagej=True, metadata={"axes": "CYX"}),
}


def attempt(path: Path) -> Picture | str:
    try:
        return read(path)
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize("name", FILES)
def test_never_half_a_picture(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = FILES[name]()
    path = tmp_path / "picture"
    path.write_bytes(data)
    whole = read(path)
    failed = 0
    cuts = {int(len(data) * share) for share in (0.02, 0.1, 0.3, 0.6, 0.9, 0.97, 0.99)} | {len(data) - 1}
    for cut in cuts:
        path.write_bytes(data[:cut])
        found = attempt(path)
        if isinstance(found, Picture):
            np.testing.assert_array_equal(found.pixels, whole.pixels)
        else:
            failed += 1
            assert found.startswith(f"{path}: ")
    assert failed >= len(cuts) / 2  # the last bytes of a small file are no part of the picture
    assert capfd.readouterr().err == ""


def test_pillows_permission_for_half_pictures_is_overruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "half.jpg"
    data = by_pillow("JPEG")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="truncated"):
        read(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def huge_png(depth: int) -> bytes:
    header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 50_000, depth, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header[4:]))
    return b"\x89PNG\r\n\x1a\n" + header + crc + by_pillow("PNG")[33:]


def huge_jpeg() -> bytes:
    data = bytearray(by_pillow("JPEG"))
    place = data.index(b"\xff\xc0")  # the frame header: length, precision, height, width
    struct.pack_into(">HH", data, place + 5, 50_000, 60_000)
    return bytes(data)


def huge_tiff(dtype: Any) -> bytes:
    buffer = io.BytesIO()
    small = np.zeros((48, 64, 3), dtype)
    tifffile.imwrite(buffer, small, photometric="rgb")
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tif:
        for tag, value in ((256, 60_000), (257, 50_000)):
            found = tif.pages.first.tags[tag]
            struct.pack_into("<" + {3: "H", 4: "I"}[int(found.dtype)], data, found.valueoffset, value)
    return bytes(data)


def huge_jpeg2000() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(SIXTEEN, level=0, reversible=True))
    struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, 60_000, 50_000)
    return bytes(data)


HUGE: dict[str, Callable[[], bytes]] = {
    "png": lambda: huge_png(8),
    "png 16": lambda: huge_png(16),
    "jpeg": huge_jpeg,
    "tiff": lambda: huge_tiff(np.uint8),
    "tiff 16": lambda: huge_tiff(np.uint16),
    "jpeg 2000 16": huge_jpeg2000,
    "gif": lambda: b"GIF89a" + struct.pack("<HH", 60_000, 50_000) + by_pillow("GIF")[10:],
    "ppm 16": lambda: b"P6\n60000 50000\n65535\n" + bytes(100),
    "hdr": lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 50000 +X 60000\n" + bytes(100),
}


@pytest.mark.parametrize("name", HUGE)
def test_too_large_is_refused_by_the_header(name: str, tmp_path: Path) -> None:
    """The header promises 3 gigapixels and the file has next to none: decoding it would say "truncated"."""
    path = tmp_path / "huge"
    path.write_bytes(HUGE[name]())
    with pytest.raises(ImageError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: 60000x50000 is 3,000,000,000 pixels, over the limit of 100,000,000")
    assert "--max-pixels" in message


def test_the_limit_is_the_callers_not_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.png"
    path.write_bytes(by_pillow("PNG"))
    read(path, max_pixels=64 * 48)
    with pytest.raises(ImageError, match="--max-pixels"):
        read(path, max_pixels=64 * 48 - 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow alone would raise DecompressionBombError
    np.testing.assert_array_equal(read(path).pixels, EIGHT)
    assert Image.MAX_IMAGE_PIXELS == 100
