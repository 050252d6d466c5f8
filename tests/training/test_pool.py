"""The pool of past fakes: what it gives back, what it keeps, and that a run resumes with it exactly."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import nn

from tests.drawn import drawn as draws_of
from tests.models.test_models import SIZE, small_model, some_batch
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.models.pool import Pool
from translate.networks import Discriminator, Shown
from translate.training import run as running
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session
from translate.training.state import _check_pools


def picture(value):
    return torch.full((1, 1, 2, 2), float(value))


def exchange(pool, pictures, **belonging):
    """Show them to the pool, with coins and places from torch's common state."""
    count = len(pictures)
    given = pool({"image": pictures, **belonging}, coin=torch.rand(count), place=torch.randint(pool.size, (count,)))
    return given if belonging else given.given["image"]


def shown(pool, values):
    """What the pool gives back for these pictures, one after the other."""
    return [int(exchange(pool, picture(value))[0, 0, 0, 0]) for value in values]


def kept(pool):
    return [int(stored[0, 0, 0]) for stored in pool.kept["image"]]


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
    exchange(pool, made)
    with torch.no_grad():
        made.fill_(7)
    assert kept(pool) == [0]
    assert not pool.kept["image"].requires_grad


def test_what_belongs_to_a_fake_stays_with_it():
    torch.manual_seed(0)
    pool, old = Pool(3), 0
    for first in range(0, 60, 4):
        number = torch.arange(first, first + 4)
        images, codes = number.float().reshape(4, 1, 1, 1).expand(4, 1, 2, 2), number[:, None] * torch.ones(4, 5)
        given, past = exchange(pool, images, code=codes, classes=number[:, None, None].expand(4, 2, 2))
        shown = given["image"][:, 0, 0, 0]
        assert torch.equal(given["image"], shown.reshape(4, 1, 1, 1).expand(4, 1, 2, 2))
        assert torch.equal(given["code"], shown[:, None].expand(4, 5))
        assert torch.equal(given["classes"], shown.long()[:, None, None].expand(4, 2, 2))
        assert torch.equal(past, shown != number)
        old += int(past.sum())
        stored = pool.kept
        assert torch.equal(stored["image"][:, 0, 0, 0], stored["code"][:, 0])
        assert torch.equal(stored["image"][:, 0, 0, 0].long(), stored["classes"][:, 0, 0])
    assert 15 < old < 45


def test_gradients_reach_the_code_of_a_fake_that_is_given_back_as_it_came():
    pool = Pool(1)
    code = torch.ones(3, 2, requires_grad=True)
    coin, place = torch.tensor([0.9, 0.9, 0.1]), torch.zeros(3, dtype=torch.long)
    given, past = pool({"image": torch.zeros(3, 1, 1, 1), "code": code}, coin=coin, place=place)
    given["code"].sum().backward()
    assert past.tolist() == [False, True, False]
    assert code.grad.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_a_restored_pool_goes_on_as_the_one_that_was_saved():
    one, other = Pool(3), Pool(3)
    torch.manual_seed(0)
    shown(one, range(2))
    other.restore(one.kept, device=torch.device("cpu"))
    for pool in (one, other):
        torch.manual_seed(1)
        pool.given = shown(pool, range(2, 30))
    assert one.given == other.given
    assert kept(one) == kept(other)


def test_a_restored_pool_takes_fakes_of_another_precision():
    pool = Pool(1)
    pool.restore({"image": torch.ones(1, 1, 2, 2, dtype=torch.float16)}, device=torch.device("cpu"))
    coin, place = torch.ones(1), torch.zeros(1, dtype=torch.long)
    given = pool({"image": picture(2)}, coin=coin, place=place).given["image"]
    assert given.dtype == torch.float32
    assert given.flatten()[0] == 1
    assert kept(pool) == [2]


def test_a_pool_restored_from_nothing_is_empty():
    pool = Pool(3)
    shown(pool, range(2))
    pool.restore({}, device=torch.device("cpu"))
    assert pool.kept == {}


@pytest.mark.parametrize("suffix", ["", "_back"])
def test_the_discriminator_meets_past_fakes_and_the_generator_its_own(suffix):
    """A discriminator that answers with the picture's own value tells which it was shown."""
    same = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(same.weight)
    network = nn.Sequential(same)
    settings = GameSettings(objective="wasserstein", penalty="clip", pool=2)
    game = Game(Discriminator(network), settings, suffix=suffix)
    old = 0
    for i in range(20):
        draws = draws_of(game, 1, first=i)
        fake = Shown(picture(i))
        seen = game.discriminator(Shown(picture(0)), fake, draws=draws).stats[f"d_fake{suffix}"].item()
        assert seen <= i
        old += seen < i
        assert game.generator(Shown(picture(0)), fake, draws=draws).losses[f"g_gan{suffix}"].item() == -i
    assert 3 < old < 17


def test_past_fakes_are_shown_with_their_own_sources():
    """The discriminator's logit is source less picture: 0 for a fake beside what it was made of."""
    difference = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        difference.weight[0, :, 0, 0] = torch.tensor([1.0, -1.0])
    settings = GameSettings(objective="wasserstein", penalty="clip", pool=2)
    game, past = Game(Discriminator(nn.Sequential(difference)), settings), 0
    for i in range(20):
        real, fake = Shown(picture(-i), picture(i)), Shown(picture(i), picture(i))
        terms = game.discriminator(real, fake, draws=draws_of(game, 1, first=i))
        assert terms.stats["d_fake"] == 0
        assert terms.stats["d_real"] == 2 * i
        past += int(terms.past.sum())
    assert 3 < past < 17


def test_a_classifier_does_not_learn_this_batchs_labels_from_past_fakes():
    torch.manual_seed(0)
    name = "pix2pix label"
    changes = {"label_loss": "auxiliary", "pool": 1, "drop_condition": 0.0}
    model = small_model(name, **changes)
    batch = some_batch(name, 2, **changes)
    images = {"fake": torch.rand(2, 3, SIZE, SIZE)}
    # the first fills the pool; the second is exchanged for it
    batch.draws["game.pool_coin"][:], batch.draws["game.pool_place"][:] = 0.9, 0
    with torch.no_grad():
        found = model.objective("discriminator", batch, images)[0]["d_class"]
        fake = Shown(images["fake"][:1].expand(2, -1, -1, -1), batch.source[:1].expand(2, -1, -1, -1))
        scores = model.discriminator(Shown(batch.target, batch.source), fake)
        real, drawn = (each[0].classes.log_softmax(1) for each in scores)
    label = batch.condition["label"].argmax(1)
    by_hand = -(real[0, label[0]] + real[1, label[1]] + drawn[0, label[0]]) / 2
    torch.testing.assert_close(found, model.settings.lambda_class * 0.5 * by_hand)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"fake": torch.zeros(3, 3, 32, 32)}, "fake holds no training pictures"),
        ({"fake": torch.zeros(2, 3, 32, 31)}, "fake holds no training pictures"),
        ({"fake.spatial": torch.zeros(2, 1, 8, 8)}, "fake.spatial holds no"),
        ({"fake.classes": torch.zeros(2, 32, 32)}, "fake.classes holds no"),
        ({"fake.code_back": torch.zeros(2, 3, 3)}, "fake.code_back holds no"),
        ({"fake": torch.zeros(2, 3, 32, 32), "fake.spatial": torch.zeros(1, 1, 32, 32)}, "not as many fakes"),
    ],
)
def test_what_cannot_be_a_pool_is_refused(spoilt, message):
    model = small_model("pix2pix", pool=2)
    with pytest.raises(ValueError, match=message):
        _check_pools([{"discriminator": spoilt}], cast(Session, SimpleNamespace(model=model, size=(32, 32))))


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
@pytest.mark.parametrize("model", ["cyclegan", "dualgan", "pix2pix"])
@pytest.mark.parametrize("stop_after", [1, 4])
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
    assert pools["discriminator"].keys() == ({"fake", "fake.spatial"} if model == "pix2pix" else {"fake", "fake_back"})
    for name, fakes in pools["discriminator"].items():
        assert torch.equal(fakes, others["discriminator"][name])
    without = train(model, **(changes | {"pool": 0}), out=tmp_path / "without")
    assert not all(torch.equal(value, whole_state(without.path)["model"][name]) for name, value in one["model"].items())
