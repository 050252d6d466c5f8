"""FID: how far two sets of pictures are apart, by mean and covariance of their features (Heusel 2017)."""

from __future__ import annotations

import torch
from torch import Tensor


def fid(made: Tensor, real: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features, 0 or more.

    Biased: it falls with the number of pictures, so that figures of other numbers cannot be compared. With no more
    pictures than features a covariance is not known, and the figure is of no use. The name of a figure has to name the
    features; "FID" alone means those of Inception.

    Args:
        made: `[M, D]`, M at least 2.
        real: `[N, D]`, N at least 2.
    """
    (mean_a, cov_a), (mean_b, cov_b) = (_moments(x.double()) for x in (made, real))
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # C1 C2 has the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric
    across = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * across
    return max(float(distance), 0.0)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), torch.cov(x.T, correction=1)
