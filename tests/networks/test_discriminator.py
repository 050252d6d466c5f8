"""A discriminator that sees a code: per patch, at the input, or by classes of its own."""

import pytest
import torch
from torch.nn import functional as F

from translate.networks import Discriminator, Shown, dcgan, patchgan
from translate.networks.discriminator import JOINS

CODE = 5


def build(join="projection", make=patchgan, **choices):
    torch.manual_seed(0)
    network = make(3 + 1 + JOINS[join], width=4, norm="instance", size=32, **choices)
    return Discriminator(network, join=join, code=CODE, classes=3)


def scores(discriminator, image, condition=None, code=None):
    return discriminator(Shown(image, condition, code))[0][0]


def pictures(count=2):
    return torch.rand(count, 3, 32, 32), torch.rand(count, 1, 32, 32), torch.randn(count, CODE)


KINDS = [(patchgan, {"patch": 70}), (patchgan, {"patch": 16}), (patchgan, {"patch": 1}), (dcgan, {})]


@pytest.mark.parametrize("downsample", ["strided", "antialiased"])
@pytest.mark.parametrize(("make", "choices"), KINDS)
def test_projection_is_a_kernel_that_the_code_adds_to(make, choices, downsample):
    discriminator = build(make=make, downsample=downsample, **choices)
    image, condition, code = pictures()
    x = torch.cat([condition, image], 1)
    for layer in discriminator.network[:-1]:
        x = layer(x)
    last = discriminator.network[-1]
    side, channels = last.kernel_size[0], last.in_channels
    for index in range(2):
        added = discriminator.projection.weight @ code[index] / (channels**0.5 * side**2)
        kernel = last.weight + added[None, :, None, None]
        expected = F.conv2d(x[index : index + 1], kernel, last.bias, padding=last.padding)
        made = scores(discriminator, image, condition, code).logits[index : index + 1]
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_concat_joins_planes_in_front():
    discriminator = build("concat")
    image, condition, code = pictures()
    planes = (code @ discriminator.planes.weight.t() + discriminator.planes.bias)[..., None, None].expand(
        -1, -1, 32, 32
    )
    expected = discriminator.network(torch.cat([planes, condition, image], 1))
    torch.testing.assert_close(scores(discriminator, image, condition, code).logits, expected)


@pytest.mark.parametrize("join", JOINS)
def test_classes_are_linear_in_what_the_last_convolution_sees(join):
    discriminator = build(join)
    image, condition, code = pictures()
    made = scores(discriminator, image, condition, code)
    torch.testing.assert_close(made.classes, discriminator.classifier(made.features[-1].mean((2, 3))))
    assert made.classes.shape == (2, 3)
    assert len(made.features) == 4


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("join", JOINS)
def test_all_at_once_is_each_by_itself(join, together):
    discriminator = build(join)
    real, condition, code = pictures()
    fake, wrong = real.flip(0) * 0.5, code.flip(0)
    shown = [Shown(real, condition, code), Shown(real, condition, wrong), Shown(fake, condition, code)]
    alone = [discriminator(one)[0][0] for one in shown]
    for chosen in ([0, 2], [0, 1, 2]):
        made = discriminator(*(shown[i] for i in chosen), together=together)
        for (one,), expected in zip(made, (alone[i] for i in chosen), strict=True):
            for a, b in zip(
                (one.logits, one.classes, *one.features),
                (expected.logits, expected.classes, *expected.features),
                strict=True,
            ):
                torch.testing.assert_close(a, b)
    assert not torch.allclose(alone[0].logits, alone[1].logits)


def test_with_a_projection_real_pictures_are_seen_once():
    seen = []
    discriminator = build()
    discriminator.network[0].register_forward_hook(lambda layer, inputs, output: seen.append(len(output)))
    real, condition, code = pictures()
    shown = Shown(real, condition, code), Shown(real, condition, -code), Shown(real + 0, condition, code)
    discriminator(*shown, together=True)
    assert seen == [4]


def test_one_picture_with_another_condition_is_seen_by_itself():
    discriminator = build()
    image, condition, code = pictures()
    other = torch.rand_like(condition)
    first, second = discriminator(Shown(image, condition, code), Shown(image, other, code))
    torch.testing.assert_close(second[0].logits, scores(discriminator, image, other, code).logits)
    assert not torch.equal(first[0].logits, second[0].logits)


def test_without_a_code_nothing_is_added():
    network = patchgan(3, width=4)
    discriminator = Discriminator(network)
    assert list(discriminator.state_dict()) == [f"network.{key}" for key in network.state_dict()]
    assert scores(discriminator, torch.rand(1, 3, 32, 32)).classes is None
    with pytest.raises(AssertionError, match="takes none"):
        scores(discriminator, torch.rand(1, 3, 32, 32), code=torch.zeros(1, 2))


@pytest.mark.parametrize("join", JOINS)
def test_a_code_is_needed_and_learnt_from(join):
    discriminator = build(join)
    image, condition, code = pictures()
    with pytest.raises(AssertionError, match="needs a code of 5"):
        scores(discriminator, image, condition)
    code.requires_grad_()
    scores(discriminator, image, condition, code).logits.square().sum().backward()
    assert code.grad.abs().sum() > 0


def test_unknown_joins_are_listed():
    with pytest.raises(ValueError, match="projection, concat"):
        Discriminator(patchgan(3, width=4), join="sum", code=2)
