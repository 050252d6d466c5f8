"""From a file to a `Picture`, at the depth of the file, through Pillow, tifffile and imagecodecs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from translate.files import SPECIAL, is_special
from translate.images import color, exif, hdr, icons, jpeg, jpeg2000, jxl, netpbm, pillow, png, tiff, webp
from translate.images.picture import ALWAYS_READ_BYTES, Decoded, ImageError, Picture, Refused, read_whole, refuse_long

MAX_PIXELS = 100_000_000
UNSUPPORTED = re.compile(
    r"(?i)\b(unsupported|not supported(?! between)|unimplemented|not implemented|unknown \w+ mode)\b"
)
LAYERED = b"8BPS"  # Photoshop's files, whose layers are passed over: they may be long


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file; of an animation or of several pages the first. May be called from several threads.

    Raises:
        ImageError: no such file, not a picture, empty, truncated or damaged (never half a picture), more than
            `max_pixels` pixels (by the header, so nothing is decoded). Whether values may be missing (NaN) is
            decided by `to_spec`.
    """
    path = Path(path)
    with _reasons(path):
        if is_special(path):
            raise Refused(SPECIAL)
        with path.open("rb") as file:
            return _finish(_decode(file, max_pixels=max_pixels))


def read_hashed(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[Picture, bytes, os.stat_result]:
    """The picture in a file, sha256 of its bytes, and the state of the file before it was read. As `read` otherwise.

    Raises:
        ImageError: as `read`.
    """
    with _reasons(path):
        state = os.stat(path)  # noqa: PTH116 - a Path takes several times as long, as in the next line
        if not stat.S_ISREG(state.st_mode):
            raise IsADirectoryError if stat.S_ISDIR(state.st_mode) else Refused(SPECIAL)
        with open(path, "rb") as file:  # noqa: PTH123
            if state.st_size <= ALWAYS_READ_BYTES:  # the bytes are read once
                data = file.read(state.st_size + 1)
                if len(data) <= state.st_size:  # else it grows at this moment
                    picture = _finish(_decode(io.BytesIO(data), max_pixels=max_pixels))
                    return picture, hashlib.sha256(data).digest(), state
            file.seek(0)
            picture = _finish(_decode(file, max_pixels=max_pixels))
        with open(path, "rb") as file:  # noqa: PTH123 - a decoder may have closed the first
            return picture, hashlib.file_digest(file, "sha256").digest(), state


@contextlib.contextmanager
def _reasons(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block every error is an ImageError in plain words that names the file."""
    try:
        yield
    except Refused as error:
        raise ImageError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: is a folder, not a picture") from None
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to decode it") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(f"{path}: cannot be opened: {os.strerror(error.errno)}") from error
        if _is_unsupported(error):
            raise ImageError(
                f"{path}: of a kind that is not supported ({_reason(error)}): convert it to PNG or TIFF"
            ) from error
        raise ImageError(f"{path}: cannot be decoded, the file is truncated or damaged ({_reason(error)})") from error


def from_pil(image: Image.Image, *, name: str) -> Picture:
    """A PIL image as `read` would have given its file; `name` stands for the path in errors.

    Raises:
        ImageError: it holds what no `Picture` can, or it is a lazily opened file that turns out damaged.
    """
    try:
        return _finish(pillow.from_image(image))
    except Refused as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:
        raise ImageError(f"{name}: cannot be decoded, the image is truncated or damaged ({_reason(error)})") from error


def _decode(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """The decoder is chosen by the first bytes: a suffix may be wrong."""
    head = file.read(png.HEADER)
    file.seek(0)
    if not head:
        raise Refused("the file is empty (0 bytes)")
    if head.startswith(jpeg.MAGIC):
        return pillow.decode_jpeg(file, head=head, max_pixels=max_pixels)
    if head.startswith(png.SIGNATURE):
        return png.decode(file, max_pixels=max_pixels)
    if head.startswith(tiff.MAGIC):
        return tiff.decode(file, max_pixels=max_pixels)
    if head.startswith(jpeg2000.MAGIC):
        return jpeg2000.decode(file, head=head, max_pixels=max_pixels)
    if head.startswith(jxl.MAGIC):
        return jxl.decode(file, max_pixels=max_pixels)
    if head.startswith(hdr.MAGIC):
        return hdr.decode(file, max_pixels=max_pixels)
    if head.startswith(icons.ICO):
        return icons.decode_ico(file, head=head, max_pixels=max_pixels)
    if head.startswith(icons.ICNS):
        return icons.decode_icns(file, head=head, max_pixels=max_pixels)
    if netpbm.is_deep(head, file):
        return netpbm.read(file, max_pixels=max_pixels)
    if webp.is_webp(head):
        webp.check(head, max_pixels=max_pixels)
    if head[4:8] == b"ftyp":  # AVIF
        file = io.BytesIO(exif.disarmed(read_whole(file, max_pixels=max_pixels)))
    elif not head.startswith(LAYERED):
        refuse_long(file, max_pixels=max_pixels)
    file.seek(0)
    return pillow.decode(file, head=head, max_pixels=max_pixels)


def _finish(found: Decoded) -> Picture:
    """Colours to sRGB, then upright."""
    pixels, icc = color.to_srgb(found.pixels, found.icc, cmyk=found.cmyk)
    palette = None
    if found.index is not None:
        palette = pixels[0]
        padded = np.zeros((max(len(palette), 256), 3), np.uint8)  # places beyond the palette are black, as in Pillow
        padded[: len(palette)] = palette
        pixels = padded[found.index]
    orientation, block = exif.clean(found.exif)
    turn = found.orientation or orientation
    extras, stated = found.extras, exif.resolution(block)
    if stated and (extras.resolution is None or stated.rounds_to(extras.resolution)):
        extras = replace(extras, resolution=stated)
    return Picture(
        pixels=upright(pixels, turn),
        alpha=None if found.alpha is None else upright(found.alpha, turn),
        format=found.format,
        palette=palette,
        icc=icc,
        exif=block,
        extras=extras.turned(turn),
        frames=found.frames,
    )


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """`[H, W, ...]` as stored -> upright, by EXIF's orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _is_unsupported(error: Exception) -> bool:
    """Whether the error means that the library lacks a feature, not that the file is damaged."""
    return isinstance(error, NotImplementedError) or UNSUPPORTED.search(str(error)) is not None


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
