import numpy as np
import pytest
import torch
from torch import nn

from translate.networks import padding
from translate.networks.convolution import SameConv
from translate.networks.padding import mirror_index, mirror_pad, pad_to_multiple


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_mirror_index_is_numpys_reflection(length):
    ours = mirror_index(length, 20, 23, device=torch.device("cpu")).tolist()
    assert ours == np.pad(np.arange(length), (20, 23), mode="reflect").tolist()


def test_padding_is_even_and_croppable():
    x = torch.rand(1, 1, 10, 16)
    padded, (top, left) = pad_to_multiple(x, 16)
    assert padded.shape == (1, 1, 16, 16)
    assert (top, left) == (3, 0)
    assert torch.equal(padded[..., 3:13, :], x)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 4), (8, 5)])
@pytest.mark.parametrize("pad", [1, 3])
def test_mirror_pad_is_numpys_reflection(size, pad):
    x = torch.rand(2, 3, *size)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    assert np.array_equal(mirror_pad(x, pad).numpy(), expected)


def test_both_ways_of_mirroring_give_the_same_values_and_gradients(monkeypatch):
    x, y = (torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2))
    weight = torch.rand(2, 3, 12, 13)
    assert padding._torch_can(x, 3)
    (mirror_pad(x, 3) * weight).sum().backward()
    monkeypatch.setattr(padding, "_torch_can", lambda x, pad: False)
    (mirror_pad(y, 3) * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("pad", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mirroring_has_the_first_and_second_gradients_that_differences_give(pad, layout):
    x = torch.rand(2, 2, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    assert padding._torch_can(x, pad)
    assert torch.autograd.gradcheck(lambda x: mirror_pad(x, pad), x)
    assert torch.autograd.gradgradcheck(lambda x: mirror_pad(x, pad).square(), x)


def test_under_autocast_the_type_stays_and_the_gradient_is_float32s_to_its_precision():
    picture = torch.rand(2, 3, 6, 5)
    exact, rounded = picture.clone().requires_grad_(), picture.bfloat16().requires_grad_()
    gradient = torch.rand(2, 3, 10, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded = mirror_pad(rounded, 2)
    assert padded.dtype == torch.bfloat16
    padded.backward(gradient.bfloat16())
    mirror_pad(exact, 2).backward(gradient)
    torch.testing.assert_close(rounded.grad.float(), exact.grad, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize(("kind", "pad"), [("reflect", nn.ReflectionPad2d), ("zero", nn.ZeroPad2d)])
def test_same_conv_is_padding_and_convolution(kernel, kind, pad):
    ours = SameConv(3, 4, kernel, bias=True, padding=kind)
    theirs = nn.Conv2d(3, 4, kernel)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(1, 3, 9, 10)
    torch.testing.assert_close(ours(x), theirs(pad(kernel // 2)(x)))


def test_unknown_padding_lists_the_choices():
    with pytest.raises(ValueError, match="reflect, zero"):
        SameConv(3, 4, 3, bias=True, padding="reflec")
