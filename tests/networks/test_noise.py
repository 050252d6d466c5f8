"""Noise that is a function of seed and place: its distribution, its independence, and the layers that draw it."""

import math
import threading

import pytest
import torch
from torch import nn

from translate.networks import GENERATORS
from translate.networks.noise import PRIME, Dropout, NoisePlanes, draws_by_seed, normal, run, seeded, uniform


def lines(*lengths):
    return [torch.arange(length)[None] for length in lengths]


def test_numbers_are_those_of_arithmetic_without_limits():
    """In Python's own integers, which no product overflows."""

    def mixed(state):
        return pow((state + 1_234_567_891) % PRIME, 5, PRIME)

    rows, columns = lines(3, 5)
    found = uniform(torch.tensor([[7], [PRIME - 1]]), 2, 4, 2, rows, columns)
    for b, seed in enumerate((7, PRIME - 1)):
        for c in range(2):
            for y in range(3):
                for x in range(5):
                    state = mixed(mixed(mixed(seed) + 2) + 4)
                    state = mixed(mixed(mixed(mixed(state + c) + y) + x))
                    assert found[b, c, y, x].item() == pytest.approx((state + 0.5) / PRIME, rel=1e-6)
    assert math.gcd(5, PRIME - 1) == 1  # so that the fifth power is a permutation


def test_noise_is_normal_and_no_two_places_channels_or_seeds_go_together():
    noise = normal(torch.tensor([[0], [1]]), 2, *lines(128, 128)).double()
    assert noise.shape == (2, 2, 128, 128)
    for one in noise.flatten(0, 1):
        error = 1 / 128  # of a mean over all places
        assert abs(one.mean().item()) < 4 * error
        assert abs(one.var().item() - 1) < 6 * error
        assert abs((one**4).mean().item() - 3) < 40 * error
        assert abs((one > 1.96).double().mean().item() - 0.025) < 0.006
        for shift in ((0, 1), (1, 0), (1, 1), (0, 2), (7, 3)):
            assert abs((one * one.roll(shift, (0, 1))).mean().item()) < 4.5 * error
    flat = noise.flatten(0, 1).flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 4.5 / 128


def test_a_part_has_the_numbers_of_its_place():
    whole = normal(torch.tensor([[3]]), 2, *lines(20, 30))
    rows, columns = torch.tensor([[4, 5, 6, 5]]), torch.arange(10, 20)[None]  # mirrored at the end
    assert torch.equal(normal(torch.tensor([[3]]), 2, rows, columns), whole[..., rows[0], :][..., columns[0]])


def test_dropout_keeps_its_share_and_the_mean_and_is_off_without_a_seed():
    layer, x = Dropout(0.3).eval(), torch.ones(2, 8, 32, 32)
    assert layer(x) is x
    made = run(layer, x, dropout=torch.tensor([[1], [2]]))
    assert made.unique().tolist() == [0, pytest.approx(1 / 0.7)]
    assert made.mean().item() == pytest.approx(1, abs=0.03)
    assert (made[0] != made[1]).double().mean().item() == pytest.approx(2 * 0.3 * 0.7, abs=0.03)
    assert torch.equal(run(layer, x[1:], dropout=torch.tensor([[2]])), made[1:])
    layer.train()
    torch.manual_seed(0)
    expected = nn.functional.dropout(x, 0.3)
    torch.manual_seed(0)
    assert torch.equal(layer(x), expected)


def test_layers_of_a_pass_differ_and_passes_do_not():
    layers, x = nn.Sequential(Dropout(0.5), Dropout(0.5)).eval(), torch.ones(1, 4, 32, 32)
    made = [run(layers, x, dropout=torch.tensor([[1]])) for _ in range(2)]
    assert torch.equal(*made)
    assert (made[0] > 0).double().mean().item() == pytest.approx(0.25, abs=0.03)  # not twice the same mask


def test_a_tile_of_a_layer_has_the_mask_of_its_place():
    """The layer is at half of the picture's size: the tile from (8, 4) begins there at (4, 2)."""
    layer, x = Dropout(0.5).eval(), torch.ones(1, 3, 16, 16)
    whole = run(layer, x, dropout=torch.tensor([[5]]))
    place = {"rows": torch.arange(16)[None], "columns": torch.arange(16)[None], "origin": torch.tensor([[8, 4]])}
    assert torch.equal(run(layer, x[..., :8, :8], dropout=torch.tensor([[5]]), **place), whole[..., 4:12, 2:10])


def test_a_seed_is_of_its_thread_alone():
    layer, x, found = Dropout(0.5).eval(), torch.ones(1, 1, 4, 4), []
    with seeded(dropout=torch.tensor([[1]])):
        thread = threading.Thread(target=lambda: found.append(layer(x)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], x)
    assert torch.equal(layer(x), x)


def test_planes_lie_behind_the_source_and_are_those_of_seed_0_unless_asked():
    planes, x = NoisePlanes(nn.Identity(), 2), torch.randn(2, 3, 5, 7)
    planes.eval()
    made = planes(x)
    assert torch.equal(made[:, :3], x)
    assert torch.equal(made[:, 3:], normal(torch.zeros(1, 1, dtype=torch.int64), 2, *lines(5, 7)).expand(2, -1, -1, -1))
    asked = run(planes, x, seed=torch.tensor([[0], [9]]))
    assert torch.equal(asked[0], made[0])
    assert not torch.equal(asked[1, 3:], made[1, 3:])
    planes.train()
    first, second = planes(x), planes(x)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0, 3:], first[1, 3:])


@pytest.mark.parametrize("name", GENERATORS)
def test_dropout_of_every_generator_is_drawn_by_a_seed(name):
    torch.manual_seed(0)
    network = GENERATORS[name](3, 3, size=64, width=2, dropout=0.5).eval()
    assert draws_by_seed(network) == ("dropout",)
    x = torch.randn(2, 3, 64, 64)
    plain = network(x)
    made = run(network, x, dropout=torch.tensor([[1], [2]]))
    assert not torch.equal(made, plain)
    assert torch.equal(network(x), plain)
    assert torch.allclose(run(network, x[1:], dropout=torch.tensor([[2]])), made[1:], atol=1e-4)
    assert draws_by_seed(GENERATORS[name](3, 3, size=64, width=2, dropout=0.0)) == ()
