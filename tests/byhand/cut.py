"""The published CUT and FastCUT recipes in plain PyTorch, written from the paper; imports nothing of the project.

Anti-aliased ResNet generator and PatchGAN, instance norm without learned scale; D first, least squares, its loss
halved; then G and the heads together with GAN + PatchNCE on five depths of G's encoder, temperature 0.07, negatives
from the same picture, keys without gradient. CUT: PatchNCE of (source, G(source)) and of (target, G(target)), the two
averaged, weight 1. FastCUT: the first only, weight 10, the source mirrored left to right at the toss of a coin. Adam
2e-4, betas (0.5, 0.999); the rate constant, then linear to zero: from the half of the steps on (CUT: 200 + 200 epochs),
from three quarters on (FastCUT: 150 + 50).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


def pad(x, pixels, mode):
    return F.pad(x, (pixels, pixels, pixels, pixels), mode=mode)


def norm(x):
    """Instance norm: every channel of every picture to mean 0 and variance 1."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def kernel(taps, like):
    """The same small low-pass filter for every channel of `like`: [C, 1, K, K], summing to 1."""
    row = torch.tensor(taps, dtype=like.dtype)
    square = row[:, None] * row[None, :]
    return (square / square.sum()).repeat(like.shape[1], 1, 1, 1)


def halve(x):
    """Blur with [1, 2, 1] and keep every second pixel, borders reflected: H -> ceil(H / 2)."""
    return F.conv2d(pad(x, 1, "reflect"), kernel([1.0, 2.0, 1.0], x), stride=2, groups=x.shape[1])


def double(x):
    """Zeros between the pixels, then a blur with [1, 3, 3, 1], borders replicated: H -> 2 H, brightness kept."""
    spread = F.conv_transpose2d(
        pad(x, 1, "replicate"), 4 * kernel([1.0, 3.0, 3.0, 1.0], x), stride=2, groups=x.shape[1]
    )
    return spread[:, :, 3:-3, 3:-3]


class Generator(nn.Module):
    def __init__(self, inputs, outputs, width, blocks):
        super().__init__()
        w = width
        self.first = nn.Conv2d(inputs, w, 7)
        self.down = nn.ModuleList([nn.Conv2d(w, 2 * w, 3, 1, 1), nn.Conv2d(2 * w, 4 * w, 3, 1, 1)])
        self.block_first = nn.ModuleList([nn.Conv2d(4 * w, 4 * w, 3) for _ in range(blocks)])
        self.block_second = nn.ModuleList([nn.Conv2d(4 * w, 4 * w, 3) for _ in range(blocks)])
        self.up = nn.ModuleList([nn.Conv2d(4 * w, 2 * w, 3, 1, 1), nn.Conv2d(2 * w, w, 3, 1, 1)])
        self.last = nn.Conv2d(w, outputs, 7)

    def forward(self, x):
        return self.run(x)[0]

    def taps(self, x):
        """The five depths: the picture, both downsampling convolutions, residual blocks 0 and 4 (or the last)."""
        return self.run(x)[1]

    def run(self, x):
        h = torch.relu(norm(self.first(pad(x, 3, "reflect"))))
        taps = [x]
        for conv in self.down:
            h = conv(h)
            taps.append(h)
            h = halve(torch.relu(norm(h)))
        outputs = []
        for first, second in zip(self.block_first, self.block_second, strict=True):
            inner = torch.relu(norm(first(pad(h, 1, "reflect"))))
            h = h + norm(second(pad(inner, 1, "reflect")))
            outputs.append(h)
        taps += [outputs[0], outputs[min(4, len(outputs) - 1)]]
        for conv in self.up:
            h = torch.relu(norm(conv(double(h))))
        return torch.tanh(self.last(pad(h, 3, "reflect"))), taps


class Discriminator(nn.Module):
    """4x4 convolutions of stride 1, the first `strided` of them followed by a blur and every second pixel."""

    def __init__(self, inputs, width, strided):
        super().__init__()
        w = [min(2**i, 8) * width for i in range(strided + 1)]
        widths = [inputs, *w, 1]
        self.convs = nn.ModuleList([nn.Conv2d(before, after, 4, 1, 1) for before, after in pairwise(widths)])

    def forward(self, x):
        h = halve(F.leaky_relu(self.convs[0](x), 0.2))
        for conv in self.convs[1:-2]:
            h = halve(F.leaky_relu(norm(conv(h)), 0.2))
        h = F.leaky_relu(norm(self.convs[-2](h)), 0.2)
        return self.convs[-1](h)


class Heads(nn.Module):
    """For each depth: pick the features at the positions, Linear, ReLU, Linear, length 1."""

    def __init__(self, channels, width=256):
        super().__init__()
        self.first = nn.ModuleList([nn.Linear(c, width) for c in channels])
        self.second = nn.ModuleList([nn.Linear(width, width) for c in channels])

    def forward(self, features, positions):
        out = []
        for feature, position, first, second in zip(features, positions, self.first, self.second, strict=True):
            columns = feature.flatten(2).transpose(1, 2)  # [B, H * W, C], row by row
            picked = torch.stack([column[place] for column, place in zip(columns, position, strict=True)])
            h = second(torch.relu(first(picked)))
            out.append(h / h.square().sum(-1, keepdim=True).sqrt())
        return out


def nce(queries, keys):
    """Of all places of its picture, each query should find its own; mean over places, pictures and depths."""
    costs = []
    for query, key in zip(queries, keys, strict=True):  # [B, P, C]
        for q, k in zip(query, key.detach(), strict=True):
            similarity = q @ k.T / 0.07  # [P, P]
            costs.append(F.cross_entropy(similarity, torch.arange(len(q))))
    return sum(costs) / len(costs)


def mirror(x, flips):
    """Left and right exchanged in those pictures whose coin says so."""
    return torch.stack([picture.flip(-1) if flip else picture for picture, flip in zip(x, flips, strict=True)])


def towards(score, label):
    return (score - label).square().mean()


def train(generator, heads, discriminator, batches, draws, *, steps, fast=False, lr=2e-4):
    """`steps` steps, one (source, target) of `batches` each, not paired.

    `draws[step]` is what chance decided: (positions in the source, [B, P] for each depth; positions in the target,
    alike; flips). `flips` is one truth value for each picture, for FastCUT (`fast`), which needs no target positions.
    Returns the losses of every step as (d, g_gan, g_nce, g_nce_identity), the last 0 for FastCUT.
    """
    adam = {"lr": lr, "betas": (0.5, 0.999), "fused": False}
    d_adam = torch.optim.Adam(discriminator.parameters(), **adam)
    g_adam = torch.optim.Adam([*generator.parameters(), *heads.parameters()], **adam)
    constant = steps * 3 // 4 if fast else steps // 2
    history = []
    for step in range(steps):
        rate = lr * min(1.0, 1.0 - (step - constant) / (steps - constant))
        d_adam.param_groups[0]["lr"] = g_adam.param_groups[0]["lr"] = rate
        source, target = batches[step]
        places, target_places, flips = draws[step]
        flips = flips if fast else [False] * len(source)
        fake = generator(mirror(source, flips))

        d = 0.5 * (towards(discriminator(target), 1) + towards(discriminator(fake.detach()), 0))
        d_adam.zero_grad()
        d.backward()
        d_adam.step()

        gan = towards(discriminator(fake), 1)
        query = [mirror(feature, flips) for feature in generator.taps(fake)]
        contrast = nce(heads(query, places), heads(generator.taps(source), places))
        if fast:
            contrast, identity = 10 * contrast, torch.zeros(())
        else:
            query = heads(generator.taps(generator(target)), target_places)
            key = heads(generator.taps(target), target_places)
            contrast, identity = contrast / 2, nce(query, key) / 2
        g_adam.zero_grad()
        (gan + contrast + identity).backward()
        g_adam.step()
        history.append((d.item(), gan.item(), contrast.item(), identity.item()))
    return history
