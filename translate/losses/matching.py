"""Feature matching: the discriminator's features of fakes should be those of real pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
