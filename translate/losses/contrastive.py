"""PatchNCE (CUT, Park 2020): a patch of the output should be like the same patch of the input, and like no other."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor


def patch_nce(query: Tensor, key: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding, among a picture's `P` keys, the one of each query, as a scalar, in nats.

    Position i of the query belongs to position i of the key; the other positions of the same picture are the negatives,
    those of other pictures are not. log P where all are alike. No gradient flows into the key.

    Args:
        query: `[B, P, C]` of length 1, from the output.
        key: `[B, P, C]` of length 1, from the input, at the same positions.
    """
    # similarities over 0.07 need more than bfloat16's 8 bits
    with nullcontext() if query.is_meta else torch.autocast(query.device.type, enabled=False):
        logits = torch.bmm(query.float(), key.detach().float().transpose(1, 2)) / temperature  # [B, P, P]
        return (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean()
