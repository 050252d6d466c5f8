"""A code modulates every generator of the table, everywhere but at its two ends; without one nothing does."""

import itertools

import pytest
import torch
from torch import nn

from translate.networks import GENERATORS
from translate.networks.blocks import NORMS, ReferredNorm2d, init_weights
from translate.networks.fast import accelerate
from translate.networks.footprint import peak_bytes
from translate.networks.modulation import Modulation, Unmodulated, modulation
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS
from translate.networks.stages import run_stages

CODE = 6
ALL_NORMS = [*((name, False) for name in NORMS), ("batch", True)]


def build(name, **changes):
    """With modulations, norms and running statistics that do something."""
    torch.manual_seed(0)
    choices = {"size": 32, "width": 4, "depth": 2, "code": CODE, "dropout": 0.0} | changes
    network = GENERATORS[name](3, 2, **choices, **({"blocks": 2} if name == "resnet" else {}))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, (1.5 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, ReferredNorm2d):
            layer.mean.normal_(0, 0.3)
            layer.variance.uniform_(0.5, 2)
            layer.references = 3
    return network.eval()


def test_it_scales_and_shifts_by_hand():
    layer = Modulation(2, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 5.0]))
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    # factors 1 + (0.5, 2 * -1), shifts (0.5 - 1, 5)
    expected = torch.tensor([[[[1.0, 2.5]], [[2.0, 1.0]]]])
    torch.testing.assert_close(layer(x, torch.tensor([[0.5, -1.0]])), expected)


@pytest.mark.parametrize("redrawn", [False, True])
def test_it_starts_near_the_identity_and_yet_a_code_moves_things(redrawn):
    torch.manual_seed(0)
    layer = Modulation(128, 256)
    if redrawn:
        init_weights(layer)
    change = layer(torch.ones(64, 256, 1, 1), torch.randn(64, 128)) - 1
    assert change.mean().abs() < 0.02
    assert 0.2 < change.std() < 0.5


def test_without_a_code_there_is_nothing_in_it():
    nothing = modulation(0, 8)
    x = torch.rand(1, 8, 2, 2)
    assert isinstance(nothing, Unmodulated)
    assert nothing.state_dict() == {}
    assert nothing(x, None) is x


@pytest.mark.parametrize("name", GENERATORS)
def test_a_code_adds_to_the_state_dict_and_takes_nothing_from_it(name):
    """Not even from the random numbers that a network without one starts from."""
    plain, conditioned = build(name, code=0).state_dict(), build(name).state_dict()
    assert not any("modulation" in key for key in plain)
    assert [key for key in conditioned if "modulation" not in key] == list(plain)


def test_modulations_are_after_every_norm():
    resnet, unet = build("resnet", norm="batch"), build("unet", norm="batch", depth=4)
    count = sum(isinstance(layer, Modulation) for layer in resnet.modules())
    assert count == sum(isinstance(layer, nn.BatchNorm2d) for layer in resnet.modules()) == 1 + 2 + 2 * 2 + 2
    assert [isinstance(down.modulation, Modulation) for down in unet.down] == [False, True, True, True]
    assert [isinstance(up.modulation, Modulation) for up in unet.up] == [False, True, True, True]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_modulation_counts_and_learns(name):
    network = build(name).train()
    x, code = torch.rand(2, 3, 16, 16), torch.randn(2, CODE, requires_grad=True)
    network(x, code).square().sum().backward()
    assert code.grad is not None
    assert (code.grad != 0).all()
    layers = [layer for layer in network.modules() if isinstance(layer, Modulation)]
    assert all(layer.linear.weight.grad.abs().sum() > 0 for layer in layers)


@pytest.mark.parametrize("name", GENERATORS)
@torch.no_grad()
def test_taps_and_both_passes_agree(name):
    network, x, code = build(name), torch.rand(2, 3, 21, 18), torch.randn(2, CODE)
    output, features = network.forward_with_features(x, code)
    assert torch.equal(output, network(x, code))
    assert all(map(torch.equal, network.encode(x, code), features))
    assert not torch.allclose(output, network(x, code.flip(0)), atol=1e-2)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_code_where_there_is_none_and_none_where_there_is_one(name):
    x, code = torch.rand(1, 3, 8, 8), torch.zeros(1, CODE)
    plain, conditioned = build(name, code=0), build(name)
    for call in (plain, plain.encode, plain.forward_with_features, lambda x, code: plain.stages(code)):
        with pytest.raises(AssertionError, match="without a code and takes none"):
            call(x, code)
    for call in (conditioned, conditioned.encode, conditioned.forward_with_features, lambda x: conditioned.stages()):
        with pytest.raises(AssertionError, match="needs a code of 6 numbers"):
            call(x)
    with pytest.raises(AssertionError, match="6 numbers, not 5"):
        conditioned(x, code[:, :5])


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("norm", "per_image"), ALL_NORMS)
@torch.inference_mode()
def test_the_stages_are_the_network(name, norm, per_image):
    for up, down in itertools.product(UPSAMPLERS, DOWNSAMPLINGS):
        kind = {"upsample": up, "downsample": down, "norm": norm, "per_image": per_image}
        network = build(name, **kind, depth=3 if name != "resnet" else 2).double()
        x, code = torch.rand(1, 3, 24, 40, dtype=torch.float64) * 2 - 1, torch.randn(1, CODE, dtype=torch.float64)
        made = run_stages(network.stages(code), x)
        assert torch.equal(made, network(x, code)), kind
        assert not torch.allclose(made, run_stages(network.stages(-code), x), atol=1e-3)


CHOICES = [
    {"norm": norm, "per_image": per_image, "upsample": up, "downsample": down, "padding": padding}
    for (norm, per_image), (up, down, padding) in zip(
        [("batch", False), ("batch", True), ("instance", False), ("group", False), ("none", False), ("batch", False)],
        itertools.cycle(zip(UPSAMPLERS, [*DOWNSAMPLINGS] * 2, [*PADDINGS] * 2, strict=False)),
        strict=False,
    )
]


def run(network, x, code, dtype):
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return network(x, code).float()


@pytest.mark.parametrize("choices", CHOICES, ids=lambda choices: "-".join(map(str, choices.values())))
@pytest.mark.parametrize("name", GENERATORS)
def test_the_fast_network_computes_the_same(name, choices):
    network = build(name, **choices)
    x, code = torch.rand(2, 3, 37, 50) * 2 - 1, torch.randn(2, CODE)
    expected = run(network, x, code, torch.float32)
    assert (run(accelerate(network, dtype=torch.float32), x, code, torch.float32) - expected).abs().max() < 1e-4
    error = (run(network, x, code, torch.bfloat16) - expected).square().mean()
    fast = (run(accelerate(network, dtype=torch.bfloat16), x, code, torch.bfloat16) - expected).square().mean()
    assert fast < 2 * error < 0.01
    laid = x.contiguous(memory_format=torch.channels_last)
    assert (run(network, laid, code, torch.float32) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", GENERATORS)
def test_a_result_does_not_depend_on_its_neighbours(name):
    """To the last bit: of many sums a matrix product makes the same for a picture alone only if it is alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = accelerate(build(name, code=128), dtype=torch.float32)
        x, code = torch.rand(3, 3, 32, 32) * 2 - 1, torch.randn(3, 128)
        together = run(network, x, code, torch.float32)
        for index in range(3):
            one = slice(index, index + 1)
            assert torch.equal(run(network, x[one], code[one], torch.float32)[0], together[index])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", GENERATORS)
def test_memory_is_counted_with_a_code(name):
    code = torch.zeros(1, CODE)
    counted = [
        peak_bytes(build(name, code=numbers), channels=3, height=32, width=48, inputs=inputs)
        for numbers, inputs in ((CODE, {"code": code}), (0, None))
    ]
    assert counted[0] >= counted[1] > 3 * 32 * 48 * 4
