import pytest
import torch
from torch import nn

from translate.networks import deep


@pytest.mark.parametrize(("fast", "plain"), [(deep.DownConv, nn.Conv2d), (deep.UpConv, nn.ConvTranspose2d)])
@pytest.mark.parametrize("size", [(2, 2), (6, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_matrix_product_is_the_convolution(fast, plain, size, bias, layout, monkeypatch):
    """In float32, where both are exact enough to compare: outputs and all gradients."""
    monkeypatch.setattr(deep, "_as_matrices", lambda x, **_: True)
    ours = fast(8, 6, bias=bias)
    theirs = plain(8, 6, 4, stride=2, padding=1, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    ours.to(memory_format=layout)
    picture = torch.rand(3, 8, *size)
    inputs = [x.requires_grad_() for x in (picture.clone(memory_format=layout), picture.clone())]
    outputs = [ours(inputs[0]), theirs(inputs[1])]
    gradient = torch.rand(outputs[0].shape)
    outputs[0].backward(gradient.contiguous(memory_format=layout))
    outputs[1].backward(gradient)
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_it_is_taken_only_for_few_positions_in_bfloat16_on_a_cpu():
    few, many = torch.rand(1, 4, 8, 8), torch.rand(4, 4, 64, 64)
    assert not deep._as_matrices(few, size=(4, 4))
    assert deep._as_matrices(few.bfloat16(), size=(4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert deep._as_matrices(few, size=(4, 4))
        assert not deep._as_matrices(many, size=(32, 32))


def test_what_makes_a_picture_is_a_matrix_product_at_every_size():
    many = torch.rand(4, 4, 64, 64).bfloat16()
    assert deep._as_matrices(many, size=(64, 64), picture=True)
    assert not deep._as_matrices(many.float(), size=(64, 64), picture=True)


def test_under_autocast_it_agrees_with_float32_to_bfloat16s_precision():
    for layer in (deep.DownConv(16, 8, bias=True), deep.UpConv(16, 8, bias=True)):
        x = torch.rand(1, 16, 8, 8)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast = layer(x)
        assert fast.dtype == torch.bfloat16
        torch.testing.assert_close(fast.float(), layer(x), rtol=0.02, atol=0.02)


def test_at_inference_the_batch_does_not_choose_the_way():
    one, many = torch.rand(1, 4, 16, 16).bfloat16(), torch.rand(9, 4, 16, 16).bfloat16()
    assert deep._as_matrices(one, size=(8, 8))
    assert not deep._as_matrices(many, size=(8, 8))
    with torch.inference_mode():
        assert deep._as_matrices(many, size=(8, 8))
