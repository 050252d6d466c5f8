"""The passes through norms, counted together: nothing reads these numbers but what loads the weights.

PyTorch's batch norm adds one to a counter of its own in every pass: a kernel each on a GPU.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_waiting = threading.local()


@contextmanager
def passes_counted_together() -> Iterator[None]:
    """Within the block batch norms leave their counters alone; at its end all are added to at once."""
    _waiting.counters = []
    try:
        yield
    finally:
        counters, _waiting.counters = _waiting.counters, None
        passes = Counter(id(counter) for counter in counters)
        by_passes: dict[int, list[Tensor]] = {}
        for key, counter in {id(counter): counter for counter in counters}.items():
            by_passes.setdefault(passes[key], []).append(counter)
        for count, equal in by_passes.items():
            torch._foreach_add_(equal, count)


def counted_later(counter: Tensor | None) -> bool:
    """Whether this is within such a block, which then counts the pass."""
    if counter is None or torch.compiler.is_compiling() or getattr(_waiting, "counters", None) is None:
        return False
    _waiting.counters.append(counter)
    return True
