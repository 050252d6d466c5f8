"""Blocks of pixels as channels give what the convolution gives: values, gradients, every size, packed and not."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.networks.convolution import FEW_CHANNELS, SameConv
from translate.networks.fast import PackedConv, can_pack
from translate.networks.padding import PADDINGS, mirror_pad

CPU = torch.device("cpu")
SIZES = [(4, 4), (5, 4), (4, 7), (9, 9), (1, 1), (2, 3)]


def by_hand(layer: SameConv, x: Tensor) -> Tensor:
    """The sum over the kernel, written down."""
    side = layer.kernel_size[0]
    pad = side // 2
    padded = mirror_pad(x, pad) if layer.mirrored else F.pad(x, (pad, pad, pad, pad))
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # [B, C, H, W, K, K]
    made = torch.einsum("bchwij,ocij->bohw", windows, layer.weight)
    return made if layer.bias is None else made + layer.bias[:, None, None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("kernel", "outputs", "bias"), [(3, 1, True), (7, 3, True), (9, 4, False), (3, 5, True)])
def test_values_and_gradients_are_those_of_the_sum_by_hand(kernel, outputs, bias, padding, size):
    layer = SameConv(6, outputs, kernel, bias=bias, padding=padding).double()
    assert layer.goes_by_blocks(device=CPU) == (outputs <= FEW_CHANNELS)
    for count in (1, 2, 5):
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(count, 6, *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
            gradient = torch.randn(count, outputs, *size, dtype=torch.float64)
            made, expected = layer(x), by_hand(layer, x)
            torch.testing.assert_close(made, expected)
            values = [x, *layer.parameters()]
            found, wanted = (torch.autograd.grad(y, values, gradient) for y in (made, expected))
            torch.testing.assert_close(found, wanted)


def test_a_kernel_of_one_pixel_has_no_blocks():
    assert not SameConv(6, 3, 1, bias=True, padding="zero").goes_by_blocks(device=CPU)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_it_is_the_same_and_stays_so_in_another_process(dtype, padding, size):
    layer = SameConv(16, 3, 7, bias=True, padding=padding).requires_grad_(False)
    if not can_pack(layer, dtype):
        pytest.skip("this PyTorch or processor has no packed convolutions of this type")
    x = torch.randn(2, 16, *size)
    packed = PackedConv(layer, dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(packed(x).float(), layer(x), rtol=tolerance, atol=tolerance)
    assert torch.equal(pickle.loads(pickle.dumps(packed))(x), packed(x))
    assert not list(packed.parameters())
