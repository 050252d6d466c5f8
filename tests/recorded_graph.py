"""CUDA graphs on a CPU: operations are recorded with their tensors, and replayed on the same memory.

As on a GPU, recording leaves everything as it was; what Python did while it was recorded is not done again; a graph
reads and writes the memory that it was recorded with, whatever has become of the tensors; and its outputs are the same
tensors at every replay. Reading a value while recording fails. What only the recording has seen is poisoned: NaN.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
)


def storage_of(tensor):
    return tensor.untyped_storage().data_ptr()


def tensors_in(values):
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


class Recording(TorchDispatchMode):
    """Runs operations and keeps them."""

    def __init__(self):
        super().__init__()
        self.calls = []  # (function, arguments, options, results, whether these are memory of their own)
        self.own = {}  # storage -> its first tensor: memory of this graph
        self.before = {}  # the same of all other memory that is used, with a copy of its contents

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in READS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        given = tensors_in((args, kwargs))
        for tensor in given:
            if storage_of(tensor) not in self.own and storage_of(tensor) not in self.before and tensor.numel():
                whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
                self.before[storage_of(tensor)] = whole, whole.clone()
        # copies of the tensors themselves: what is done to their sizes or their data later is Python's
        args, kwargs = tree_map_only(torch.Tensor, lambda tensor: tensor.detach(), (args, kwargs))
        made = func(*args, **kwargs)
        inputs = {storage_of(tensor) for tensor in given}
        results = [tensor.detach() for tensor in tensors_in(made)]
        fresh = [storage_of(tensor) not in inputs for tensor in results]
        for tensor, new in zip(results, fresh, strict=True):
            if new:
                self.own[storage_of(tensor)] = tensor
        changes = func._schema.is_mutable or "batch_norm" in func.name() or not results
        if changes or any(fresh):  # else a view, which is where its memory is
            self.calls.append((func, args, kwargs, results, fresh))
        return made

    def undo(self):
        """Leave everything as it was before, and nothing in the graph's own memory."""
        for whole, contents in self.before.values():
            whole.copy_(contents)
        for tensor in self.own.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, results, fresh in self.calls:
            again = tensors_in(func(*args, **kwargs))
            for tensor, new, value in zip(results, fresh, again, strict=True):
                if new:
                    tensor.copy_(value)


class RecordedCapture:
    """In place of `CudaCapture`."""

    def __init__(self):
        self.recorded = 0

    def eager(self, work):
        return work()

    def record(self, work):
        state = torch.get_rng_state()
        recording = Recording()
        with recording:
            made = work()
        recording.undo()
        torch.set_rng_state(state)
        self.recorded += 1
        return made, recording.replay
