"""Which files are pictures, what their formats are called, and what each format can hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

from translate.tables import closest


@dataclass(frozen=True)
class Format:
    """A file format, by Pillow's name."""

    suffixes: tuple[str, ...]  # lower case; the first is the usual one
    depths: tuple[str, ...] = ()  # numpy names of what can be written; none: the format is only read
    channels: tuple[int, ...] = ()  # what can be written besides alpha; none: any number
    alpha: bool = False
    metadata: bool = False  # whether ICC profile, EXIF and XMP are written
    resolution: bool = False  # whether dots per inch are written
    lossy: bool = False  # whether what is read again differs a little from what was written


FORMATS: dict[str, Format] = {
    "JPEG": Format(
        (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), ("uint8",), (1, 3), metadata=True, resolution=True, lossy=True
    ),
    "PNG": Format((".png", ".apng"), ("uint8", "uint16"), (1, 3), alpha=True, metadata=True, resolution=True),
    "TIFF": Format((".tif", ".tiff"), ("uint8", "uint16", "float32"), alpha=True, metadata=True, resolution=True),
    "WEBP": Format((".webp",), ("uint8",), (1, 3), alpha=True, metadata=True, resolution=True, lossy=True),
    "AVIF": Format((".avif", ".avifs"), ("uint8",), (1, 3), alpha=True, metadata=True, resolution=True, lossy=True),
    "BMP": Format((".bmp", ".dib"), ("uint8",), (1, 3), resolution=True),
    "GIF": Format((".gif",)),  # colours would be cut to a palette
    "PPM": Format((".ppm", ".pgm", ".pnm"), ("uint8",), (1, 3)),
    "TGA": Format((".tga", ".icb", ".vda", ".vst"), ("uint8",), (1, 3), alpha=True),
    "JPEG2000": Format((".jp2", ".jpx", ".jpf"), ("uint8",), (1, 3), alpha=True, resolution=True),  # without loss
    "J2K": Format((".j2k", ".j2c", ".jpc")),
    "PBM": Format((".pbm",)),
    "PAM": Format((".pam",)),
    "PFM": Format((".pfm",)),
    "HDR": Format((".hdr",)),
    "JXL": Format((".jxl",)),
    "EXR": Format((".exr",)),  # these two are not read, but reported by name
    "HEIF": Format((".heic", ".heif")),
    "PSD": Format((".psd",)),
    "ICO": Format((".ico",)),
    "CUR": Format((".cur",)),
    "ICNS": Format((".icns",)),
    "PCX": Format((".pcx",)),
    "DDS": Format((".dds",)),
    "SGI": Format((".sgi", ".rgb", ".rgba", ".bw")),
    "SUN": Format((".ras", ".sr")),
    "QOI": Format((".qoi",)),
    "XBM": Format((".xbm",)),
    "XPM": Format((".xpm",)),
}
"""Formats whose files count as pictures when a folder is listed. WebP and AVIF keep gray as colour."""

IMAGE_SUFFIXES = frozenset(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
"""Lower-case suffixes that are taken as pictures when a folder is listed."""


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is taken as a picture: a known suffix, and not hidden."""
    name = path if isinstance(path, str) and "/" not in path and "\\" not in path else PurePath(path).name
    if name.startswith("."):
        return False
    stem, dot, suffix = name.rpartition(".")  # as PurePath.suffix: this is called millions of times
    return bool(stem) and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES


def format_for(name: str) -> str:
    """`".jpg"`, `"jpg"`, `"JPEG"` -> `"JPEG"`.

    Raises:
        ValueError: nothing known is called so; names what there is and what is closest.
    """
    wanted = name.strip().lower().lstrip(".")
    for format, entry in FORMATS.items():
        if wanted == format.lower() or f".{wanted}" in entry.suffixes:
            return format
    hint = closest(wanted, [suffix.lstrip(".") for suffix in sorted(IMAGE_SUFFIXES)])
    writable = ", ".join(format for format, entry in FORMATS.items() if entry.depths)
    raise ValueError(f'no picture format is called "{name}"{hint}: files can be written as {writable}')


def suffix_for(format: str) -> str:
    """The usual suffix of a format: `"JPEG"` -> `".jpg"`.

    Raises:
        ValueError: the format is not known.
    """
    return FORMATS[format_for(format)].suffixes[0]


def can_hold(format: str, *, channels: int, dtype: str, alpha: bool) -> bool:
    """Whether `write` can store such pixels in a format without cutting anything.

    Two and four channels without a separate `alpha` are gray and colour with alpha as the last channel,
    except in TIFF, which holds any number of bands as they are.

    Raises:
        ValueError: the format is not known.
    """
    entry = FORMATS[format_for(format)]
    if dtype not in entry.depths:
        return False
    if not entry.channels:
        return True
    if channels in (2, 4) and not alpha:
        channels, alpha = channels - 1, True
    return channels in entry.channels and (entry.alpha or not alpha)
