"""Modulation: a code scales and shifts the outputs of a network's norms, at every scale of the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from translate.networks.padding import is_exporting


class Modulation(nn.Module):
    """Each channel times a factor, plus a shift, both linear in the code (FiLM, Perez 2018; AdaIN, Huang 2017).

    The factor is 1 plus a linear function of the code. Small weights change little: 0.02, as every linear layer starts
    with here, makes of a code of 128 numbers of variance 1 factors and shifts of a standard deviation of 0.2.
    """

    def __init__(self, code: int, channels: int) -> None:
        """`code`: length of the code; `channels`: of the modulated layer."""
        super().__init__()
        self.linear = nn.Linear(code, 2 * channels)
        nn.init.normal_(self.linear.weight, 0.0, 0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        """`x` `[B, C, H, W]` and `code` `[B, D]` -> `[B, C, H, W]` of the dtype of `x`."""
        assert code is not None, "a modulated layer needs a code"
        factor, shift = one_by_one(self.linear, code).to(x.dtype)[..., None, None].chunk(2, 1)
        return x * (1 + factor) + shift


class Unmodulated(nn.Module):
    """In place of a `Modulation` where there is no code: does nothing, and leaves nothing in a state dict."""

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        """`x` as it is; a code that the network has may pass by."""
        return x


def modulation(code: int, channels: int) -> Modulation | Unmodulated:
    """The modulation of `channels` by a code of length `code`; of length 0, one that does nothing."""
    return Modulation(code, channels) if code else Unmodulated()


def check_code(code: Tensor | None, numbers: int) -> None:
    """Assert that `code` is `[B, numbers]`, or None if `numbers` is 0."""
    if not numbers:
        assert code is None, "this network was made without a code and takes none"
        return
    assert code is not None, f"this network needs a code of {numbers} numbers for each picture"
    assert code.ndim == 2, f"a code is [B, {numbers}], not {list(code.shape)}"
    assert code.shape[1] == numbers, f"this network needs a code of {numbers} numbers, not {code.shape[1]}"


def modulated(
    modulation: nn.Module, code: Tensor | None, then: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Modulation and `then`, as one function of the normed layer."""
    return then if isinstance(modulation, Unmodulated) else lambda normed: then(modulation(normed, code))


def one_by_one(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`function` of `rows` `[B, ...]`; at inference on a CPU of each row by itself.

    A product of matrices rounds otherwise than one of a vector, and a picture must not depend on who else is in the
    batch, not even in its last bit.
    """
    apart = rows.device.type == "cpu" and not (
        torch.is_grad_enabled() or torch.compiler.is_compiling() or is_exporting()
    )
    if not apart or len(rows) < 2:
        return function(rows)
    return torch.cat([function(row) for row in rows.split(1)])
