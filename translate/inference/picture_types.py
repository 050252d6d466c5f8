"""The types that a translator takes and returns: path, PIL image, array, tensor. Imports no torch of its own.

Each becomes the `Picture` that a file becomes, so that a file, the PIL image opened from it and its array give the same
result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from translate.card import Card
from translate.images import FULL_SCALE, Picture, change_depth, from_pil, read, to_spec

if TYPE_CHECKING:
    from torch import Tensor

INTEGERS = ("uint8", "uint16")


@dataclass(frozen=True)
class Item:
    """One input picture of the network."""

    pixels: np.ndarray  # [H, W, Cs] of the source's dtype
    alpha: np.ndarray | None = None  # [H*s, W*s] of the target's dtype, to be carried over
    name: str = "image"  # in error messages


@dataclass(frozen=True)
class Result:
    """One output picture of the network."""

    pixels: np.ndarray  # [H*s, W*s, Ct] of the target's dtype
    alpha: np.ndarray | None = None

    @property
    def joined(self) -> np.ndarray:
        """Pixels with the alpha, if there is one, as the last channel."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


@dataclass(frozen=True)
class Accepted:
    """The pictures in one value of the caller, and the function that turns their results into a value of its type."""

    items: tuple[Item, ...]
    give_back: Callable[[Sequence[Result]], Any]


def accept(value: object, *, card: Card, name: str, keep_alpha: bool = True, max_pixels: int) -> Accepted:
    """The pictures in `value`, of any type that `Translator.__call__` lists except a list.

    Raises:
        ValueError: another type, or a shape, dtype, channel count or value that the model cannot take.
    """

    def item(picture: Picture, name: str) -> Item:
        pixels = to_spec(picture, card.taken, name=name)
        height, width = pixels.shape[0] * card.scale, pixels.shape[1] * card.scale
        alpha = carried_alpha(picture, card, height=height, width=width) if keep_alpha else None
        return Item(pixels, alpha, name)

    if isinstance(value, (str, Path)):
        picture = read(Path(value), max_pixels=max_pixels)
        return Accepted((item(picture, str(value)),), lambda results: as_pil(results[0]))
    if isinstance(value, Image.Image):
        return Accepted((item(from_pil(value, name=name), name),), lambda results: as_pil(results[0]))
    if isinstance(value, np.ndarray):
        picture = from_array(value, card=card, name=name)
        return Accepted((item(picture, name),), lambda results: _as_array(results[0], like=value))
    torch = sys.modules.get("torch")  # a caller with a tensor has imported it
    if torch is not None and isinstance(value, torch.Tensor):
        arrays, give_back = _from_tensor(value, name=name)
        pictures = [from_array(array, card=card, name=name) for array in arrays]
        return Accepted(tuple(item(picture, name) for picture in pictures), give_back)
    raise ValueError(
        f"{name}: cannot take a {type(value).__name__}: give a path, a PIL image, an array [H, W, C], "
        "a tensor [C, H, W] or [B, C, H, W], or a list of these"
    )


def from_array(array: np.ndarray, *, card: Card, name: str) -> Picture:
    """An array of the caller as a picture: `[H, W]` or `[H, W, C]`, uint8, uint16 or float.

    The second of two channels, or the fourth of four, is alpha, as in a file; not for a model trained on
    measurements with so many bands.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise ValueError(f"{name}: an array of shape {array.shape}; give [H, W] or [H, W, C], and several as a list")
    if array.size == 0:
        raise ValueError(f"{name}: an empty array of shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
        if card.taken.nodata != "nan" and not np.isfinite(array).all():
            raise ValueError(f"{name}: holds values that are not finite (NaN or infinity)")
        if card.taken.kind == "labels" and array.min() >= 0 and array.max() <= 1:
            array = change_depth(array, "uint8")  # colours that were only scaled, which files never are
    elif array.dtype.name not in INTEGERS:
        raise ValueError(f"{name}: dtype {array.dtype}; give uint8, uint16 or float")
    array = array.astype(array.dtype.name, copy=False)  # in this machine's byte order
    own = card.taken.channels
    known = {1, 2, 3, 4, own}
    if array.shape[2] not in known:
        hint = "; arrays are [H, W, C], tensors [C, H, W]" if array.shape[0] in known else ""
        raise ValueError(f"{name}: {array.shape[2]} channels, the model takes {own}{hint}")
    has_alpha = array.shape[2] in (2, 4) and not (card.taken.measured and array.shape[2] == own)
    return Picture(
        pixels=array[..., :-1] if has_alpha else array,
        alpha=array[..., -1] if has_alpha else None,
        format="array",
        palette=None,
        icc=None,
        exif=None,
    )


def carried_alpha(picture: Picture, card: Card, *, height: int, width: int) -> np.ndarray | None:
    """The picture's alpha `[height, width]` at the depth of the output, or None where none is carried over.

    None for a model with an alpha channel in its source or target.
    """
    if picture.alpha is None or card.taken.channels in (2, 4) or card.target.channels not in (1, 3):
        return None
    alpha = change_depth(picture.alpha, card.target.dtype)
    if alpha.shape == (height, width):
        return alpha
    import cv2

    return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)


PIL_MODES = {
    ("uint8", 1): "L",
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 1): "I;16",
    ("float32", 1): "F",
}


def as_pil(result: Result) -> Image.Image | np.ndarray:
    """A PIL image, or an array `[H, W, C]` where PIL has no mode for the result."""
    pixels = np.ascontiguousarray(result.joined)
    if (pixels.dtype.name, pixels.shape[2]) not in PIL_MODES:
        return pixels
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _as_array(result: Result, *, like: np.ndarray) -> np.ndarray:
    pixels = _in_unit_range(result.joined).astype(like.dtype) if like.dtype.kind == "f" else result.joined
    return pixels[..., 0] if like.ndim == 2 and pixels.shape[2] == 1 else pixels


def _in_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Integers divided by full scale, `[0, 1]`; floats are in the model's own units and stay."""
    return pixels if pixels.dtype == np.float32 else pixels / np.float32(FULL_SCALE[pixels.dtype.name])


def _from_tensor(tensor: Tensor, *, name: str) -> tuple[list[np.ndarray], Callable[[Sequence[Result]], Tensor]]:
    """Arrays `[H, W, C]` of a tensor, and a function back to its device and dtype. Gradients are not kept."""
    import torch

    if tensor.ndim not in (3, 4) or tensor.numel() == 0:
        raise ValueError(f"{name}: a tensor of shape {tuple(tensor.shape)}; give [C, H, W] or [B, C, H, W]")
    if not tensor.is_floating_point() and tensor.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"{name}: dtype {tensor.dtype}; give uint8, uint16 or float")
    values = tensor.detach().cpu()
    arrays = (values.float() if values.is_floating_point() else values).numpy()
    batch = arrays if tensor.ndim == 4 else arrays[None]

    def give_back(results: Sequence[Result]) -> Tensor:
        stacked = np.stack([result.joined for result in results])  # [B, H, W, C]
        if tensor.is_floating_point():
            made = torch.from_numpy(_in_unit_range(stacked)).to(tensor.dtype)
        else:
            made = torch.from_numpy(stacked)
        made = made.to(tensor.device).permute(0, 3, 1, 2).contiguous()
        return made if tensor.ndim == 4 else made[0]

    return [image.transpose(1, 2, 0) for image in batch], give_back
