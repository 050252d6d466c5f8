"""Loss of a discriminator that also tells classes, where few pictures have a label (Salimans 2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Labelled(NamedTuple):
    """What the labelled pictures of a batch give; scalars."""

    cost: Tensor  # cross-entropy in nats, their mean; 0 without any
    share: Tensor  # of the batch, without a gradient
    wrong: Tensor  # share of the batch that is labelled and taken for another class


def labelled_cost(logits: Tensor, label: Tensor, *, across: Callable[[Tensor], Tensor] = lambda mean: mean) -> Labelled:
    """Cross-entropy of the pictures that have a label, their mean; the others give nothing.

    With real pictures' logit log Z, Z the sum of exp(logits), and the game's cost softplus(-log Z), it adds up to the
    cross-entropy over n + 1 classes, the last of which, fake, has the logit 0.

    Args:
        logits: `[B, K]`.
        label: `[B, K]` float, 1 for the label of a picture, and 0 throughout where it has none.
        across: the mean over all processes that train together, each with a part of the batch.
    """
    logits, label = logits.float(), label.float()
    known = label.amax(1)  # [B], 1 where there is one
    share = across(known.mean())
    costs = F.cross_entropy(logits, label, reduction="none")  # 0 without a label
    wrong = known * (logits.argmax(1) != label.argmax(1))
    return Labelled(costs.mean() / share.clamp(min=1e-12), share, wrong.mean())
