"""The tensors that travel between data, models and files, and the two maps between pixels and network values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from translate.images import ImageSpec
from translate.images.missing import beside

Images = dict[str, Tensor]
"""Outputs of one training pass of a model, by name: `fake`, `[B, Ct, H, W]` in [-1, 1], is always there.

Further pictures and tensors for the losses are each model's own.
"""

Losses = dict[str, Tensor]
"""Named, weighted scalars; the objective is exactly their sum."""

Stats = dict[str, Tensor]
"""Named scalars for the journal, not minimised."""


@dataclass(frozen=True)
class Batch:
    """Examples on the device, as the networks see them. Pictures are named, and each name has a size of its own."""

    pictures: Mapping[str, Tensor]  # "target", "source" unless pictures are made of noise, further ones of a model
    valid: Tensor | None = None  # [B, 1, H, W] bool, as the target: pixels that count in the losses; None for all
    classes: Tensor | None = None  # [B, H, W] int64: of the source's label map, or else the target's; None without
    class_count: int = 0  # how many classes that palette has
    condition: Mapping[str, Tensor] = field(default_factory=dict)  # by name, see `datasets.examples.conditions`
    draws: Mapping[str, Tensor] = field(default_factory=dict)  # random numbers of the step by name; [B, ...]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def source(self) -> Tensor:
        """`[B, Cs, H, W]` in [-1, 1]; only where there is one."""
        return self.pictures["source"]

    @property
    def target(self) -> Tensor:
        """`[B, Ct, H * scale, W * scale]` in [-1, 1]; without pairs any picture of its side."""
        return self.pictures["target"]

    @property
    def scale(self) -> int:
        """Times that the target is as large as the source; 1 without pairs, where they have sizes of their own."""
        return max(self.target.shape[-2] // self.source.shape[-2], 1)


@dataclass(frozen=True)
class RawBatch:
    """Examples as they were decoded, cheap to copy between processes and to the device."""

    pictures: Mapping[str, Tensor]  # [B, H, W, C] each, uint8, uint16 or float32; for `Batch.pictures`
    names: tuple[str, ...] = ()
    condition: Mapping[str, Tensor] = field(default_factory=dict)  # for `Batch.condition`
    draws: Mapping[str, Tensor] = field(default_factory=dict)  # for `Batch.draws`

    def __len__(self) -> int:
        return len(self.target)

    @property
    def source(self) -> Tensor:
        """`[B, H, W, Cs]`; only where there is one."""
        return self.pictures["source"]

    @property
    def target(self) -> Tensor:
        """`[B, H * scale, W * scale, Ct]`."""
        return self.pictures["target"]

    def __getitem__(self, part: slice) -> Self:
        """Some of the examples."""
        return replace(
            self,
            pictures={name: pixels[part] for name, pixels in self.pictures.items()},
            names=self.names[part],
            condition={name: tensor[part] for name, tensor in self.condition.items()},
            draws={name: tensor[part] for name, tensor in self.draws.items()},
        )

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, from where a GPU takes it without waiting."""
        pictures, condition, draws = (
            {name: tensor.pin_memory() for name, tensor in named.items()}
            for named in (self.pictures, self.condition, self.draws)
        )
        return replace(self, pictures=pictures, condition=condition, draws=draws)

    def to(self, device: torch.device, specs: Mapping[str, ImageSpec]) -> Batch:
        """The batch on `device`, normalised there: the copy has small integers instead of floats.

        Args:
            specs: what the pictures are, by the names in `pictures`.
        """
        raw = {name: pixels.to(device, non_blocking=True) for name, pixels in self.pictures.items()}
        classes = {name: found for name, pixels in raw.items() if (found := class_map(pixels, specs[name])) is not None}
        masks = [
            found != palette.index(ignore)
            for name, found in classes.items()
            if (palette := specs[name].palette) and (ignore := specs[name].ignore) is not None
        ]
        masks += [~gone.any(-1) for name, pixels in raw.items() if (gone := missing(pixels, specs[name])) is not None]
        return Batch(
            {name: normalize(pixels, specs[name], classes=classes.get(name)) for name, pixels in raw.items()},
            valid=torch.stack([_as_large(mask, raw["target"]) for mask in masks]).all(0).unsqueeze(1)
            if masks
            else None,
            classes=classes.get("source", classes.get("target")),
            class_count=next((len(specs[name].palette or ()) for name in ("source", "target") if name in classes), 0),
            condition={name: tensor.to(device, non_blocking=True) for name, tensor in self.condition.items()},
            draws={name: tensor.to(device, non_blocking=True) for name, tensor in self.draws.items()},
        )


def with_known(fake: Tensor, batch: Batch) -> Tensor:
    """`fake` where the batch is valid, and the target elsewhere: `[B, C, H, W]`."""
    return fake if batch.valid is None else torch.where(batch.valid, fake, batch.target.to(fake.dtype))


def _as_large(mask: Tensor, pictures: Tensor) -> Tensor:
    """`[B, H, W]` at the size of pictures `[B, H * s, W * s, C]`."""
    scale = pictures.shape[1] // mask.shape[1]
    return mask if scale <= 1 else mask.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def constant(numbers: tuple[Any, ...], device: torch.device) -> Tensor:
    """Python numbers, or tuples of them, as float32 on `device`: copied once, since a GPU would wait for each copy.

    Do not write to it.
    """
    # a graph that is being made holds its own: what is kept would be a part of another graph
    return _on_device(numbers, device) if torch.compiler.is_compiling() else _kept_on_device(numbers, device)


def _on_device(numbers: tuple[Any, ...], device: torch.device) -> Tensor:
    # device and type are given, since a program may have other defaults
    return torch.tensor(numbers, device=device, dtype=torch.float32)


@cache  # for ever: a graph may read them, and there are few
def _kept_on_device(numbers: tuple[Any, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # or no training could ever use it
        return _on_device(numbers, device)


def all_finite(values: Tensor) -> Tensor:
    """Whether no value is NaN or infinite: a single bool, left on the device."""
    total = values.sum(dtype=torch.float32)  # one pass over them, and NaN and infinity stay in it
    return total.isfinite()


def nearest_entry(raw: Tensor, spec: ImageSpec) -> Tensor:
    """Index of the palette entry nearest to each pixel: `[B, H, W, C]` -> `[B, H, W]` int64."""
    assert spec.palette is not None
    palette = constant(spec.palette, raw.device)  # [K, C]
    # squared distance less the pixel's own square, which is the same for every entry: a third of the memory and time
    distance = torch.addmm(palette.square().sum(-1), raw.float().flatten(0, -2), palette.T, alpha=-2)  # [B*H*W, K]
    return distance.argmin(-1).unflatten(0, raw.shape[:-1])


def class_map(raw: Tensor, spec: ImageSpec) -> Tensor | None:
    """The classes of label maps, `[B, H, W, C]` -> `[B, H, W]` int64, noise and all; None of other pictures."""
    return nearest_entry(raw, spec) if spec.kind == "labels" else None


def normalize(raw: Tensor, spec: ImageSpec, *, classes: Tensor | None = None) -> Tensor:
    """Pixels `[B, H, W, C]` as decoded -> network values `[B, C', H, W]` float32 in [-1, 1]; 0 where there is no data.

    `classes`: the `class_map` of `raw`, where it is known already.
    """
    if spec.kind == "labels":
        assert spec.palette is not None
        index = nearest_entry(raw, spec) if classes is None else classes
        if spec.one_hot:
            table = torch.eye(len(spec.palette), device=raw.device, dtype=torch.float32) * 2 - 1
        else:
            table = constant(spec.palette, raw.device) / 127.5 - 1
        return table[index].permute(0, 3, 1, 2).contiguous()
    values = raw.permute(0, 3, 1, 2).float().contiguous()
    # in place from the first result on: new memory takes longer than the arithmetic
    if spec.bands is None:
        scaled = (values - spec.low).mul_(2 / (spec.high - spec.low))
    else:
        lows, factors = (
            constant(tuple(numbers.tolist()), raw.device)[:, None, None] for numbers in (spec.lows, 2 / spec.spans)
        )
        scaled = (values - lows).mul_(factors)
    seen = scaled.sub_(1).clamp_(-1, 1)
    gone = missing(raw, spec)
    return seen if gone is None else seen.masked_fill(gone.permute(0, 3, 1, 2), 0)


def missing(raw: Tensor, spec: ImageSpec) -> Tensor | None:
    """Where pixels `[B, H, W, C]` as decoded hold no data, bool of the same shape; None if nothing means that."""
    if spec.nodata is None:
        return None
    if spec.nodata == "nan":
        return ~torch.isfinite(raw.float())
    return raw.float() == float(np.float32(spec.nodata))


def quantize(values: Tensor, spec: ImageSpec) -> Tensor:
    """Network values `[B, C', H, W]` in [-1, 1] -> pixels `[B, H, W, C]`: rounded to integers still held as float32.

    Float images are returned in their own units, unrounded; label maps as the nearest colours of the palette. No data
    is put in by `carry_missing`.
    """
    values = values.float().permute(0, 2, 3, 1)
    if spec.kind == "labels":
        assert spec.palette is not None
        palette = constant(spec.palette, values.device)
        index = values.argmax(-1) if spec.one_hot else nearest_entry((values + 1) * 127.5, spec)
        return palette[index]
    if spec.bands is None:
        scaled = (values.clamp(-1, 1) + 1) * ((spec.high - spec.low) / 2) + spec.low
    else:
        lows, halves = (constant(tuple(numbers.tolist()), values.device) for numbers in (spec.lows, spec.spans / 2))
        scaled = (values.clamp(-1, 1) + 1) * halves + lows
    return scaled if spec.dtype == "float32" else scaled.round()


def carry_missing(pixels: Tensor, raw: Tensor, *, source: ImageSpec, target: ImageSpec) -> Tensor:
    """What `translate.images.carry_missing` does, for `pixels` `[B, H*s, W*s, Ct]` float32 as `quantize` gives them."""
    if target.nodata is None:
        return pixels
    value = float("nan") if target.nodata == "nan" else float(np.float32(target.nodata))
    if target.nodata != "nan":
        pixels = pixels.masked_fill(pixels == value, beside(target.nodata, integers=target.dtype != "float32"))
    gone = missing(raw, source)
    if gone is None:
        return pixels
    return pixels.masked_fill(_as_large(gone.any(-1), pixels)[..., None], value)
