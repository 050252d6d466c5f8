"""What must hold for every discriminator in the table; a new entry is tested by existing."""

import copy

import pytest
import torch
from torch import nn

from tests.networks.test_gradients import distance
from translate.losses import zero_centred
from translate.networks import DISCRIMINATORS, Discriminator, Shown
from translate.networks.blocks import init_weights
from translate.networks.discriminator import JOINS, Branching
from translate.networks.patchgan import WidthSettings

CODE, SIZE = 5, 32
SMALL = {"width": 2, "patch": 16, "scales": 2, "norm": "instance", "segments": 3, "d_backbone_size": 64}
"""Arguments of the tests, as far as a discriminator takes them."""

ANY_SIZE = ("projected",)  # pictures are enlarged where they are small


def uses(name):
    """The ways in which it may use a label or text."""
    settings = DISCRIMINATORS[name].settings
    assert issubclass(settings, WidthSettings)
    return settings.code_uses


def network(name, *, picture=3, spatial=0, planes=0, size=SIZE, **choices):
    chosen = DISCRIMINATORS[name]
    arguments = {key: value for key, value in (SMALL | choices).items() if key in chosen.takes}
    arguments |= {"spatial": spatial + planes} if "spatial" in chosen.takes else {}
    torch.manual_seed(0)
    return chosen(picture + spatial + planes, size=size, **arguments)


def build(name, *, join=None, classes=0, **choices):
    made = network(name, planes=JOINS[join] if join else 0, **choices)
    discriminator = Discriminator(made, join=join, code=CODE if join else 0, classes=classes)
    init_weights(discriminator, gain=0.2)
    return discriminator


def picture(count=2, side=SIZE, channels=3):
    shape = (count, channels, *((side, side) if isinstance(side, int) else side))
    return torch.rand(shape, generator=torch.Generator().manual_seed(count)) * 2 - 1


def tensors(scores):
    """All outputs of every branch."""
    for one in scores:
        yield from (one.logits, *one.features, *(part for part in (one.classes, one.segments) if part is not None))


def weights(discriminator):
    return [weight for weight in discriminator.parameters() if weight.requires_grad]


def joins():
    return [(name, use) for name in DISCRIMINATORS for use in (None, *JOINS) if use is None or use in uses(name)]


@pytest.mark.parametrize("spatial", [0, 1])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_each_branch_gives_maps_of_logits_and_features_from_the_outermost_in(name, spatial):
    discriminator = build(name, spatial=spatial)
    condition = picture(channels=1) if spatial else None
    (scores,) = discriminator(Shown(picture(), condition))
    branches = discriminator.network.lasts if isinstance(discriminator.network, Branching) else [None]
    assert len(scores) == len(branches)
    for one in scores:
        assert one.logits.shape[:2] == (2, 1)
        assert one.features
        assert all(feature.dim() == 4 and len(feature) == 2 for feature in one.features)
    assert all(values.isfinite().all() for values in tensors(scores))
    if spatial:
        (other,) = discriminator(Shown(picture(), -condition))
        assert all(not torch.equal(a.logits, b.logits) for a, b in zip(scores, other, strict=True))


@pytest.mark.parametrize(("name", "join"), joins())
def test_one_pass_for_all_gives_what_each_pass_gives(name, join):
    """Where a norm mixes the batch, the game lets them pass apart; in evaluation, it holds for these, too."""
    discriminator = build(name, join=join, classes=0 if join or "auxiliary" not in uses(name) else 2, spatial=1)
    discriminator.train(not discriminator.mixes_batch and name not in ("projected",))
    code = torch.randn(2, CODE) if join else None
    condition = picture(channels=1)
    real = Shown(picture(), condition, code)
    shown = (real, real._replace(code=None if code is None else -code), Shown(-picture(), condition, code))
    alone = [discriminator(one)[0] for one in shown]
    for one, expected in zip(discriminator(*shown, together=True), alone, strict=True):
        for a, b in zip(tensors(one), tensors(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "use"), [(name, use) for name in DISCRIMINATORS for use in uses(name)])
def test_every_branch_uses_a_code_and_predicts_classes(name, use):
    auxiliary = use == "auxiliary"
    discriminator = build(name, join=None if auxiliary else use, classes=2 if auxiliary else 0)
    code = None if auxiliary else torch.randn(2, CODE)
    (scores,) = discriminator(Shown(picture(), code=code))
    if auxiliary:
        assert all(one.predicted.shape == (2, 2) for one in scores)
        sum(one.predicted.square().sum() for one in scores).backward()
        heads = [head.weight.grad for head in discriminator.classifier.modules() if isinstance(head, nn.Linear)]
        assert all(grad.abs().sum() > 0 for grad in heads)
        return
    (other,) = discriminator(Shown(picture(), code=-code))
    assert all(not torch.equal(a.logits, b.logits) for a, b in zip(scores, other, strict=True))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_the_gradient_of_the_score_is_that_of_finite_differences(name):
    discriminator = build(name).double().eval()
    image = picture(1).double().requires_grad_()
    direction = torch.randn_like(image)

    def score(x):
        return torch.stack([one.logits.mean() for one in discriminator(Shown(x))[0]]).sum()

    (gradient,) = torch.autograd.grad(score(image), image)
    step = 1e-7 * direction
    slope = (score(image + step) - score(image - step)) / 2e-7
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_penalty_goes_backward_twice(name, precision):
    discriminator = build(name, spatial=1)

    def score(seen):
        condition, image = seen
        (scores,) = discriminator(Shown(image, condition))
        return torch.stack([one.logits.float().flatten(1).mean(1) for one in scores]).sum(0)

    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        penalty = zero_centred(score, [picture(channels=1), picture()], gamma=10.0)
    assert penalty > 0
    penalty.backward()
    grads = [weight.grad for weight in weights(discriminator) if weight.grad is not None]
    assert grads
    assert all(grad.isfinite().all() for grad in grads)
    assert sum(grad.abs().sum() for grad in grads) > 0


@pytest.mark.parametrize("name", [name for name in DISCRIMINATORS if name != "projected"])
def test_the_penalty_s_gradient_is_that_of_finite_differences(name):
    discriminator = build(name).double().eval()

    def penalty():
        """R1 without its rounding to float32."""
        image = picture().double().requires_grad_()
        scores = torch.stack([one.logits.flatten(1).mean(1) for one in discriminator(Shown(image))[0]]).sum()
        (gradient,) = torch.autograd.grad(scores, image, create_graph=True)
        return gradient.square().sum()

    moved = weights(discriminator)
    directions = [torch.randn_like(weight) for weight in moved]
    found = torch.autograd.grad(penalty(), moved, allow_unused=True)
    expected = sum((g * d).sum() for g, d in zip(found, directions, strict=True) if g is not None)
    values = []
    for step in (1e-8, -2e-8):  # larger ones cross the corners of leaky ReLUs
        with torch.no_grad():
            for weight, direction in zip(moved, directions, strict=True):
                weight.add_(step * direction)
        values.append(penalty().item())
    assert expected.item() == pytest.approx((values[0] - values[1]) / 2e-8, rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_size_from_the_smallest_on_and_no_smaller_one(name):
    if name in ANY_SIZE:
        smallest = 1
    else:
        with pytest.raises(
            ValueError, match=r"at least \d+ pixels a side, but --size is 4: use a larger --size"
        ) as found:
            network(name, size=4)
        smallest = int(str(found.value).split("at least ")[1].split()[0])
        with pytest.raises(ValueError, match=f"--size is {smallest - 1}: "):
            network(name, size=smallest - 1)
    for extra in (0, 1, 2, 3, 5, 7, 10):
        side = (smallest + extra, smallest + 11 - extra)
        discriminator = Discriminator(network(name, size=side))
        assert all(
            values.isfinite().all() and values.numel() for values in tensors(discriminator(Shown(picture(2, side)))[0])
        )


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_autocast_is_near_float32(name):
    discriminator = build(name).eval()
    expected = discriminator(Shown(picture()))[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = discriminator(Shown(picture()))[0]
    for a, b in zip(made, expected, strict=True):
        assert (a.logits.float() - b.logits).abs().max() < 0.1 * b.logits.abs().max() + 0.02


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_without_memory_it_is_made_and_run_with_the_same_shapes(name):
    with torch.device("meta"):
        shapes = (
            [values.shape for values in tensors(build(name, spatial=1)(Shown(picture(), picture(channels=1)))[0])]
            if name != "?"
            else []
        )
    made = tensors(build(name, spatial=1)(Shown(picture(), picture(channels=1)))[0])
    assert shapes == [values.shape for values in made]


@pytest.mark.parametrize("name", [name for name, made in DISCRIMINATORS.items() if "spectral_norm" in made.takes])
def test_spectral_norm_is_on_every_convolution_and_without_it_names_are_as_before(name):
    plain, normed = network(name), network(name, spectral_norm=True)
    convolutions = [layer for layer in normed.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == len([layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)])
    init_weights(normed, gain=3.0)
    for layer in convolutions:
        for _ in range(30):
            made = layer.weight
        assert torch.linalg.matrix_norm(made.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    assert not any("parametrizations" in key for key in plain.state_dict())
    renamed = {key.replace("parametrizations.weight.original", "weight") for key in normed.state_dict()}
    assert set(plain.state_dict()) == {key for key in renamed if not key.endswith((".u", ".v"))}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_copy_and_a_restored_one_give_the_same_pass(name):
    discriminator = build(name, spectral_norm=True)
    for _ in range(3):
        discriminator(Shown(picture()))
    other = build(name, spectral_norm=True)
    init_weights(other)
    other.load_state_dict(discriminator.state_dict())
    for again in (copy.deepcopy(discriminator), other):
        state = copy.deepcopy(discriminator.state_dict())
        expected = discriminator(Shown(picture()))[0]
        assert all(
            torch.equal(a, b) for a, b in zip(tensors(again(Shown(picture()))[0]), tensors(expected), strict=True)
        )
        discriminator.load_state_dict(state)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_layout_and_bfloat16_have_float64s_values_and_gradients_to_their_precision(name, count, norm):
    """As a whole: a value that is nearly 0 may go the other way in a ReLU."""
    wide = build(name, norm=norm).double()
    seen = picture(count).double().requires_grad_()
    judged = list(tensors(wide(Shown(seen))[0]))
    given = [torch.randn_like(x) for x in judged]
    wanted = torch.autograd.grad(judged, [seen, *weights(wide)], given)
    for layout in (torch.contiguous_format, torch.channels_last):
        for dtype in (torch.float32, torch.bfloat16):
            narrow = copy.deepcopy(wide).float().to(memory_format=layout)
            x = seen.detach().float().contiguous(memory_format=layout).requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                found = list(tensors(narrow(Shown(x))[0]))
            back = [g.to(y.dtype) for g, y in zip(given, found, strict=True)]
            gradients = torch.autograd.grad(found, [x, *weights(narrow)], back)
            exact = dtype == torch.float32
            assert distance(found, judged) <= (1e-5 if exact else 0.02), (layout, dtype)
            assert distance(gradients, wanted) <= (1e-5 if exact else 0.3), (layout, dtype)
