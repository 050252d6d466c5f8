import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from translate.evaluation.kid import kid, kid_difference


def by_hand(x, y):
    """Binkowski 2018, eq. 4, without the terms of a picture with itself."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


@pytest.fixture
def sets():
    torch.manual_seed(0)
    return torch.randn(7, 5, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64) + 0.5


def without(x, i):
    return torch.cat([x[:i], x[i + 1 :]])


def test_the_value_is_that_of_the_formula(sets):
    x, y = sets
    assert kid(x, y).value == pytest.approx(by_hand(x, y))
    assert kid(x, y[:4]).value == pytest.approx(by_hand(x, y[:4]))
    assert kid(x, y).value == pytest.approx(poly_mmd(x, y).item())


def test_the_error_is_that_of_leaving_out_each_pair(sets):
    x, y = sets
    values = torch.tensor([by_hand(without(x, i), without(y, i)) for i in range(7)])
    expected = (6 / 7 * (values - values.mean()).square().sum()).sqrt().item()
    assert kid(x, y).error == pytest.approx(expected, rel=1e-5)


def test_of_sets_of_two_sizes_the_errors_of_both_add_up(sets):
    x, y = sets[0], sets[1][:4]
    of_x = torch.tensor([by_hand(without(x, i), y) for i in range(7)])
    of_y = torch.tensor([by_hand(x, without(y, i)) for i in range(4)])
    variance = sum((len(v) - 1) / len(v) * (v - v.mean()).square().sum() for v in (of_x, of_y))
    assert kid(x, y).error == pytest.approx(variance.sqrt().item(), rel=1e-5)


def test_sets_of_one_kind_are_nothing_apart_in_the_mean():
    torch.manual_seed(0)
    found = [kid(torch.randn(20, 8), torch.randn(20, 8)) for _ in range(200)]
    values = torch.tensor([k.value for k in found])
    assert abs(values.mean()) < 4 * values.std() / len(found) ** 0.5
    assert (values < 0).any()


def test_the_error_of_a_difference_leaves_a_picture_out_of_both(sets):
    x, y = sets
    z = x + 0.1 * torch.randn(7, 5, dtype=torch.float64)
    found = kid_difference(z, x, y)
    assert found.value == pytest.approx(by_hand(z, y) - by_hand(x, y))
    left_out = [(without(z, i), without(x, i), without(y, i)) for i in range(7)]
    values = torch.tensor([by_hand(a, c) - by_hand(b, c) for a, b, c in left_out])
    assert found.error == pytest.approx((6 / 7 * (values - values.mean()).square().sum()).sqrt().item(), rel=1e-5)
    assert found.error < kid(x, y).error  # what is hard for one is hard for the other
    assert kid_difference(x, x, y[:4]) == (0, 0)
