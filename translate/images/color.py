"""ICC profiles: pixels to sRGB on reading, and back to the file's own profile on writing.

- A colour or gray profile that fits the pixels is applied on reading and undone on writing, so that both the
  look and the profile of a file survive; colours outside sRGB are clipped on the way.
- A profile that differs from sRGB by no more than rounding changes nothing.
- CMYK is converted with its profile, or by the plain formula without one, and comes out as sRGB.
- A profile that is broken or made for other pixels is left out, as viewers do.
- Float pixels are measurements and never converted; a profile other than sRGB's is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Literal, ParamSpec, TypeVar

import numpy as np
from PIL import Image, ImageCms

P = ParamSpec("P")
R = TypeVar("R")
Space = Literal["gray", "rgb", "cmyk"]

SPACES: dict[bytes, Space] = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
"""The colour space field of a profile, bytes 16 to 20."""

CHANNELS: dict[Space, int] = {"gray": 1, "rgb": 3, "cmyk": 4}
MODES: dict[Space, str] = {"gray": "L", "rgb": "RGB", "cmyk": "CMYK"}
LONGEST_REMEMBERED = 2**20  # bytes of a profile
ROUNDING = 2  # levels of 255; programs write sRGB's curve and primaries with that much difference


def _remembered(entries: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keeps what a function gave for the latest profiles, but not for long ones, which would fill the memory."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        kept: Callable[..., R] = lru_cache(maxsize=entries)(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            long = any(isinstance(value, bytes) and len(value) > LONGEST_REMEMBERED for value in args)
            return function(*args, **kwargs) if long else kept(*args, **kwargs)

        return call

    return around


def to_srgb(pixels: np.ndarray, icc: bytes | None, *, cmyk: bool = False) -> tuple[np.ndarray, bytes | None]:
    """Pixels `[H, W, C]` in sRGB, same dtype, CMYK as three channels; the profile if it can be carried."""
    profile = icc if icc is not None and _fits(pixels, icc, cmyk=cmyk) else None
    if cmyk:
        return (_inks(pixels) if profile is None else _convert(pixels, profile, _srgb())), None
    if profile is None or _is_srgb(profile):
        return pixels, profile
    if pixels.shape[2] == 1:
        return _curve(profile, pixels.dtype.name, "to sRGB")[pixels], profile
    return _convert(pixels, profile, _srgb()), profile


def from_srgb(pixels: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, bytes | None]:
    """The values that look like `pixels` `[H, W, C]` under the profile `icc`, and the profile to store.

    A profile that does not fit, or only leads away from its device (a scanner's), gives the pixels as they
    are and None: without a profile pixels count as sRGB.
    """
    if icc is None or not _fits(pixels, icc, cmyk=False) or not _leads(_srgb(), icc):
        return pixels, None
    if _is_srgb(icc):
        return pixels, icc
    if pixels.shape[2] == 1:
        return _curve(icc, pixels.dtype.name, "from sRGB")[pixels], icc
    return _convert(pixels, _srgb(), icc), icc


def _fits(pixels: np.ndarray, icc: bytes, *, cmyk: bool) -> bool:
    """Whether the profile works and is meant for such pixels; for floats, whether it is sRGB's besides."""
    space = SPACES.get(icc[16:20])
    if space is None or (space == "cmyk") != cmyk or CHANNELS[space] != pixels.shape[2]:
        return False
    return _leads(icc, _srgb()) and (pixels.dtype != np.float32 or (not cmyk and _is_srgb(icc)))


@cache
def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _convert(pixels: np.ndarray, from_profile: bytes, to_profile: bytes) -> np.ndarray:
    """`[H, W, C]` through littlecms, to `[H, W, C']` of the same dtype."""
    if pixels.dtype == np.uint8:
        transform = _transform(from_profile, to_profile)
        size = (pixels.shape[1], pixels.shape[0])
        image = Image.frombytes(transform.input_mode, size, np.ascontiguousarray(pixels).tobytes())
        return np.array(transform.apply(image)).reshape(*pixels.shape[:2], -1)
    import imagecodecs  # Pillow's littlecms has 8 bits only

    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels if pixels.shape[2] > 1 else pixels[..., 0]),
        from_profile,
        to_profile,
        colorspace=SPACES[from_profile[16:20]],
        outcolorspace=SPACES[to_profile[16:20]],
        flags=imagecodecs.CMS.FLAGS.NOOPTIMIZE,  # the shortcut for 16 bits is off by up to 7 % of full scale
    )
    return converted.reshape(*pixels.shape[:2], -1)


@_remembered(64)
def _transform(from_profile: bytes, to_profile: bytes) -> ImageCms.ImageCmsTransform:
    """Building one costs as much as decoding a small file. Without littlecms' cache threads may share it."""
    opened = [ImageCms.ImageCmsProfile(io.BytesIO(profile)) for profile in (from_profile, to_profile)]
    modes = [MODES[SPACES[profile[16:20]]] for profile in (from_profile, to_profile)]
    return ImageCms.buildTransform(opened[0], opened[1], modes[0], modes[1], flags=ImageCms.Flags.NOCACHE)


@_remembered(64)
def _leads(from_profile: bytes, to_profile: bytes) -> bool:
    """Whether littlecms can go from one profile to the other."""
    try:
        _transform(from_profile, to_profile)
    except (ImageCms.PyCMSError, OSError):
        return False
    return True


@_remembered(64)
def _is_srgb(icc: bytes) -> bool:
    """Whether the profile leaves a grid of colours, or all grays, where they are."""
    if SPACES[icc[16:20]] == "gray":
        grid = np.arange(256, dtype=np.uint8).reshape(1, -1, 1)
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    found = _convert(grid, icc, _srgb())  # [1, N, 3]
    return int(np.abs(found.astype(int) - grid).max()) <= ROUNDING


@_remembered(32)
def _curve(icc: bytes, dtype: str, way: Literal["to sRGB", "from sRGB"]) -> np.ndarray:
    """All grays of the depth through a gray profile: a table `[256 or 65536]`, computed with 16 bits."""
    white = np.iinfo(dtype).max
    ramp = (np.arange(white + 1) * (65535 // white)).astype(np.uint16).reshape(1, -1, 1)
    source, target = (icc, _srgb()) if way == "to sRGB" else (_srgb(), icc)
    channels = CHANNELS[SPACES[source[16:20]]]
    grays = _convert(np.repeat(ramp, channels, -1), source, target)[0, :, 0]
    return np.rint(grays / (65535 // white)).astype(dtype)


def _inks(pixels: np.ndarray) -> np.ndarray:
    """CMYK without a profile: a colour is the light that its own ink leaves of what black leaves."""
    white = 1.0 if pixels.dtype == np.float32 else float(np.iinfo(pixels.dtype).max)
    left = 1 - pixels.astype(np.float32) / white
    light = left[..., :3] * left[..., 3:]
    return light if pixels.dtype == np.float32 else np.rint(light * white).astype(pixels.dtype)
