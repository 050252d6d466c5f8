"""Gradients, in every memory layout that pictures, weights and gradients may have, against float64.

Kernels are chosen by layout, batch and device, and some are wrong: the values of a layer tell nothing of its gradient.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.blocks import NORMS, ReferenceNorm2d, image_norm
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA can use")
)
BATCHES = (1, 2, 5)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "columns first": lambda x: x.mT.contiguous().mT,
    "channels first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "part of a row": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "part of the channels": lambda x: torch.cat([x, x], 1).contiguous(memory_format=torch.channels_last)[
        :, x.shape[1] :
    ],
}
SPREAD_OUT = {  # gradients as means give them
    "one for all": lambda x: x.mean().expand_as(x),
    "one a channel": lambda x: x.mean((2, 3), keepdim=True).expand_as(x),
}
Laid = Callable[[Tensor], Tensor]


def normed_by_hand(norm: nn.Module, x: Tensor) -> Tensor:
    """What a norm in training makes of `[B, C, H, W]`, without its learned factor and shift."""
    if isinstance(norm, nn.GroupNorm):
        groups = x.unflatten(1, (norm.num_groups, -1))
        means = groups.mean((2, 3, 4), keepdim=True)
        spreads = (groups - means).square().mean((2, 3, 4), keepdim=True) + norm.eps
        return ((groups - means) / spreads.sqrt()).flatten(1, 2)
    if isinstance(norm, nn.Identity):
        return x
    if isinstance(norm, ReferenceNorm2d):  # without a reference: by constants
        return (x - norm.mean[:, None, None]) / (norm.variance[:, None, None] + norm.eps).sqrt()
    over = (0, 2, 3) if isinstance(norm, nn.BatchNorm2d) else (2, 3)
    centred = x - x.mean(over, keepdim=True)
    return centred / (centred.square().mean(over, keepdim=True) + norm.eps).sqrt()


def assert_near(found: Tensor, expected: Tensor, *, what: Any, tolerance: float = 2e-5) -> None:
    apart = (found.detach().cpu().double() - expected).abs().max().item()
    assert apart <= tolerance * max(1.0, expected.abs().max().item()), (what, apart)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("name", NORMS)
def test_norms_have_the_gradients_that_float64_gives_by_hand(name: str, count: int, device: str) -> None:
    for mean in (0.0, 5.0):
        for here, lay_picture in LAYOUTS.items():
            for there, lay_gradient in (LAYOUTS | SPREAD_OUT).items():
                torch.manual_seed(0)
                norm = NORMS[name](8, per_image=False)
                for weight in norm.parameters():
                    nn.init.uniform_(weight, 0.5, 2)
                picture, gradient = torch.randn(count, 8, 6, 6) + mean, torch.randn(count, 8, 6, 6)
                by_hand = [picture.double().requires_grad_()]
                expected = normed_by_hand(norm, by_hand[0])
                if list(norm.parameters()):
                    by_hand += [weight.detach().double().requires_grad_() for weight in norm.parameters()]
                    expected = expected * by_hand[1][:, None, None] + by_hand[2][:, None, None]
                wanted = torch.autograd.grad(expected, by_hand, lay_gradient(gradient).double())
                norm.to(device)
                laid = lay_picture(picture.to(device)).requires_grad_()
                made = norm(laid)
                found = torch.autograd.grad(made, [laid, *norm.parameters()], lay_gradient(gradient.to(device)))
                what = (mean, here, there)
                assert_near(made, expected, what=what)
                for one, other in zip(found, wanted, strict=True):
                    assert_near(one, other, what=what)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("count", BATCHES)
def test_a_norm_of_each_image_with_a_learned_factor_has_them_too(count: int, device: str) -> None:
    """As batch norm has it for each image by itself."""
    for here, lay_picture in LAYOUTS.items():
        for there, lay_gradient in (LAYOUTS | SPREAD_OUT).items():
            torch.manual_seed(0)
            picture, gradient = torch.randn(count, 8, 6, 6), torch.randn(count, 8, 6, 6)
            factor = torch.linspace(0.5, 2, 8)
            by_hand = [picture.double().requires_grad_(), factor.double().requires_grad_()]
            expected = normed_by_hand(nn.InstanceNorm2d(8), by_hand[0]) * by_hand[1][:, None, None]
            wanted = torch.autograd.grad(expected, by_hand, lay_gradient(gradient).double())
            given = [lay_picture(picture.to(device)).requires_grad_(), factor.to(device).requires_grad_()]
            made = image_norm(given[0], weight=given[1], bias=torch.zeros(8, device=device), eps=1e-5)
            found = torch.autograd.grad(made, given, lay_gradient(gradient.to(device)))
            for one, other in zip(found, wanted, strict=True):
                assert_near(one, other, what=(here, there))


@pytest.mark.parametrize("name", NORMS)
def test_norms_lose_no_digits_in_either_layout(name: str) -> None:
    """A kernel that adds up one by one is off by thousandths over a picture of training."""
    torch.manual_seed(0)
    norm = NORMS[name](2, per_image=False)
    picture, gradient = torch.randn(2, 2, 400, 500) + 5, torch.randn(2, 2, 400, 500)
    wide = picture.double().requires_grad_()
    expected = normed_by_hand(norm, wide)
    (wanted,) = torch.autograd.grad(expected, wide, gradient.double())
    for lay in LAYOUTS.values():
        laid = lay(picture).requires_grad_()
        made = norm(laid)
        assert_near(made, expected, what="values", tolerance=1e-5)
        assert_near(torch.autograd.grad(made, laid, lay(gradient))[0], wanted, what="gradient", tolerance=1e-5)


def test_the_gradient_of_a_gradient_goes_through_a_norm_in_every_layout() -> None:
    """As a gradient penalty asks for it."""
    torch.manual_seed(0)
    picture, gradient = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)

    def twice(norm: Callable[[Tensor], Tensor], x: Tensor, lay: Laid) -> Tensor:
        x = x.requires_grad_()
        (first,) = torch.autograd.grad(norm(x), x, lay(gradient.to(x.dtype)), create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    norm = NORMS["instance"](8, per_image=False)
    expected = twice(lambda x: normed_by_hand(norm, x), picture.double(), lambda x: x)
    for lay in LAYOUTS.values():
        assert_near(twice(norm, lay(picture.clone()), lay), expected, what="second derivative", tolerance=1e-4)


def networks() -> dict[str, Callable[[], nn.Module]]:
    """Every network with every norm and every way to halve and to double the sides."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for norm, halved in itertools.product(NORMS, DOWNSAMPLINGS):
        for name, own in (("patchgan", {"patch": 16}), ("patchgan", {"patch": 1}), ("dcgan", {})):
            chosen: dict[str, Any] = {"width": 4, "size": 16, "norm": norm, "downsample": halved, **own}
            found[f"{name} {own.get('patch', '')} {norm} {halved}"] = partial(DISCRIMINATORS[name], 3, **chosen)
    choices: list[dict[str, Any]] = [{"norm": norm} for norm in NORMS]
    choices += [{"downsample": kind} for kind in DOWNSAMPLINGS] + [{"upsample": kind} for kind in UPSAMPLERS]
    choices += [{"padding": kind} for kind in PADDINGS]
    for name, choice in itertools.product(GENERATORS, choices):
        inner: dict[str, Any] = {"blocks": 1} if name == "resnet" else {"depth": 3, "dropout": 0.0}
        found[f"{name} {choice}"] = partial(GENERATORS[name], 3, 3, size=16, width=4, **inner, **choice)
    return found


def far_from_its_start(name: str) -> nn.Module:
    """A network with large weights: those of the start make small gradients."""
    torch.manual_seed(0)
    network = networks()[name]()
    for weight in network.parameters():
        nn.init.normal_(weight, 0.0 if weight.dim() > 1 else 1.0, 0.2)
    return network


def in_float64(network: nn.Module) -> Iterator[tuple[int, Tensor, Tensor, Tensor, Sequence[Tensor]]]:
    """For each batch: its count, pictures, output, a gradient of that, and gradients of pictures and weights."""
    wide = copy.deepcopy(network).double()
    for count in BATCHES:
        picture = torch.randn(count, 3, 16, 20, dtype=torch.float64, requires_grad=True)
        expected = wide(picture)
        gradient = torch.randn_like(expected)
        yield count, picture, expected, gradient, torch.autograd.grad(expected, [picture, *wide.parameters()], gradient)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("name", networks())
def test_networks_have_the_same_gradients_in_every_layout(name: str, device: str) -> None:
    """In float64 but for rounding. In float32 as a whole: a value that is nearly 0 may go the other way in a ReLU."""
    network = far_from_its_start(name)
    for count, picture, _, gradient, wanted in in_float64(network):
        for layout in (torch.contiguous_format, torch.channels_last):
            for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 0.03)):
                laid = copy.deepcopy(network).to(device, dtype).to(memory_format=layout)
                given, back = (
                    x.detach().to(device, dtype).contiguous(memory_format=layout) for x in (picture, gradient)
                )
                given.requires_grad_()
                found = torch.autograd.grad(laid(given), [given, *laid.parameters()], back)
                for one, other in zip(found, wanted, strict=True):
                    apart = (one.cpu().double() - other).norm().item()
                    assert apart <= tolerance * (other.norm().item() + 0.1), (count, layout, dtype)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("name", networks())
def test_networks_in_bfloat16_have_float64s_values_and_gradients_to_its_precision(name: str, device: str) -> None:
    """Also where other kernels are taken for it; a wrong one is off by as much as there is."""
    network = far_from_its_start(name)
    for count, picture, expected, gradient, wanted in in_float64(network):
        for layout in (torch.contiguous_format, torch.channels_last):
            laid = copy.deepcopy(network).to(device).to(memory_format=layout)
            given = picture.detach().to(device, torch.float32).contiguous(memory_format=layout).requires_grad_()
            with torch.autocast(device, dtype=torch.bfloat16):
                made = laid(given)
            back = gradient.to(made).contiguous(memory_format=layout)
            found = torch.autograd.grad(made, [given, *laid.parameters()], back)
            assert distance([made], [expected]) <= 0.06, (count, layout)
            # ReLUs go the other way where a value is nearly 0: by 0.03 in most networks, by 0.48 in one
            assert distance(found, wanted) <= 0.6, (count, layout)


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Of all values together, as a share of the length of those wanted."""
    one, other = (torch.cat([x.detach().cpu().double().flatten() for x in both]) for both in (found, wanted))
    return ((one - other).norm() / other.norm()).item()
