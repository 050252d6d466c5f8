"""Resolution, XMP and texts, which are carried over: read with other programs' eyes, byte by byte."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from translate.images import read, write
from translate.images.extras import MAX_TEXTS

PACKET = (
    b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" '
    b'tiff:XResolution="300/1" dc:title="caf\xc3\xa9"><xmp:Thumbnails><a>UNTRANSLATED</a></xmp:Thumbnails>'
    b"</rdf:Description></x:xmpmeta><?xpacket end='w'?>"
)
DOTS = (300, 150)
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".avif", ".bmp", ".jp2")
HOLD_XMP = (".png", ".jpg", ".tif", ".webp", ".avif")
X, Y, UNIT, ORIENTATION = 282, 283, 296, 274


def block() -> bytes:
    exif = Image.Exif()
    exif[X], exif[Y], exif[UNIT] = *DOTS, 2
    return exif.tobytes()


def file_with(suffix: str, pixels: np.ndarray, path: Path, *, dots: bool = False, packet: bytes = b"") -> Path:
    """A file as Pillow writes it; those formats that have no field for it say their resolution in EXIF."""
    options: dict[str, Any] = {}
    if dots and suffix in (".webp", ".avif"):
        options["exif"] = block()
    elif dots:
        options["dpi"] = DOTS
    if packet and suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        options["pnginfo"] = info
    elif packet and suffix == ".tif":
        options["tiffinfo"] = {700: packet}
    elif packet:
        options["xmp"] = packet
    Image.fromarray(pixels).save(path, **options)
    return path


def dots_of(path: Path) -> tuple[float, float]:
    """Dots per inch, from the bytes of the file."""
    data = path.read_bytes()
    if path.suffix == ".png":
        (payload,) = [payload for name, payload in chunks(data) if name == b"pHYs"]
        x, y, unit = struct.unpack(">IIB", payload)
        assert unit == 1
        return x * 0.0254, y * 0.0254
    if path.suffix == ".jpg":
        assert data[6:11] == b"JFIF\0"
        unit, x, y = struct.unpack_from(">BHH", data, 13)
        assert unit == 1
        return x, y
    if path.suffix == ".bmp":
        x, y = struct.unpack_from("<ii", data, 38)
        return x * 0.0254, y * 0.0254
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tif:
            tags = tif.pages.first.tags
            assert tags[UNIT].value == 2
            (a, b), (c, d) = tags[X].value, tags[Y].value
            return a / b, c / d
    with Image.open(path) as image:
        if path.suffix == ".jp2":
            return image.info["dpi"]
        exif = image.getexif()
        assert exif[UNIT] == 2
        return float(exif[X]), float(exif[Y])


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and payloads of a PNG, whose checksums are right."""
    place = 8
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        payload = data[place + 8 : place + 8 + length]
        assert zlib.crc32(name + payload) == struct.unpack_from(">I", data, place + 8 + length)[0]
        yield name, payload
        place += 12 + length


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload), name) + payload + struct.pack(">I", zlib.crc32(name + payload))


def with_inside(added: bytes, pixels: np.ndarray, path: Path, *, format: str, place: int) -> Path:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    data = buffer.getvalue()
    path.write_bytes(data[:place] + added + data[place:])
    return path


png_with = partial(with_inside, format="PNG", place=33)  # behind IHDR
jpeg_with = partial(with_inside, format="JPEG", place=20)  # behind JFIF


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 255, marker, len(payload) + 2) + payload


def packet_of(path: Path) -> bytes:
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tif:
            return bytes(tif.pages.first.tags[700].value)
    with Image.open(path) as image:
        image.load()
        found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
        return found if isinstance(found, bytes) else str(found).encode()


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize("suffix", SUFFIXES[:-1])
def test_the_resolution_comes_through(suffix: str, to: str, photo: np.ndarray, tmp_path: Path) -> None:
    picture = read(file_with(suffix, photo, tmp_path / f"in{suffix}", dots=True))
    write(tmp_path / f"out{to}", picture.pixels, exif=picture.exif, extras=picture.extras)
    assert dots_of(tmp_path / f"out{to}") == pytest.approx(DOTS, abs=0.02)
    again = read(tmp_path / f"out{to}")
    assert again.extras.resolution == DOTS, "exactly, though metric formats round"


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_jpeg_2000_says_its_resolution_at_every_depth(depth: str, photo: np.ndarray, tmp_path: Path) -> None:
    import imagecodecs

    data = imagecodecs.jpeg2k_encode(
        photo.astype(depth) * (257 if depth == "uint16" else 1), level=0, codecformat="jp2"
    )
    place = data.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", data, place)
    box = struct.pack(">I4sI4s4H2b", 26, b"res ", 18, b"resc", 15, 254, 3, 254 // 2, 5, 6)
    data = (
        data[:place] + struct.pack(">I", length + 26) + data[place + 4 : place + length] + box + data[place + length :]
    )
    (tmp_path / "a.jp2").write_bytes(data)
    assert read(tmp_path / "a.jp2").extras.resolution == (Fraction(3 * 10**6, 127) * 254 / 10**4, 150)


@pytest.mark.parametrize("unit", [1, 2])
def test_a_turned_picture_has_its_resolution_turned(unit: int, photo: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(photo).save(tmp_path / "a.jpg", dpi=DOTS, exif=exif)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    data[13] = unit
    (tmp_path / "a.jpg").write_bytes(data)
    x, y = DOTS if unit == 1 else (762, 381)
    assert read(tmp_path / "a.jpg").extras.resolution == (y, x)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_exif_block_says_the_same_and_keeps_the_rest(order: str, photo: np.ndarray, tmp_path: Path) -> None:
    """Makers' notes point into the block: nothing but the first directory may move."""
    exif = Image.Exif()
    exif.endian = order
    exif[X], exif[Y], exif[UNIT], exif[271] = 72, 72, 2, "Maker of pictures"
    exif.get_ifd(0x8769)[0x927C] = b"makers' notes, longer than four bytes"
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=exif.tobytes())
    picture = read(tmp_path / "a.jpg")
    assert picture.exif is not None
    assert picture.extras.resolution == (72, 72)
    for suffix in (".jpg", ".png"):
        extras = picture.extras.scaled(Fraction(5, 48), Fraction(2))
        write(tmp_path / f"b{suffix}", picture.pixels, exif=picture.exif, extras=extras)
        with Image.open(tmp_path / f"b{suffix}") as image:
            found = image.getexif()
            assert (float(found[X]), float(found[Y]), found[UNIT]) == (7.5, 144, 2)
            assert found[271] == "Maker of pictures"
            assert found.get_ifd(0x8769)[0x927C] == b"makers' notes, longer than four bytes"
        assert picture.exif[14:] in (tmp_path / f"b{suffix}").read_bytes(), "the old bytes stay where they were"
        assert read(tmp_path / f"b{suffix}").extras.resolution == (7.5, 144)


@pytest.mark.parametrize("to", HOLD_XMP)
@pytest.mark.parametrize("suffix", HOLD_XMP)
def test_xmp_comes_through(suffix: str, to: str, photo: np.ndarray, tmp_path: Path) -> None:
    picture = read(file_with(suffix, photo, tmp_path / f"in{suffix}", packet=PACKET))
    assert picture.extras.left_out == ()
    write(tmp_path / f"out{to}", picture.pixels, extras=picture.extras)
    found = packet_of(tmp_path / f"out{to}")
    assert found == PACKET.replace(b'Orientation="6"', b'Orientation="1"').replace(
        b"<xmp:Thumbnails><a>UNTRANSLATED</a></xmp:Thumbnails>", b""
    )
    assert b'tiff:XResolution="600/1"' in (picture.extras.scaled(Fraction(2), Fraction(1)).xmp or b"")


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "café")
    info.add_text("workflow", '{"nodes": []}' * 999, zip=True)
    info.add_itxt("Title", "дом", "ru", "Название")
    return info


@pytest.mark.parametrize("depth", [8, 16])
def test_texts_of_png_come_through_as_they_are(depth: int, photo: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(photo if depth == 8 else photo[..., 0].astype(np.uint16) * 257)
    image.save(tmp_path / "a.png", pnginfo=texts())
    picture = read(tmp_path / "a.png")
    write(tmp_path / "b.png", picture.pixels, extras=picture.extras)
    before, after = (list(chunks((tmp_path / name).read_bytes())) for name in ("a.png", "b.png"))
    wanted = [one for one in before if one[0] in (b"tEXt", b"zTXt", b"iTXt")]
    assert len(wanted) == 3
    assert [one for one in after if one[0] in (b"tEXt", b"zTXt", b"iTXt")] == wanted
    for suffix in (".jpg", ".tif", ".webp"):
        write(tmp_path / f"b{suffix}", np.zeros((4, 4, 3), np.uint8), extras=picture.extras)


def test_imagemagicks_texts_are_taken_for_what_they_are(photo: np.ndarray, tmp_path: Path) -> None:
    def raw(kind: bytes, payload: bytes) -> bytes:
        text = b"\n%s\n%8d\n%s\n" % (kind, len(payload), payload.hex().encode())
        return chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(text))

    picture = read(png_with(raw(b"exif", block()) + raw(b"xmp", PACKET), photo, tmp_path / "a.png"))
    assert picture.extras.resolution == DOTS
    assert b"UNTRANSLATED" not in (picture.extras.xmp or b"UNTRANSLATED")
    assert picture.extras.texts == ()
    turning = Image.Exif()
    turning[ORIENTATION] = 6
    picture = read(png_with(raw(b"exif", turning.tobytes()), photo, tmp_path / "b.png"))
    np.testing.assert_array_equal(picture.pixels, photo)
    assert picture.exif is None
    assert "would turn" in picture.extras.left_out[0]


def test_comments_of_jpeg_come_through(photo: np.ndarray, tmp_path: Path) -> None:
    picture = read(jpeg_with(segment(0xFE, b"one") + segment(0xFE, b"two"), photo, tmp_path / "a.jpg"))
    write(tmp_path / "b.jpg", picture.pixels, extras=picture.extras)
    assert segment(0xFE, b"one") + segment(0xFE, b"two") in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("suffix", [".jp2", ".jxl"])
def test_metadata_in_boxes_are_named(suffix: str, photo: np.ndarray, tmp_path: Path) -> None:
    import imagecodecs

    if suffix == ".jp2":
        data = imagecodecs.jpeg2k_encode(photo, level=0, codecformat="jp2")
    else:
        data = imagecodecs.jpegxl_encode(photo, level=90, usecontainer=True)
    first = int.from_bytes(data[:4], "big")
    for name in (b"xml ", b"uuid", b"free"):
        added = struct.pack(">I4s", 20, name) + b"something in"
        following = first + int.from_bytes(data[first : first + 4], "big")  # behind the kind of the file
        (tmp_path / f"a{suffix}").write_bytes(data[:following] + added + data[following:])
        picture = read(tmp_path / f"a{suffix}")
        assert picture.pixels.shape == photo.shape
        assert bool(picture.extras.left_out) == (name != b"free")


def text_chunk(payload: bytes) -> bytes:
    return chunk(b"tEXt", b"Comment\0" + payload)


XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
BOMB = zlib.compress(bytes(2**26), 9)  # 64 KB that become 64 MB
PNG_FLAWS: dict[str, tuple[Callable[[], bytes], str]] = {
    "checksum": (lambda: text_chunk(b"x")[:-1] + b"?", "checksum"),
    "too many": (lambda: text_chunk(b"x") * (MAX_TEXTS + 1), "more than"),
    "too long": (lambda: text_chunk(bytes(17 * 2**20)), "more than"),
    "xmp bomb": (lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB), "XMP"),
    "xmp junk": (lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes(50)), "XMP"),
    "xmp without an end": (lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<xmp:Thumbnails>" * 9), "XMP"),
    "raw bomb": (lambda: chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB), "profile"),
    "raw cut": (lambda: chunk(b"tEXt", b"Raw profile type exif\0exif 9 0x"), "profile"),
    "raw iptc": (lambda: chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n 2\n0102"), "IPTC"),
    "film in the file": (lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<a GCamera:MotionPhoto='1'/>"), "XMP"),
    "text bomb": (lambda: chunk(b"zTXt", b"Comment\0\0" + BOMB), ""),
    "resolution of nothing": (lambda: chunk(b"pHYs", bytes(8) + b"\1"), ""),
    "resolution too short": (lambda: chunk(b"pHYs", b"\1\1"), ""),
}
JPEG_FLAWS: dict[str, tuple[Callable[[], bytes], str]] = {
    "comments": (lambda: segment(0xFE, b"x") * (MAX_TEXTS + 1), "more than"),
    "xmp junk": (lambda: segment(0xE1, XMP_NAME + b"junk"), "XMP"),
    "more xmp": (lambda: segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)), "XMP"),
    "iptc": (lambda: segment(0xED, b"Photoshop 3.0\0" + bytes(40)), "IPTC"),
    "exif": (lambda: segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"), ""),
    "resolution of nothing": (lambda: segment(0xE0, b"JFIF\0\1\1\1\0\0\0\0\0\0"), ""),
}


@pytest.mark.parametrize("flaw", [f".png {name}" for name in PNG_FLAWS] + [f".jpg {name}" for name in JPEG_FLAWS])
def test_a_flaw_is_a_sentence_and_takes_no_memory(flaw: str, photo: np.ndarray, tmp_path: Path) -> None:
    suffix, _, name = flaw.partition(" ")
    put, flaws = (png_with, PNG_FLAWS) if suffix == ".png" else (jpeg_with, JPEG_FLAWS)
    make, told = flaws[name]
    plain = read(put(b"", photo, tmp_path / f"plain{suffix}"))
    path = put(make(), photo, tmp_path / f"a{suffix}")
    started = time.perf_counter()
    tracemalloc.start()
    try:
        picture = read(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * path.stat().st_size + 30 * 2**20
    assert time.perf_counter() - started < 2
    np.testing.assert_array_equal(picture.pixels, plain.pixels)
    assert [told in text for text in picture.extras.left_out] == ([True] if told else [])
    write(tmp_path / f"b{suffix}", picture.pixels, exif=picture.exif, extras=picture.extras)
