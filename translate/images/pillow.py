"""Pillow's part of reading: every 8-bit format, without the changes that Pillow makes silently."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from translate.borrowed import Borrowed
from translate.images import jpeg, xmp
from translate.images.extras import Extras
from translate.images.picture import Decoded, Refused, keyed_alpha, narrow, read_whole, refuse_large
from translate.images.resolution import make

RAW = "camera raw is not read: develop it into PNG or TIFF first"
NOT_RASTER = {"EPS": "a page description, which another program would have to draw"}
UNREAD = {
    (0, b"\x76\x2f\x31\x01"): "OpenEXR is not read: convert it to float TIFF",
    (4, b"ftyphei"): "HEIF is not read: convert it to JPEG or PNG",
    (4, b"ftypheix"): "HEIF is not read: convert it to JPEG or PNG",
    (4, b"ftypmif1"): "HEIF is not read: convert it to JPEG or PNG",
    (0, b"8BPS"): "a Photoshop file of this mode or depth is not supported: save it in RGB of 8 bits, or as TIFF",
    (0, b"\x59\xa6\x6a\x95"): "a Sun raster of this kind is not supported, or damaged: convert it to PNG",
    (4, b"ftypcrx "): RAW,
    (0, b"FUJIFILMCCD-RAW"): RAW,
    (0, b"II\x1a\0\0\0HEAP"): RAW,
    (0, b"IIRO"): RAW,
    (0, b"IIRS"): RAW,
    (0, b"MMOR"): RAW,
    (0, b"IIU\0"): RAW,
    (0, b"FOVb"): RAW,
    (0, b"\0MRM"): RAW,
}
"""(place, bytes) of formats that people have and Pillow does not know without a plugin."""

PLAIN = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB", "La": "LA", "RGBa": "RGBA"}
"""Modes that Pillow converts to a plainer one with nothing lost but rounding."""

SEVERAL_IN_ONE = ("MPO", "PSD")  # their further images are previews and layers, not frames
SAMPLES, EXTRA_SAMPLES = 277, 338  # tags of a TIFF: how many bands there are, and what those beyond colour are


def _choose(switches: tuple[bool, int | None]) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = switches


_switches = Borrowed(lambda: (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS), _choose)


def rules() -> AbstractContextManager[None]:
    """Within the block a truncated picture is an error, and `max_pixels` the limit, whatever Pillow's settings are."""
    return _switches((False, None))


def decode(
    file: BinaryIO,
    *,
    head: bytes,
    max_pixels: int,
    formats: tuple[str, ...] | None = None,
    gray_bits: int | None = None,
    alpha: bool = True,
) -> Decoded:
    """The first frame of a file in any format that Pillow knows, or in one of `formats`.

    `gray_bits` and `alpha` are as in `from_image`.

    Raises:
        Refused: not a picture, too large, or one that Pillow would change silently; Pillow's own errors on
            damage.
    """
    with rules():
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            raise Refused(_why_unknown(head)) from None
        with image:
            if image.format in NOT_RASTER:
                raise Refused(f"{image.format} is {NOT_RASTER[image.format]}: make it a PNG first")
            refuse_large(*image.size, max_pixels=max_pixels)
            return from_image(image, gray_bits=gray_bits, alpha=alpha)


def decode_jpeg(file: BinaryIO, *, head: bytes, max_pixels: int) -> Decoded:
    """A JPEG file; of several pictures in one the first.

    Raises:
        Refused: too large, of too many scans, or of a kind that is not supported; the decoders' own errors on damage.
    """
    data = read_whole(file, max_pixels=max_pixels)
    found = jpeg.layout(data, max_pixels=max_pixels)
    frame = found.frames[0]
    if frame.kind in jpeg.LOSSLESS:
        raise Refused("lossless JPEG is not supported: convert it to PNG or TIFF")
    if frame.bits != 8:
        raise Refused(f"JPEG of {frame.bits} bits is not supported: convert it to 16-bit PNG or TIFF")
    if frame.components not in (1, 3, 4):
        raise Refused(f"JPEG of {frame.components} components is not supported: convert it to TIFF")
    extras = jpeg.extras(found)
    if found.whole and frame.components != 4:
        return Decoded(pixels=jpeg.decode(data, frame), format="JPEG", icc=found.icc, exif=found.exif, extras=extras)
    plain = io.BytesIO(jpeg.pixels_only(data, found))
    decoded = decode(plain, head=head, max_pixels=max_pixels, formats=("JPEG",))
    return replace(decoded, icc=found.icc, exif=found.exif, extras=extras)


def _why_unknown(head: bytes) -> str:
    for (place, magic), reason in UNREAD.items():
        if head[place : place + len(magic)] == magic:
            return reason
    return "not a picture in any format that can be read, or its header is damaged"


def from_image(image: Image.Image, *, gray_bits: int | None = None, alpha: bool = True) -> Decoded:
    """A PIL image, loaded here if it is still lazy.

    `gray_bits` are those of a gray PNG, whose transparent colour Pillow gives in the file's scale. Without `alpha` the
    file does not declare what Pillow takes for alpha; it is a band like the others.

    Raises:
        Refused: a mode or depth that has no place among 8-bit, 16-bit and float bands.
    """
    if _would_be_cut(image):
        raise Refused(
            f"a {image.format} file of more than 8 bits a channel, which Pillow would cut to 8: "
            "give the path of a 16-bit PNG or TIFF instead"
        )
    stored = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if stored.get(SAMPLES, 1) > len(image.getbands()):
        raise Refused(
            f"a TIFF of {stored[SAMPLES]} bands, of which Pillow keeps {len(image.getbands())}: give its path"
        )
    if stored and EXTRA_SAMPLES not in stored:
        alpha = False
    drawn = _drawn(image)
    image.load()
    mode = PLAIN.get(image.mode, image.mode)
    key = image.info.get("transparency") if mode in ("L", "RGB", "P") else None
    if key is not None and image.mode == "L" and gray_bits:
        key *= 255 // (2**gray_bits - 1)
    index = palette = opacity = None
    if mode in ("P", "PA"):
        pixels = palette = np.array(image.getpalette("RGB"), np.uint8).reshape(1, -1, 3)
        bands = np.array(image)
        index = bands if mode == "P" else bands[..., 0]
        opacity = bands[..., 1] if mode == "PA" else _palette_alpha(image, key, len(palette[0]), index)
    else:
        pixels = _bands(image if mode == image.mode else image.convert(mode), mode)
        if mode in ("LA", "RGBA") and alpha:
            pixels, opacity = np.ascontiguousarray(pixels[..., :-1]), pixels[..., -1].copy()
        elif key is not None:
            opacity = keyed_alpha(pixels, key)
    if drawn is not None:
        top, left, bottom, right = drawn
        seen = np.full(image.size[::-1], 255, np.uint8) if opacity is None else opacity
        opacity = np.zeros_like(seen)
        opacity[top:bottom, left:right] = seen[top:bottom, left:right]
    return _decoded(image, pixels, alpha=opacity, index=index)


def _drawn(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of the first frame of a GIF that is smaller than its screen, or None.

    Around it the screen is transparent; Pillow has the first colour of the palette there.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "GIF" or not tiles or tiles[0][1] == (0, 0, *image.size):
        return None
    left, top, right, bottom = tiles[0][1]
    return top, left, bottom, right


def _decoded(
    image: Image.Image, pixels: np.ndarray, *, alpha: np.ndarray | None = None, index: np.ndarray | None = None
) -> Decoded:
    """Bands of an image, with its file's information about them."""
    return Decoded(
        pixels=pixels,
        format="JPEG" if image.format == "MPO" else image.format or "memory",
        alpha=alpha,
        index=index,
        cmyk=image.mode == "CMYK",
        icc=image.info.get("icc_profile") or None,
        exif=None if image.format == "TIFF" else image.info.get("exif"),
        extras=_extras(image),
        orientation=1 if image.format == "TIFF" else None,  # Pillow has turned TIFF files itself
        frames=1 if image.format in SEVERAL_IN_ONE else getattr(image, "n_frames", 1),
    )


def _extras(image: Image.Image) -> Extras:
    """Metadata of the formats that Pillow alone reads."""
    left_out = []
    packet = image.info.get("xmp")
    cleaned = xmp.clean(packet) if isinstance(packet, bytes) else None
    if packet and cleaned is None:
        left_out.append(xmp.LEFT_OUT)
    if image.info.get("comment"):
        left_out.append("comments left out: they are not carried over")
    try:
        dots = make(*image.info["dpi"])
    except (KeyError, TypeError, ValueError, ArithmeticError):
        dots = None
    return Extras(resolution=dots, xmp=cleaned, left_out=tuple(left_out))


def _would_be_cut(image: Image.Image) -> bool:
    """Whether a file that is not decoded yet has 16 bits a channel and a mode of 8 (SGI, TIFF, PNG)."""
    if image.mode.startswith("I"):
        return False
    for codec, _, _, args in getattr(image, "tile", ()):
        raw_mode = args[0] if isinstance(args, tuple) and args else args
        if codec == "SGI16" or str(raw_mode).endswith((";16B", ";16L", ";16N")):
            return True
    return False


def _bands(image: Image.Image, mode: str) -> np.ndarray:
    """`[H, W, C]` of a mode without a palette; the copy makes it writable, as torch wants it."""
    array = np.array(image)
    if mode.startswith("I;16"):
        array = array.astype(np.uint16)
    elif mode == "I" and array.size and array.min() >= 0 and array.max() <= 65535:
        array = array.astype(np.uint16)  # what older programs put 16 bits into
    elif mode == "I":
        array = narrow(array)
    elif array.dtype not in (np.uint8, np.float32):
        raise Refused(f"Pillow mode {image.mode} is not supported")
    return array if array.ndim == 3 else array[..., None]


def _palette_alpha(image: Image.Image, key: bytes | int | None, count: int, index: np.ndarray) -> np.ndarray | None:
    """Alpha `[H, W]` from the transparent entries of a palette (`tRNS` of PNG, one index in GIF), or None."""
    if key is None and (image.palette is None or image.palette.mode != "RGBA"):
        return None
    table = np.full(max(count, 256), 255, np.uint8)
    if isinstance(key, bytes):
        table[: len(key)] = np.frombuffer(key, np.uint8)
    elif key is not None:
        table[key] = 0
    else:
        table[:count] = np.array(image.getpalette("RGBA"), np.uint8)[3::4]
    return table[index]
