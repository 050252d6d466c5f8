"""Energies: EBGAN's margin and repelling term, and BEGAN's balance, by hand and through a game."""

import pytest
import torch
from torch import nn

from translate.losses import pull_away
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import Discriminator, Scores, Shown


class Energies(Discriminator):
    """In place of an autoencoder: a picture's energy is its mean, times a weight; its code is the picture itself."""

    def __init__(self):
        super().__init__(nn.Sequential(nn.Conv2d(1, 1, 1)))
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, *shown, together=False):
        return [
            [Scores(self.weight * one.image.mean((1, 2, 3), keepdim=True), (one.image.relu(), one.image))]
            for one in shown
        ]


def game(objective, **settings):
    """The settings are not checked, so that no autoencoder is needed."""
    return Game(Energies(), GameSettings.model_construct(objective=objective, **settings))


def pictures(*energies):
    return Shown(torch.tensor(energies).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2))


def test_ebgan_pushes_fakes_up_to_the_margin_by_hand():
    played = game("ebgan", margin=2.0)
    terms = played.discriminator(pictures(1.0, 3.0), pictures(0.5, 2.5), draws={})
    assert terms.losses["d"].item() == pytest.approx(2 + (1.5 + 0) / 2)
    terms = played.generator(pictures(1.0, 3.0), pictures(0.5, 2.5), draws={})
    assert terms.losses["g_gan"].item() == pytest.approx(1.5)
    assert terms.losses["g_pull_away"].item() == pytest.approx(0.1)  # codes of one direction
    assert terms.losses.keys() == {"g_gan", "g_pull_away"}
    alone = game("ebgan", lambda_pull_away=0.0).generator(pictures(1.0), pictures(0.5), draws={})
    assert alone.losses.keys() == {"g_gan"}


def balance(steps, *, diversity=0.5):
    """k before each step and after the last, as Berthelot 2017 has it."""
    found = [0.0]
    for real, fake in steps:
        found.append(min(max(found[-1] + 0.001 * (diversity * real - fake), 0.0), 1.0))
    return found


STEPS = [(4.0, 1.0), (8.0, 3.0), (1.0, 9.0), (1.0, 2.0), (600.0, 50.0), (900.0, 10.0), (3000.0, 0.0), (2.0, 100.0)]


def test_began_balances_by_hand():
    """Over several steps, clipped at both ends; with its convergence measure."""
    played = game("began")
    expected = balance(STEPS)
    assert min(expected[1:]) == 0
    assert max(expected) == 1
    for (real, fake), k, after in zip(STEPS, expected[:-1], expected[1:], strict=True):
        terms = played.discriminator(pictures(real, real), pictures(fake, fake), draws={})
        assert terms.losses["d"].item() == pytest.approx(real - k * fake, rel=1e-5, abs=1e-6)
        assert terms.stats["d_k"].item() == pytest.approx(k, abs=1e-6)
        assert terms.stats["d_convergence"].item() == pytest.approx(real + abs(0.5 * real - fake))
        played.after_step("generator", {})
        assert played.k.item() == pytest.approx(k, abs=1e-6)
        played.after_step("discriminator", terms.stats)
        assert played.k.item() == pytest.approx(after, abs=1e-6)
    assert played.generator(pictures(4.0), pictures(3.0), draws={}).losses["g_gan"].item() == 3


def test_the_gradient_of_began_s_discriminator_is_weighed_by_k():
    played = game("began")
    played.k.fill_(0.25)
    played.discriminator(pictures(4.0), pictures(2.0), draws={}).losses["d"].backward()
    assert played.network.weight.grad.item() == pytest.approx(4 - 0.25 * 2)


def test_k_is_equal_in_all_processes():
    """Each has energies of its own, and moves by the mean of all."""
    played = [game("began", diversity=0.75) for _ in range(2)]
    shown = [(pictures(400.0), pictures(100.0)), (pictures(200.0), pictures(50.0))]
    stats = [one.discriminator(*pair, draws={}).stats for one, pair in zip(played, shown, strict=True)]
    means = {id(s[name]): (stats[0][name] + stats[1][name]) / 2 for s in stats for name in ("d_real", "d_fake")}
    for one, own in zip(played, stats, strict=True):
        one.across = lambda statistic: means[id(statistic)]
        one.after_step("discriminator", own)
    assert played[0].k == played[1].k
    assert played[0].k.item() == pytest.approx(0.001 * (0.75 * 300 - 75))


def test_k_is_saved_and_restored():
    played, other = game("began"), game("began")
    played.k.fill_(0.5)
    assert played.state_dict().keys() == {"k"}
    other.load_state_dict(played.state_dict())
    assert other.k.item() == 0.5
    assert not game("ebgan").state_dict()


def test_games_of_a_suffix_balance_by_their_own_figures():
    played = Game(Energies(), GameSettings.model_construct(objective="began"), suffix="_back")
    terms = played.discriminator(pictures(400.0), pictures(100.0), draws={})
    assert terms.stats.keys() == {"d_real_back", "d_fake_back", "d_k_back", "d_convergence_back"}
    played.after_step("discriminator", {"d_real": torch.zeros(()), "d_fake": torch.zeros(()), **terms.stats})
    assert played.k.item() == pytest.approx(0.1)


# the repelling term


@pytest.mark.parametrize("count", [2, 5])
def test_pull_away_is_that_of_a_double_loop(count):
    code = torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    flat = code.flatten(1)
    pairs = [
        ((flat[i] @ flat[j]) / (flat[i].norm() * flat[j].norm())) ** 2
        for i in range(count)
        for j in range(count)
        if i != j
    ]
    made = pull_away(code)
    assert made.item() == pytest.approx((sum(pairs) / (count * (count - 1))).item(), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pull_away(code.float()).item() == pytest.approx(made.item(), rel=1e-5)


def test_pull_away_by_hand():
    alike = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]])
    assert pull_away(alike).item() == pytest.approx(1)
    assert pull_away(torch.eye(4)).item() == 0
    assert pull_away(torch.ones(1, 4)).item() == 0
    nothing = torch.zeros(3, 4, requires_grad=True)
    pull_away(nothing).backward()
    assert nothing.grad.isfinite().all()
