"""The published DiscoGAN recipe in plain PyTorch, written from the paper; imports nothing of the project.

Encoder-decoders without skips and discriminators of whole pictures (DCGAN), both with batch norm. Cross-entropy,
weight 0.1; feature matching, weight 0.9, on what the discriminator's leaky ReLUs put out, but for the outermost:
squared difference of the batch's means, mean over channels and positions, summed over the layers; squared
reconstruction both ways, weight 1. Both generators move first, then both discriminators, on the same fakes, their
losses halved. Adam 2e-4, betas (0.5, 0.999); the rate constant for the first half of the steps and linear to zero over
the second.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    """4x4 convolutions of stride 2 down to one pixel and up again; no norm on the first, the innermost and the last."""

    def __init__(self, inputs, outputs, width, depth):
        super().__init__()
        w = [min(2**i, 8) * width for i in range(depth)]
        self.encoder = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise([inputs, *w])])
        self.encoder_norm = nn.ModuleList([nn.BatchNorm2d(channels) for channels in w[1:-1]])
        self.decoder = nn.ModuleList(  # from the innermost outwards
            [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(w[::-1])]
            + [nn.ConvTranspose2d(w[0], outputs, 4, 2, 1)]
        )
        self.decoder_norm = nn.ModuleList([nn.BatchNorm2d(channels) for channels in w[-2::-1]])

    def forward(self, x):
        h = self.encoder[0](x)
        for conv, norm in zip(self.encoder[1:-1], self.encoder_norm, strict=True):
            h = norm(conv(F.leaky_relu(h, 0.2)))
        h = self.encoder[-1](F.leaky_relu(h, 0.2))
        for conv, norm in zip(self.decoder[:-1], self.decoder_norm, strict=True):
            h = norm(conv(torch.relu(h)))
        return torch.tanh(self.decoder[-1](torch.relu(h)))


class Discriminator(nn.Module):
    """`strided` convolutions of stride 2 down to 4x4 pixels (3 for pictures of 32, 4 for 64), then one over all."""

    def __init__(self, inputs, width, strided):
        super().__init__()
        w = [min(2**i, 8) * width for i in range(strided)]
        self.first = nn.Conv2d(inputs, w[0], 4, 2, 1)
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(w)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) for channels in w[1:]])
        self.last = nn.Conv2d(w[-1], 1, 4)

    def forward(self, x):
        """The verdict, and the activations from the outermost in."""
        activations = [F.leaky_relu(self.first(x), 0.2)]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            activations.append(F.leaky_relu(norm(conv(activations[-1])), 0.2))
        return self.last(activations[-1]), activations


def towards(score, label):
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, label))


def unlike(real, fake, *, skipped):
    """How far the mean activations of fakes are from those of real pictures."""
    terms = [
        (r.detach().mean(dim=0) - f.mean(dim=0)).pow(2).mean()
        for r, f in zip(real[skipped:], fake[skipped:], strict=True)
    ]
    return sum(terms)


def train(there, back, d_target, d_source, batches, *, gan=0.1, features=0.9, cycle=1.0, skipped=1, lr=2e-4):
    """A step for each (source, target) of `batches`, which are not paired; `skipped` outer layers are not matched.

    `there` makes targets of sources and `d_target` judges them; `back` and `d_source` the other way. Returns the
    losses of every step as (g_gan, g_gan_back, g_features, g_features_back, g_cycle, g_cycle_back, d, d_back).
    """
    adam = {"lr": lr, "betas": (0.5, 0.999), "fused": False}
    g_adam = torch.optim.Adam([*there.parameters(), *back.parameters()], **adam)
    d_adam = torch.optim.Adam([*d_target.parameters(), *d_source.parameters()], **adam)
    steps = len(batches)
    history = []
    for step, (source, target) in enumerate(batches):
        rate = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_adam.param_groups[0]["lr"] = g_adam.param_groups[0]["lr"] = rate

        fake_target, fake_source = there(source), back(target)
        returned_source, returned_target = back(fake_target), there(fake_source)
        _, of_target = d_target(target)
        score_target, of_fake_target = d_target(fake_target)
        _, of_source = d_source(source)
        score_source, of_fake_source = d_source(fake_source)
        g = (
            gan * towards(score_target, 1.0),
            gan * towards(score_source, 1.0),
            features * unlike(of_target, of_fake_target, skipped=skipped),
            features * unlike(of_source, of_fake_source, skipped=skipped),
            cycle * (returned_source - source).pow(2).mean(),
            cycle * (returned_target - target).pow(2).mean(),
        )
        g_adam.zero_grad()
        sum(g).backward()
        g_adam.step()

        d = [
            0.5 * (towards(critic(real)[0], 1.0) + towards(critic(fake.detach())[0], 0.0))
            for critic, real, fake in ((d_target, target, fake_target), (d_source, source, fake_source))
        ]
        d_adam.zero_grad()
        sum(d).backward()
        d_adam.step()
        history.append(tuple(loss.item() for loss in (*g, *d)))
    return history
