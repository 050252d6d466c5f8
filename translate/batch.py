"""The tensors that travel between data, models and files, and the two maps between pixels and network values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from translate.images import ImageSpec
from translate.images.missing import beside

Images = dict[str, Tensor]
"""What one training pass of a model made, by name: `fake`, `[B, Ct, H, W]` in [-1, 1], is always there.

Further pictures, and what else its losses need of the pass, are each model's own.
"""

Losses = dict[str, Tensor]
"""Named, weighted scalars; the objective is exactly their sum."""

Stats = dict[str, Tensor]
"""Named scalars to look at, not to minimise."""


@dataclass(frozen=True)
class Batch:
    """Examples on the device, as the networks see them. Pictures are named, and each name has a size of its own."""

    pictures: Mapping[str, Tensor]  # "target", "source" unless pictures are made of noise, further ones of a model
    valid: Tensor | None = (
        None  # [B, 1, H, W] bool, as large as the target: pixels that count in the losses; None for all
    )
    seeds: tuple[int, ...] = ()  # of each example's own draws; () draws them from torch's common state
    classes: Tensor | None = None  # [B, H, W] int64: of the source's label map, or else the target's; None without
    condition: Mapping[str, Tensor] = field(default_factory=dict)  # by name, as `datasets.steering` tells; [B, ...]

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

    def generators(self) -> list[torch.Generator | None]:
        """A source of random numbers for each example, on the CPU.

        What is drawn from them depends on the example alone: not on the rest of the batch, nor on how many processes
        share it. None stands for torch's common state.
        """
        return [torch.Generator().manual_seed(seed) for seed in self.seeds] or [None] * len(self)

    def draw(self, sample: Callable[..., Tensor], *shape: int) -> Tensor:
        """`[B, *shape]` on the CPU, of `torch.rand` or `torch.randn`: each example's part from its own `generators`."""
        return torch.stack([sample(shape, generator=generator) for generator in self.generators()])


@dataclass(frozen=True)
class RawBatch:
    """Examples as they were decoded, cheap to move between processes and onto the device."""

    pictures: Mapping[str, Tensor]  # [B, H, W, C] each, uint8, uint16 or float32; for `Batch.pictures`
    names: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()  # 63 bits each, for `Batch.seeds`
    condition: Mapping[str, Tensor] = field(default_factory=dict)  # for `Batch.condition`

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
            seeds=self.seeds[part],
            condition={name: tensor[part] for name, tensor in self.condition.items()},
        )

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, from where a GPU takes it without waiting."""
        pictures, condition = (
            {name: tensor.pin_memory() for name, tensor in named.items()} for named in (self.pictures, self.condition)
        )
        return replace(self, pictures=pictures, condition=condition)

    def to(self, device: torch.device, specs: Mapping[str, ImageSpec]) -> Batch:
        """The batch on `device`, scaled there: one move of small integers instead of floats.

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
            seeds=self.seeds,
            classes=classes.get("source", classes.get("target")),
            condition={name: tensor.to(device, non_blocking=True) for name, tensor in self.condition.items()},
        )


def _as_large(mask: Tensor, pictures: Tensor) -> Tensor:
    """`[B, H, W]` at the size of pictures `[B, H * s, W * s, C]`."""
    scale = pictures.shape[1] // mask.shape[1]
    return mask if scale <= 1 else mask.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def all_finite(values: Tensor) -> Tensor:
    """Whether no value is NaN or infinite: a single bool, left on the device."""
    total = values.sum(dtype=torch.float32)  # one pass over them, and NaN and infinity stay in it
    return total.isfinite()


def nearest_entry(raw: Tensor, spec: ImageSpec) -> Tensor:
    """Index of the palette entry nearest to each pixel: `[B, H, W, C]` -> `[B, H, W]` int64."""
    assert spec.palette is not None
    palette = torch.tensor(spec.palette, device=raw.device, dtype=torch.float32)  # [K, C]
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
        if spec.one_hot:  # device and type are said, since a program may have other defaults
            table = torch.eye(len(spec.palette), device=raw.device, dtype=torch.float32) * 2 - 1
        else:
            table = torch.tensor(spec.palette, device=raw.device, dtype=torch.float32) / 127.5 - 1
        return table[index].permute(0, 3, 1, 2).contiguous()
    values = raw.permute(0, 3, 1, 2).float()
    if spec.bands is None:
        scaled = (values - spec.low) * (2 / (spec.high - spec.low)) - 1
    else:
        lows, factors = (_a_channel(numbers, values)[:, None, None] for numbers in (spec.lows, 2 / spec.spans))
        scaled = (values - lows) * factors - 1
    gone = missing(raw, spec)
    seen = scaled.clamp(-1, 1)
    return (seen if gone is None else seen.masked_fill(gone.permute(0, 3, 1, 2), 0)).contiguous()


def _a_channel(numbers: np.ndarray, like: Tensor) -> Tensor:
    """Numbers `[C]` as float32 on the device of another tensor."""
    return torch.tensor(numbers.tolist(), dtype=torch.float32, device=like.device)


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
        palette = torch.tensor(spec.palette, device=values.device, dtype=torch.float32)
        index = values.argmax(-1) if spec.one_hot else nearest_entry((values + 1) * 127.5, spec)
        return palette[index]
    if spec.bands is None:
        scaled = (values.clamp(-1, 1) + 1) * ((spec.high - spec.low) / 2) + spec.low
    else:
        lows, halves = (_a_channel(numbers, values) for numbers in (spec.lows, spec.spans / 2))
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
    gone = gone.any(-1, keepdim=True)
    scale = pixels.shape[2] // raw.shape[2]
    if scale > 1:
        gone = gone.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return pixels.masked_fill(gone, value)
