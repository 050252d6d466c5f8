"""Runs as commit 854c712 left them, stopped halfway: which there are, how they are unpacked, and how states compare.

Beside this file lie `pictures.zip`, what they are trained on, and a zip for each run: 1.4 MB, where plain folders take
twice as much, since a checkpoint pads every tensor. `make.py` wrote them. As in `tests/inference/frozen`, which has the
files of released versions, none is ever changed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
STOPPED, STEPS = 29, 32

NARROW = {"width": 2, "discriminator_width": 2, "patch": 16}
UNET = {**NARROW, "depth": 3}
RESNET = {**NARROW, "blocks": 1}
SMALL_CODE = {"code_width": 2}
SMALL_TEXT = {"code_width": 4, "condition": "text", "text_length": 8, "vocabulary": 300}
SMALL_CUT = {**RESNET, "nce_patches": 4, "nce_width": 4}
EXACT = {"lr": 0.002}  # so small that another rounding does not grow

RUNS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "pix2pix": ("pix2pix", "pairs", {**UNET, **EXACT}, {}),
    "pix2pix-dropout": (
        "pix2pix",
        "pairs",
        {"size": 64, "width": 1, "discriminator_width": 1, "patch": 16, "ema": 0.0, **EXACT},
        {},
    ),
    "pix2pix-label": (
        "pix2pix",
        "pairs",
        {**UNET, **SMALL_CODE, "condition": "label", "label_loss": "projection"},
        {"label": "warm"},
    ),
    "pix2pix-auxiliary": (
        "pix2pix",
        "pairs",
        {**UNET, **SMALL_CODE, "condition": "label", "label_loss": "auxiliary"},
        {"label": "cold"},
    ),
    "pix2pix-concat": (
        "pix2pix",
        "pairs",
        {**UNET, **SMALL_CODE, "condition": "label", "label_loss": "concat"},
        {"label": "cold"},
    ),
    "pix2pix-text": ("pix2pix", "pairs", {**UNET, **SMALL_TEXT, "lr": 0.04}, {"text": "warm glow"}),
    "pix2pix-resnet": ("pix2pix", "pairs", {**RESNET, "generator": "resnet", "dropout": 0.0}, {}),
    "pix2pix-balanced": ("pix2pix", "pairs", {**UNET, "balance_l1": 0.5, "source_kind": "labels"}, {}),
    "pix2pix-augmented": ("pix2pix", "pairs", {**UNET, "augment": "color,translation,cutout"}, {}),
    "cyclegan": ("cyclegan", "unpaired", {**RESNET, "discriminator_width": 1, "pool": 2}, {}),
    "discogan": ("discogan", "unpaired", {"width": 2, "depth": 3, "discriminator_width": 1, "pool": 1}, {}),
    "dualgan": ("dualgan", "unpaired", {**UNET, "pool": 1, "critic_steps": 2}, {}),
    "cut": ("cut", "unpaired", SMALL_CUT, {}),
    "fastcut": ("fastcut", "unpaired", SMALL_CUT, {}),
    "stargan": ("stargan", "heap", {**RESNET, **SMALL_CODE, "batch": 2, "critic_steps": 2}, {"label": "cold"}),
    "stargan-text": (
        "stargan",
        "heap",
        {**RESNET, **SMALL_TEXT, "lr": 0.01, "batch": 2, "critic_steps": 2},
        {"text": "cold sea"},
    ),
    "bicyclegan": ("bicyclegan", "pairs", {**UNET, "z": 2, "encoder_width": 2}, {"seed": 3}),
}
"""Name -> model, folder of `pictures.zip`, settings beside those that all have, and what is asked of the model file."""

PLAIN = ("pix2pix", "pix2pix-dropout")
"""Those whose end is kept too: `end.pt`, the state after the last step of the same run, never stopped."""


def unpack(name: str, folder: Path) -> Path:
    """The files of a zip in a folder of that name."""
    with zipfile.ZipFile(HERE / f"{name}.zip") as archive:
        archive.extractall(folder / name)
    return folder / name


OTHERWISE = {"warm": "cold", "cold": "warm", "warm glow": "cold sea", "cold sea": "warm glow", 3: 1}
"""What else could be asked in the place of what is."""


def asked_picture(pictures: Path, data: str) -> Path:
    """The picture whose translation is kept."""
    return pictures / data / {"pairs": "val/a4.png", "unpaired": "valA/a4.png", "heap": "val/b4.png"}[data]


def leaves(state: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and plain value of a training state, by its path in it: `model.generator.down.0.weight`.

    Left out is what the settings say whatever the file does (the optimisers' groups), and the file's own checksum.
    """
    parts = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list) else None
    if parts is None or not state:
        yield where, state
        return
    for key, value in parts:
        if key not in ("param_groups", "checksum"):
            yield from leaves(value, f"{where}.{key}" if where else str(key))


def digest(state: Mapping[str, Any]) -> str:
    """Of every bit of the tensors of a state."""
    total = hashlib.sha256()
    for name, value in sorted(leaves(state)):
        if isinstance(value, Tensor):
            total.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            total.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def rounding(*, size: int, width: int) -> str:
    """Tells machines apart that round otherwise, by PyTorch alone: two steps of a U-Net and a PatchGAN of these shapes.

    Where it is as it was when a run was made, the run has to end with the very same bits.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return f"{torch.backends.cpu.get_cpu_capability()} {_rounding(size, width)}"
    finally:
        torch.set_num_threads(threads)


def _rounding(size: int, width: int) -> str:
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.randn(shape, generator=draw) * 0.2)

    depth = size.bit_length() - 1
    widths = [3, *(width * min(2**level, 8) for level in range(depth))]
    down = [some(b, a, 4, 4) for a, b in pairwise(widths)]
    skips = [*(2 for _ in range(depth - 1)), 1]
    up = [some(n * b, a, 4, 4) for n, (a, b) in zip(skips, pairwise(widths), strict=True)]
    patch = [some(width, 6, 4, 4), some(2 * width, width, 4, 4), some(1, 2 * width, 4, 4)]
    source, target = (torch.randn((1, 3, size, size), generator=draw).tanh() for _ in range(2))
    optimizer = torch.optim.Adam([*down, *up, *patch], lr=0.002, betas=(0.5, 0.999))
    for _ in range(2):
        kept, x = [], source
        for level, weight in enumerate(down):
            x = F.conv2d(F.leaky_relu(x, 0.2), weight, stride=2, padding=1)
            x = F.batch_norm(x, None, None, training=True) if 0 < level < depth - 1 else x
            kept.append(x)
        for level in reversed(range(depth)):
            x = x if level == depth - 1 else torch.cat([x, kept[level]], 1)
            x = F.conv_transpose2d(F.relu(x), up[level], stride=2, padding=1)
            x = F.batch_norm(x, None, None, training=True) if level else torch.tanh(x)
        y = F.leaky_relu(F.conv2d(torch.cat([source, x], 1), patch[0], stride=2, padding=1), 0.2)
        y = F.leaky_relu(F.batch_norm(F.conv2d(y, patch[1], padding=1), None, None, training=True), 0.2)
        y = F.conv2d(y, patch[2], padding=1)
        loss = F.binary_cross_entropy_with_logits(y, torch.ones_like(y)) + 100 * F.l1_loss(x, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return digest({str(place): weight for place, weight in enumerate([*down, *up, *patch])})


def read_notes(run: Path) -> dict[str, Any]:
    """What `make.py` noted of a run whose end is kept."""
    notes: dict[str, Any] = json.loads((run / "end.json").read_text(encoding="utf-8"))
    return notes
