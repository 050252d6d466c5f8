"""The project's own game on points instead of pictures: a point of C numbers is a picture of C channels and one pixel.

So a chain of 1x1 convolutions is a multilayer perceptron, and `Game`, `Discriminator`, `Step` and every objective work
as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.batch import Batch, Images, Losses, Stats
from translate.models import Model
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import Discriminator, Shown
from translate.training.loop import OPTIMIZERS, Step, rate_factor, set_rate

CPU = torch.device("cpu")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
}
Sampler = Callable[[int], Tensor]  # number of points -> [N, C]


class PointSettings(GameSettings):
    """A game of two multilayer perceptrons; both with Adam at the same rate unless `--lr-d` is given."""

    published = {"objective": "vanilla", "lr": 2e-3, "batch": 256}  # noqa: RUF012


class Pointwise(nn.Conv2d):
    """A 1x1 convolution of pictures of one pixel, as a matrix product: less than half of the time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input[..., 0, 0], self.weight[..., 0, 0], self.bias)[..., None, None]


def mlp(
    inputs: int,
    outputs: int,
    *,
    width: int = 128,
    layers: int = 2,
    activation: str = "tanh",
    before_last: Sequence[nn.Module] = (),
    more: int = 0,
) -> nn.Sequential:
    """`[B, inputs, 1, 1]` -> `[B, outputs, 1, 1]`: hidden layers of 1x1 convolutions, and a linear one.

    Args:
        before_last: modules between the last hidden layer and the linear one.
        more: channels that these add.
    """
    sides = [inputs, *[width] * layers]
    hidden: list[nn.Module] = []
    for before, after in itertools.pairwise(sides):
        hidden += [Pointwise(before, after), ACTIVATIONS[activation]()]
    chain = nn.Sequential(*hidden, *before_last, Pointwise(sides[-1] + more, outputs))
    for layer in chain:
        if isinstance(layer, Pointwise):
            nn.init.orthogonal_(layer.weight.data.view(layer.weight.shape[:2]), gain=1.0)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return chain


class PointModel(Model):
    """A GAN of points: D distinguishes real points from `generator(z)`, and G has to fool D."""

    data = "targets"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(
        self,
        settings: GameSettings,
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        together: bool | None = None,
    ) -> None:
        """
        Args:
            together: as in `Game`.
        """
        super().__init__()
        self.generator = generator
        self.discriminator = Discriminator(discriminator)
        self.game = Game(self.discriminator, settings, together=together)

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        return {"fake": self.generator(batch.draws["z"])}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        real, fake = Shown(batch.target), Shown(images["fake"])
        side = self.game.discriminator if player == "discriminator" else self.game.generator
        losses, stats, *_ = side(real, fake, draws=batch.draws)
        return losses, stats


def play(
    model: PointModel,
    settings: GameSettings,
    sample: Sampler,
    noise: Sampler,
    *,
    steps: int,
    players: Sequence[str] = ("discriminator", "generator"),
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Play the game for so many iterations, as a training run does; yields the number of each, from 1, and its figures.

    Args:
        sample: of real points.
        noise: of the generator.
        players: who learns.
    """
    make = OPTIMIZERS[settings.optimizer]
    optimizers = {player: make(list(model.get_submodule(player).parameters()), settings, CPU) for player in players}
    step = Step(model, optimizers, device=CPU, pace=settings.pace)
    for number in range(steps):
        factor = rate_factor(number, steps=steps, schedule=settings.schedule, decay_start=settings.decay_start)
        for player, optimizer in optimizers.items():
            set_rate(optimizer, factor * settings.rates.get(player, settings.lr))
        batches = [
            Batch({"target": sample(settings.batch)[..., None, None]}, draws=draws(model, noise, settings.batch))
            for _ in range(step.rounds)
        ]
        yield number + 1, step(batches, number=number, progress=number / steps)


def train_discriminator(
    network: nn.Sequential, *, real: Sampler, fake: Sampler, steps: int, **values: Any
) -> nn.Sequential:
    """Train D alone, between two densities that stay as they are.

    Args:
        values: of the settings.
    """
    settings = settings_of(**{"lr": 5e-3, "batch": 512, **values})
    model = PointModel(settings, generator=nn.Identity(), discriminator=network)  # the noise is the fakes
    for _ in play(model, settings, real, fake, steps=steps, players=("discriminator",)):
        pass
    return network


def draws(model: PointModel, noise: Sampler, count: int) -> dict[str, Tensor]:
    """The random numbers of a batch: what the loader does, from torch's generator."""
    found: dict[str, Tensor] = {"z": noise(count)[..., None, None]}
    for name, draw in model.draws().items():
        assert draw.kind == "uniform", "no other is needed here"
        found[name] = torch.rand(count, *draw.shape)
    return found


@torch.no_grad()
def made(model: PointModel, noise: Sampler, count: int) -> Tensor:
    """`[count, C]` points of the generator."""
    points: Tensor = model.generator(noise(count)[..., None, None])[..., 0, 0]
    return points


def settings_of(**values: Any) -> PointSettings:
    """Settings of a game of points."""
    return PointSettings.make(values)
