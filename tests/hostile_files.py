"""Small files that would take gigabytes or minutes to decode, by name, and the kind's parts to make others of."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import imagecodecs
import numpy as np
from PIL import Image

SIDE = 40_000  # of a picture beyond the usual limit
MIB = 2**20


def by_pillow(format: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format, **options)
    return buffer.getvalue()


def bomb(size: int) -> bytes:
    """A deflated stream of so many zeros, a thousandth as long; made without deflating them all."""
    once = zlib.compressobj(9)
    head = once.compress(bytes(MIB)) + once.flush(zlib.Z_FULL_FLUSH)
    once = zlib.compressobj(9, wbits=-15)
    block = once.compress(bytes(MIB)) + once.flush(zlib.Z_FULL_FLUSH)
    count = max(-(-size // MIB), 1)
    last = zlib.compressobj(9, wbits=-15).flush()
    return head + block * (count - 1) + last + struct.pack(">I", ((count * MIB) % 65521) << 16 | 1)


# ---- PNG


def chunk(name: bytes, payload: bytes, *, checksum: int = 0) -> bytes:
    crc = zlib.crc32(name + payload) ^ checksum
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", crc)


def header(width: int, height: int, *, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def large_png(*before: bytes, depth: int = 8, side: int = SIDE) -> bytes:
    """One gray picture beyond the limit, that a decoder would decode."""
    data = chunk(b"IDAT", bomb(side * (side * depth // 8 + 1)))
    return png(*before, header(side, side, depth=depth), data)


# ---- TIFF

LONG, SHORT = 4, 3
FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 12: "d", 16: "Q"}


def tiff(pages: Sequence[dict[int, tuple[int, Sequence[int]]]], data: bytes = b"", *, subs: bool = False) -> bytes:
    """Little-endian; `data` lies at byte 8. Tags: number -> (type, values)."""
    out = bytearray(b"II*\0" + struct.pack("<I", 0) + data)
    link = 4
    for tags in pages:
        entries = []
        for number, (kind, values) in sorted(tags.items()):
            packed = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)
            count = len(packed) // struct.calcsize(FORMATS[kind]) // (2 if kind == 5 else 1)
            if len(packed) > 4:
                out += bytes(len(out) % 2)
                place, packed = len(out), bytes(packed)
                out += packed
                packed = struct.pack("<I", place)
            entries.append(struct.pack("<HHI", number, kind, count) + bytes(packed).ljust(4, b"\0"))
        out += bytes(len(out) % 2)
        struct.pack_into("<I", out, link, len(out))
        out += struct.pack("<H", len(entries)) + b"".join(entries)
        link = len(out)
        out += bytes(4)
    return bytes(out)


def page(
    width: int,
    height: int,
    *,
    length: int,
    bands: int = 1,
    bits: int = 8,
    photometric: int = 1,
    compression: int = 8,
    place: int = 8,
    **more: tuple[int, Sequence[int]],
) -> dict[int, tuple[int, Sequence[int]]]:
    """Tags of a page in one strip, which lies at `place`; `more` are further ones, called t and their number."""
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * bands),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        273: (LONG, [place]),
        277: (SHORT, [bands]),
        278: (LONG, [height]),
        279: (LONG, [length]),
    }
    own = {1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(photometric, 1)
    if bands > own:
        tags[338] = (SHORT, [0] * (bands - own))
    tags.update({int(name[1:]): value for name, value in more.items()})
    return tags


def tiles(width: int, height: int, *, length: int) -> dict[str, tuple[int, Sequence[int]]]:
    return {
        "t322": (LONG, [width]),
        "t323": (LONG, [height]),
        "t324": (LONG, [8]),
        "t325": (LONG, [length]),
    }


def one_page(data: bytes, width: int, height: int, **options: object) -> bytes:
    return tiff([page(width, height, length=len(data), **options)], data)  # type: ignore[arg-type]


def in_tile(data: bytes, *, tile: int = 64, size: int = 64, **options: object) -> bytes:
    tags = page(size, size, length=len(data), **tiles(tile, tile, length=len(data)), **options)  # type: ignore[arg-type]
    for number in (273, 278, 279):
        del tags[number]
    return tiff([tags], data)


def many_strips(count: int, *, length: int = 100, data: bytes = bytes(MIB)) -> bytes:
    """Every strip is one row of one pixel, and lies at the same place."""
    tags = page(1, count, length=0, compression=1)
    tags |= {273: (LONG, [8] * count), 278: (LONG, [1]), 279: (LONG, [length] * count)}
    return tiff([tags], data)


# ---- JPEG and JPEG 2000


def scans(count: int, *, side: int = 4_000) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = by_pillow("JPEG", (side, side), mode="L", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def grown_jpeg(*, decoy: bool, progressive: bool = True) -> bytes:
    data = bytearray(by_pillow("JPEG", progressive=progressive))
    place = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    small = bytes(data[place:end])
    struct.pack_into(">HH", data, place + 5, SIDE, SIDE)
    return bytes(data[:end]) + (small if decoy else b"") + bytes(data[end:])


def box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + name + payload


def jpeg2000(*, size: tuple[int, int] | None = None, tile: tuple[int, int] | None = None) -> bytearray:
    """A code stream, with sizes put into it afterwards."""
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((48, 64, 3), np.uint8), level=0, codecformat="j2k"))
    if size:
        struct.pack_into(">II", data, 8, *size)
    if tile:
        struct.pack_into(">II", data, 24, *tile)
    return data


def jp2(stream: bytes | bytearray, *, decoy: bytes = b"", said: tuple[int, int] = (64, 48)) -> bytes:
    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", said[1], said[0], 3, 7, 7, 0, 0))
    colr = box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + decoy + box(b"jp2h", ihdr + colr) + box(b"jp2c", bytes(stream))


def decoy_jpeg2000(bits: int) -> bytes:
    """A small size in a box that no decoder reads, before a large one."""
    small = bytearray(jpeg2000())
    small[42] = bits - 1
    return jp2(jpeg2000(size=(SIDE, SIDE), tile=(SIDE, SIDE)), decoy=box(b"xml ", bytes(small[:100])))


# ---- icons


def ico(data: bytes, *, width: int = 32, bits: int = 32) -> bytes:
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", width, width, 0, 0, 1, bits, len(data), 22) + data


def dib(width: int, height: int, bits: int) -> bytes:
    return struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0) + bytes(4096)


def icns(data: bytes, name: bytes = b"ic08") -> bytes:
    return b"icns" + struct.pack(">I", 16 + len(data)) + name + struct.pack(">I", 8 + len(data)) + data


# ---- others


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int] | None = None) -> bytes:
    data = by_pillow("GIF", mode="P")
    place = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    box_ = struct.pack("<HHHH", *frame) if frame else data[place + 1 : place + 9]
    return data[:6] + struct.pack("<HH", *screen) + data[10 : place + 1] + box_ + data[place + 9 :]


def webp(width: int, height: int) -> bytes:
    """An extended header of that size before a picture of 64x48."""
    inner = by_pillow("WEBP", lossless=True)[12:]
    vp8x = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )
    body = b"WEBP" + vp8x + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def hdr() -> bytes:
    """The size line of a small picture, which the decoder passes over, and that of a large one."""
    rows = b"\2\2" + struct.pack(">H", 12_000) + (b"\xff\0" * 94 + b"\xbe\0") * 4
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n-Y 8 +X 8\n\n-Y 12000 +X 12000\n" + rows * 12_000


def sharing_tags() -> bytes:
    """A thousand tags with one value of some megabytes."""
    tags = {60_000 + i: (7, b"12345") for i in range(1_000)}
    data = bytearray(tiff([page(8, 8, length=64, compression=1) | tags], bytes(4 * MIB)))
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] >= 60_000:
            struct.pack_into("<II", data, entry + 4, 4 * MIB, 8)
    return bytes(data)


def fits() -> bytes:
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2"]
    cards += ["NAXIS1  =                40000", "NAXIS2  =                40000", "END"]
    return "".join(card.ljust(80) for card in cards).ljust(2880).encode()


def large_jxl() -> bytes:
    """The header of 100,000 x 100,000 pixels of 8 bits, all else as usual."""
    bits = 0
    place = 0
    for value, width in ((0, 1), (2, 2), (99_999, 18), (1, 3), (1, 1), (1, 1)):
        bits |= value << place
        place += width
    return b"\xff\x0a" + bits.to_bytes(4, "little") + bytes(1000)


OME = b"""<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="8" SizeC="100000000" SizeZ="1" SizeT="1">
<TiffData IFD="0" PlaneCount="100000000"/></Pixels></Image></OME>\0"""


def precincts() -> bytes:
    """A tile in half a million parts, each in 999 layers."""
    data = jpeg2000(size=(1_000, 1_000), tile=(1_000, 1_000))
    place = data.index(b"\xff\x52")
    length = int.from_bytes(data[place + 2 : place + 4], "big")
    resolutions = data[place + 9] + 1
    struct.pack_into(">HBBH", data, place + 2, length + resolutions, data[place + 4] | 1, data[place + 5], 999)
    data[place + 2 + length : place + 2 + length] = bytes([0] + [0x11] * (resolutions - 1))
    return bytes(data)


def exif_bomb(tags: int = 60_000, size: int = 2**20) -> bytes:
    """An EXIF block of so many tags with one value, which is all of the block."""
    entries = b"".join(struct.pack("<HHII", tag, 7, size - 8, 8) for tag in range(tags))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries).ljust(size, b"\0")


def jpeg_with_exif(block: bytes, mode: str) -> bytes:
    """In as many segments as it takes, and without a JFIF header, so that Pillow would look for the resolution."""
    parts = [block[start : start + 65_000] for start in range(0, len(block), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts)
    data = by_pillow("JPEG", mode=mode)
    behind = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
    return data[:2] + segments + data[behind:]


def avif_with_exif(block: bytes) -> bytes:
    """The block takes the place of an empty one, which the encoder parses."""
    empty = block[:8].ljust(len(block), b"\0")
    return by_pillow("AVIF", exif=empty).replace(empty, block)


def small_png(*chunks: bytes) -> bytes:
    return png(header(8, 8), *chunks, chunk(b"IDAT", zlib.compress(bytes(72))))


FILES: dict[str, Callable[[], bytes]] = {
    "tiff of 60,000 bands": lambda: one_page(bomb(400 * 430 * 60_000), 400, 430, bands=60_000),
    "tiff with a depth": lambda: one_page(bomb(9 * 2**30), 9_000, 1_000, t32997=(LONG, [1_000])),
    "tiff of 64-bit bands": lambda: one_page(bomb(8 * 2**30), 1_000, 1_000, bands=1_000, bits=64),
    "tiff of floats": lambda: one_page(bomb(2**31), 9_000, 9_000, bands=6, bits=64, t339=(SHORT, [3] * 6)),
    "tiff in one tile": lambda: in_tile(bomb(SIDE * SIDE), tile=SIDE),
    "palette tiff in one tile": lambda: in_tile(bomb(SIDE * SIDE), tile=SIDE, photometric=3, t320=(SHORT, [0] * 768)),
    "tiff with a large jpeg": lambda: in_tile(grown_jpeg(decoy=False), compression=7, bands=3, photometric=2),
    "tiff with a jpeg of 1,000 scans": lambda: in_tile(
        scans(1_000), tile=4_000, size=4_000, compression=7, bands=1, photometric=1
    ),
    "tiff with a large png": lambda: in_tile(large_png(), compression=34933),
    "tiff with a large jpeg 2000": lambda: in_tile(
        bytes(jpeg2000(size=(SIDE, SIDE), tile=(SIDE, SIDE))), compression=34712, bands=3, photometric=2
    ),
    "tiff with a large webp": lambda: in_tile(webp(2**14, 2**14), compression=50001, bands=3, photometric=2),
    "tiff with a large jpeg xl": lambda: in_tile(large_jxl(), compression=50002),
    "tiff of a million strips": lambda: many_strips(1_000_000),
    "tiff whose strips are read again and again": lambda: many_strips(20_000, length=MIB),
    "tiff whose tags are read again and again": lambda: sharing_tags(),
    "tiff of 60,000 pages": lambda: tiff(
        [page(8, 8, length=64, compression=1)] + [{256: (LONG, [8])}] * 60_000, bytes(64)
    ),
    "tiff of a hundred million planes": lambda: tiff(
        [page(8, 8, length=64, compression=1) | {270: (2, OME)}],
        bytes(64),
    ),
    "hdr with a second size": hdr,
    "png behind another chunk": lambda: large_png(chunk(b"tEXt", bytes(16) + b"\x10" + bytes(30))),
    "png of 16 bits behind a decoy": lambda: large_png(
        chunk(b"teSt", struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0)), depth=16
    ),
    "png of two headers": lambda: large_png(header(8, 8, depth=16), depth=16),
    "png of 16 bits of two headers": lambda: png(
        header(8, 8, depth=16), header(SIDE, SIDE, depth=16), chunk(b"IDAT", bomb(2 * SIDE * SIDE))
    ),
    "jpeg of 1,000 scans": lambda: scans(1_000),
    "jpeg of 1,000 scans behind a mark": lambda: scans(1_000)[:2] + b"\xff\x01" + scans(1_000)[2:],
    "jpeg of two frames": lambda: grown_jpeg(decoy=True),
    "jpeg of two frames, the first large": lambda: grown_jpeg(decoy=True, progressive=False),
    "jpeg 2000 with a decoy": lambda: decoy_jpeg2000(8),
    "deep jpeg 2000 with a decoy": lambda: decoy_jpeg2000(16),
    "jpeg 2000 that says two sizes": lambda: jp2(jpeg2000(size=(SIDE, SIDE), tile=(SIDE, SIDE))),
    "jpeg 2000 of many tiles": lambda: bytes(jpeg2000(size=(255, 255), tile=(1, 1))),
    "jpeg 2000 of many tiles in a box": lambda: jp2(jpeg2000(size=(255, 255), tile=(1, 1)), said=(255, 255)),
    "jpeg 2000 of many precincts": lambda: precincts(),
    "ico with a large png": lambda: ico(large_png()),
    "ico with a large bitmap": lambda: ico(dib(SIDE, SIDE, 24)),
    "icns with a large png": lambda: icns(large_png()),
    "icns with a large jpeg 2000": lambda: icns(bytes(jpeg2000(size=(SIDE, SIDE), tile=(SIDE, SIDE)))),
    "cur with a large bitmap": lambda: b"\0\0\2\0" + ico(dib(SIDE, SIDE, 24))[4:],
    "gif with a large screen": lambda: gif((60_000, 50_000)),
    "gif with a large frame": lambda: gif((64, 48), (0, 0, 60_000, 50_000)),
    "webp with a large canvas": lambda: webp(2**14, 2**14),
    "bmp": lambda: by_pillow("BMP")[:18] + struct.pack("<ii", SIDE, SIDE) + by_pillow("BMP")[26:],
    "psd": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, SIDE, SIDE, 8, 3) + bytes(14) + bytes(MIB),
    "pam of many bands": lambda: b"P7\nWIDTH 9000\nHEIGHT 9000\nDEPTH 60000\nMAXVAL 255\nENDHDR\n" + bytes(99),
    "ppm as text": lambda: b"P3\n40000 40000\n65535\n" + b"1 " * MIB,
    "pfm": lambda: b"PF\n40000 40000\n-1.0\n" + bytes(100),
    "qoi": lambda: b"qoif" + struct.pack(">IIBB", SIDE, SIDE, 4, 0) + b"\xfd" * MIB,
    "tga": lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, SIDE, SIDE, 24, 0) + bytes(MIB),
    "pcx": lambda: (
        b"\x0a\5\1\x08"
        + struct.pack("<4H", 0, 0, SIDE, SIDE)
        + bytes(53)
        + b"\1"
        + struct.pack("<H", SIDE + 2)
        + bytes(MIB)
    ),
    "dds": lambda: (
        by_pillow("DDS", mode="RGBA")[:12] + struct.pack("<II", SIDE, SIDE) + by_pillow("DDS", mode="RGBA")[20:]
    ),
    "sgi": lambda: by_pillow("SGI")[:6] + struct.pack(">HH", SIDE, SIDE) + by_pillow("SGI")[10:],
    "fits": lambda: fits(),
    "jpeg xl": lambda: large_jxl(),
}
"""Each is refused by `read` without being decoded. A file is at most a few megabytes."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg_with_exif(exif_bomb(), "RGB"),
    "jpeg of inks": lambda: jpeg_with_exif(exif_bomb(), "CMYK"),
    "png": lambda: small_png(chunk(b"eXIf", exif_bomb())),
    "png with texts": lambda: small_png(
        chunk(b"iCCP", b"x\0\0" + bomb(2**31)),
        chunk(b"zTXt", b"x\0\0" + bomb(2**31)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb(2**31)),
    ),
    "webp": lambda: by_pillow("WEBP", exif=b"Exif\0\0" + exif_bomb()),
    "avif": lambda: avif_with_exif(exif_bomb(20_000)),
    "tiff": lambda: tiff(
        [page(8, 8, length=64, compression=1) | {34665: (LONG, [8])}], exif_bomb(4_000, 4 * MIB)[8:] + bytes(8)
    ),
}
"""Each is a small picture, read without its metadata, which would take gigabytes."""
