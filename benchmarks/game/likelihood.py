"""Two models with an explicit density, to stand beside a GAN: a variational autoencoder and a small PixelCNN.

Both give each 8-bit value a probability: a logistic density, summed over the value's bin (Salimans 2017, PixelCNN++).
They are baselines to learn from, and not models of the product.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF_BIN = 1 / 255  # of 8-bit values in [-1, 1]
SMALLEST = 1e-12


def log_probability(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log P of 8-bit values `x` in [-1, 1] under logistic densities; the bins at both ends go on to infinity."""
    inverse = torch.exp(-log_scale.clamp(-7, 3))
    above, below = (x + HALF_BIN - mean) * inverse, (x - HALF_BIN - mean) * inverse
    inside = (torch.sigmoid(above) - torch.sigmoid(below)).clamp(min=SMALLEST).log()
    return torch.where(x < -0.999, F.logsigmoid(above), torch.where(x > 0.999, F.logsigmoid(-below), inside))


def logistic_sample(mean: Tensor, log_scale: Tensor) -> Tensor:
    """8-bit values in [-1, 1]."""
    u = torch.rand_like(mean).clamp(1e-5, 1 - 1e-5)
    x = mean + torch.exp(log_scale.clamp(-7, 3)) * (u.log() - (-u).log1p())
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def bits_per_dimension(nats: Tensor, x: Tensor) -> Tensor:
    """`nats` `[B]` of whole pictures `x` `[B, C, H, W]`, as bits for each of their numbers."""
    return nats / (x[0].numel() * math.log(2))


class VAE(nn.Module):
    """A variational autoencoder (Kingma 2014) of pictures `[B, 3, 16, 16]`: a bound on their probability."""

    def __init__(self, *, width: int = 32, z: int = 32) -> None:
        super().__init__()
        self.z = z
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten()),
            nn.Linear(2 * width * 16, 2 * z),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(z, 2 * width * 16), nn.LeakyReLU(0.2), nn.Unflatten(1, (2 * width, 4, 4))),
            *(nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.LeakyReLU(0.2)),
            nn.ConvTranspose2d(width, 6, 4, 2, 1),
        )

    def nats(self, x: Tensor) -> Tensor:
        """`[B]`: -log p(x | z) with one z, plus KL(q(z | x) || N(0, 1)); in mean at least -log p(x)."""
        mean, log_variance = self.encoder(x).clamp(-12, 12).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return -self._log_likelihood(x, z) + gaussian_kl(mean, log_variance)

    def sample(self, count: int) -> Tensor:
        """`[count, 3, 16, 16]`: the decoder's means, without the noise of single pixels."""
        mean: Tensor = self.decoder(torch.randn(count, self.z)).chunk(2, 1)[0]
        return mean.clamp(-1, 1)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        mean, log_scale = self.decoder(z).chunk(2, 1)
        return log_probability(x, mean, log_scale - 2).flatten(1).sum(1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) `[B]` in nats: 1/2 sum(mean^2 + variance - 1 - log variance)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Masked(nn.Conv2d):
    """A convolution that sees what comes before: rows above, pixels to the left, and of its own pixel colours before.

    Channels are in three equal groups, of red, green and blue; without `own` the own colour is hidden, too (mask A).
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, own: bool) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        mask = torch.zeros_like(self.weight)
        middle = kernel // 2
        mask[:, :, :middle] = 1
        mask[:, :, middle, :middle] = 1
        sees, seen = torch.arange(outputs) * 3 // outputs, torch.arange(inputs) * 3 // inputs
        mask[:, :, middle, middle] = (seen <= sees[:, None] if own else seen < sees[:, None]).float()
        self.register_buffer("mask", mask)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCNN(nn.Module):
    """A small PixelCNN (van den Oord 2016): each number given all before it, as a mixture of logistics; exact."""

    def __init__(self, *, width: int = 48, blocks: int = 4, mixture: int = 4) -> None:
        super().__init__()
        self.mixture = mixture
        self.first = Masked(3, width, 5, own=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), Masked(width, width, 3, own=True), nn.ReLU(), Masked(width, width, 1, own=True))
            for _ in range(blocks)
        )
        self.last = Masked(width, 9 * mixture, 1, own=True)

    @property
    def reach(self) -> int:
        """Rows above a pixel that its probabilities depend on."""
        return 2 + len(self.blocks)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log shares, means and log scales of the mixture, `[B, 3, K, H, W]` each."""
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        shares, means, scales = self.last(torch.relu(hidden)).unflatten(1, (3, 3, self.mixture)).unbind(2)
        return shares.log_softmax(2), means, scales - 2

    def nats(self, x: Tensor) -> Tensor:
        """-log p(x) `[B]`, exact."""
        shares, means, scales = self.parts(x)
        each = torch.logsumexp(shares + log_probability(x[:, :, None], means, scales), 2)
        return -each.flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, count: int, *, size: int = 16) -> Tensor:
        """`[count, 3, size, size]`: number by number, each a pass of the network over the rows so far."""
        x = torch.zeros(count, 3, size, size)
        for row in range(size):
            top = max(0, row - self.reach)
            for column in range(size):
                for colour in range(3):
                    parts = self.parts(x[:, :, top : row + 1])
                    shares, means, scales = (part[:, colour, :, row - top, column] for part in parts)
                    chosen = torch.multinomial(shares.exp(), 1)
                    mean, scale = means.gather(1, chosen), scales.gather(1, chosen)
                    x[:, colour, row, column] = logistic_sample(mean, scale)[:, 0]
        return x


def fit(model: Any, pictures: Tensor, *, steps: int, batch: int = 64, lr: float = 1e-3) -> None:
    """Adam on the mean of `model.nats` over batches of `pictures`; the rate falls to 0 in the second half."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps))
        x = pictures[torch.randint(len(pictures), (batch,))]
        loss = bits_per_dimension(model.nats(x), x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def measured(model: Any, pictures: Tensor) -> float:
    """Mean bits per dimension of `pictures`."""
    return float(torch.cat([bits_per_dimension(model.nats(part), part) for part in pictures.split(64)]).mean())
