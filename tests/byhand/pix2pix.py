"""The published pix2pix recipe in plain PyTorch, written from the paper's appendix; imports nothing of the project.

Layer for layer: U-Net with skips and batch norm, no norm on the first and innermost convolution; 70-pixel PatchGAN on
(source, picture); D first, its loss halved; G with cross-entropy + 100 L1; Adam 2e-4, betas (0.5, 0.999); the rate
constant for the first half of the steps and linear to zero over the second.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    def __init__(self, inputs, outputs, width, depth):
        super().__init__()
        w = [min(2**i, 8) * width for i in range(depth)]
        self.encoder = nn.ModuleList(
            [nn.Conv2d(inputs, w[0], 4, 2, 1, bias=False)]
            + [nn.Conv2d(w[i - 1], w[i], 4, 2, 1, bias=False) for i in range(1, depth)]
        )
        self.encoder_norm = nn.ModuleList([nn.BatchNorm2d(w[i]) for i in range(1, depth - 1)])
        self.decoder = nn.ModuleList(  # from the innermost outwards
            [nn.ConvTranspose2d(w[-1], w[-2], 4, 2, 1, bias=False)]
            + [nn.ConvTranspose2d(2 * w[i], w[i - 1], 4, 2, 1, bias=False) for i in range(depth - 2, 0, -1)]
            + [nn.ConvTranspose2d(2 * w[0], outputs, 4, 2, 1, bias=True)]
        )
        self.decoder_norm = nn.ModuleList([nn.BatchNorm2d(w[i - 1]) for i in range(depth - 1, 0, -1)])

    def forward(self, x):
        depth = len(self.encoder)
        kept = [self.encoder[0](x)]
        for i in range(1, depth):
            h = self.encoder[i](F.leaky_relu(kept[-1], 0.2))
            kept.append(self.encoder_norm[i - 1](h) if i < depth - 1 else h)
        h = kept.pop()
        for i in range(depth - 1):
            h = self.decoder_norm[i](self.decoder[i](torch.relu(h)))
            h = torch.cat((kept.pop(), h), dim=1)
        return torch.tanh(self.decoder[-1](torch.relu(h)))


class Discriminator(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 4, 2, 1)
        self.second = nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(2 * width)
        self.third = nn.Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False)
        self.third_norm = nn.BatchNorm2d(4 * width)
        self.fourth = nn.Conv2d(4 * width, 8 * width, 4, 1, 1, bias=False)
        self.fourth_norm = nn.BatchNorm2d(8 * width)
        self.last = nn.Conv2d(8 * width, 1, 4, 1, 1)

    def forward(self, source, picture):
        h = F.leaky_relu(self.first(torch.cat((source, picture), 1)), 0.2)
        h = F.leaky_relu(self.second_norm(self.second(h)), 0.2)
        h = F.leaky_relu(self.third_norm(self.third(h)), 0.2)
        h = F.leaky_relu(self.fourth_norm(self.fourth(h)), 0.2)
        return self.last(h)


def train(generator, discriminator, pairs, *, steps, lr=2e-4):
    """`steps` steps, one (source, target) of `pairs` each; returns the losses of every step as (d, g_gan, g_l1)."""
    adam = {"lr": lr, "betas": (0.5, 0.999), "fused": False}
    d_adam = torch.optim.Adam(discriminator.parameters(), **adam)
    g_adam = torch.optim.Adam(generator.parameters(), **adam)
    history = []
    for step in range(steps):
        rate = lr * min(1.0, 1.0 - (step - steps // 2) / (steps - steps // 2))
        d_adam.param_groups[0]["lr"] = g_adam.param_groups[0]["lr"] = rate
        source, target = pairs[step]
        fake = generator(source)

        real_score, fake_score = discriminator(source, target), discriminator(source, fake.detach())
        ones, zeros = torch.ones_like(real_score), torch.zeros_like(fake_score)
        d = 0.5 * (
            F.binary_cross_entropy_with_logits(real_score, ones) + F.binary_cross_entropy_with_logits(fake_score, zeros)
        )
        d_adam.zero_grad()
        d.backward()
        d_adam.step()

        gan = F.binary_cross_entropy_with_logits(discriminator(source, fake), ones)
        l1 = 100 * (fake - target).abs().mean()
        g_adam.zero_grad()
        (gan + l1).backward()
        g_adam.step()
        history.append((d.item(), gan.item(), l1.item()))
    return history
