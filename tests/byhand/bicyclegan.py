"""The published BicycleGAN recipe in plain PyTorch, written from the paper; imports nothing of the project.

Networks are given: a generator of a picture and a code, an encoder of a picture that gives means and log variances
side by side, and two discriminators of single pictures whose answers have the verdicts first. cVAE-GAN: a code drawn
about the target's own has to give the target (10 x L1), fool the first discriminator and stay near the standard normal
(0.01 x KL). cLR-GAN: a code drawn from the standard normal has to be read off its picture (0.5 x L1, of which the
encoder learns nothing) and fool the second. Least squares; both discriminators move first, their losses halved; then
generator and encoder. Adam 2e-4, betas (0.5, 0.999); the rate constant for the first half of the steps and linear to
zero over the second. As in the project both halves see the same pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Pairs(NamedTuple):
    """What one step is made on."""

    source: Tensor  # [B, Cs, H, W]
    target: Tensor  # [B, Ct, H, W]
    noise: Tensor  # [B, Z], standard normal: how far a target's code is drawn from its mean, in deviations
    drawn: Tensor  # [B, Z], standard normal: the codes that are to be read off their pictures


def towards(score: Tensor, label: float) -> Tensor:
    return (score - label).square().mean()


def train(
    generator: nn.Module,
    encoder: nn.Module,
    judge: nn.Module,
    judge_drawn: nn.Module,
    batches: list[Pairs],
    *,
    l1: float = 10.0,
    kl: float = 0.01,
    latent: float = 0.5,
    encoder_learns: bool = False,
    lr: float = 2e-4,
) -> list[tuple[float, ...]]:
    """A step for each of `batches`; `encoder_learns`: of the latent L1 too, which the paper warns of.

    Returns the losses of every step as (d, d_drawn, g_gan, g_gan_drawn, g_l1, g_kl, g_latent).
    """
    adams = [
        torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999), fused=False)
        for network in (judge, judge_drawn, generator, encoder)
    ]
    steps = len(batches)
    history = []
    for step, (source, target, noise, drawn) in enumerate(batches):
        for adam in adams:
            adam.param_groups[0]["lr"] = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_adam, d_drawn_adam, g_adam, e_adam = adams

        mean, logvar = encoder(target).tensor_split(2, dim=1)
        fake = generator(source, mean + logvar.exp().sqrt() * noise)
        fake_drawn = generator(source, drawn)

        d = 0.5 * (towards(judge(target)[0], 1) + towards(judge(fake.detach())[0], 0))
        d_adam.zero_grad()
        d.backward()
        d_adam.step()
        d_drawn = 0.5 * (towards(judge_drawn(target)[0], 1) + towards(judge_drawn(fake_drawn.detach())[0], 0))
        d_drawn_adam.zero_grad()
        d_drawn.backward()
        d_drawn_adam.step()

        g = (
            towards(judge(fake)[0], 1),
            towards(judge_drawn(fake_drawn)[0], 1),
            l1 * (fake - target).abs().mean(),
            kl * 0.5 * (mean.square() + logvar.exp() - logvar - 1).sum() / len(mean),
        )
        read, _ = encoder(fake_drawn).tensor_split(2, dim=1)
        g_latent = latent * (read - drawn).abs().mean()
        g_adam.zero_grad()
        e_adam.zero_grad()
        sum(g, torch.zeros(())).backward(retain_graph=True)
        g_latent.backward(inputs=[*generator.parameters(), *(encoder.parameters() if encoder_learns else ())])
        g_adam.step()
        e_adam.step()
        history.append(tuple(loss.item() for loss in (d, d_drawn, *g, g_latent)))
    return history
