"""The EXIF block: the picture's orientation, and the part of the block that is still true of a picture written anew.

The block of JPEG, PNG and WebP is edited in place rather than parsed and written anew: makers' notes point into it by
offset, and would break. TIFF has no block, its fields are the file's own.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from PIL import Image

from translate.images.directories import RATIONAL, Directories, Tag
from translate.images.picture import Refused
from translate.images.resolution import Resolution, make

PREFIX = b"Exif\0\0"  # the marker that JPEG puts before the block; ours always have it
ORIENTATION = 0x0112
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
INCH, CENTIMETRE = 2, 3
EMPTY_BLOCK = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
SMALL_BLOCK = 2**14  # bytes up to which a block cannot be a decompression bomb
LONGEST_BLOCK = 2**24  # most bytes of a block that are read
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
BY_OFFSET = {
    0x927C,
    0xA005,
}  # makers' notes and the interoperability directory: they break when they are moved

DESCRIPTIVE = {
    "ImageDescription": 0x010E,
    "Make": 0x010F,
    "Model": 0x0110,
    "Software": 0x0131,
    "DateTime": 0x0132,
    "Artist": 0x013B,
    "Copyright": 0x8298,
}
"""Text tags of a TIFF file that describe the picture rather than its storage."""

LAYOUT_TEXTS = ("ImageJ=", "{", "<?xml", "<OME")
"""Beginnings of descriptions that are about the layout of the file, which a new file does not share."""


def clean(block: bytes | None) -> tuple[int, bytes | None]:
    """Orientation (1 to 8) of an EXIF block, and the block with orientation 1 and without its thumbnail.

    The thumbnail is blanked, not only unlinked: it shows the untranslated picture. A block that cannot be
    followed gives `(1, None)`, since viewers ignore it too.
    """
    if not block:
        return 1, None
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    data = bytearray(block)
    try:
        orientation = _clean(data)
    except (struct.error, KeyError):
        return 1, None
    bomb = len(block) > SMALL_BLOCK and is_bomb(io.BytesIO(block))
    return orientation, None if bomb else PREFIX + bytes(data)


def is_bomb(file: BinaryIO) -> bool:
    """Whether the values of a block, or of a TIFF file's first directory, overlap.

    A parser that reads all of them would take gigabytes for a small file.
    """
    try:
        directories = Directories(file)
        tags, _ = directories.read(directories.first)
        found = [tags]
        for inner in (EXIF_IFD, GPS_IFD):
            found += [directories.read(place)[0] for place in directories.numbers(tags[inner])] if inner in tags else []
        return any(directories.is_bomb(one) for one in found)
    except Refused:
        return True  # more tags than anybody writes
    except struct.error:
        return False


def disarmed(data: bytes) -> bytes:
    """A file of a format that Pillow looks for EXIF in as it opens it, without blocks that are bombs."""
    for start in (b"II*\0", b"MM\0*"):
        place = data.find(start)
        while place >= 0:
            if is_bomb(io.BytesIO(data[place : place + LONGEST_BLOCK])):
                (first,) = struct.unpack_from("<I" if start.startswith(b"I") else ">I", data, place + 4)
                count = place + first  # of the first directory's tags
                data = data[:count] + bytes(2) + data[count + 2 :]
            place = data.find(start, place + 1)
    return data


def _clean(data: bytearray) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}[bytes(data[:4])]
    (first,) = struct.unpack_from(order + "I", data, 4)
    entries, link = _entries(data, first, order)
    orientation = 1
    if ORIENTATION in entries:
        place, kind = entries[ORIENTATION]
        (found,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), data, place)
        struct.pack_into(order + ("I" if kind == 4 else "H"), data, place, 1)
        orientation = found if 1 <= found <= 8 else 1
    (second,) = struct.unpack_from(order + "I", data, link)
    if second:
        struct.pack_into(order + "I", data, link, 0)
        _blank_thumbnail(data, second, order)
    return orientation


def _entries(data: bytearray, start: int, order: str) -> tuple[dict[int, tuple[int, int]], int]:
    """Tag -> (place of its value, type), and the place of the link to the next directory."""
    (count,) = struct.unpack_from(order + "H", data, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    found = {}
    for place in places:
        tag, kind = struct.unpack_from(order + "HH", data, place)
        found[tag] = (place + 8, kind)
    return found, start + 2 + 12 * count


def _blank_thumbnail(data: bytearray, start: int, order: str) -> None:
    try:
        entries, _ = _entries(data, start, order)
        offset, length = (
            struct.unpack_from(order + "I", data, entries[tag][0])[0] for tag in (THUMBNAIL_OFFSET, THUMBNAIL_LENGTH)
        )
    except (struct.error, KeyError):
        return  # unlinked already, and no JPEG in it
    end = min(offset + length, len(data))
    if offset <= start < end:
        return  # not where a thumbnail can be
    if end == len(data):
        del data[offset:]
    else:
        data[offset:end] = bytes(end - offset)


def resolution_of(directories: Directories, tags: dict[int, Tag]) -> Resolution | None:
    """The fields of a directory of TIFF or EXIF.

    Raises:
        struct.error: it is cut off.
    """
    if X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return None
    x, y = (directories.rational(tags[tag]) for tag in (X_RESOLUTION, Y_RESOLUTION))
    if x is None or y is None:
        return None
    unit = directories.numbers(tags[RESOLUTION_UNIT])[:1] if RESOLUTION_UNIT in tags else [INCH]
    if unit == [CENTIMETRE]:
        x, y = x * 254 / 100, y * 254 / 100
    return make(x, y) if unit in ([INCH], [CENTIMETRE]) else None


def resolution(block: bytes | None) -> Resolution | None:
    """The fields of an EXIF block; None, too, if it cannot be followed."""
    if not block:
        return None
    try:
        directories = Directories(io.BytesIO(block.removeprefix(PREFIX)))
        return resolution_of(directories, directories.read(directories.first)[0])
    except (struct.error, Refused):
        return None


def with_resolution(block: bytes | None, wanted: Resolution) -> bytes:
    """The EXIF block, or a new one, with this resolution; makers' notes stay where they are.

    The first directory moves to the end, where there is room. A block that cannot be followed stays as it is.
    """
    if block and resolution(block) == wanted:
        return block
    data = block.removeprefix(PREFIX) if block else EMPTY_BLOCK
    order = "<" if data[:1] == b"I" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, first)
        entries = dict(struct.iter_unpack(f"{order}H10s", data[first + 2 : first + 2 + 12 * count]))
        (following,) = struct.unpack_from(f"{order}I", data, first + 2 + 12 * count)
    except struct.error:
        return block or PREFIX + data
    data += bytes(len(data) % 2)
    for tag, value in ((X_RESOLUTION, wanted.x), (Y_RESOLUTION, wanted.y)):
        entries[tag] = struct.pack(f"{order}HII", RATIONAL, 1, len(data))
        data += struct.pack(f"{order}II", value.numerator, value.denominator)
    entries[RESOLUTION_UNIT] = struct.pack(f"{order}HIHxx", 3, 1, INCH)
    directory = b"".join(struct.pack(f"{order}H10s", tag, entries[tag]) for tag in sorted(entries))
    directory = struct.pack(f"{order}H", len(entries)) + directory + struct.pack(f"{order}I", following)
    return PREFIX + data[:4] + struct.pack(f"{order}I", len(data)) + data[8:] + directory


def from_tiff(file: BinaryIO) -> bytes | None:
    """The tags of a TIFF file that describe the picture, as an EXIF block, or None.

    The first directory of such a file is an EXIF block and a description of the storage in one: only the
    former is taken. Metadata that cannot be followed are left out.
    """
    file.seek(0)
    if file.read(4) in (b"II+\0", b"MM\0+"):
        return None  # Pillow's parser knows no 64-bit offsets; cameras write none
    if is_bomb(file) or _says_nothing(file):
        return None
    file.seek(0)
    found = Image.Exif()
    try:
        found.load_from_fp(file)
        kept = _descriptive(found)
        return kept.tobytes() if len(kept) or kept.get_ifd(EXIF_IFD) or kept.get_ifd(GPS_IFD) else None
    except Exception:  # Pillow's parser raises nearly anything on odd tags
        return None


def _says_nothing(file: BinaryIO) -> bool:
    """Whether none of the tags that are taken is in the first directory, which is found faster than by Pillow."""
    try:
        directories = Directories(file)
        tags, _ = directories.read(directories.first)
    except struct.error:
        return False
    return tags.keys().isdisjoint({*DESCRIPTIVE.values(), EXIF_IFD, GPS_IFD})


def into_tiff(data: bytes, block: bytes) -> bytes:
    """A TIFF file, least significant byte first, with the fields of an EXIF block in its first directory.

    That directory moves to the end of the file, where there is room. A file beyond 4 GB, whose offsets have
    64 bits, and a block that cannot be followed leave the file as it is.
    """
    if not data.startswith(b"II*\0"):
        return data
    found = Image.Exif()
    try:
        found.load(block)
        kept = _descriptive(found)
        data += bytes(len(data) % 2)
        block = kept.tobytes(len(data))  # its offsets counted as if it lay behind the file
    except Exception:
        return data
    added = block[len(PREFIX) + 8 :]  # without the eight bytes that begin a file
    (first,) = struct.unpack_from("<I", data, 4)
    entries = {**_raw_entries(added, 0), **_raw_entries(data, first)}
    place = len(data) + len(added) + len(added) % 2
    merged = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return data[:4] + struct.pack("<I", place) + data[8:] + added + bytes(len(added) % 2) + merged


def _raw_entries(data: bytes, start: int) -> dict[int, bytes]:
    """Tag -> the 12 bytes of its entry, in a directory whose least significant bytes come first."""
    (count,) = struct.unpack_from("<H", data, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    return {struct.unpack_from("<H", data, place)[0]: data[place : place + 12] for place in places}


def _descriptive(found: Image.Exif) -> Image.Exif:
    """The fields that hold for a picture stored anew."""
    kept = Image.Exif()
    kept.endian = "<"
    for tag in DESCRIPTIVE.values():
        if tag in found and not str(found[tag]).startswith(LAYOUT_TEXTS):
            kept[tag] = _as_stored(found[tag])
    for directory in (EXIF_IFD, GPS_IFD):
        fields = found.get_ifd(directory).items()
        kept.get_ifd(directory).update((tag, _as_stored(v)) for tag, v in fields if tag not in BY_OFFSET)
    return kept


def _as_stored(value: Any) -> Any:
    """Pillow reads text as Latin-1 and writes it as ASCII, with question marks; bytes are kept as they are."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value
