"""Penalties on the gradient of D's score: by hand, against finite differences, and through `Game.penalties`."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.losses import gradient_penalty, zero_centred
from translate.models.dualgan import DualGANSettings
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.models.parts import make_discriminator
from translate.models.pix2pix import Pix2PixSettings
from translate.models.stargan import StarGANSettings
from translate.networks import DiffAugment, Discriminator, Shown
from translate.networks.discriminator import Branching, walk
from translate.sizes import Size

CASES = {"gp": {"lambda_gp": 7.0}, "r1": {"r1_gamma": 3.0}, "r1r2": {"r1_gamma": 3.0}}


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_gradient_penalty_of_a_linear_critic_by_hand():
    """Of two inputs, of gradient 3 and (0, 4): the length of all is 5."""
    weight = torch.tensor([3.0, 0.0, 4.0], requires_grad=True)
    real, fake = ([torch.rand(3, n, 1, 1) for n in (1, 2)] for _ in range(2))
    fake = [part.requires_grad_() for part in fake]

    def score(seen):
        return torch.cat([part.flatten(1) for part in seen], 1) @ weight

    made = gradient_penalty(score, real, fake, eps=torch.rand(3, 1, 1, 1))
    assert made.item() == pytest.approx(10 * 16)
    made.backward()
    assert all(part.grad is None for part in fake)
    # d/dw of 10 (|w| - 1)^2: 20 * 4 * w / 5
    torch.testing.assert_close(weight.grad, torch.tensor([48.0, 0.0, 64.0]))


def test_gradient_penalty_is_taken_between_real_and_fake():
    """Of x^2 / 2 the gradient is x itself: 0.25 * 4 + 0.75 * 8 = 7 in the first, 8 in the second picture."""
    real, fake = column(4, 4), column(8, 8)
    made = gradient_penalty(
        lambda seen: (seen[0].square() / 2).flatten(), [real], [fake], eps=column(0.25, 0), weight=1.0
    )
    assert made.item() == pytest.approx((36 + 49) / 2)


def test_zero_centred_penalty_by_hand():
    """Of w x^2 / 2 + v y the gradient is (w x, v)."""
    w, v = (torch.tensor(number, requires_grad=True) for number in (2.0, 0.5))
    x, y = column(1, 3).requires_grad_(), column(9, 9)

    def score(seen):
        return (w * seen[0].square() / 2 + v * seen[1]).flatten()

    made = zero_centred(score, [x, y], gamma=10.0)
    assert made.item() == pytest.approx(5 * ((4 + 0.25) + (36 + 0.25)) / 2)
    made.backward()
    assert x.grad is None
    assert w.grad.item() == pytest.approx(5 * 2 * 2.0 * (1 + 9) / 2)
    assert v.grad.item() == pytest.approx(5 * 2 * 0.5)


def test_a_score_without_slope_has_finite_gradients():
    """The length of a gradient has no derivative at 0: there it counts as 0."""
    weight = torch.zeros(2, requires_grad=True)
    made = gradient_penalty(
        lambda seen: seen[0].flatten(1) @ weight,
        [torch.rand(3, 2, 1, 1)] * 1,
        [torch.rand(3, 2, 1, 1)],
        eps=torch.rand(3, 1, 1, 1),
    )
    assert made.item() == pytest.approx(10)
    made.backward()
    assert weight.grad.isfinite().all()


# through a game


def settings_of(penalty, **changes):
    return GameSettings.make({"penalty": penalty, "batch": 2, **CASES.get(penalty, {}), **changes})


def network(channels=3, width=4):
    """Three layers, of which one norms; smooth, so that finite differences see no corner."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1), nn.Softplus(), nn.InstanceNorm2d(width), nn.Conv2d(width, 1, 3, 1, 1)
    ).double()


def examples(*, spatial=2, count=2, side=8, **more):
    """Real and fake: the same source, other pictures."""
    generator = torch.Generator().manual_seed(1)
    picture = lambda channels: torch.rand(count, channels, side, side, generator=generator, dtype=torch.float64)  # noqa: E731
    source = picture(spatial) if spatial else None
    return [Shown(picture(1), source, **more) for _ in range(2)]


def slopes(score, seen, *, step=1e-5):
    """The gradient `[B, N]` of each example's score by all its numbers, by central differences."""
    columns = []
    for i, part in enumerate(seen):
        for place in range(part[0].numel()):
            ends = []
            for sign in (1, -1):
                moved = part.clone()
                moved.flatten(1)[:, place] += sign * step
                ends.append(score([*seen[:i], moved, *seen[i + 1 :]]))
            columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, 1)


@torch.no_grad()
def by_differences(penalty, game, real, fake, mix):
    """The penalty as it is defined, with no derivative but central differences of the mean of D's patches."""

    def score(seen):
        spatial, image = seen
        x = game.network.network(torch.cat([spatial, image], 1))
        return x.flatten(1).mean(1)

    (real, fake) = ([one.spatial, one.image] for one in (real, fake))
    if penalty == "gp":
        between = [mix * r + (1 - mix) * f for r, f in zip(real, fake, strict=True)]
        return 7.0 * ((slopes(score, between).square().sum(1) ** 0.5 - 1) ** 2).mean()
    sides = [real] if penalty == "r1" else [real, fake]
    return sum(3.0 / 2 * slopes(score, side).square().sum(1).mean() for side in sides)


@pytest.mark.parametrize("penalty", CASES)
def test_penalties_of_a_game_and_their_gradients_are_those_of_finite_differences(penalty):
    """Over source and picture together; its gradient by D's weights along a few directions."""
    game = Game(Discriminator(network()), settings_of(penalty))
    real, fake = examples()
    mix = torch.tensor([0.3, 0.8], dtype=torch.float64).reshape(2, 1, 1, 1)
    made = game.penalties(real, fake, draws={"game.mix": mix})["d_penalty"]
    assert made.item() == pytest.approx(by_differences(penalty, game, real, fake, mix).item(), rel=1e-7)
    weights = list(game.network.parameters())
    gradients = torch.autograd.grad(made, weights, allow_unused=True, materialize_grads=True)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]
        ends = []
        for step in (1e-4, -1e-4):
            for w, d in zip(weights, direction, strict=True):
                w.data += step * d
            ends.append(by_differences(penalty, game, real, fake, mix))
            for w, d in zip(weights, direction, strict=True):
                w.data -= step * d
        along = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
        assert along.item() == pytest.approx((ends[0] - ends[1]).item() / 2e-4, rel=1e-4)


def norm_of(game, shown):
    """The length of each example's gradient of the mean logit, without the game's code."""
    seen = [one.detach().requires_grad_() for one in (shown.spatial, shown.image) if one is not None]
    shown = shown._replace(image=seen[-1], spatial=seen[0] if len(seen) == 2 else None)
    (scores,) = game.network(shown)
    mean = sum(scale.logits.flatten(1).mean(1) for scale in scores) * game.network.scale_weight
    found = torch.autograd.grad(mean.sum(), seen)
    return sum(gradient.flatten(1).square().sum(1) for gradient in found) ** 0.5


@pytest.mark.parametrize("join", ["projection", "concat"])
def test_the_penalty_of_a_picture_with_a_text_is_taken_at_that_text(join):
    """And reaches the encoder of the text, whose code D's score is sloped by."""
    channels = 3 + (16 if join == "concat" else 0)
    game = Game(Discriminator(network(channels), join=join, code=5).double(), settings_of("r1"))
    code = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    real, fake = examples(code=code)
    made = game.penalties(real, fake, draws={})["d_penalty"]
    assert made.item() == pytest.approx(1.5 * norm_of(game, real).square().mean().item())
    (by_code,) = torch.autograd.grad(made, code)
    assert by_code.abs().sum() > 0


def test_the_penalty_goes_through_the_augmentation_to_the_picture_before_it():
    """With the random numbers that the real pictures are augmented by."""
    chain = network().float()
    game, plain = (
        Game(Discriminator(chain, augment=augment), settings_of("r1"))
        for augment in (DiffAugment("translation,cutout"), None)
    )
    numbers = torch.rand(2, 7, generator=torch.Generator().manual_seed(3))
    real, fake = (Shown(shown.image.float(), shown.spatial.float(), augment=numbers) for shown in examples())
    made = game.penalties(real, fake, draws={})["d_penalty"].item()
    assert made == pytest.approx(1.5 * norm_of(game, real).square().mean().item(), rel=1e-5)
    assert made != pytest.approx(1.5 * norm_of(plain, real).square().mean().item(), rel=1e-3)


class TwoScales(nn.Module):
    """A network at full size, and another at half of it."""

    def __init__(self, *, mean):
        super().__init__()
        self.mean, self.each = mean, nn.ModuleList([network(), network(width=3)])

    @property
    def lasts(self):
        return [chain[-1] for chain in self.each]

    def see(self, x, *, channels):
        return [walk(chain.children(), part) for chain, part in zip(self.each, (x, F.avg_pool2d(x, 2)), strict=True)]


@pytest.mark.parametrize("mean", [False, True])
def test_the_score_of_several_scales_is_their_sum_or_mean(mean):
    both = TwoScales(mean=mean)
    assert isinstance(both, Branching)
    game = Game(Discriminator(both), settings_of("r1"))
    real, fake = examples()
    seen = [part.clone().requires_grad_() for part in (real.spatial, real.image)]
    x = torch.cat(seen, 1)
    score = sum(chain(part).mean((1, 2, 3)) for chain, part in zip(both.each, (x, F.avg_pool2d(x, 2)), strict=True))
    slope = torch.cat([g.flatten(1) for g in torch.autograd.grad(score.sum() * (0.5 if mean else 1), seen)], 1)
    made = game.penalties(real, fake, draws={})["d_penalty"]
    assert made.item() == pytest.approx(1.5 * slope.square().sum(1).mean().item())


@pytest.mark.parametrize("penalty", CASES)
def test_a_lazy_penalty_is_computed_every_few_steps_and_counts_as_often(penalty):
    real, fake = examples()
    draws = {"game.mix": torch.full((2, 1, 1, 1), 0.5, dtype=torch.float64)}
    each, lazy = (Game(Discriminator(network()), settings_of(penalty, penalty_every=k)) for k in (1, 4))
    usual = each.discriminator(real, fake, draws=draws).losses["d_penalty"].item()
    for number in range(9):
        for game in (each, lazy):
            game.before_step(number, number / 9)
        assert each.discriminator(real, fake, draws=draws).losses["d_penalty"].item() == usual
        found = lazy.discriminator(real, fake, draws=draws).losses
        assert found.keys() == ({"d", "d_penalty"} if number in (0, 4, 8) else {"d"})
        if "d_penalty" in found:
            assert found["d_penalty"].item() == pytest.approx(4 * usual)


@pytest.mark.parametrize("penalty", ["none", "clip"])
def test_without_a_gradient_penalty_there_is_no_such_term(penalty):
    game = Game(Discriminator(network()), settings_of(penalty))
    assert game.discriminator(*examples(), draws={}).losses.keys() == {"d"}
    assert not game.draws()


def test_no_penalty_reaches_the_generator_or_what_made_the_pictures():
    game = Game(Discriminator(network()), settings_of("r1r2"))
    real, fake = (shown._replace(image=shown.image.requires_grad_()) for shown in examples())
    game.penalties(real, fake, draws={})["d_penalty"].backward()
    assert real.image.grad is None
    assert fake.image.grad is None


def test_in_float16_the_penalty_is_that_of_float32():
    """A gradient over many patches is too small for float16, and no scaler has scaled it."""
    game = Game(Discriminator(network().float()), settings_of("r1r2"))
    real, fake = (shown._replace(image=shown.image.float(), spatial=shown.spatial.float()) for shown in examples())
    plain = game.penalties(real, fake, draws={})["d_penalty"].item()
    with torch.autocast("cpu", dtype=torch.float16):
        half = fake._replace(image=fake.image.half())  # as a generator gives it
        made = game.penalties(real, half, draws={})["d_penalty"]
    assert made.dtype == torch.float32
    assert made.item() == pytest.approx(plain, rel=1e-4)  # the fake was rounded


# batch norm


@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("discriminator", ["patchgan", "dcgan"])
def test_batch_norm_over_several_pictures_and_a_gradient_penalty_are_refused(discriminator, penalty):
    size = Size.of(32)
    settings = settings_of(penalty, discriminator=discriminator, discriminator_norm="batch", discriminator_width=2)
    made = make_discriminator(settings, 3, size=size)
    with pytest.raises(
        ValueError, match=f"--penalty {penalty} .* mixes the 2 pictures .* --discriminator-norm instance"
    ):
        Game(made, settings)
    alone = settings.replace(batch=1)
    Game(make_discriminator(alone, 3, size=size), alone)
    clipped = settings.replace(penalty="clip")
    Game(make_discriminator(clipped, 3, size=size), clipped)


def norms(settings):
    made = make_discriminator(settings, 3, size=Size.of(32))
    return {type(layer).__name__ for layer in made.modules() if "Norm" in type(layer).__name__}


@pytest.mark.parametrize("discriminator", ["patchgan", "dcgan"])
def test_a_penalty_gives_the_discriminator_a_norm_that_keeps_pictures_apart(discriminator):
    """Given, or implied by the objective; unless the norm does that anyway, or the discriminator's own was chosen."""
    usual = {"discriminator": discriminator, "discriminator_width": 2, "norm": "batch", "batch": 4}
    for chosen, expected in (
        ({}, "BatchNorm2d"),
        ({"penalty": "r1"}, "InstanceNorm2d"),
        ({"objective": "wasserstein"}, "InstanceNorm2d"),
        ({"objective": "wasserstein", "penalty": "clip"}, "BatchNorm2d"),
        ({"penalty": "r1", "norm": "group"}, "GroupNorm"),
        ({"penalty": "r1", "discriminator_norm": "group"}, "GroupNorm"),
        ({"discriminator_norm": "instance"}, "InstanceNorm2d"),
    ):
        settings = GameSettings.make({**usual, **chosen})
        assert norms(settings) == {expected}, chosen
        assert settings.norm == chosen.get("norm", "batch")
        Game(make_discriminator(settings, 3, size=Size.of(32)), settings)
        assert type(settings).make(settings.as_json()) == settings


def test_a_critic_comes_with_the_penalty_that_its_method_was_published_with():
    for cls, usual in (
        (GameSettings, "gp"),
        (Pix2PixSettings, "gp"),
        (StarGANSettings, "gp"),
        (DualGANSettings, "clip"),
    ):
        assert cls.make({"objective": "wasserstein"}).penalty == usual
        assert cls.make({"objective": "lsgan"}).penalty == "none"
        assert cls.make({"objective": "wasserstein", "penalty": "r1"}).penalty == "r1"
        with pytest.raises(ValueError, match="--objective wasserstein needs a bounded discriminator: use --penalty gp"):
            cls.make({"objective": "wasserstein", "penalty": "none"})
    assert StarGANSettings.make({}).discriminator_norm == "none"  # as published, with its penalty
