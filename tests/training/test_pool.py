"""The pool of past fakes: what it gives back, what it keeps, and that a run resumes with it exactly."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from translate.draws import draw_all
from translate.models import MODELS
from translate.models.game import Game
from translate.models.parts import GanSettings
from translate.models.pool import Pool
from translate.networks import Discriminator, Shown
from translate.training import run as running
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session


def picture(value):
    return torch.full((1, 1, 2, 2), float(value))


def exchange(pool, pictures):
    """Show them to the pool, with coins and places from torch's common state."""
    count = len(pictures)
    return pool(pictures, coin=torch.rand(count), place=torch.randint(pool.size, (count,)))


def shown(pool, values):
    """What the pool gives back for these pictures, one after the other."""
    return [int(exchange(pool, picture(value))[0, 0, 0, 0]) for value in values]


def kept(pool):
    return [int(stored[0, 0, 0]) for stored in pool.pictures]


def test_while_it_fills_it_gives_back_what_it_gets():
    torch.manual_seed(0)
    pool = Pool(5)
    assert shown(pool, range(5)) == kept(pool) == [0, 1, 2, 3, 4]


def test_afterwards_each_is_itself_or_one_that_it_takes_the_place_of():
    torch.manual_seed(0)
    pool = Pool(5)
    shown(pool, range(5))
    itself = 0
    for value in range(5, 2005):
        before = kept(pool)
        (given,) = shown(pool, [value])
        if given == value:
            assert kept(pool) == before
            itself += 1
        else:
            assert kept(pool) == [value if stored == given else stored for stored in before]
    assert abs(itself - 1000) < 5 * 500**0.5  # five standard deviations of 2000 coins


def test_every_place_has_its_turn():
    torch.manual_seed(0)
    pool = Pool(4)
    shown(pool, range(4))
    gone = shown(pool, range(4, 54))
    assert {0, 1, 2, 3} <= set(gone)


def test_pictures_of_one_batch_may_be_exchanged_for_each_other():
    """They are dealt with one after the other, as in the published code."""
    torch.manual_seed(0)
    pool = Pool(1)
    batch = torch.arange(8.0).reshape(8, 1, 1, 1)
    given = exchange(pool, batch).flatten().tolist()
    assert given[0] == 0
    assert set(given) <= set(range(8))
    assert any(value < i for i, value in enumerate(given))


def test_it_keeps_copies_without_gradients():
    fake = torch.zeros(1, 1, 2, 2, requires_grad=True)
    made = fake * 1
    pool = Pool(1)
    assert not exchange(pool, made).requires_grad
    with torch.no_grad():
        made.fill_(7)
    assert kept(pool) == [0]
    assert not pool.pictures[0].requires_grad


def test_a_restored_pool_goes_on_as_the_one_that_was_saved():
    one, other = Pool(3), Pool(3)
    torch.manual_seed(0)
    shown(one, range(2))
    other.restore(one.pictures, device=torch.device("cpu"))
    for pool in (one, other):
        torch.manual_seed(1)
        pool.given = shown(pool, range(2, 30))
    assert one.given == other.given
    assert kept(one) == kept(other)


def test_a_restored_pool_takes_fakes_of_another_precision():
    pool = Pool(1)
    pool.restore(torch.ones(1, 1, 2, 2, dtype=torch.float16), device=torch.device("cpu"))
    given = pool(picture(2), coin=torch.ones(1), place=torch.zeros(1, dtype=torch.long))
    assert given.dtype == torch.float32
    assert given.flatten()[0] == 1
    assert kept(pool) == [2]


def test_a_pool_restored_from_nothing_is_empty():
    pool = Pool(3)
    shown(pool, range(2))
    pool.restore(None, device=torch.device("cpu"))
    assert pool.pictures is None


@pytest.mark.parametrize("suffix", ["", "_back"])
def test_the_discriminator_meets_past_fakes_and_the_generator_its_own(suffix):
    """A discriminator that answers with the picture's own value tells which it was shown."""
    same = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(same.weight)
    network = nn.Sequential(same)
    game = Game(
        Discriminator(network),
        GanSettings.make({"objective": "wasserstein", "penalty": "clip", "pool": 2}),
        suffix=suffix,
    )
    old = 0
    for i in range(20):
        draws = {
            name: torch.from_numpy(value)[None]
            for name, value in draw_all(game.draws(), seed=0, epoch=0, index=i).items()
        }
        fake = Shown(picture(i))
        seen = game.discriminator(Shown(picture(0)), fake, draws=draws).stats[f"d_fake{suffix}"].item()
        assert seen <= i
        old += seen < i
        assert game.generator(Shown(picture(0)), fake, draws=draws).losses[f"g_gan{suffix}"].item() == -i
    assert 3 < old < 17


SETTINGS = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "norm": "instance",
    "steps": 6,
    "log_every": 1,
    "samples": 0,
    "tensorboard": False,
    "device": "cpu",
    "checkpoint_every": 100,
}


def whole_state(run):
    return RunFolder(Path(run)).load_checkpoint()


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name, cls in MODELS.items() if "pool" in cls.settings_class.model_fields])
@pytest.mark.parametrize("stop_after", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_run_with_a_pool_resumes_exactly(model, stop_after, fronts, tmp_path, monkeypatch):
    """Stopped while the pool fills, and after: a pool of two is full after two steps of one picture."""
    changes: dict = SETTINGS | {"pool": 2, "batch": 1, "data": fronts}
    changes |= {"cyclegan": {"blocks": 1, "patch": 16}, "dualgan": {"d_steps": 1}}.get(model, {})
    train(model, **changes, out=tmp_path / "whole")

    class Stopped(Session):
        def advance(self, batches):
            super().advance(batches)
            if self.done == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(running, "Session", Stopped)
        assert train(model, **changes, out=tmp_path / "run").step == stop_after
    stored = whole_state(tmp_path / "run")["pools"][0]["discriminator"]["fake"]
    assert len(stored) == min(stop_after, 2)
    train(resume=tmp_path / "run")
    one, other = whole_state(tmp_path / "whole"), whole_state(tmp_path / "run")
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())
    (pools,), (others,) = one["pools"], other["pools"]
    for name in ("fake", "fake_back"):
        assert torch.equal(pools["discriminator"][name], others["discriminator"][name])
    without = train(model, **(changes | {"pool": 0}), out=tmp_path / "without")
    assert not all(torch.equal(value, whole_state(without.path)["model"][name]) for name, value in one["model"].items())
