"""XMP packets: the part that is still true of a picture written anew."""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 4 * 2**20  # bytes
JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\0"  # in front of it in a JPEG
EXTENDED_NAME = b"http://ns.adobe.com/xmp/extension/\0"  # further parts, of what does not fit one segment
PNG_KEYWORD = b"XML:com.adobe.xmp"

ORIENTATION = re.compile(rb"""(tiff:Orientation\s{0,9}(?:=\s{0,9}["']|>)\s{0,9})[2-8](?!\d)""")
RESOLUTION = re.compile(rb"""(tiff:([XY])Resolution\s{0,9}(?:=\s{0,9}["']|>)\s{0,9})(\d{1,10})(?:/(\d{1,10}))?""")
LEFT_OUT = "XMP left out: it is damaged, too long, or describes further pictures in the file"
EXTENDED_LEFT_OUT = "XMP beyond one segment left out: it is not carried over"
PREVIEWS = b"xmp:Thumbnails"


FURTHER = (
    *(b"hdrgm:Version", b"Container:Directory", b"GCamera:MicroVideo", b"GCamera:MotionPhoto"),
    *(b"GImage:Data", b"GDepth:Data"),
)
"""Names of gain maps, films and depth within the file, which a new file does not have."""


def clean(packet: bytes) -> bytes | None:
    """The packet with orientation 1 and without previews, which show the untranslated picture.

    None if it cannot be followed, is longer than any that is carried, or describes what the new file does not have.
    """
    if len(packet) > LONGEST or b"<" not in packet or packet.count(b"\0") > 1:  # of two bytes a letter
        return None
    if any(name in packet for name in FURTHER):
        return None
    packet = packet.rstrip(b"\0")
    start, end = b"<" + PREVIEWS, b"</" + PREVIEWS + b">"
    parts, place = [], 0
    while (first := packet.find(start, place)) >= 0:
        last = packet.find(end, first)
        if last < 0:
            return None
        parts.append(packet[place:first])
        place = last + len(end)
    return ORIENTATION.sub(rb"\g<1>1", b"".join(parts) + packet[place:])


def turned(packet: bytes) -> bytes:
    """Of a picture whose rows have become columns."""
    columns, rows = b"tiff:XResolution", b"tiff:YResolution"
    return rows.join(part.replace(rows, columns) for part in packet.split(columns))


def scaled(packet: bytes, x: Fraction, y: Fraction) -> bytes:
    """Of a picture that has `x` and `y` times the pixels on the same paper."""

    def changed(match: re.Match[bytes]) -> bytes:
        value = Fraction(int(match[3]), int(match[4] or 1) or 1) * (x if match[2] == b"X" else y)
        value = value.limit_denominator(1000)
        return match[1] + b"%d/%d" % (value.numerator, value.denominator)

    return RESOLUTION.sub(changed, packet)
