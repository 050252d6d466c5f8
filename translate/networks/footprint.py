"""What a network needs for a picture: memory, and the rest of the picture."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from translate.networks.stages import is_whole_image


def sees_statistics(network: nn.Module) -> bool:
    """Whether some norm uses the whole picture's mean and variance, so that a part of it would come out otherwise."""
    return any(is_whole_image(layer) for layer in network.modules())


def peak_bytes(
    network: nn.Module, *, channels: int, height: int, width: int, inputs: Mapping[str, Tensor] | None = None
) -> int:
    """Most bytes of tensors, weights aside, that live at once while `[1, channels, height, width]` goes through.

    Nothing is computed: the pass is made on tensors without content. What the libraries below take for themselves is
    not seen.

    Args:
        inputs: what the network is called with beside the picture, by keyword, such as `{"code": ...}` `[1, ...]` each;
            their content does not matter.
    """
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    picture = torch.empty(1, channels, height, width, device="meta", dtype=dtype)
    beside = {name: torch.empty_like(tensor, device="meta") for name, tensor in (inputs or {}).items()}
    with torch.no_grad(), _Living() as living:
        torch.func.functional_call(network, empty, (picture,), beside)
    return living.peak


class _Living(TorchDispatchMode):
    """Adds up the memory of the tensors that operations make, and subtracts it when they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._holders: dict[int, int] = {}  # memory -> tensors that look at it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._hold(tensor)
        return made

    def _hold(self, tensor: Tensor) -> None:
        memory = tensor.untyped_storage()
        key, size = memory._cdata, memory.nbytes()
        if key not in self._holders:
            self._holders[key] = 0
            self.now += size
            self.peak = max(self.peak, self.now)
        self._holders[key] += 1
        weakref.finalize(tensor, self._leave, key, size).atexit = False

    def _leave(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.now -= size
