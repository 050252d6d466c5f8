"""Sources made from targets, so that one folder of pictures is enough.

Each derivation is a pure function of the target crop, as it was decoded, and of a random generator.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from translate.datasets.resizing import reduced
from translate.images import FULL_SCALE, ImageSpec
from translate.settings import REDUCED
from translate.tables import Table

Make = Callable[[np.ndarray, ImageSpec, float, np.random.Generator], np.ndarray]
"""(target `[H, W, C]`, its spec, amount, generator) -> source `[H, W, C']`."""

CANNY_LOW, CANNY_HIGH = (
    60,
    150,
)  # slopes of the smoothed 8-bit picture; weak edges count where they join strong ones
MOST_HOLES = 4


@dataclass(frozen=True)
class Derivation:
    """One way to make a source from a target."""

    summary: str  # one line, for help
    make: Make
    spec: Callable[[ImageSpec], ImageSpec]  # of the target's -> of the source's
    amount: str = ""  # meaning and unit of the amount; empty where there is none
    default: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    channels: tuple[int, ...] | None = None  # of targets it works for; None for any number
    by_band: bool = True  # whether each band of the target may have a range of its own


def amount_for(name: str, amount: float | None) -> float:
    """`amount`, or the default of the derivation where it is None; 0 for one that takes none.

    Raises:
        ValueError: the derivation takes no amount, or not this one.
    """
    if name == REDUCED:
        if amount is not None:
            raise ValueError(f"--derive-amount {amount:g}: sources are reduced by the model's scale: leave it out")
        return 0.0
    entry = DERIVATIONS[name]
    if amount is None:
        return entry.default
    if not entry.amount:
        raise ValueError(f"--derive-amount {amount:g} means nothing to --derive {name}: leave it out")
    if not entry.lowest <= amount <= entry.highest:
        limits = f"{entry.lowest:g} to {entry.highest:g}"
        raise ValueError(f"--derive-amount of --derive {name} is the {entry.amount}, {limits}, not {amount:g}")
    return amount


def derived_spec(name: str, target: ImageSpec) -> ImageSpec:
    """What sources made by `name` are, for targets that are `target`.

    Raises:
        ValueError: no such derivation, or it does not work for this number of channels.
    """
    if name == REDUCED:
        return target
    entry = DERIVATIONS[name]
    if entry.channels is not None and target.channels not in entry.channels:
        allowed = " or ".join(map(str, entry.channels))
        raise ValueError(f"--derive {name} needs targets of {allowed} channels, these have {target.channels}")
    if target.bands is not None and not entry.by_band:
        raise ValueError(f"--derive {name} needs one --target-range for all bands, and each has its own")
    return entry.spec(target)


def derive(
    name: str, target: np.ndarray, *, spec: ImageSpec, amount: float | None, rng: np.random.Generator, scale: int = 1
) -> np.ndarray:
    """The source for `target`: `[H, W, C]` as `spec` says -> `[H / scale, W / scale, C']` as `derived_spec` says.

    A label map is taken for the picture that its colours are. The target is not written to. Only `reduced` has a scale.

    Raises:
        ValueError: as `derived_spec` and `amount_for`.
    """
    made = derived_spec(name, spec)
    if name == REDUCED:
        return reduced(target, scale, nodata=spec.nodata)
    source = DERIVATIONS[name].make(target, _picture(spec), amount_for(name, amount), rng)
    assert source.shape == (*target.shape[:2], made.channels), f"{name} made {source.shape}"
    assert source.dtype == made.dtype, f"{name} made {source.dtype}"
    return source


def _picture(target: ImageSpec, **changes: Any) -> ImageSpec:
    """`target` as a plain picture of the same depth and range, with `changes`."""
    plain: dict[str, Any] = {"kind": "image", "palette": None, "one_hot": False, "ignore": None}
    if target.kind == "labels":
        plain |= {"low": 0.0, "high": FULL_SCALE[target.dtype]}
    return ImageSpec(**{**dict(target), **plain, **changes})


def _gray(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    if spec.channels == 1:
        return target.copy()
    import cv2

    return cv2.cvtColor(target, cv2.COLOR_RGB2GRAY)[..., None]


def _edges(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    unit = (target.astype(np.float32) - spec.lows.astype(np.float32)) / spec.spans.astype(np.float32)
    eight = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    smooth = cv2.GaussianBlur(eight, (0, 0), 1.0)  # against grain and JPEG's blocks
    # Canny takes the steepest of the channels, so that two colours of equal brightness have a border too.
    return 255 - cv2.Canny(smooth, CANNY_LOW, CANNY_HIGH, L2gradient=True)[..., None]


def _lowres(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    height, width = target.shape[:2]
    small = (max(1, round(width / amount)), max(1, round(height / amount)))

    def degrade(band: np.ndarray) -> np.ndarray:  # one band at a time: area takes 4 at most
        low = cv2.resize(band, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)

    return np.stack([degrade(target[..., c]) for c in range(spec.channels)], -1)


def _blur(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(target, (0, 0), amount, borderType=cv2.BORDER_REFLECT_101).reshape(target.shape)


def _noise(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    noisy = rng.standard_normal(target.shape, dtype=np.float32)
    noisy *= (amount * spec.spans).astype(np.float32)
    noisy += target
    # the network clips to the same range
    np.clip(noisy, spec.lows.astype(np.float32), (spec.lows + spec.spans).astype(np.float32), out=noisy)
    return noisy if spec.dtype == "float32" else np.rint(noisy, out=noisy).astype(spec.dtype)


def _holes(target: np.ndarray, spec: ImageSpec, amount: float, rng: np.random.Generator) -> np.ndarray:
    """The last channel is alpha: full where the picture is seen, 0 in the holes, where the pixels are 0 too.

    So a picture with erased, that is transparent, parts is a source as it stands.
    """
    hidden = _hidden(target.shape[0], target.shape[1], amount, rng)
    full = max(FULL_SCALE[spec.dtype], spec.high)  # beyond the range of the pixels means the network's +1
    source = np.empty((*target.shape[:2], spec.channels + 1), target.dtype)
    source[..., :-1] = target
    source[..., -1] = full
    source[hidden] = (*[0] * spec.channels, min(0.0, spec.low))
    return source


def _hidden(height: int, width: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask `[H, W]` bool of one to a few rectangles and ellipses that cover about `share` of the picture."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    each = share * height * width / int(rng.integers(1, MOST_HOLES + 1))  # pixels
    for _ in range(3 * MOST_HOLES):  # holes may overlap, so it can take more of them
        oval = rng.random() < 0.5
        area = each * 4 / np.pi if oval else each  # of the box around it
        aspect = 2 ** rng.uniform(-1, 1) * width / height  # the picture's, stretched up to twice either way
        box_width = min(width, max(1, round(np.sqrt(area * aspect))))
        box_height = min(height, max(1, round(area / box_width)))
        left = int(rng.integers(0, width - box_width + 1))
        top = int(rng.integers(0, height - box_height + 1))
        if oval:
            centre, axes = (left + box_width / 2, top + box_height / 2), (box_width, box_height)
            cv2.ellipse(mask, (centre, axes, 0.0), 1, cv2.FILLED)
        else:
            mask[top : top + box_height, left : left + box_width] = 1
        if mask.mean() > 0.9 * share:
            break
    return mask.astype(bool)


DERIVATIONS = Table[Derivation](
    "derivation",
    {
        "gray": Derivation(
            "brightness alone, to learn colouring",
            _gray,
            lambda target: _picture(target, channels=1),
            channels=(1, 3),
            by_band=False,
        ),
        "edges": Derivation(
            "dark outlines on white, to learn drawing",
            _edges,
            lambda target: _picture(target, channels=1, dtype="uint8", low=0, high=255, bands=None),
        ),
        "lowres": Derivation(
            "shrunk and enlarged again, to learn sharpening",
            _lowres,
            _picture,
            amount="factor of shrinking",
            default=4,
            lowest=1,
            highest=1000,
        ),
        "holes": Derivation(
            "parts erased (transparent), to learn filling in",
            _holes,
            lambda target: _picture(target, channels=target.channels + 1),
            amount="share of the picture erased",
            default=0.25,
            lowest=0.001,
            highest=0.9,
            by_band=False,
        ),
        "blur": Derivation(
            "out of focus, to learn sharpening",
            _blur,
            _picture,
            amount="sigma in pixels",
            default=3,
            lowest=0.1,
            highest=500,
        ),
        "noise": Derivation(
            "with grain, to learn cleaning",
            _noise,
            _picture,
            amount="sigma as a share of the value range",
            default=0.1,
            lowest=0.001,
            highest=1,
        ),
    },
)
