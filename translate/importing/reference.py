"""How the reference code of pix2pix, CycleGAN and CUT lays its networks out, and what can be read from the tensors.

Its networks are sequences, so a tensor is named by the place of its layer: layers without tensors count too, which is
how dropout and padding show. Channels, depths and norms are read from the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from translate.networks.patchgan import STRIDED_LAYERS

State = Mapping[str, Tensor]  # a state dict
BLUR_DOWN, BLUR_UP = (1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0)  # CUT's kernels are outer products of these


@dataclass(frozen=True)
class Layout:
    """What a state dict was taken for. Whether it really is that shows once every tensor has found its place."""

    kind: str  # for people
    settings: dict[str, Any]  # what the tensors determine, named as the settings of models
    inputs: int  # channels
    outputs: int
    modules: dict[str, str]  # layer of our network -> layer of theirs
    norms: tuple[str, ...] = ()  # their layers that are norms
    blurs: dict[str, tuple[float, ...]] = field(default_factory=dict)  # their blur layers -> the kernel they must have


def generator_layout(state: State) -> Layout | None:
    """The U-Net or ResNet that a state dict belongs to, if it looks like one.

    Raises:
        ValueError: a tensor from which its shape is read is missing.
    """
    if any(name.startswith("model.model.") for name in state):
        return _unet(state)
    if any(".conv_block." in name for name in state):
        return _resnet(state)
    return None


def discriminator_layout(state: State) -> Layout | None:
    """The PatchGAN or PixelGAN that a state dict belongs to, if it looks like one.

    Raises:
        ValueError: as `generator_layout`; or more layers than any patch of ours has.
    """
    if "net.0.weight" in state:
        return _pixelgan(state, "net")
    first = state.get("model.0.weight")
    if first is None or first.ndim != 4:
        return None
    return _pixelgan(state, "model") if first.shape[-1] == 1 else _patchgan(state)


def heads_layout(state: State) -> Layout | None:
    """CUT's projection heads, `mlp_0` onwards, if a state dict looks like them: two linear layers each."""
    count = len({name.split(".")[0] for name in state if re.match(r"mlp_\d+\.", name)})
    first = state.get("mlp_0.0.weight")
    if first is None:
        return None
    modules = {f"heads.{head}.{place}": f"mlp_{head}.{place}" for head in range(count) for place in (0, 2)}
    settings = {"nce_width": first.shape[0]}
    return Layout(f"set of {count} projection heads of width {first.shape[0]}", settings, 0, 0, modules)


def _unet(state: State) -> Layout:
    """Blocks inside blocks: `model.model.` is the outermost, and each holds the next at place 1, then 3."""
    prefixes = ["model.model."]
    while any(name.startswith(f"{prefixes[-1]}{1 if len(prefixes) == 1 else 3}.model.") for name in state):
        prefixes.append(f"{prefixes[-1]}{1 if len(prefixes) == 1 else 3}.model.")
    depth = len(prefixes)
    modules = {"down.0.conv": f"{prefixes[0]}0", "up.0.conv": f"{prefixes[0]}3"}
    norms: dict[str, str] = {}
    for level, at in enumerate(prefixes[1:-1], 1):
        modules |= {f"down.{level}.conv": f"{at}1", f"up.{level}.conv": f"{at}5"}
        norms |= {f"down.{level}.norm": f"{at}2", f"up.{level}.norm": f"{at}6"}
    if depth > 1:
        at, level = prefixes[-1], depth - 1
        modules |= {f"down.{level}.conv": f"{at}1", f"up.{level}.conv": f"{at}3"}
        norms[f"up.{level}.norm"] = f"{at}4"
    first, last = _weight(state, modules["down.0.conv"]), _weight(state, modules["up.0.conv"])
    norm = _norm(state, norms.values(), before=f"{prefixes[-1]}3")
    settings = {
        "generator": "unet",
        "width": first.shape[0],
        "depth": depth,
        "norm": norm,
        "dropout": 0.5 if norm == "batch" else 0.0,  # the last of its sequence, so no tensor shows it: pix2pix has it
        "downsample": "strided",
        "upsample": "transposed",
        "padding": "zero",
        "first_bias": norm == "batch" and f"{modules['down.0.conv']}.bias" in state,
    }
    kind = f"U-Net of depth {depth}, width {first.shape[0]}, {norm} norm"
    return Layout(kind, settings, first.shape[1], last.shape[1], modules | norms, tuple(norms.values()))


def _resnet(state: State) -> Layout:
    """One sequence: pad, 7x7 convolution, halving stages, blocks, doubling stages, pad, 7x7 convolution."""
    within = {int(match[1]) for name in state if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    blurs = {int(match[1]) for name in state if (match := re.fullmatch(r"model\.(\d+)\.filt", name))}
    convs = [
        int(m[1]) for name, t in state.items() if (m := re.fullmatch(r"model\.(\d+)\.weight", name)) and t.ndim == 4
    ]
    begin, blocks = min(within), max(within) - min(within) + 1
    halvings = max(sum(place < begin for place in convs) - 1, 1)  # none at all is reported as missing
    blurred_down, blurred_up = any(place < begin for place in blurs), any(place > begin for place in blurs)
    dropout = any(".conv_block.6.weight" in name and tensor.ndim == 4 for name, tensor in state.items())

    modules = {"first": "model.1"}
    norms = {"first_norm": "model.2"}
    kernels: dict[str, tuple[float, ...]] = {}
    place = 4
    for stage in range(halvings):
        modules[f"down.{stage}.conv"], norms[f"down.{stage}.norm"] = f"model.{place}", f"model.{place + 1}"
        if blurred_down:
            kernels[f"model.{place + 3}"] = BLUR_DOWN
        place += 3 + blurred_down
    for block in range(blocks):
        for conv, at in (("1", 1), ("2", 6 if dropout else 5)):
            modules[f"blocks.{block}.conv{conv}"] = f"model.{place}.conv_block.{at}"
            norms[f"blocks.{block}.norm{conv}"] = f"model.{place}.conv_block.{at + 1}"
        place += 1
    for stage in range(halvings):
        if blurred_up:
            kernels[f"model.{place}"] = BLUR_UP
            place += 1
        modules[f"up.{stage}.conv"], norms[f"up.{stage}.norm"] = f"model.{place}", f"model.{place + 1}"
        place += 3
    modules["last"] = f"model.{place + 1}"

    first, last = _weight(state, "model.1"), _weight(state, modules["last"])
    norm = _norm(state, norms.values(), before="model.1")
    settings = {
        "generator": "resnet",
        "width": first.shape[0],
        "depth": halvings,
        "blocks": blocks,
        "norm": norm,
        "dropout": 0.5 if dropout else 0.0,
        "downsample": "antialiased" if blurred_down else "strided",
        "upsample": "antialiased" if blurred_up else "transposed",
        "padding": "reflect",
    }
    kind = f"ResNet of {blocks} blocks, width {first.shape[0]}, {norm} norm" + (", anti-aliased" if kernels else "")
    return Layout(kind, settings, first.shape[1], last.shape[0], modules | norms, tuple(norms.values()), kernels)


def _patchgan(state: State) -> Layout:
    """One sequence: convolution, leaky ReLU, (blur), then with norms between; the last two convolutions keep sides."""
    blurred = any(name.endswith(".filt") for name in state)
    convs = sum(name.endswith(".weight") and tensor.ndim == 4 for name, tensor in state.items())
    layers = convs - 2
    patch = next((int(side) for side, count in STRIDED_LAYERS.items() if count == layers > 0), None)
    if patch is None:
        known = ", ".join(str(count) for count in STRIDED_LAYERS.values() if count)
        raise ValueError(f"a PatchGAN of {layers} strided layers, where there are networks of {known}")
    modules = {"network.0": "model.0"}
    norms: dict[str, str] = {}
    kernels: dict[str, tuple[float, ...]] = {"model.2": BLUR_DOWN} if blurred else {}
    second = place = 2 + blurred
    for level in range(1, layers + 1):
        modules[f"network.{place}"] = f"model.{place}"
        norms[f"network.{place + 1}"] = f"model.{place + 1}"
        place += 3
        if blurred and level < layers:
            kernels[f"model.{place}"] = BLUR_DOWN
            place += 1
    modules[f"network.{place}"] = f"model.{place}"
    first = _weight(state, "model.0")
    norm = _norm(state, norms.values(), before=f"model.{second}")
    settings = {
        "discriminator": "patchgan",
        "patch": patch,
        "discriminator_width": first.shape[0],
        "norm": norm,
        "downsample": "antialiased" if blurred else "strided",
    }
    kind = f"PatchGAN of {patch} pixels, width {first.shape[0]}, {norm} norm" + (", anti-aliased" if blurred else "")
    return Layout(kind, settings, first.shape[1], 1, modules | norms, tuple(norms.values()), kernels)


def _pixelgan(state: State, root: str) -> Layout:
    """Three 1x1 convolutions."""
    modules = {f"network.{place}": f"{root}.{place}" for place in (0, 2, 3, 5)}
    norms = (f"{root}.3",)
    first = _weight(state, f"{root}.0")
    norm = _norm(state, norms, before=f"{root}.2")
    settings = {"discriminator": "patchgan", "patch": 1, "discriminator_width": first.shape[0], "norm": norm}
    return Layout(f"PixelGAN of width {first.shape[0]}, {norm} norm", settings, first.shape[1], 1, modules, norms)


def _weight(state: State, layer: str) -> Tensor:
    """The weight of a convolution from which channels are read."""
    weight = state.get(f"{layer}.weight")
    if weight is None or weight.ndim != 4:
        raise ValueError(f"{layer}.weight {'is missing' if weight is None else 'is no convolution'}")
    return weight


def _norm(state: State, layers: Iterable[str], *, before: str) -> str:
    """Batch norm has weights; instance norm has none, but `before` it a convolution keeps its bias."""
    if any(f"{layer}.weight" in state for layer in layers):
        return "batch"
    return "instance" if f"{before}.bias" in state else "none"
