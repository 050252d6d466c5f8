"""Resizing, cropping and augmenting pairs: one geometry for both sides, each with its own interpolation.

The deterministic part (`to_load_size`: what a cache keeps) is apart from the random one (`Augment`). Both
work on pixels as decoded: `[H, W, C]` uint8, uint16 or float32, any number of channels. The only file that
imports albumentations, which turns, scales and relights. Resizing is OpenCV's, and crops are slices: the same
pixels at a fraction of the cost.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from translate.borrowed import environment
from translate.datasets.resizing import Fit, load_shape, mismatch, resize, whole_multiple
from translate.images import ImageError, ImageSpec, Nodata, change_around, filled, missing, put_missing
from translate.settings import DataSettings
from translate.sizes import Size

Pixels = tuple[np.ndarray | None, np.ndarray]
"""Source and target; no source where it is derived from the augmented target."""

Seeded = Callable[[np.ndarray, int], np.ndarray]
"""(`[H, W, C]`, seed) -> changed pixels."""

PHOTOMETRIC_LIMIT = 0.5  # brightness +-half the range and contrast x0.5 to x1.5 at strength 1
WINDOW_LIMIT = 4  # longer sides of the crop; a wider zoom out mirrors this much over and over


def to_load_size(
    source: np.ndarray | None,
    target: np.ndarray,
    *,
    fit: Fit,
    size: Size,
    labels: tuple[bool, bool],
    nodata: tuple[Nodata, Nodata] = (None, None),
    scale: int = 1,
    name: str,
) -> Pixels:
    """Both at one size: `size` (stretch), the smallest of theirs that covers it (cover), or as stored (none).

    A target that is `scale` times as large as its source is only ever taken as stored.

    Args:
        source, target: `[H, W, C]`; they may differ in size where they are resized.
        labels: whether source and target are label maps.
        nodata: what means no data in source and target.
        name: of the pair or its file, for the error.

    Raises:
        ImageError: source and target cannot belong together: different sizes with `none`, different
            proportions with `cover`.
    """
    height, width = load_shape(*target.shape[:2], fit=fit, size=size)
    if source is not None:
        sizes = Size(*source.shape[:2]), Size(*target.shape[:2])
        if reason := mismatch(*sizes, fit=fit, size=size, scale=scale):
            raise ImageError(f"{name}: {reason}")
        if scale > 1:
            return source, target
        source = resize(source, height, width, labels=labels[0], nodata=nodata[0])
    return source, resize(target, height, width, labels=labels[1], nodata=nodata[1])


def window(
    pixels: np.ndarray, top: int, left: int, height: int, width: int, *, border: int = cv2.BORDER_REFLECT_101
) -> np.ndarray:
    """The rectangle `[height, width, C]` at `top`, `left`; beyond the picture it is mirrored, as `border` says.

    A view, not a copy, where the rectangle lies inside. Works from pictures of 1x1 up.
    """
    above, before = max(0, -top), max(0, -left)
    below, after = max(0, top + height - pixels.shape[0]), max(0, left + width - pixels.shape[1])
    if above or below or before or after:
        edges = (above, below, before, after)
        padded = cv2.copyMakeBorder(pixels, *edges, borderType=border)
        pixels = padded.reshape(*padded.shape[:2], pixels.shape[2])
    return pixels[top + above : top + above + height, left + before : left + before + width]


def centre(pixels: np.ndarray, size: Size) -> np.ndarray:
    """The middle of `[H, W, C]`, of `size`; a smaller picture is mirrored outwards, so that batches stack."""
    height, width = pixels.shape[:2]
    return window(pixels, (height - size.height) // 2, (width - size.width) // 2, *size)


def for_validation(pixels: np.ndarray, settings: DataSettings) -> np.ndarray:
    """What validation takes of `[H, W, C]` at load size: all of it, or the middle, as the settings say."""
    return pixels if settings.val_whole else centre(pixels, settings.size)


def pair_for_validation(source: np.ndarray | None, target: np.ndarray, settings: DataSettings, *, scale: int) -> Pixels:
    """The same of both, where the target is `scale` times as large as its source, or as the one that is made of it."""
    if source is None:
        if not settings.val_whole:
            return None, centre(target, settings.size)
        height, width = target.shape[:2]
        return None, centre(target, Size(whole_multiple(height, scale), whole_multiple(width, scale)))
    if settings.val_whole or scale == 1:
        return for_validation(source, settings), for_validation(target, settings)
    size = [side // scale for side in settings.size]
    place = [(side - own) // 2 for side, own in zip(source.shape[:2], size, strict=True)]
    return _both(source, target, place, size, scale=scale)


def _both(
    source: np.ndarray, target: np.ndarray, place: Sequence[int], size: Sequence[int], *, scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle of the source, and that of the target which shows the same."""
    own, other = ([times * side for side in (*place, *size)] for times in (1, scale))
    border = _border(scale)
    return window(source, *own, border=border), window(target, *other, border=border)


def _border(scale: int) -> int:
    """How pictures are mirrored: about their border where two of unlike sizes have to show the same beyond it."""
    return cv2.BORDER_REFLECT_101 if scale == 1 else cv2.BORDER_REFLECT


class Augment:
    """The random part of a training pair, as the settings say; every draw comes from the generator passed in.

    Crop to `size`, mirror, and, if set, turn and scale, the same for both sides; beyond a picture's border
    its mirror image is seen. With the default settings and 286 to 256 pixels this is the published recipe.
    For one thread at a time. Photometric changes are for sources that are images.
    """

    def __init__(self, settings: DataSettings, *, source: ImageSpec, target: ImageSpec, scale: int = 1) -> None:
        """`scale`: times that a target is as large as the source that it comes with."""
        self._scale = scale
        self._size = Size(*(side // scale for side in settings.size))  # of the source's crop
        self._flip, self._flip_vertical = settings.flip, settings.flip_vertical
        self._turn_source = _turn(settings, source, border=_border(scale))
        self._turn_target = _turn(settings, target, border=_border(scale))
        turning = self._turn_target is not None
        self._reach = _reach(self._size, settings.rotate, settings.zoom) if turning else self._size
        assert not (settings.photometric and source.kind == "labels"), "colours of label maps are classes"
        self._relight = _relight(settings.photometric) if settings.photometric else None

    def geometry(self, source: np.ndarray | None, target: np.ndarray, *, rng: np.random.Generator) -> Pixels:
        """Source and target `[H, W, C]` -> the same random crop of both; the target's is of the settings' size."""
        assert source is not None or self._scale == 1, "crops without a source may begin anywhere"
        height, width = (side // self._scale for side in target.shape[:2])
        # All are drawn in any case: switching one augmentation on leaves the others as they were.
        down, across, mirror, mirror_vertical = rng.random(4)
        seed = int(rng.integers(2**31))
        top, left = _place(height - self._size.height, down), _place(width - self._size.width, across)
        above, before = ((reach - side) // 2 for reach, side in zip(self._reach, self._size, strict=True))
        horizontal, vertical = self._flip and mirror < 0.5, self._flip_vertical and mirror_vertical < 0.5

        def moved(pixels: np.ndarray, turn: Seeded | None, *, times: int) -> np.ndarray:
            corner, reach = (times * (top - above), times * (left - before)), (times * side for side in self._reach)
            pixels = window(pixels, *corner, *reach, border=_border(self._scale))
            if turn:
                size = Size(*(times * side for side in self._size))
                pixels = centre(turn(np.ascontiguousarray(pixels), seed), size)
            return _flipped(pixels, horizontal=horizontal, vertical=vertical)

        return (
            None if source is None else moved(source, self._turn_source, times=1),
            moved(target, self._turn_target, times=self._scale),
        )

    def photometric(self, pixels: np.ndarray, spec: ImageSpec, *, rng: np.random.Generator) -> np.ndarray:
        """`[H, W, C]` with brightness and contrast changed in proportion to the value range of `spec`.

        Of 2 and 4 channels the last is alpha and stays. Values outside the range are clipped to it, as
        they are for the network. No data stays what it is.
        """
        if self._relight is None:
            return pixels
        if spec.nodata is not None:
            plain = spec.model_copy(update={"nodata": None})
            changed = self.photometric(filled(pixels, spec.nodata), plain, rng=rng)
            return put_missing(changed, missing=missing(pixels, spec.nodata), nodata=spec.nodata)
        seed = int(rng.integers(2**31))
        colours = pixels[..., :-1] if spec.channels in (2, 4) else pixels
        if spec.dtype == "uint8" and spec.full_scale:
            changed = self._relight(np.ascontiguousarray(colours), seed)  # a table look-up
        else:
            low, span = spec.lows[: colours.shape[2]], spec.spans[: colours.shape[2]]  # float64
            unit = ((colours.astype(np.float32) - low.astype(np.float32)) / span.astype(np.float32)).clip(0, 1)
            values = self._relight(unit, seed).astype(np.float64) * span + low
            changed = (values if spec.dtype == "float32" else np.rint(values)).astype(spec.dtype)
        return changed if colours is pixels else np.concatenate([changed, pixels[..., -1:]], -1)


@functools.cache
def _albumentations() -> Any:
    """The library, whose import takes half a second, for those who turn, scale or relight."""
    # Otherwise it looks for a newer version online, and waits for seconds where there is none.
    with environment("NO_ALBUMENTATIONS_UPDATE")("1"):
        import albumentations

    return albumentations


def _place(room: int, share: float) -> int:
    """First row or column of a crop; a picture that is too small is centred in it."""
    return int(share * (room + 1)) if room >= 0 else room // 2


def _flipped(pixels: np.ndarray, *, horizontal: bool, vertical: bool) -> np.ndarray:
    if not horizontal and not vertical:
        return pixels
    code = -1 if horizontal and vertical else int(horizontal)
    # OpenCV, since copying a view of 3-byte pixels that runs backwards takes numpy 40 times longer.
    return cv2.flip(pixels, code).reshape(pixels.shape)


def _reach(size: Size, rotate: float, zoom: float) -> Size:
    """What, turned and scaled, still fills `size` and a margin for interpolation."""
    return Size(*(_side(own, other, rotate, zoom) for own, other in (size, size[::-1])))


def _side(own: int, other: int, rotate: float, zoom: float) -> int:
    """How far, along the side `own`, a rectangle turned by up to `rotate` degrees reaches."""
    angle = min(math.radians(rotate), math.atan2(other, own))  # at which it reaches farthest
    needed = math.ceil((own * math.cos(angle) + other * math.sin(angle)) / (1 - zoom)) + 2
    needed = min(needed, WINDOW_LIMIT * max(own, other))
    return needed + (needed - own) % 2  # so that both have the same centre


def _turn(settings: DataSettings, spec: ImageSpec, *, border: int) -> Seeded | None:
    """Rotation and scaling of `[H, W, C]` of `spec` by one draw from a seed; None where neither is set.

    Source and target have one each, since they may interpolate differently; a seed draws the same for both.
    """
    labels = spec.kind == "labels"
    if not settings.rotate and not settings.zoom:
        return None
    library = _albumentations()
    affine = library.Affine(
        rotate=(-settings.rotate, settings.rotate),
        scale=(1 - settings.zoom, 1 + settings.zoom),
        keep_ratio=True,
        interpolation=cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR,
        border_mode=border,
        p=1,
    )
    turn = _seeded(library.Compose([affine]))
    return turn if spec.nodata is None else functools.partial(_turn_around, turn, spec.nodata)


def _turn_around(turn: Seeded, nodata: Nodata, pixels: np.ndarray, seed: int) -> np.ndarray:
    return change_around(pixels, nodata, lambda plain: turn(plain, seed))


def _relight(strength: float) -> Seeded:
    """Brightness and contrast of uint8 or of float32 in [0, 1] by one draw from a seed."""
    library, limit = _albumentations(), PHOTOMETRIC_LIMIT * strength
    change = library.RandomBrightnessContrast(brightness_limit=limit, contrast_limit=limit, p=1)
    return _seeded(library.Compose([change]))


def _seeded(compose: Any) -> Seeded:
    # One transform a Compose: the seed is passed on to each, so that several would draw the same numbers.
    return functools.partial(_run, compose)  # no closure: where workers are spawned, it is pickled


def _run(compose: Any, pixels: np.ndarray, seed: int) -> np.ndarray:
    compose.set_random_seed(seed)
    return compose(image=pixels)["image"]
