"""KID: how far two sets of pictures are apart, by their features (Binkowski 2018)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Kid(NamedTuple):
    """A squared distance that is 0 in the mean for sets of the same kind, so that it may come out negative."""

    value: float
    error: float  # standard error, by a jackknife over the pictures


def kid(made: Tensor, real: Tensor) -> Kid:
    """Squared maximum mean discrepancy of two sets of features, unbiased, with the kernel (x . y / D + 1)^3.

    One U-statistic over all pictures: library defaults take subsets of 1,000, which sets of 40 to 500 do not have. The
    name of a figure has to name the features; "KID" alone means those of Inception.

    Args:
        made: `[M, D]`, M at least 3.
        real: `[N, D]`, N at least 3. With M = N picture i of one set is taken to belong to picture i of the other, so
            the jackknife leaves out both at once.
    """
    assert min(len(made), len(real)) > 2, "a jackknife over three pictures at least"
    a, b, ab = _kernel(made, made), _kernel(real, real), _kernel(made, real)
    a.fill_diagonal_(0)
    b.fill_diagonal_(0)
    m, n = len(made), len(real)
    value = a.sum() / (m * (m - 1)) + b.sum() / (n * (n - 1)) - 2 * ab.mean()

    # what is left of each sum without picture i
    within_a = (a.sum() - 2 * a.sum(1)) / ((m - 1) * (m - 2))  # [M]
    within_b = (b.sum() - 2 * b.sum(1)) / ((n - 1) * (n - 2))  # [N]
    if m == n:
        across = (ab.sum() - ab.sum(1) - ab.sum(0) + ab.diagonal()) / ((m - 1) * (n - 1))
        variance = jackknife(within_a + within_b - 2 * across)
    else:
        variance = jackknife(within_a - 2 * (ab.sum() - ab.sum(1)) / ((m - 1) * n))
        variance = variance + jackknife(within_b - 2 * (ab.sum() - ab.sum(0)) / (m * (n - 1)))
    return Kid(float(value), float(variance.sqrt()))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def jackknife(without_one: Tensor) -> Tensor:
    """Variance of a statistic, from its values `[N]` with one picture left out."""
    count = len(without_one)
    return (count - 1) / count * (without_one - without_one.mean()).square().sum()
