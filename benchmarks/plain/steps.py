"""The published training steps, written straight down.

Each is made of networks' sizes, and called with sources and targets `[B, 3, H, W]` in [-1, 1]. D's weights are frozen
in G's turn. Losses are read every `READ_EVERY` steps, as the published scripts print them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain.networks import ResNet, UNet, patchgan

READ_EVERY = 100  # steps
NCE_LAYERS = (4, 8, 12, 16)  # of CUT's ResNet, beside its input: two convolutions that halve, two residual blocks
PATCHES = 256
TEMPERATURE = 0.07


class Training:
    """What the three have in common: Adam for each player, and the reading of losses."""

    networks: dict[str, nn.Module]

    def __init__(self) -> None:
        self.losses: dict[str, Tensor] = {}
        self.read: dict[str, float] = {}
        self.count = 0

    def __call__(self, source: Tensor, target: Tensor) -> None:
        """One iteration."""
        self.iterate(source, target)
        self.count += 1
        if self.count % READ_EVERY == 0:
            self.read = {name: loss.item() for name, loss in self.losses.items()}

    def iterate(self, source: Tensor, target: Tensor) -> None:
        """Each player's move."""
        raise NotImplementedError


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """As published, PyTorch's defaults otherwise."""
    return torch.optim.Adam(itertools.chain(*(n.parameters() for n in networks)), lr=2e-4, betas=(0.5, 0.999))


def freeze(networks: Iterable[nn.Module], *, frozen: bool) -> None:
    """Whether weights of these networks get gradients."""
    for network in networks:
        for weight in network.parameters():
            weight.requires_grad = not frozen


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """pix2pix's cost of these logits for this answer."""
    return F.binary_cross_entropy_with_logits(logits, torch.tensor(float(real), dtype=logits.dtype).expand_as(logits))


def squares(logits: Tensor, real: bool) -> Tensor:
    """CycleGAN's and CUT's (least squares)."""
    return F.mse_loss(logits, torch.tensor(float(real), dtype=logits.dtype).expand_as(logits))


class Pix2Pix(Training):
    """cGAN + 100 L1; D first."""

    def __init__(self, *, depth: int, width: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.generator, self.discriminator = UNet(depth=depth, width=width, dropout=dropout), patchgan(6, width=width)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.adam_g, self.adam_d = adam(self.generator), adam(self.discriminator)

    def iterate(self, source: Tensor, target: Tensor) -> None:
        fake = self.generator(source)

        freeze([self.discriminator], frozen=False)
        self.adam_d.zero_grad()
        on_fake = cross_entropy(self.discriminator(torch.cat([source, fake], 1).detach()), False)
        on_real = cross_entropy(self.discriminator(torch.cat([source, target], 1)), True)
        loss_d = 0.5 * (on_fake + on_real)
        loss_d.backward()
        self.adam_d.step()

        freeze([self.discriminator], frozen=True)
        self.adam_g.zero_grad()
        loss_gan = cross_entropy(self.discriminator(torch.cat([source, fake], 1)), True)
        loss_l1 = 100 * F.l1_loss(fake, target)
        (loss_gan + loss_l1).backward()
        self.adam_g.step()
        self.losses = {"d": loss_d, "g_gan": loss_gan, "g_l1": loss_l1}


class Pool:
    """Fifty past fakes: half of what D sees is one of them."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.kept = size, list[Tensor]()

    def __call__(self, fakes: Tensor) -> Tensor:
        given = []
        for fake in fakes.detach().split(1):
            if len(self.kept) < self.size:
                self.kept.append(fake)
            elif random.random() > 0.5:
                place = random.randrange(self.size)
                fake, self.kept[place] = self.kept[place].clone(), fake
            given.append(fake)
        return torch.cat(given)


class CycleGAN(Training):
    """Least squares, cycle 10, identity 5; G first."""

    def __init__(self, *, blocks: int, width: int) -> None:
        super().__init__()
        self.there, self.back = ResNet(blocks=blocks, width=width), ResNet(blocks=blocks, width=width)
        self.on_target, self.on_source = (patchgan(3, width=width, norm=nn.InstanceNorm2d) for _ in range(2))
        self.networks = {
            "generator": self.there,
            "generator_back": self.back,
            "discriminator": self.on_target,
            "discriminator_back": self.on_source,
        }
        self.adam_g, self.adam_d = adam(self.there, self.back), adam(self.on_target, self.on_source)
        self.fake_targets, self.fake_sources = Pool(), Pool()

    def iterate(self, source: Tensor, target: Tensor) -> None:
        fake_target, fake_source = self.there(source), self.back(target)
        cycle_source, cycle_target = self.back(fake_target), self.there(fake_source)

        freeze([self.on_target, self.on_source], frozen=True)
        self.adam_g.zero_grad()
        losses = {
            "g_identity": 5 * F.l1_loss(self.there(target), target),
            "g_identity_back": 5 * F.l1_loss(self.back(source), source),
            "g_gan": squares(self.on_target(fake_target), True),
            "g_gan_back": squares(self.on_source(fake_source), True),
            "g_cycle": 10 * F.l1_loss(cycle_source, source),
            "g_cycle_back": 10 * F.l1_loss(cycle_target, target),
        }
        torch.stack(list(losses.values())).sum().backward()
        self.adam_g.step()

        freeze([self.on_target, self.on_source], frozen=False)
        self.adam_d.zero_grad()
        shown = (
            ("d", self.on_target, target, self.fake_targets(fake_target)),
            ("d_back", self.on_source, source, self.fake_sources(fake_source)),
        )
        for name, judge, real, fake in shown:
            losses[name] = 0.5 * (squares(judge(real), True) + squares(judge(fake), False))
            losses[name].backward()
        self.adam_d.step()
        self.losses = losses


class CUT(Training):
    """Least squares and PatchNCE, with that of the identity averaged; D first.

    As in the published code the encoder runs once more over the sources for the keys, which the project takes from the
    generator's pass.
    """

    def __init__(self, *, blocks: int, width: int, heads: int = 256) -> None:
        super().__init__()
        self.generator = ResNet(blocks=blocks, width=width, blurred=True)
        self.discriminator = patchgan(3, width=width, norm=nn.InstanceNorm2d, blurred=True)
        channels = (3, 2 * width, 4 * width, 4 * width, 4 * width)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, heads), nn.ReLU(), nn.Linear(heads, heads)) for inputs in channels
        )
        self.networks = {"generator": self.generator, "heads": self.heads, "discriminator": self.discriminator}
        self.adam_g, self.adam_f, self.adam_d = adam(self.generator), adam(self.heads), adam(self.discriminator)
        self.positions: Sequence[Tensor] | None = None  # of each layer; None: drawn anew each time

    def iterate(self, source: Tensor, target: Tensor) -> None:
        made = self.generator(torch.cat([source, target]))
        fake, identity = made[: len(source)], made[len(source) :]

        freeze([self.discriminator], frozen=False)
        self.adam_d.zero_grad()
        on_fake = squares(self.discriminator(fake.detach()), False)
        on_real = squares(self.discriminator(target), True)
        loss_d = 0.5 * (on_fake + on_real)
        loss_d.backward()
        self.adam_d.step()

        freeze([self.discriminator], frozen=True)
        self.adam_g.zero_grad()
        self.adam_f.zero_grad()
        loss_gan = squares(self.discriminator(fake), True)
        loss_nce, loss_identity = 0.5 * self.nce(source, fake), 0.5 * self.nce(target, identity)
        (loss_gan + loss_nce + loss_identity).backward()
        self.adam_g.step()
        self.adam_f.step()
        self.losses = {"d": loss_d, "g_gan": loss_gan, "g_nce": loss_nce, "g_nce_identity": loss_identity}

    def nce(self, given: Tensor, made: Tensor) -> Tensor:
        """The contrast between patches of what was given and of what was made, the mean over the layers."""
        queries, keys = self.generator.encode(made, NCE_LAYERS), self.generator.encode(given, NCE_LAYERS)
        terms = []
        for layer, (head, query, key) in enumerate(zip(self.heads, queries, keys, strict=True)):
            count = query.shape[2] * query.shape[3]
            places = torch.randperm(count)[:PATCHES] if self.positions is None else self.positions[layer]
            q, k = (F.normalize(head(x.flatten(2)[:, :, places].transpose(1, 2)), dim=2) for x in (query, key))
            logits = torch.bmm(q, k.detach().transpose(1, 2)) / TEMPERATURE  # [B, P, P]
            answers = torch.arange(logits.shape[1]).expand(len(logits), -1)
            terms.append(F.cross_entropy(logits.flatten(0, 1), answers.flatten()))
        return torch.stack(terms).mean()
