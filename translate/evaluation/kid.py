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
    value, left_out = _leave_one_out(made, real)
    return Kid(value, _error(left_out))


def kid_difference(second: Tensor, first: Tensor, real: Tensor) -> Kid:
    """KID of the outputs `second` less that of `first`, of the same sources `[M, D]`, beside the same real pictures.

    The error is paired: the jackknife leaves a picture out of both, so that what a picture does to both cancels.
    """
    assert second.shape == first.shape, "outputs of the same pictures"
    value, left_out = _leave_one_out(second, real)
    other, others = _leave_one_out(first, real)
    return Kid(value - other, _error([a - b for a, b in zip(left_out, others, strict=True)]))


def _leave_one_out(made: Tensor, real: Tensor) -> tuple[float, list[Tensor]]:
    """KID, and its values with one picture left out: of both sets at once, or of each set if one is larger."""
    assert min(len(made), len(real)) > 2, "a jackknife over three pictures at least"
    a, b, ab = _kernel(made, made), _kernel(real, real), _kernel(made, real)
    a.fill_diagonal_(0)
    b.fill_diagonal_(0)
    m, n = len(made), len(real)
    all_a, all_b, all_ab = a.sum() / (m * (m - 1)), b.sum() / (n * (n - 1)), ab.mean()
    value = float(all_a + all_b - 2 * all_ab)

    # what is left of each sum without picture i
    within_a = (a.sum() - 2 * a.sum(1)) / ((m - 1) * (m - 2))  # [M]
    within_b = (b.sum() - 2 * b.sum(1)) / ((n - 1) * (n - 2))  # [N]
    if m == n:
        across = (ab.sum() - ab.sum(1) - ab.sum(0) + ab.diagonal()) / ((m - 1) * (n - 1))
        return value, [within_a + within_b - 2 * across]
    without_a = within_a + all_b - 2 * (ab.sum() - ab.sum(1)) / ((m - 1) * n)
    return value, [without_a, all_a + within_b - 2 * (ab.sum() - ab.sum(0)) / (m * (n - 1))]


def _error(left_out: list[Tensor]) -> float:
    return sum(float(jackknife(values)) for values in left_out) ** 0.5


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def jackknife(without_one: Tensor) -> Tensor:
    """Variance of a statistic, from its values `[N]` with one picture left out."""
    count = len(without_one)
    return (count - 1) / count * (without_one - without_one.mean()).square().sum()
