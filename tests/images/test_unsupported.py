"""What a library merely cannot do is called unsupported; what is damaged is refused, not white; and small frames."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from tests.hostile_files import SHORT, by_pillow, gif, one_page
from translate.images import ImageError, read


def bmp(bits: int, compression: int, masks: bytes = b"") -> bytes:
    start = 54 + len(masks)
    info = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, bits, compression, 256, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + 512, 0, 0, start) + info + masks + bytes(512)


def colours(photometric: int, bits: int, **more: Any) -> bytes:
    return one_page(
        bytes(8 * 8 * 3 * bits // 8), 8, 8, bands=3, bits=bits, photometric=photometric, compression=1, **more
    )


def psd(bits: int, mode: int) -> bytes:
    return b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, bits, mode) + bytes(2000)


KINDS = {
    "CIELAB of 16 bits": colours(8, 16),
    "YCbCr of 16 bits": colours(6, 16),
    "ICC Lab": colours(9, 8),
    "palette of 16 bits": one_page(
        bytes(128), 8, 8, bits=16, photometric=3, compression=1, t320=(SHORT, [0] * 3 * 2**16)
    ),
    "RGB of 5, 6 and 5 bits": colours(2, 8, t258=(SHORT, [5, 6, 5])),
    "values of 128 bits": one_page(bytes(1024), 8, 8, bits=128, compression=1),
    "complex values": one_page(bytes(512), 8, 8, bits=64, compression=1, t339=(SHORT, [6])),
    "JBIG in TIFF": one_page(bytes(64), 8, 8, compression=9),
    "BMP of bit fields": bmp(16, 3, struct.pack("<III", 0xF000, 0xF00, 0xFF)),
    "BMP with JPEG in it": bmp(24, 4),
    "BMP of 64 bits": bmp(64, 0),
    "PSD of 32 bits": psd(32, 3),
    "PSD in Lab of 16 bits": psd(16, 9),
    "JPEG of 12 bits": by_pillow("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
    "lossless JPEG": by_pillow("JPEG").replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"),
    "hierarchical JPEG": by_pillow("JPEG").replace(b"\xff\xc0\0\x11", b"\xff\xc5\0\x11"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_cannot_be_done_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(KINDS[name])
    with pytest.raises(ImageError, match=r"picture: .*not supported") as caught:
        read(path)
    assert "damaged" not in str(caught.value)


def page(lines: int) -> Image.Image:
    image = Image.new("1", (400, 300), 1)
    draw = ImageDraw.Draw(image)
    for index in range(lines):
        draw.text((index * 7, index * 12), f"a line of text, the {index}th", fill=0)
    return image


@pytest.mark.parametrize("lines", [0, 4, 22])
@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_a_fax_that_ends_early_is_refused(compression: str, lines: int, tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    buffer = io.BytesIO()
    page(lines).save(buffer, "TIFF", compression=compression)
    data = buffer.getvalue()
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path).pixels[..., 0], np.array(page(lines)) * np.uint8(255))
    if not lines:
        return
    with tifffile.TiffFile(path) as file:
        start, length = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    for share in (0.0, 0.2, 0.5):
        place = start + int(length * share)
        rest = start + length - place
        for damage in (bytes(rest), b"\xff" * rest if compression != "group4" else bytes(rest)):
            path.write_bytes(data[:place] + damage + data[start + length :])
            with pytest.raises(ImageError, match=r"fax\.tif: .*damaged"):
                read(path)


def test_around_a_small_first_frame_a_gif_is_transparent(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif((100, 80), (20, 10, 64, 48)))
    picture = read(path)
    assert picture.alpha is not None
    seen = np.zeros((80, 100), np.uint8)
    seen[10:58, 20:84] = 255
    np.testing.assert_array_equal(picture.alpha, seen)
    path.write_bytes(gif((64, 48)))
    assert read(path).alpha is None
