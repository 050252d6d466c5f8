"""The published CycleGAN recipe in plain PyTorch, written from the paper's appendix; imports nothing of the project.

ResNet generators with reflection padding and instance norm (no learned scale), PatchGANs on single pictures; least
squares; 10 x L1 cycles both ways, 5 x L1 identities both ways; both generators move first, then both discriminators,
their losses halved and their fakes drawn from a pool of past ones; Adam 2e-4, betas (0.5, 0.999), one for the two
generators and one for the two discriminators; the rate constant for the first half of the steps and linear to zero
over the second.
"""

import torch
from torch import nn
from torch.nn import functional as F


def reflect(x, pixels):
    return F.pad(x, (pixels, pixels, pixels, pixels), mode="reflect")


def norm(x):
    """Instance norm: every channel of every picture to mean 0 and variance 1."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


class Generator(nn.Module):
    """c7s1-w, d2w, d4w, R4w for each block, u2w, uw, c7s1-outputs; padding as in the authors' code."""

    def __init__(self, inputs, outputs, width, blocks):
        super().__init__()
        w = width
        self.first = nn.Conv2d(inputs, w, 7)
        self.down = nn.ModuleList([nn.Conv2d(w, 2 * w, 3, 2, 1), nn.Conv2d(2 * w, 4 * w, 3, 2, 1)])
        self.block_first = nn.ModuleList([nn.Conv2d(4 * w, 4 * w, 3) for _ in range(blocks)])
        self.block_second = nn.ModuleList([nn.Conv2d(4 * w, 4 * w, 3) for _ in range(blocks)])
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1),
                nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1),
            ]
        )
        self.last = nn.Conv2d(w, outputs, 7)

    def forward(self, x):
        h = torch.relu(norm(self.first(reflect(x, 3))))
        for conv in self.down:
            h = torch.relu(norm(conv(h)))
        for first, second in zip(self.block_first, self.block_second, strict=True):
            inner = torch.relu(norm(first(reflect(h, 1))))
            h = h + norm(second(reflect(inner, 1)))
        for conv in self.up:
            h = torch.relu(norm(conv(h)))
        return torch.tanh(self.last(reflect(h, 3)))


class Discriminator(nn.Module):
    """`strided` convolutions of stride 2 (3: 70 pixels, 2: 34, 1: 16), then two of stride 1."""

    def __init__(self, inputs, width, strided):
        super().__init__()
        w = [min(2**i, 8) * width for i in range(strided + 1)]
        self.convs = nn.ModuleList(
            [nn.Conv2d(inputs, w[0], 4, 2, 1)]
            + [nn.Conv2d(w[i - 1], w[i], 4, 2, 1) for i in range(1, strided)]
            + [nn.Conv2d(w[-2], w[-1], 4, 1, 1)]
            + [nn.Conv2d(w[-1], 1, 4, 1, 1)]
        )

    def forward(self, x):
        h = F.leaky_relu(self.convs[0](x), 0.2)
        for conv in self.convs[1:-1]:
            h = F.leaky_relu(norm(conv(h)), 0.2)
        return self.convs[-1](h)


class Pool:
    """Past fakes; once full, half of the queries give an old one in exchange for the new one."""

    def __init__(self, size):
        self.size = size
        self.pictures = []

    def query(self, fakes):
        answers = []
        for fake in fakes.detach():
            if len(self.pictures) < self.size:
                self.pictures.append(fake)
                answers.append(fake)
            elif torch.rand(()) < 0.5:
                answers.append(fake)
            else:
                i = int(torch.randint(self.size, ()))
                answers.append(self.pictures[i])
                self.pictures[i] = fake
        return torch.stack(answers)


def towards(score, label):
    return (score - label).square().mean()


def distance(a, b):
    return (a - b).abs().mean()


def train(there, back, d_target, d_source, batches, *, steps, pool, lr=2e-4):
    """`steps` steps, one (source, target) of `batches` each, not paired.

    `there` makes targets of sources and `d_target` judges them; `back` and `d_source` the other way. Before each step
    torch's random state is seeded with the step's number; only the pools draw from it. Returns the losses of every
    step as (g_gan, g_gan_back, g_cycle, g_cycle_back, g_identity, g_identity_back, d, d_back).
    """
    adam = {"lr": lr, "betas": (0.5, 0.999), "fused": False}
    g_adam = torch.optim.Adam([*there.parameters(), *back.parameters()], **adam)
    d_adam = torch.optim.Adam([*d_target.parameters(), *d_source.parameters()], **adam)
    target_pool, source_pool = Pool(pool), Pool(pool)
    history = []
    for step in range(steps):
        torch.manual_seed(step)
        rate = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_adam.param_groups[0]["lr"] = g_adam.param_groups[0]["lr"] = rate
        source, target = batches[step]

        fake_target, fake_source = there(source), back(target)
        g = (
            towards(d_target(fake_target), 1),
            towards(d_source(fake_source), 1),
            10 * distance(back(fake_target), source),
            10 * distance(there(fake_source), target),
            10 * 0.5 * distance(there(target), target),
            10 * 0.5 * distance(back(source), source),
        )
        g_adam.zero_grad()
        sum(g).backward()
        g_adam.step()

        old_target = target_pool.query(fake_target)
        old_source = source_pool.query(fake_source)
        d = (
            0.5 * (towards(d_target(target), 1) + towards(d_target(old_target), 0)),
            0.5 * (towards(d_source(source), 1) + towards(d_source(old_source), 0)),
        )
        d_adam.zero_grad()
        sum(d).backward()
        d_adam.step()
        history.append(tuple(loss.item() for loss in (*g, *d)))
    return history
