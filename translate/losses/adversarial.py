"""Objectives: the adversarial losses of both players, on logits; means over patches and batch, in float32.

Notation: `l` a logit of the discriminator, D = sigmoid(l). `docs/game.md` has the table of all of them, and says where
the lectures' factors of one half are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.tables import Table

LOG_2 = math.log(2)
MAX_EXPONENT = 10.0  # exponentials of logits go on as straight lines from here: their gradients stay finite


@dataclass(frozen=True)
class Objective:
    """Both sides of one game, each a function of the logits `[B, ...]` of real and fake that returns a scalar.

    Functions of a module, or partial ones: they are pickled with the model that plays it.
    """

    discriminator: Callable[..., Tensor]  # (real, fake), and the numbers in `takes` by name
    generator: Callable[[Tensor | None, Tensor], Tensor]  # (real, fake), as published
    non_saturating: Callable[[Tensor | None, Tensor], Tensor] | None = None  # a second cost for the generator
    pairs: bool = False  # the generator's cost needs the real ones, too (relativistic); else they may be None
    takes: tuple[str, ...] = ()  # numbers of the discriminator's cost: "smoothing", "margin" (EBGAN), "k" (BEGAN)
    energy: bool = False  # the logits are energies of 0 and more: what an autoencoder fails to reconstruct
    undecided: float = (
        0.0  # logit of a discriminator that cannot tell real from fake; of critics and pairs there is none
    )
    # the logit that says neither: mirrored at it, real ones cost as fakes do; None: they cannot (BiGAN)
    middle: float | None = None
    # what the real ones add to the generator's published cost where that is the game's whole value, zero-sum
    of_real: Callable[[Tensor], Tensor] | None = None
    critic: bool = False  # the logits have no bound unless the discriminator is made Lipschitz: clipped, or penalised


def _towards(logits: Tensor, label: float, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    logits = logits.float()
    return cost(logits, torch.full_like(logits, label))


Cost = Callable[[Tensor, Tensor], Tensor]  # (logits, targets) -> scalar
_cross_entropy: Cost = F.binary_cross_entropy_with_logits
_squares: Cost = F.mse_loss


def _halved(real: Tensor, fake: Tensor, *, cost: Cost, smoothing: float = 0.0) -> Tensor:
    """pix2pix's and CycleGAN's scale: D halved. `smoothing`: the real target is 1 less this (Salimans 2016)."""
    return 0.5 * (_towards(real, 1.0 - smoothing, cost) + _towards(fake, 0.0, cost))


def _as_real(real: Tensor | None, fake: Tensor, *, cost: Cost) -> Tensor:
    return _towards(fake, 1.0, cost)


def _saturating(real: Tensor | None, fake: Tensor) -> Tensor:
    """E log(1 - D(fake)): what D maximises is minimised, and falls flat where D wins."""
    return -F.softplus(fake.float()).mean()


def _log_of_real(real: Tensor) -> Tensor:
    """E log D(real)."""
    return -F.softplus(-real.float()).mean()


def _likelihood(real: Tensor | None, fake: Tensor) -> Tensor:
    """-E exp(l): with an optimal D its gradient is that of KL(data || model) (Goodfellow 2014b)."""
    return -_exp(fake).mean()


def _gap(real: Tensor, fake: Tensor) -> Tensor:
    return fake.float().mean() - real.float().mean()


def _raised(real: Tensor | None, fake: Tensor) -> Tensor:
    return -fake.float().mean()


def _mean(real: Tensor) -> Tensor:
    return real.float().mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def _softplus(real: Tensor, fake: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy that is not halved."""
    return 2 * _halved(real, fake, cost=_cross_entropy, smoothing=smoothing)


def _softplus_of_fakes(real: Tensor | None, fake: Tensor) -> Tensor:
    return F.softplus(-fake.float()).mean()


def _above(one: Tensor, other: Tensor) -> Tensor:
    """E softplus(-(one - other)): each of `one` should score higher than its partner; of unequal batches, than all."""
    one, other = one.float(), other.float()
    if one.shape[:1] != other.shape[:1]:
        one, other = one[:, None], other[None]
    return F.softplus(other - one).mean()


def _paired_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    assert real is not None, "a relativistic cost needs the logits of real pictures"
    return _above(fake, real)


def _average(real: Tensor, fake: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Each logit against the mean of the other side, over batch and patches; halved as in ESRGAN's code."""
    real, fake = real.float(), fake.float()
    return _halved(real - fake.mean(), fake - real.mean(), cost=_cross_entropy, smoothing=smoothing)


def _average_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    assert real is not None, "a relativistic cost needs the logits of real pictures"
    return _average(fake, real)


@dataclass(frozen=True)
class Divergence:
    """An f-divergence as a game (Nowozin 2016): D's output activation g, and f*(g(v)), of the conjugate f*."""

    activation: Callable[[Tensor], Tensor]  # g: v -> t, a bound on the density ratio's f'
    conjugate: Callable[[Tensor], Tensor]  # v -> f*(g(v)), as one function: computed apart they overflow
    undecided: float = 0.0  # the v with g(v) = f'(1), where both densities are equal


def _exp(v: Tensor) -> Tensor:
    """exp(v) up to `MAX_EXPONENT`; from there on its tangent."""
    v = v.float()
    bounded = v.clamp(max=MAX_EXPONENT)
    return bounded.exp() * (1 + (v - bounded))


def _itself(v: Tensor) -> Tensor:
    return v.float()


DIVERGENCES: Table[Divergence] = Table(
    "f-divergence",
    {
        "kl": Divergence(_itself, lambda v: _exp(v - 1), undecided=1.0),
        "reverse-kl": Divergence(lambda v: -_exp(-v), lambda v: v.float() - 1),
        "pearson": Divergence(_itself, lambda v: v.float().square() / 4 + v.float()),
        "hellinger": Divergence(lambda v: 1 - _exp(-v), lambda v: _exp(v) - 1),
        "jensen-shannon": Divergence(
            lambda v: LOG_2 - F.softplus(-v.float()),
            lambda v: F.softplus(v.float()) - LOG_2,
        ),
    },
)
"""With u = p_data / p_model the divergences are E_model f(u): KL u log u; reverse KL -log u; Pearson (u - 1)^2; squared
Hellinger (sqrt u - 1)^2; Jensen-Shannon u log u - (u + 1) log((u + 1) / 2), twice the usual one."""


def _bound(real: Tensor, fake: Tensor, *, name: str) -> Tensor:
    """The negative of the divergence's lower bound, E g(real) - E f*(g(fake))."""
    divergence = DIVERGENCES[name]
    return divergence.conjugate(fake).mean() - divergence.activation(real).mean()


def _lowered(real: Tensor | None, fake: Tensor, *, name: str) -> Tensor:
    return -DIVERGENCES[name].conjugate(fake).mean()


def _activated(real: Tensor | None, fake: Tensor, *, name: str) -> Tensor:
    return -DIVERGENCES[name].activation(fake).mean()


def _bound_of_real(real: Tensor, *, name: str) -> Tensor:
    return DIVERGENCES[name].activation(real).mean()


def _divergence(name: str) -> Objective:
    parts = (_bound, _lowered, _activated, _bound_of_real)
    bound, lowered, activated, of_real = (partial(part, name=name) for part in parts)
    return Objective(bound, lowered, activated, undecided=DIVERGENCES[name].undecided, of_real=of_real)


def _energy_margin(real: Tensor, fake: Tensor, *, margin: float) -> Tensor:
    return real.float().mean() + F.relu(margin - fake.float()).mean()


def _energy(real: Tensor | None, fake: Tensor) -> Tensor:
    return fake.float().mean()


def _energy_balance(real: Tensor, fake: Tensor, *, k: Tensor | float) -> Tensor:
    return real.float().mean() - k * fake.float().mean()


_vanilla: dict[str, Any] = {"discriminator": partial(_halved, cost=_cross_entropy), "takes": ("smoothing",)}

OBJECTIVES: Table[Objective] = Table(
    "objective",
    {
        "vanilla": Objective(
            **_vanilla, generator=partial(_as_real, cost=_cross_entropy), middle=0.0
        ),  # Goodfellow 2014
        "minimax": Objective(
            **_vanilla,
            generator=_saturating,
            non_saturating=partial(_as_real, cost=_cross_entropy),
            of_real=_log_of_real,
        ),  # the same game before its generator's cost was changed
        "maximum-likelihood": Objective(**_vanilla, generator=_likelihood),  # Goodfellow 2014b
        "lsgan": Objective(
            partial(_halved, cost=_squares),
            partial(_as_real, cost=_squares),
            takes=("smoothing",),
            undecided=0.5,
            middle=0.5,
        ),  # Mao 2017
        "wasserstein": Objective(
            _gap, _raised, critic=True, middle=0.0, of_real=_mean
        ),  # Arjovsky 2017: neither side halved
        "hinge": Objective(_hinge, _raised, middle=0.0),  # Lim & Ye 2017
        "softplus": Objective(
            _softplus, _softplus_of_fakes, takes=("smoothing",), middle=0.0
        ),  # Mescheder 2018, with R1
        "relativistic": Objective(_above, _paired_generator, pairs=True, middle=0.0),  # R3GAN 2024
        "relativistic-average": Objective(
            _average, _average_generator, pairs=True, takes=("smoothing",), middle=0.0
        ),  # Jolicoeur-Martineau 2018
        **{name: _divergence(name) for name in DIVERGENCES},  # Nowozin 2016
        "ebgan": Objective(_energy_margin, _energy, takes=("margin",), energy=True),  # Zhao 2017
        "began": Objective(_energy_balance, _energy, takes=("k",), energy=True),  # Berthelot 2017
    },
)
