"""Blocks of pixels as channels give what the convolution gives: values, gradients, every size, packed and not."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.networks.convolution import FEW_CHANNELS, EvenConv, SameConv, fix_blocks
from translate.networks.fast import PackedConv, can_pack
from translate.networks.padding import PADDINGS, mirror_pad
from translate.networks.resnet import ResNet
from translate.networks.srresnet import SRResNet
from translate.networks.unet import UNet

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


NETWORKS = {
    "resnet": lambda: ResNet(3, 3, width=8, blocks=1),
    "unet": lambda: UNet(3, 3, width=8, depth=3, upsample="resize"),
    "srresnet": lambda: SRResNet(3, 3, width=8, blocks=1, scale=2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_exported_goes_by_blocks_of_constants_and_is_the_same_for_odd_pictures(name):
    plain = NETWORKS[name]().double().eval().requires_grad_(False)
    fixed = copy.deepcopy(plain)
    fix_blocks(fixed)
    assert sum(isinstance(layer, EvenConv) for layer in fixed.modules()) == 1
    for size in SIZES:
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        torch.testing.assert_close(fixed(x), plain(x))


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
