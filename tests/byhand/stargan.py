"""The published StarGAN recipe in plain PyTorch, written from the paper; imports nothing of the project.

Networks are given: any generator of a picture and a code, what makes the code of a label, any critic whose answer has
the verdicts `[B, 1, H, W]` first and the logits of the classes `[B, K]` last. Pictures of one class each. The critic
moves five times a step, each time on pictures of its own: Wasserstein cost, not halved, + the class of real pictures +
10 x gradient penalty between real and drawn ones. Then the generator moves, on the last of these pictures, with the
critic's verdict + the class that was asked for + 10 x L1 of the way back. One generator, both ways. Adam 1e-4, betas
(0.5, 0.999); the rate constant for the first half of the steps and linear to zero over the second.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Move(NamedTuple):
    """What one move of the critic is made on."""

    picture: Tensor  # [B, C, H, W]
    own: Tensor  # [B], the number of its class
    goal: Tensor  # [B], of the class that it is to become
    share: Tensor  # [B, 1, 1, 1] in [0, 1): of the real picture, in what the penalty is taken at


def nats(logits: Tensor, number: Tensor) -> Tensor:
    """-log of the probability of the class, mean over the batch."""
    probability = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -probability[torch.arange(len(number)), number].log().mean()


def steepness(critic: nn.Module, picture: Tensor) -> Tensor:
    """(length of the gradient of the mean verdict by the picture - 1)^2, each picture by itself; mean over them."""
    costs = []
    for single in picture.detach().split(1):
        single.requires_grad_()
        (slope,) = torch.autograd.grad(critic(single)[0].mean(), single, create_graph=True)
        costs.append((slope.square().sum().sqrt() - 1).square())
    return torch.stack(costs).mean()


def train(
    generator: nn.Module,
    encoder: nn.Module,
    critic: nn.Module,
    rounds: list[list[Move]],
    *,
    classes: int,
    penalty: float = 10.0,
    label: float = 1.0,
    cycle: float = 10.0,
    lr: float = 1e-4,
) -> list[tuple[float, ...]]:
    """A step for each entry of `rounds`: as many moves as the critic makes.

    Returns the losses of every step as (d, d_class, d_penalty, g_gan, g_class, g_cycle), those of the critic as the
    mean over its moves.
    """

    def become(picture: Tensor, number: Tensor) -> Tensor:
        one_hot = (number[:, None] == torch.arange(classes)).to(picture.dtype)
        made: Tensor = generator(picture, encoder({"label": one_hot}))
        return made

    d_adam = torch.optim.Adam(critic.parameters(), lr=lr, betas=(0.5, 0.999), fused=False)
    g_adam = torch.optim.Adam([*generator.parameters(), *encoder.parameters()], lr=lr, betas=(0.5, 0.999), fused=False)
    steps = len(rounds)
    history = []
    for step, moves in enumerate(rounds):
        rate = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_adam.param_groups[0]["lr"] = g_adam.param_groups[0]["lr"] = rate

        costs = []
        for real, own, goal, share in moves:
            with torch.no_grad():
                fake = become(real, goal)
            verdict, *_, logits = critic(real)
            d = (
                critic(fake)[0].mean() - verdict.mean(),
                label * nats(logits, own),
                penalty * steepness(critic, share * real + (1 - share) * fake),
            )
            d_adam.zero_grad()
            sum(d, torch.zeros(())).backward()
            d_adam.step()
            costs.append([cost.item() for cost in d])

        real, own, goal, _ = moves[-1]
        fake = become(real, goal)
        verdict, *_, logits = critic(fake)
        g = (
            -verdict.mean(),
            label * nats(logits, goal),
            cycle * (become(fake, own) - real).abs().mean(),
        )
        g_adam.zero_grad()
        sum(g, torch.zeros(())).backward()
        g_adam.step()
        history.append((*torch.tensor(costs, dtype=torch.float64).mean(0).tolist(), *(loss.item() for loss in g)))
    return history
