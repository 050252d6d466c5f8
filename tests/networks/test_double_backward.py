"""Penalties differentiate a discriminator twice: every entry of the table, in float32, bfloat16 and float64."""

import pytest
import torch
from torch.nn import functional as F

from tests.parts import slow_but
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import DISCRIMINATORS, Discriminator, Shown
from translate.networks.blocks import NORMS

SIDE, CLASSES = 32, 3
FLOAT32_ONLY = ("projected",)  # their frozen networks are in float32
SMALL = {
    "size": SIDE,
    "width": 4,
    "patch": 16,
    "norm": "instance",
    "scales": 2,
    "spatial": CLASSES,
    "segments": CLASSES,
    "d_backbone_size": 64,
}
"""What any of them may take, to be small."""


def game_of(name, **changes):
    """A game of pictures with a label map, which the network sees as channels, or labels itself."""
    torch.manual_seed(0)
    entry = DISCRIMINATORS[name]
    channels = 3 + ("segments" not in entry.takes) * CLASSES
    network = entry(channels, **{key: value for key, value in (SMALL | changes).items() if key in entry.takes})
    try:
        getattr(network, "check", lambda: None)()
    except ValueError as error:
        pytest.skip(f"without its weights: {error}")
    # an energy is no choice of another objective, and the penalty is the same with any
    settings = GameSettings.model_construct(discriminator=name, penalty="r1", r1_gamma=10.0, batch=1)
    return Game(Discriminator(network), settings)


def pictures(game, dtype=torch.float32, count=2):
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(CLASSES, (count, SIDE, SIDE), generator=generator)
    source = F.one_hot(classes, CLASSES).permute(0, 3, 1, 2).to(dtype) * 2 - 1
    labels_itself = "segments" in DISCRIMINATORS[game.settings.discriminator].takes
    return [
        Shown(
            torch.rand(count, 3, SIDE, SIDE, generator=generator, dtype=dtype) * 2 - 1,
            None if labels_itself else source,
            classes=classes,
        )
        for _ in range(2)
    ]


def gradients(game, dtype=None):
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        penalty = game.penalties(*pictures(game), draws={})["d_penalty"]
    game.network.zero_grad()
    penalty.backward()
    found = {n: w.grad for n, w in game.network.named_parameters() if w.requires_grad and w.grad is not None}
    assert all(gradient.isfinite().all() for gradient in found.values())
    return torch.cat([gradient.flatten() for gradient in found.values()]), penalty.item()


@pytest.mark.parametrize(
    "name", slow_but([name for name in DISCRIMINATORS if name not in FLOAT32_ONLY], DISCRIMINATORS)
)
def test_the_penalty_of_every_discriminator_has_gradients(name):
    """In bfloat16 they point where those of float32 do."""
    game = game_of(name)
    whole, penalty = gradients(game)
    assert penalty > 0
    assert whole.abs().max() > 0
    half, near = gradients(game, torch.bfloat16)
    assert near == pytest.approx(penalty, rel=0.1)
    assert F.cosine_similarity(half, whole, dim=0) > 0.9


@pytest.mark.parametrize("name", [name for name in DISCRIMINATORS if name not in FLOAT32_ONLY])
def test_gradients_of_the_penalty_are_those_of_finite_differences(name):
    game = game_of(name)
    game.network.double().eval()  # spectral norms keep their vectors
    assert_like_differences(game)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_of_the_penalty_go_through_every_norm(norm):
    """In training; of one picture, as batch norm needs it."""
    game = game_of("patchgan", norm=norm)
    game.network.double()
    assert_like_differences(game, count=1)


def assert_like_differences(game, *, count=2):
    """Of the penalty's gradient by all weights, along one direction."""
    shown, weights = pictures(game, torch.float64, count), [w for w in game.network.parameters() if w.requires_grad]

    def penalty():
        return game.penalties(*shown, draws={})["d_penalty"]

    made = torch.autograd.grad(penalty(), weights, allow_unused=True, materialize_grads=True)
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    ends = []
    for step in (1e-8, -2e-8):  # so small that no leaky ReLU turns its corner
        for w, d in zip(weights, direction, strict=True):
            w.data += step * d
        ends.append(penalty().item())
    along = sum((m * d).sum().item() for m, d in zip(made, direction, strict=True))
    assert along == pytest.approx((ends[0] - ends[1]) / 2e-8, rel=1e-4)
