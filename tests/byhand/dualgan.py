"""The published DualGAN recipe in plain PyTorch, written from the paper; imports nothing of the project.

The U-Nets and patch discriminators of pix2pix, the latter on single pictures; batch norm. Wasserstein critics: each
step they move three times, each time on pictures of its own, and after each move the weights of their convolutions are
clipped to 0.01; their costs are not halved. Then both generators move, on the last of these pictures, with the critics'
verdicts and 100 x L1 reconstruction both ways. RMSprop 5e-5, alpha 0.9, one for the two generators and one for the two
critics; the rate constant for the first half of the steps and linear to zero over the second. No dropout, which would
draw.
"""

import torch

from byhand import pix2pix

Generator = pix2pix.Generator


class Discriminator(pix2pix.Discriminator):
    """The 70-pixel PatchGAN on one picture, with nothing beside it."""

    def forward(self, picture):
        return super().forward(picture[:, :0], picture)


def clip_convolutions(networks, bound):
    with torch.no_grad():
        for network in networks:
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    layer.weight.copy_(layer.weight.clamp(-bound, bound))


def train(there, back, d_target, d_source, rounds, *, clip=0.01, cycle=100.0, lr=5e-5):
    """A step for each entry of `rounds`: as many (source, target), not paired, as the critics make moves.

    `there` makes targets of sources and `d_target` judges them; `back` and `d_source` the other way. Returns the
    losses of every step as (d, d_back, g_gan, g_gan_back, g_cycle, g_cycle_back), those of the critics as the mean over
    their moves.
    """
    rms = {"lr": lr, "alpha": 0.9}
    g_rms = torch.optim.RMSprop([*there.parameters(), *back.parameters()], **rms)
    d_rms = torch.optim.RMSprop([*d_target.parameters(), *d_source.parameters()], **rms)
    steps = len(rounds)
    history = []
    for step, batches in enumerate(rounds):
        rate = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_rms.param_groups[0]["lr"] = g_rms.param_groups[0]["lr"] = rate

        costs = []
        for source, target in batches:
            fake_target, fake_source = there(source), back(target)
            d = (
                -d_target(target).mean() + d_target(fake_target.detach()).mean(),
                -d_source(source).mean() + d_source(fake_source.detach()).mean(),
            )
            d_rms.zero_grad()
            sum(d).backward()
            d_rms.step()
            clip_convolutions((d_target, d_source), clip)
            costs.append([cost.item() for cost in d])

        source, target = batches[-1]
        g = (
            -d_target(fake_target).mean(),
            -d_source(fake_source).mean(),
            cycle * (back(fake_target) - source).abs().mean(),
            cycle * (there(fake_source) - target).abs().mean(),
        )
        g_rms.zero_grad()
        sum(g).backward()
        g_rms.step()
        history.append((*torch.tensor(costs).mean(dim=0).tolist(), *(loss.item() for loss in g)))
    return history
