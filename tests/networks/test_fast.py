"""The fast network computes what the network computes, for every choice in the tables and for any company."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from translate.networks import blocks
from translate.networks.blocks import NORMS, BatchNorm2d, InstanceNorm2d, ReferredNorm2d, image_norm
from translate.networks.fast import PackedConv, accelerate, can_pack
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS
from translate.networks.resnet import ResNet
from translate.networks.unet import UNet

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "unet": lambda **choices: UNet(3, 2, size=32, width=8, **choices),
    "resnet": lambda **choices: ResNet(3, 2, size=32, width=8, blocks=2, **choices),
}
DTYPES = (torch.float32, torch.bfloat16)


def make(name: str, **choices: object) -> nn.Module:
    """With weights that keep the size of what passes through, and running statistics unlike the initial ones."""
    torch.manual_seed(0)
    network = GENERATORS[name](**choices)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, (1.5 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight, 1, 0.2)
            nn.init.normal_(layer.bias, 0, 0.2)
        if isinstance(layer, ReferredNorm2d):
            nn.init.normal_(layer.mean, 0, 0.3)
            nn.init.uniform_(layer.variance, 0.5, 2)
            nn.init.normal_(layer.weight, 1, 0.2)
            layer.references = 3
    return network.eval().requires_grad_(False)


def pictures(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def run(network: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return network(x).float()


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(4 / (a.double() - b.double()).square().mean()))


CHOICES = [
    {"norm": norm, "per_image": per_image, "upsample": upsample, "downsample": downsample, "padding": padding}
    for norm, upsample, downsample, padding in itertools.product(NORMS, UPSAMPLERS, DOWNSAMPLINGS, PADDINGS)
    for per_image in ((False, True) if norm == "batch" else (False,))
]


@pytest.mark.parametrize("choices", CHOICES, ids=lambda choices: "-".join(map(str, choices.values())))
@pytest.mark.parametrize("name", GENERATORS)
def test_it_computes_the_same(name: str, choices: dict[str, object]) -> None:
    """At a size that is padded. In bfloat16 it is no further from float32 than autocast is."""
    network = make(name, **choices)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = {dtype: accelerate(network, dtype=dtype) for dtype in DTYPES}
    x = pictures(2, 3, 37, 50)
    expected = run(network, x, torch.float32)
    assert expected.std() > 0.05
    assert (run(fast[torch.float32], x, torch.float32) - expected).abs().max() < 1e-4
    plain = psnr(run(network, x, torch.bfloat16), expected)
    assert psnr(run(fast[torch.bfloat16], x, torch.bfloat16), expected) > plain - 3
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    for left in fast.values():
        norms = any(isinstance(layer, BatchNorm2d | ReferredNorm2d) for layer in left.modules())
        assert norms == (choices["norm"] == "virtual" or (choices["norm"] == "batch" and bool(choices["per_image"])))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "choices", [{"norm": norm} for norm in NORMS] + [{"norm": "batch", "per_image": True}], ids=str
)
@pytest.mark.parametrize("name", GENERATORS)
def test_a_result_does_not_depend_on_its_neighbours(name: str, choices: dict[str, object], dtype: torch.dtype) -> None:
    """To the last bit; several threads share three pictures out unlike one, and oneDNN may round otherwise then."""
    fast = accelerate(make(name, **choices), dtype=dtype)
    x = pictures(3, 3, 64, 96)
    with threads(1):
        together = run(fast, x, dtype)
        for index in range(len(x)):
            assert torch.equal(run(fast, x[index : index + 1], dtype)[0], together[index])
    with threads(2):
        shared = run(fast, x, dtype)
        for index in range(len(x)):
            apart = (run(fast, x[index : index + 1], dtype)[0] - shared[index]).abs().max()
            assert apart < (1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("name", GENERATORS)
def test_all_convolutions_are_packed_where_that_can_be(name: str) -> None:
    network = make(name, norm="batch")
    fast = accelerate(network, dtype=torch.float32)
    if not can_pack(network, torch.float32):
        pytest.skip("this PyTorch or processor has no packed convolutions")
    assert not any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in fast.modules())
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert sum(isinstance(layer, PackedConv) for layer in fast.modules()) == len(convolutions)
    assert not can_pack(network, torch.float16)
    assert not can_pack(network.to("meta"), torch.float32)


@pytest.mark.parametrize("name", GENERATORS)
def test_without_packing_norms_are_folded_all_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr("translate.networks.fast.can_pack", lambda network, dtype: False)
    network = make(name, norm="batch")
    fast = accelerate(network, dtype=torch.float32)
    assert not any(isinstance(layer, PackedConv | nn.BatchNorm2d) for layer in fast.modules())
    x = pictures(2, 3, 32, 64)
    assert (run(fast, x, torch.float32) - run(network, x, torch.float32)).abs().max() < 2e-5


def test_what_is_not_ours_stays_as_it_is() -> None:
    """A generator inside a model of one's own is found; layers of one's own are shared, not copied."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.generator = make("unet")

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.generator(x + self.norm(x))  # folding the norm would be wrong here

    own = Own().eval().requires_grad_(False)
    own.norm.running_mean = pictures(3)
    fast = accelerate(own, dtype=torch.float32)
    assert fast.conv.weight is own.conv.weight
    x = pictures(1, 3, 32, 32)
    assert (run(fast, x, torch.float32) - run(own, x, torch.float32)).abs().max() < 2e-5


@pytest.mark.parametrize("mean", [0, 3, 30])
@pytest.mark.parametrize("affine", [False, True])
def test_norms_of_each_image_in_either_layout(mean: float, affine: bool) -> None:
    """Against float64, also where the mean is far from 0."""
    x = pictures(3, 16, 24, 40) + mean
    weight, bias = (torch.linspace(0.5, 2, 16), torch.linspace(-1, 1, 16)) if affine else (None, None)
    wide = x.double()
    spread = ((wide - wide.mean((2, 3), True)).square().mean((2, 3), True) + 1e-5).sqrt()
    expected = (wide - wide.mean((2, 3), True)) / spread
    if weight is not None and bias is not None:
        expected = expected * weight[:, None, None] + bias[:, None, None]
    for layout in (torch.contiguous_format, torch.channels_last):
        with torch.inference_mode():
            laid = x.contiguous(memory_format=layout)
            made = image_norm(laid, weight=weight, bias=bias, eps=1e-5)
            assert made.is_contiguous(memory_format=layout)
            assert (made - expected).abs().max() < 1e-5 * (1 + mean)
            low = image_norm(laid.bfloat16(), weight=weight, bias=bias, eps=1e-5)
            assert low.dtype == torch.bfloat16


def test_a_photo_loses_no_digits_to_its_size() -> None:
    """A kernel that adds millions of numbers up one by one is off by 1e-3 of the spread, a tenth of a level a norm."""
    x = (pictures(1, 2, 1100, 1201) + 3).contiguous(memory_format=torch.channels_last)
    wide = x.double()
    variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
    with torch.inference_mode():
        made = image_norm(x, eps=1e-5)
    assert (made - (wide - mean) / (variance + 1e-5).sqrt()).abs().max() < 5e-6


@pytest.mark.parametrize("shape", [(1, 4, 30, 40), (3, 2, 64, 64), (2, 5, 67, 53), (2, 3, 5, 2000), (2, 24, 2, 2)])
def test_strips_are_added_up_alike_together_and_apart(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    x = (pictures(*shape) + 3).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        together = image_norm(x, eps=1e-5)
        alone = torch.cat([image_norm(image, eps=1e-5) for image in x.split(1)])
        monkeypatch.setattr(blocks, "TOGETHER", 0)
        apart = image_norm(x, eps=1e-5)
    assert torch.equal(together, apart)
    assert torch.equal(together, alone)


def test_gradients_flow_through_either_layout() -> None:
    x = pictures(2, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    (InstanceNorm2d(8)(x) * torch.arange(6.0)).sum().backward()
    plain = x.detach().clone().requires_grad_()
    (nn.InstanceNorm2d(8)(plain) * torch.arange(6.0)).sum().backward()
    assert x.grad is not None
    assert plain.grad is not None
    assert torch.allclose(x.grad, plain.grad, atol=1e-6)
