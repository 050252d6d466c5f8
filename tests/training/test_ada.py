"""ADA: how often the changes of DiffAugment are made, and how that is steered (Karras 2020)."""

import pytest
import torch
from torch import nn

from tests.models.test_models import small_settings
from tests.training.tiny import Tiny, batches_of, make, step_of
from translate.losses import OBJECTIVES
from translate.losses.adversarial import DIVERGENCES
from translate.models.ada import JUDGED, Adaptive
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import DiffAugment, Discriminator, Shown
from translate.networks.augment import NUMBERS, POLICIES

EVERY = ",".join(POLICIES)
ON = {"augment": EVERY, "ada": 0.6}


def adaptive(*, p=0.0, centre=0.0, **changes):
    made = Adaptive(GameSettings.make({"objective": "vanilla", **ON, **changes}), centre=centre)
    made.p.fill_(p)
    return made


def test_the_probability_follows_the_sign_by_hand():
    """Judged every 256 pictures: by +-256 / 500,000, from r_t's mean over them, and never below 0."""
    ada, course = adaptive(), []
    for sign in (0.9, 0.5, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2):
        ada.update(torch.tensor(sign), pictures=128)
        course.append(ada.p.item() * 500_000)
    assert course == pytest.approx([0, 256, 256, 512, 512, 256, 256, 0, 0, 0], abs=0.01)


def test_a_mean_over_pictures_is_judged_and_not_each_batch():
    """Single pictures whose signs are 1 and -1: more often 1, and yet the mean is below the target."""
    ada = adaptive(p=0.5)
    for i in range(JUDGED):
        ada.update(torch.tensor(-1.0 if i % 4 == 0 else 1.0), pictures=1)
    assert ada.p.item() == pytest.approx(0.5 - 256 / 500_000)


def test_it_goes_from_nothing_to_all_in_as_many_pictures_as_set_and_no_further():
    for batch in (64, 256, 1000):
        ada, shown = adaptive(ada_speed=20), 0
        while ada.p < 1:
            ada.update(torch.tensor(1.0), pictures=batch)
            shown += batch
        assert 20_000 <= shown < 20_000 + 2 * max(batch, JUDGED)
        ada.update(torch.tensor(1.0), pictures=JUDGED)
        assert ada.p == 1


def test_the_statistic_by_hand():
    ada = adaptive(p=0.25, centre=0.5)
    scales = [torch.tensor([[[[0.6, 0.4]]], [[[2.0, -1.0]]]]), torch.tensor([[[[0.7]]], [[[0.5]]]])]
    found = ada.statistics(scales)
    assert found["ada_sign"].item() == pytest.approx((1 - 1 + 1 - 1 + 1 + 0) / 6)
    assert found["ada_p"].item() == 0.25


def steerable():
    return [name for name, o in OBJECTIVES.items() if not (o.critic or o.energy or o.pairs)]


@pytest.mark.parametrize("objective", steerable())
def test_an_undecided_discriminator_stands_where_the_sign_turns(objective):
    """With real and fake alike, D's cost of the same logit for both is least there."""
    chosen = OBJECTIVES[objective]
    value = torch.tensor([chosen.undecided], requires_grad=True)
    (slope,) = torch.autograd.grad(chosen.discriminator(value, value), value)
    assert slope.item() == pytest.approx(0, abs=1e-6)
    higher, lower = (chosen.discriminator(value + shift, value + shift).item() for shift in (0.1, -0.1))
    assert min(higher, lower) >= chosen.discriminator(value, value).item()
    assert set(DIVERGENCES) <= set(steerable())


def test_each_change_is_made_to_each_picture_by_its_own_coin():
    """A picture looks as without ADA where the coins say so, and as it was where they do not."""
    count = 2 ** len(POLICIES)
    x, numbers = torch.rand(count, 4, 32, 32), torch.rand(count, NUMBERS)
    coins = torch.tensor([[(i >> k) % 2 for k in range(len(POLICIES))] for i in range(count)]) * 0.8 + 0.1
    made = DiffAugment(EVERY)(x, adaptive(p=0.5).gated(numbers, coins), channels=3)
    for i in range(count):
        names = [name for k, name in enumerate(POLICIES) if coins[i, k] < 0.5]
        alone = DiffAugment(",".join(names))(x[i : i + 1], numbers[i : i + 1], channels=3)[0] if names else x[i]
        assert torch.equal(made[i], alone), names


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)])
def test_the_share_of_changed_pictures_is_the_probability(p, share):
    torch.manual_seed(0)
    ada, count = adaptive(p=p), 4000
    gated = ada.gated(torch.rand(count, NUMBERS), torch.rand(count, *ada.draw.shape))
    assert gated[:, NUMBERS:].mean(0).tolist() == pytest.approx([share] * len(POLICIES), abs=0.03)


def test_source_and_target_are_changed_alike():
    image, ada = torch.rand(8, 1, 32, 32) + 1, adaptive(p=0.5)
    gated = ada.gated(torch.rand(8, NUMBERS), torch.rand(8, len(POLICIES)))
    made = DiffAugment("translation,cutout")(torch.cat([image, image], 1), gated, channels=1)
    assert torch.equal(made[:, 0], made[:, 1])
    assert not torch.equal(made[:, :1], image)


def test_gradients_go_through_changed_and_unchanged_pictures():
    x = torch.rand(2, 1, 16, 16, requires_grad=True)
    numbers = torch.rand(1, NUMBERS).expand(2, -1)
    gated = adaptive(p=0.5).gated(numbers, torch.tensor([[0.1] * len(POLICIES), [0.9] * len(POLICIES)]))
    weight = torch.rand(1, 16, 16)
    (DiffAugment("cutout")(x, gated, channels=1) * weight).sum().backward()
    assert torch.equal(x.grad[1], weight)
    hole = x.grad[0] == 0
    assert hole.sum() == 64
    assert torch.equal(x.grad[0][~hole], weight[~hole])


def game_of(**changes):
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.ones_(next(network.parameters()))
    settings = GameSettings.make({"objective": "vanilla", **changes})
    augment = DiffAugment(settings.augment) if settings.augment else None
    return Game(Discriminator(network, augment=augment), settings)


def test_the_numbers_that_are_drawn_without_it_stay_the_same():
    plain, steered = (game_of(augment="color", **changes).draws() for changes in ({}, {"ada": 0.6}))
    assert plain.items() < steered.items()
    assert {name.removeprefix("game.") for name in steered.keys() - plain.keys()} == {
        "ada_real",
        "ada_fake",
        "ada_generator",
    }


def test_with_probability_0_and_1_the_discriminator_sees_pictures_whole_and_always_changed():
    seen = {}
    for p in (0.0, 1.0):
        game = game_of(augment="cutout", ada=0.6)
        game.ada.p.fill_(p)
        batch = Shown(torch.full((4, 1, 8, 8), 2.0)), Shown(torch.full((4, 1, 8, 8), -2.0))
        names = ("real", "fake", "generator")
        draws = {f"game.augment_{name}": torch.rand(4, NUMBERS) for name in names}
        draws |= {f"game.ada_{name}": torch.rand(4, len(POLICIES)) for name in names}
        terms = game.discriminator(*batch, draws=draws)
        made = game.generator(*batch, draws=draws)
        seen[p] = [terms.stats["d_real"].item(), terms.stats["d_fake"].item(), made.fake[0].logits.mean().item()]
    assert seen == {0.0: [2, -2, -2], 1.0: [1.5, -1.5, -1.5]}


def test_steps_steer_it_and_tell_how():
    """D is always sure of real pictures by a bias; p goes up by all pictures of all steps of D, none of G's."""
    model, optimizers = make(Tiny, augment="color", ada=0.6, ada_speed=1.0, d_steps=2, lr=1e-9, dtype=torch.float32)
    with torch.no_grad():
        model.discriminator.network[-1].bias.fill_(50.0)
    step = step_of(model, optimizers)
    batches = batches_of(model, 8, size=48, dtype=torch.float32)
    figures = step(batches[:4], number=0)  # two rounds of two: 192 pictures of D
    assert model.game.ada.pictures == 192
    figures = step(batches[4:], number=1)  # 96 more are 288, and 96 for the next time
    assert (figures["ada_sign"].item(), figures["ada_p"].item()) == (1.0, pytest.approx(0.288 / 2))
    assert model.game.ada.p.item() == pytest.approx(0.288)
    assert model.game.ada.pictures == 96


def test_what_cannot_be_steered_is_refused():
    with pytest.raises(ValueError, match=r"--ada steers how often the changes of --augment are made"):
        GameSettings.make({"ada": 0.6})
    for name in ("wasserstein", "relativistic", "relativistic-average", "ebgan", "began"):
        with pytest.raises(ValueError, match=r"no value between real and fake|autoencoder"):
            GameSettings.make({"objective": name, **ON})
    with pytest.raises(ValueError, match=r"--ada-speed .* changes nothing without --ada"):
        GameSettings.make({"ada_speed": 10, "augment": "color"}).refuse_unused()


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "dcgan"])
def test_every_model_takes_it(name):
    assert small_settings(name, **ON, objective="vanilla").ada == 0.6
