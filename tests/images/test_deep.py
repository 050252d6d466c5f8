"""Sixteen bits, floats and any number of bands, against files written by other libraries or by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from translate.images import ImageError, ImageSpec, from_pil, read, to_spec

BANDS = np.random.default_rng(1).integers(0, 4096, (20, 30, 5), dtype=np.uint16)  # a microscope's 12 bits
PLANES = np.ascontiguousarray(np.moveaxis(BANDS, -1, 0))


def png(values: np.ndarray, *, colour_type: int, key: tuple[int, ...] = (), bits: int = 16) -> bytes:
    """A PNG of `[H, W, C]` values spelled out by its specification; values below 8 bits are packed."""

    def chunk(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    height, width, channels = values.shape
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in values]
    else:
        digits = ((values[..., 0, None] >> np.arange(bits)[::-1]) & 1).reshape(height, -1).astype(np.uint8)
        lines = [np.packbits(row).tobytes() for row in digits]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    transparent = chunk(b"tRNS", struct.pack(f">{channels}H", *key)) if key else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparent + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_png_of_16_bits(channels: int, colour_type: int, tmp_path: Path) -> None:
    values = BANDS[..., :channels] * np.uint16(16)
    (tmp_path / "a.png").write_bytes(png(values, colour_type=colour_type))
    picture = read(tmp_path / "a.png")
    colours = channels - (channels in (2, 4))
    np.testing.assert_array_equal(picture.pixels, values[..., :colours])
    if colours == channels:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, values[..., -1])


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (3, 2)])
def test_png_of_16_bits_with_a_transparent_colour(channels: int, colour_type: int, tmp_path: Path) -> None:
    values = BANDS[..., :channels].copy()
    values[3:5, 7:9] = 4097  # a colour that differs from its neighbour 4096 in the low byte alone
    values[0, 0] = 4096
    (tmp_path / "a.png").write_bytes(png(values, colour_type=colour_type, key=(4097,) * channels))
    picture = read(tmp_path / "a.png")
    expected = np.full((20, 30), 65535, np.uint16)
    expected[3:5, 7:9] = 0
    np.testing.assert_array_equal(picture.pixels, values)
    np.testing.assert_array_equal(picture.alpha, expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_png_of_few_bits_with_a_transparent_level(bits: int, tmp_path: Path) -> None:
    """The key counts in the file's own bits, the pixels come out at 8."""
    values = (np.arange(20 * 30).reshape(20, 30, 1) * 7 % 2**bits).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(values, colour_type=0, key=(1,), bits=bits))
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, values * (255 // (2**bits - 1)))
    np.testing.assert_array_equal(picture.alpha, np.where(values[..., 0] == 1, 0, 255))


TIFFS: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray, np.ndarray | None, int]] = {
    # name: what is written, how, the pixels and alpha to be read, the count of pictures
    "5 bands": (BANDS, {"planarconfig": "contig", "photometric": "minisblack"}, BANDS, None, 1),
    "5 planes": (PLANES, {"planarconfig": "separate", "photometric": "minisblack"}, BANDS, None, 1),
    "5 pages": (PLANES, {"photometric": "minisblack"}, BANDS[..., :1], None, 5),
    "channels of ImageJ": (PLANES, {"imagej": True, "metadata": {"axes": "CYX"}}, BANDS, None, 1),
    "stack of ImageJ": (
        np.stack([PLANES] * 3),
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        BANDS,
        None,
        3,
    ),
    "stack of OME": (np.stack([PLANES] * 3, 1), {"ome": True, "metadata": {"axes": "CZYX"}}, BANDS, None, 3),
    "colour": (BANDS[..., :3], {"photometric": "rgb", "compression": "lzw"}, BANDS[..., :3], None, 1),
    "colour planes": (
        PLANES[:3],
        {"photometric": "rgb", "planarconfig": "separate"},
        BANDS[..., :3],
        None,
        1,
    ),
    "alpha": (
        BANDS[..., :4],
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        BANDS[..., :3],
        BANDS[..., 3],
        1,
    ),
    "fourth band": (
        BANDS[..., :4],
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        BANDS[..., :4],
        None,
        1,
    ),
    "fourth band and alpha": (
        BANDS,
        {"photometric": "rgb", "planarconfig": "contig", "extrasamples": ["unspecified", "unassalpha"]},
        BANDS[..., :4],
        BANDS[..., 4],
        1,
    ),
    "tiles": (
        BANDS[..., 0],
        {"tile": (16, 16), "compression": "zlib", "predictor": True},
        BANDS[..., :1],
        None,
        1,
    ),
    "64-bit offsets": (
        BANDS[..., :3],
        {"photometric": "rgb", "bigtiff": True, "byteorder": ">"},
        BANDS[..., :3],
        None,
        1,
    ),
    "0 is white": (BANDS[..., 0], {"photometric": "miniswhite"}, 65535 - BANDS[..., :1], None, 1),
    "1 bit": (
        BANDS[..., 0] > 2000,
        {"photometric": "minisblack"},
        np.where(BANDS[..., :1] > 2000, np.uint8(255), np.uint8(0)),
        None,
        1,
    ),
    "negative": (
        BANDS[..., 0].astype(np.int16) - 2000,
        {},
        BANDS[..., :1].astype(np.float32) - 2000,
        None,
        1,
    ),
    "double": (BANDS[..., 0] / 7, {}, (BANDS[..., :1] / 7).astype(np.float32), None, 1),
    "half": (
        BANDS[..., 0].astype(np.float16),
        {},
        BANDS[..., :1].astype(np.float16).astype(np.float32),
        None,
        1,
    ),
    "32 bits": (BANDS[..., 0].astype(np.uint32), {}, BANDS[..., :1].astype(np.float32), None, 1),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(name: str, tmp_path: Path) -> None:
    written, options, pixels, alpha, frames = TIFFS[name]
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, written, **options)
    picture = read(path)
    assert picture.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.frames == frames
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)


def test_tiff_with_colours_multiplied_by_alpha(tmp_path: Path) -> None:
    alpha = np.linspace(10_000, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    colours = BANDS[..., :3] * np.uint16(16)
    multiplied = np.rint(colours * (alpha[..., None] / 65535)).astype(np.uint16)
    stored = np.dstack([multiplied, alpha])
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert np.abs(picture.pixels.astype(int) - colours).max() <= 4  # half a level, times 65535 / 10000


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_like_any_other(orientation: int, tmp_path: Path) -> None:
    """The same pixels and tag at 8 bits in a JPEG-like EXIF reader, Pillow's, and here at 16."""
    eight = (BANDS[..., :3] >> 4).astype(np.uint8)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", eight.astype(np.uint16) * 257, photometric="rgb", extratags=tag)
    image = Image.fromarray(eight)
    image.getexif()[274] = orientation
    expected = np.array(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, expected.astype(np.uint16) * 257)


def test_tiff_with_not_a_number_is_an_error(tmp_path: Path) -> None:
    values = np.ones((4, 5), np.float32)
    values[2, 3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    picture = read(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif: holds values that are not finite .*--source-nodata nan"):
        to_spec(picture, ImageSpec(channels=1, dtype="float32", high=1), name="a.tif")
    kept = to_spec(picture, ImageSpec(channels=1, dtype="float32", high=1, nodata="nan"), name="a.tif")
    np.testing.assert_array_equal(kept[..., 0], values)


def test_tiff_of_integers_beyond_float_is_an_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 2**24 + 1, np.uint32))
    with pytest.raises(ImageError, match="too large to be held exactly"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_netpbm_of_12_bits_is_scaled_to_full(magic: str, tmp_path: Path) -> None:
    channels = 3 if magic in ("P3", "P6") else 1
    values = BANDS[..., :channels]
    text = f"{magic}\n# a comment\n30 20\n4095\n".encode()
    numbers = " ".join(map(str, values.ravel())).encode() if magic in ("P2", "P3") else values.astype(">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes(text + numbers)
    expected = np.rint(values / 4095 * 65535).astype(np.uint16)
    np.testing.assert_array_equal(read(tmp_path / "a.ppm").pixels, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_floats_as_opencv_writes_them(channels: int, tmp_path: Path) -> None:
    floats = BANDS[..., :channels].astype(np.float32) / 100
    bgr = np.ascontiguousarray(floats[..., ::-1])
    assert cv2.imwrite(str(tmp_path / "a.pfm"), bgr)
    np.testing.assert_array_equal(read(tmp_path / "a.pfm").pixels, floats)
    if channels == 3:
        assert cv2.imwrite(str(tmp_path / "a.hdr"), bgr)
        np.testing.assert_allclose(read(tmp_path / "a.hdr").pixels, floats, atol=floats.max() / 128)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_pam(depth: int, tmp_path: Path) -> None:
    """The type says whether the last channel is alpha; without that it is a band."""
    values = (BANDS[..., :depth] >> 4).astype(np.uint8)
    types = {2: "GRAYSCALE_ALPHA", 4: "RGB_ALPHA"}
    for kind in ("ANY", types.get(depth, "ANY")):
        header = f"P7\nWIDTH 30\nHEIGHT 20\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE {kind}\nENDHDR\n"
        (tmp_path / "a.pam").write_bytes(header.encode() + values.tobytes())
        picture = read(tmp_path / "a.pam")
        colours = depth - (kind != "ANY")
        np.testing.assert_array_equal(picture.pixels, values[..., :colours])
        assert (picture.alpha is None) == (kind == "ANY")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [2, 4])
def test_jpeg_2000_has_alpha_where_it_says_so(bands: int, dtype: type[Any], tmp_path: Path) -> None:
    """Aerial photographs with infrared come as four channels of which nothing is said."""
    values = np.ascontiguousarray((BANDS[..., :bands] >> 4 * (dtype is np.uint8)).astype(dtype))
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="jp2"))
    picture = read(tmp_path / "a.jp2")
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, values)
    if dtype is np.uint8:  # Pillow says so
        Image.fromarray(values).save(tmp_path / "b.jp2")
        picture = read(tmp_path / "b.jp2")
        np.testing.assert_array_equal(picture.pixels, values[..., :-1])
        np.testing.assert_array_equal(picture.alpha, values[..., -1])


def test_a_tiff_that_pillow_has_opened_is_what_its_file_is(tmp_path: Path) -> None:
    """Pillow leaves a fourth band out that is no alpha, and takes one of which nothing is said for alpha."""
    values = (BANDS[..., :4] >> 4).astype(np.uint8)
    for kind in ("unassalpha", "unspecified"):
        tifffile.imwrite(tmp_path / f"{kind}.tif", values, photometric="rgb", extrasamples=[kind])
    with Image.open(tmp_path / "unassalpha.tif") as image:
        np.testing.assert_array_equal(from_pil(image, name="x").alpha, values[..., 3])
    with (
        Image.open(tmp_path / "unspecified.tif") as image,
        pytest.raises(ImageError, match="x: a TIFF of 4 bands, of which Pillow keeps 3: give its path"),
    ):
        from_pil(image, name="x")
    data = (tmp_path / "unassalpha.tif").read_bytes()
    (tmp_path / "silent.tif").write_bytes(data.replace(struct.pack("<HH", 338, 3), struct.pack("<HH", 65000, 3)))
    with Image.open(tmp_path / "silent.tif") as image:
        silent = from_pil(image, name="x")
    assert silent.alpha is None
    np.testing.assert_array_equal(silent.pixels, values)
    np.testing.assert_array_equal(read(tmp_path / "silent.tif").pixels, values)


def test_jpeg_2000_of_16_bits_as_opencv_has_it(tmp_path: Path) -> None:
    written = np.tile(BANDS[..., :3], (4, 4, 1))
    assert cv2.imwrite(str(tmp_path / "a.jp2"), written)
    expected = cv2.imread(str(tmp_path / "a.jp2"), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    pixels = read(tmp_path / "a.jp2").pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, expected[..., ::-1])


def test_what_is_known_and_not_read_says_so(tmp_path: Path) -> None:
    for suffix, begin in {"exr": b"\x76\x2f\x31\x01", "heic": b"\0\0\0\x18ftypheic"}.items():
        (tmp_path / f"a.{suffix}").write_bytes(begin + bytes(50))
        with pytest.raises(ImageError, match="is not read: convert it to"):
            read(tmp_path / f"a.{suffix}")
    Image.new("L", (4, 4)).save(tmp_path / "a.eps")
    with pytest.raises(ImageError, match="EPS is a page description"):
        read(tmp_path / "a.eps")
    with pytest.raises(ImageError, match="no such file"):
        read(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="is a folder"):
        read(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "deep.sgi", bpc=2)
    with pytest.raises(ImageError, match="would cut to 8"):
        read(tmp_path / "deep.sgi")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("photometric", "bands"), [("rgb", 4), ("rgb", 5), ("minisblack", 2), ("minisblack", 4), ("minisblack", 5)]
)
def test_a_tiff_has_alpha_only_where_it_says_so(photometric: str, bands: int, dtype: str, tmp_path: Path) -> None:
    extra = bands - (3 if photometric == "rgb" else 1)
    pixels = np.random.default_rng(0).integers(1, 200, (8, 9, bands)).astype(dtype)
    for kind in ("unspecified", "unassalpha", "none"):
        path = tmp_path / f"{kind}.tif"
        declared = [*["unspecified"] * (extra - 1), kind if kind != "none" else "unspecified"]
        tifffile.imwrite(path, pixels, photometric=photometric, planarconfig="contig", extrasamples=declared)
        if kind == "none":
            without_tag(path, 338)
        picture = read(path)
        assert (picture.alpha is not None) == (kind == "unassalpha"), kind
        own = pixels if picture.alpha is None else pixels[..., :-1]
        np.testing.assert_array_equal(picture.pixels, own)


def without_tag(path: Path, code: int) -> None:
    """Rename a tag of the first directory of a little-endian TIFF to one that nobody knows."""
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    for i in range(int.from_bytes(data[start : start + 2], "little")):
        place = start + 2 + 12 * i
        if int.from_bytes(data[place : place + 2], "little") == code:
            data[place : place + 2] = (65000).to_bytes(2, "little")
    path.write_bytes(data)
