"""A game of a few weights, and its training written by hand."""

from __future__ import annotations

import torch
from torch import nn

from tests.drawn import drawn
from translate.batch import Batch
from translate.models import Model
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import DiffAugment, Discriminator, Shown
from translate.training.loop import Step, make_optimizers, total

CPU = torch.device("cpu")
D, G = "discriminator", "generator"
PLAIN = {"objective": "vanilla"}


class Tiny(Model):
    """Translates pictures of one channel; D sees (source, picture) pairs, and G has an L1 term, too."""

    players = {D: (D,), G: (G,)}  # noqa: RUF012

    def __init__(self, settings, *, norm=False):
        super().__init__()
        self.settings = settings
        self.generator = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 1, 3, padding=1))
        normed = [nn.BatchNorm2d(3)] if norm else []
        layers = [nn.Conv2d(2, 3, 3, stride=2), *normed, nn.Tanh(), nn.Conv2d(3, 1, 2)]
        augment = DiffAugment(settings.augment) if settings.augment else None
        self.discriminator = Discriminator(nn.Sequential(*layers), augment=augment)
        self.game = Game(self.discriminator, settings)

    def generate(self, batch, players):
        return {"fake": self.generator(batch.source)}

    def objective(self, player, batch, images):
        real, fake = Shown(batch.target, batch.source), Shown(images["fake"], batch.source)
        play = self.game.discriminator if player == D else self.game.generator
        losses, stats, *_ = play(real, fake, draws=batch.draws)
        if player == G:
            losses["g_l1"] = 0.1 * (images["fake"] - batch.target).abs().mean()
        return losses, stats


class GeneratorFirst(Tiny):
    """The other order."""

    players = {G: (G,), D: (D,)}  # noqa: RUF012


class TwoDiscriminators(Tiny):
    """Two games about one fake, whose discriminators are one player."""

    players = {D: (D, "other"), G: (G,)}  # noqa: RUF012

    def __init__(self, settings, *, norm=False):
        super().__init__(settings)
        self.other = Discriminator(nn.Sequential(nn.Conv2d(1, 1, 3)))
        self.game_other = Game(self.other, settings, suffix="_other")

    def objective(self, player, batch, images):
        losses, stats = super().objective(player, batch, images)
        play = self.game_other.discriminator if player == D else self.game_other.generator
        found = play(Shown(batch.target), Shown(images["fake"]), draws=batch.draws)
        return losses | found.losses, stats | found.stats


def make(kind=Tiny, *, norm=False, seed=0, dtype=torch.float64, **settings):
    """A model of these settings, and its optimisers."""
    chosen = GameSettings.make(PLAIN | settings)
    torch.manual_seed(seed)
    model = kind(chosen, norm=norm).to(dtype)
    return model, make_optimizers(model, chosen, device=CPU)


def batches_of(model, count, *, size=2, dtype=torch.float64, first=0):
    """`count` batches of pictures of 6 pixels a side, with the random numbers that the model draws."""
    found = []
    for i in range(first, first + count):
        generator = torch.Generator().manual_seed(i)
        source, target = (torch.rand(size, 1, 6, 6, generator=generator, dtype=dtype) * 2 - 1 for _ in range(2))
        numbers = drawn(model, size, first=size * i)
        draws = {name: x.to(dtype) if x.is_floating_point() else x for name, x in numbers.items()}
        found.append(Batch({"source": source, "target": target}, draws=draws))
    return found


def step_of(model, optimizers, **options):
    """The step under test, of the settings of the model."""
    settings = model.settings
    return Step(model, optimizers, device=CPU, pace=settings.pace, clip_gradients=settings.clip_gradients, **options)


def gradients_by_hand(model, player, batches, fakes):
    """Leave the mean gradient of a player's objective over batches in its weights. Returns the figures' means.

    `fakes`: of the batches, for D.
    """
    weights = [p for name in model.players[player] for p in model.get_submodule(name).parameters()]
    figures: dict = {}
    for batch, fake in zip(batches, fakes, strict=True):
        images = model.generate(batch, [player]) if player == G else {"fake": fake}
        losses, stats = model.objective(player, batch, images)
        gradients = torch.autograd.grad(total(losses) / len(batches), weights)
        for weight, each in zip(weights, gradients, strict=True):
            gradient = each.contiguous()  # fused optimisers read it in memory order
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
        for name, value in stats.items():
            figures[name] = figures.get(name, 0) + value / len(batches)
    return figures


def move_by_hand(model, optimizers, player, *, longest=None, figures=None, pictures=0):
    """One step of a player's optimiser along the gradients in its weights."""
    weights = [p for name in model.players[player] for p in model.get_submodule(name).parameters()]
    if longest is not None:
        length = sum(w.grad.square().sum() for w in weights).sqrt()
        for weight in weights:
            weight.grad *= min(1.0, longest / (float(length) + 1e-6))  # as PyTorch has it
    optimizers[player].step()
    for weight in weights:
        weight.grad = None
    for game in model.games:
        game.after_step(player, figures or {}, pictures=pictures)


def same(model, other, *, exactly=False):
    """Whether the states of two models are equal."""
    mine, theirs = model.state_dict(), other.state_dict()
    close = torch.equal if exactly else lambda a, b: torch.allclose(a, b, rtol=1e-6, atol=1e-9)
    return mine.keys() == theirs.keys() and all(close(mine[name], theirs[name]) for name in mine)
