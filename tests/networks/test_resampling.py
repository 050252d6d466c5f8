import numpy as np
import pytest
import torch
from torch.nn import functional as F

from translate.networks.resampling import BlurDown, BlurUp


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 6), (1, 7)])
def test_halving_is_a_blur_and_every_second_pixel(size):
    """By hand: numpy's reflection, the [1, 2, 1] x [1, 2, 1] / 16 average around every second pixel."""
    x = torch.rand(2, 3, *size)
    mirrored = np.pad(x.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = np.zeros((2, 3, -(-size[0] // 2), -(-size[1] // 2)))
    for row in range(expected.shape[2]):
        for column in range(expected.shape[3]):
            window = mirrored[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected[:, :, row, column] = (window * kernel).sum((2, 3))
    np.testing.assert_allclose(BlurDown(3)(x).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 6), (1, 7), (33, 16)])
def test_halving_in_bfloat16_is_the_same_and_so_is_its_gradient(size, layout):
    """The convolution in float64 on the same rounded values; all are below 1, so two roundings are within 2**-8."""
    x = torch.rand(2, 3, *size).bfloat16().contiguous(memory_format=layout).requires_grad_()
    exact = x.detach().double().requires_grad_()
    expected = BlurDown(3).double()(exact)
    weights = torch.rand_like(expected).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        blurred = BlurDown(3)(x)
    assert blurred.dtype == torch.bfloat16
    torch.testing.assert_close(blurred.double(), expected, rtol=0, atol=2**-8)
    (x_gradient,) = torch.autograd.grad(blurred, x, weights)
    (expected_gradient,) = torch.autograd.grad(expected, exact, weights.double())
    torch.testing.assert_close(x_gradient.double(), expected_gradient, rtol=2**-7, atol=2**-8)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 6), (1, 7)])
def test_doubling_is_zeros_between_the_pixels_and_a_blur(size):
    """As CUT writes it: border repeated, transposed convolution with [1, 3, 3, 1] x [1, 3, 3, 1] / 16, ends cut off."""
    x = torch.rand(2, 3, *size)
    kernel = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 16
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = F.conv_transpose2d(padded, kernel.expand(3, 1, 4, 4), stride=2, padding=2, groups=3)[..., 1:-1, 1:-1]
    torch.testing.assert_close(BlurUp()(x), expected)


def test_the_blur_is_no_part_of_a_model_file():
    assert not BlurDown(3).state_dict()
