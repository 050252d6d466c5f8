"""Text chunks of PNG: XMP and EXIF within them, and the rest, which is carried as it is stored."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from translate.images import xmp
from translate.images.exif import PREFIX, clean
from translate.images.extras import MAX_TEXT_BYTES, MAX_TEXTS, PHOTOSHOP_LEFT_OUT, TEXTS_LEFT, Extras

RAW_PROFILE = b"Raw profile type "  # ImageMagick's: EXIF, XMP and others as hexadecimal digits
KEYWORD = 80  # bytes, with its zero
LONGEST = 3 * xmp.LONGEST  # bytes of a text that is inflated


def read(
    data: bytes, places: Sequence[tuple[bytes, int, int]], *, is_intact: Callable[[bytes, int, int], bool]
) -> tuple[Extras, bytes | None]:
    """Texts and XMP of a file whose text chunks lie at `places`, and an EXIF block if one of them is it."""
    if len(places) > MAX_TEXTS or sum(end - start for _, start, end in places) > MAX_TEXT_BYTES:
        return Extras(left_out=(TEXTS_LEFT,)), None
    texts, left_out = [], set()
    packet = block = None
    for name, start, end in places:
        payload = data[start + 8 : end - 4]
        keyword = payload[:KEYWORD].partition(b"\0")[0]
        if not is_intact(data, start, end):
            left_out.add("text left out: its checksum is wrong")
        elif keyword == xmp.PNG_KEYWORD:
            packet = packet or _cleaned(_text(name, payload), left_out)
        elif keyword.startswith(RAW_PROFILE):
            profile = _raw(name, payload)
            if not profile:
                left_out.add("profile within a text left out: it is damaged or too long")
            elif profile.startswith(PREFIX):
                block = block or _upright(profile, left_out)
            elif keyword in (RAW_PROFILE + b"xmp", RAW_PROFILE + b"APP1"):
                packet = packet or _cleaned(profile.removeprefix(xmp.JPEG_NAME), left_out)
            else:
                left_out.add(PHOTOSHOP_LEFT_OUT)
        else:
            texts.append((name, payload))
    return Extras(xmp=packet, texts=tuple(texts), left_out=tuple(sorted(left_out))), block


def of_xmp(packet: bytes) -> bytes:
    """The payload of the `iTXt` chunk that holds a packet."""
    return xmp.PNG_KEYWORD + bytes(5) + packet


def _cleaned(packet: bytes, left_out: set[str]) -> bytes | None:
    cleaned = xmp.clean(packet)
    if cleaned is None:
        left_out.add(xmp.LEFT_OUT)
    return cleaned


def _upright(block: bytes, left_out: set[str]) -> bytes | None:
    """A block that does not turn the picture: what is in a text is not followed by most viewers, nor here."""
    orientation, cleaned = clean(block)
    if cleaned is None or orientation != 1:
        left_out.add("EXIF within a text left out: it is damaged, or would turn the picture")
        return None
    return cleaned


def _raw(name: bytes, payload: bytes) -> bytes:
    """The bytes of ImageMagick's text, of a name, a length and digits; none if it is not such a text."""
    parts = _text(name, payload).split(None, 2)
    try:
        return bytes.fromhex(parts[2].decode("ascii"))
    except (IndexError, ValueError):
        return b""


def _text(name: bytes, payload: bytes) -> bytes:
    """The text of a chunk, inflated if it is deflated; none if it is broken or too long."""
    rest = payload.partition(b"\0")[2]
    deflated = name == b"zTXt"
    if name == b"iTXt":
        deflated = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind a language and a translated keyword
    elif deflated:
        rest = rest[1:]
    if not deflated:
        return rest
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(rest, LONGEST)
    except zlib.error:
        return b""
    return text if inflater.eof else b""
