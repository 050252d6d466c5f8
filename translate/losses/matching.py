"""Terms of the discriminator's features: of fakes like those of real pictures, or of fakes unlike each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F


def feature_matching(
    real: Sequence[Tensor], fake: Sequence[Tensor], *, across: Callable[[Tensor], Tensor] = lambda mean: mean
) -> Tensor:
    """Squared difference of the batch's mean features, summed over the layers (Salimans 2016), as DiscoGAN (Kim 2017).

    A layer's term is the mean over channels and positions. No gradient flows into `real`. At batch size 1 it compares
    single pictures, which are no pairs where the data is unpaired: it wants a large batch (DiscoGAN: 200).

    Args:
        real: for each layer `[B, C, H, W]`.
        fake: for each layer `[B', C, H, W]`, of the same layers; B' may be another number.
        across: the mean of a batch's mean over all processes that train together, each with a part of the batch.
    """
    assert len(real) == len(fake) > 0, "the same layers on both sides"
    differences = [across(r.detach().float().mean(0) - f.float().mean(0)) for r, f in zip(real, fake, strict=True)]
    return torch.stack([difference.square().mean() for difference in differences]).sum()


def layer_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Absolute difference of each fake's features and those of its own target (pix2pixHD, Wang 2018), as a scalar.

    Summed over the layers, each layer's the mean over batch, channels and positions. No gradient flows into `real`.

    Args:
        real: for each layer `[B, C, H, W]`, of the targets.
        fake: the same of the fakes, in the targets' order.
    """
    assert len(real) == len(fake) > 0, "the same layers on both sides"
    assert all(r.shape == f.shape for r, f in zip(real, fake, strict=True)), "a target for each fake"
    differences = [(r.detach().float() - f.float()).abs().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(differences).sum()


def pull_away(code: Tensor) -> Tensor:
    """EBGAN's repelling term (Zhao 2017): the mean squared cosine between the codes of different pictures, in [0, 1].

    Args:
        code: `[B, ...]`, an autoencoder's; 0 for a single picture, which has no other.
    """
    # products of codes that are nearly alike need more than bfloat16's 8 bits
    with nullcontext() if code.is_meta else torch.autocast(code.device.type, enabled=False):
        unit = F.normalize(code.float().flatten(1), dim=1)
        pairs = max(len(code) * (len(code) - 1) / 2, 1)
        return (unit @ unit.T).triu(1).square().sum() / pairs
