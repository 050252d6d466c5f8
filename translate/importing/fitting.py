"""Assigns every tensor of a foreign state dict to ours, and reports those that fit nowhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.importing.reading import few
from translate.importing.reference import Layout, State

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def fit(layout: Layout, state: State, network: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of `network` from `state`, and what of it was left out or added, in words.

    Args:
        network: ours, of the settings of `layout`; may be on the meta device.

    Raises:
        ValueError: tensors that are missing, unexpected, of another shape or not finite, and blur kernels that are not
            those of the reference code.
    """
    notes: list[str] = []
    left = dict(state)
    _take_blurs(layout, left)
    norm = layout.settings.get("norm")
    if norm != "batch":
        dropped = [left.pop(name) for at in layout.norms for leaf in STATISTICS if (name := f"{at}.{leaf}") in left]
        if dropped:
            notes.append(
                f"{len(dropped)} tensors of running statistics left out: this norm uses each image's own, in training "
                "and after"
            )
    fitted: dict[str, Tensor] = {}
    missing, misshapen, added = [], [], 0
    for name, own in network.state_dict().items():
        layer, _, leaf = name.rpartition(".")
        theirs = f"{layout.modules.get(layer, layer)}.{leaf}"  # one that ours has more is missing under its own name
        tensor = left.pop(theirs, None)
        if tensor is None and leaf == "num_batches_tracked":  # files of PyTorch before 0.4.1
            tensor = torch.zeros((), dtype=torch.int64)
        elif tensor is None and leaf == "bias" and norm == "none":
            tensor, added = torch.zeros(own.shape), added + 1
        if tensor is None:
            missing.append(theirs)
        elif tensor.shape != own.shape:
            misshapen.append(f"{theirs} is {_shape(tensor)} and not {_shape(own)}")
        else:
            fitted[name] = tensor
    problems = [
        f"{len(names)} {what}: {few(names)}"
        for what, names in (("unexpected", list(left)), ("missing", missing), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise ValueError(f"taken for a {layout.kind}, but of its tensors there are {'; '.join(problems)}")
    broken = [layout.modules[name.rpartition(".")[0]] for name, tensor in fitted.items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"numbers that are not finite in {few(broken)}: its training went wrong")
    if added:
        notes.append(f"{added} biases, which it has none of, added as zeros")
    return fitted, notes


def _take_blurs(layout: Layout, left: dict[str, Tensor]) -> None:
    """Take the blur kernels, which ours are built with, out of `left`, once they are seen to be the same."""
    for layer, steps in layout.blurs.items():
        kernel = left.get(f"{layer}.filt")
        if kernel is None:
            continue  # its stage is then found to be of another kind
        line = torch.tensor(steps)
        size = len(steps)
        # an upsampling kernel is applied where three of four pixels are zeros: four times a mean
        expected = torch.outer(line, line) / line.sum() ** 2 * (4 if size == 4 else 1)
        if kernel.shape[1:] != (1, size, size) or not torch.allclose(kernel, expected.expand_as(kernel), atol=1e-6):
            raise ValueError(f"{layer}.filt is not the blur of {'x'.join(map(str, steps))} that it was taken for")
        del left[f"{layer}.filt"]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
