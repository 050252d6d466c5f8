"""A training that is saved and goes on is the one that was never stopped, with every state that a game can have."""

import pytest
import torch

from tests.drawn import with_draws
from translate.batch import Batch
from translate.images import ImageSpec
from translate.training.job import new_job
from translate.training.session import Session

CPU = torch.device("cpu")


def session_of(tmp_path, **changes):
    """The state of a run of these settings; no pictures are read."""
    settings = {
        "size": 32,
        "width": 4,
        "discriminator_width": 4,
        "patch": 16,
        "norm": "batch",
        "steps": 6,
        "batch": 2,
        "data": tmp_path,
        "out": tmp_path / "run",
        "device": "cpu",
        **changes,
    }
    source, target = ImageSpec(channels=1), ImageSpec(channels=3)
    job = new_job("pix2pix", {name: str(value) for name, value in settings.items()})
    return Session(job, source=source, target=target, examples=8, device=CPU)


def pictures_of(session, number):
    """The batches of a step."""
    generator, found = torch.Generator().manual_seed(number), []
    for i in range(session.batches_a_step):
        source, target = (torch.rand(2, count, 32, 32, generator=generator) * 2 - 1 for count in (1, 3))
        batch = Batch({"source": source, "target": target})
        found.append(with_draws(batch, session.model, first=100 * number + 2 * i))
    return found


def spectral(session):
    """With spectral norm, whose vectors are buffers, on the discriminator's first layer."""
    torch.manual_seed(3)
    torch.nn.utils.parametrizations.spectral_norm(session.model.discriminator.network[0])
    return session


STATES: dict[str, dict] = {
    "all that goes together": {"pool": 3, "augment": "color,translation", "ada": 0.6, "ada_speed": 1, "unroll": 1}
    | {"optimizer": "sgd", "momentum": 0.5, "lr": 0.05, "instance_noise": 0.3, "penalty": "r1", "penalty_every": 2}
    | {"norm": "group"},
    "at once, fresh": {"simultaneous": True, "d_steps": 2, "lr_d": 0.001, "clip_gradients": 0.1, "pool": 3},
    "sgd without momentum": {"optimizer": "sgd", "lr": 0.05, "fresh_batch": True, "accumulate": 2},
    "adam, unrolled": {"unroll": 2, "weight_decay": 0.01, "dropout": 0.5},
    "rmsprop, clipped": {"objective": "wasserstein", "penalty": "clip", "optimizer": "rmsprop", "unroll": 1},
}


@pytest.mark.parametrize("changes", STATES.values(), ids=STATES)
def test_a_resumed_training_equals_one_that_went_on(changes, tmp_path, monkeypatch):
    """Bit for bit, in every state that there is, average and sums of the journal included."""
    monkeypatch.setattr("translate.models.ada.JUDGED", 4)  # so that p moves
    whole, first, second = (spectral(session_of(tmp_path, **changes)) for _ in range(3))
    for session in (whole, first):
        if session.model.game.ada is not None:
            session.model.game.ada.p.fill_(0.5)
    for number in range(4):
        whole.advance(pictures_of(whole, number))
    for number in range(2):
        first.advance(pictures_of(first, number))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for number in range(2, 4):
        second.advance(pictures_of(second, number))
    one, other = (dict(leaves(session.state_dict())) for session in (whole, second))
    assert one.keys() == other.keys()
    different = [name for name, value in one.items() if not same_leaf(value, other[name])]
    assert not different
    names = " ".join(one)
    assert ("fake.spatial" in names) == ("pool" in changes)
    assert "parametrizations.weight.0._u" in names
    assert ("game.ada.p" in names) == ("ada" in changes)
    assert ("momentum_buffer" in names) == ("momentum" in changes)
    if "ada" in changes:
        assert one["model.game.ada.p"] not in (0, 0.5)


def leaves(value, path=""):
    """Every tensor and number in a state, by where it is."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in pairs:
            yield from leaves(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def same_leaf(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_the_journal_tells_the_discriminators_rate_if_it_differs(tmp_path):
    session = session_of(tmp_path, lr_d=0.001, lr=0.0002, schedule="linear", decay_start=0.0)
    assert session.own_rates() == {"lr_discriminator": 0.001}
    session.advance(pictures_of(session, 0))
    assert session.own_rates()["lr_discriminator"] == pytest.approx(0.001 * 5 / 6)
    assert session.rate() == pytest.approx(0.0002 * 5 / 6)
    assert {float(o.param_groups[0]["lr"]) for o in session.optimizers.values()} == {0.001, 0.0002}
    assert session_of(tmp_path, lr_d=0.0002).own_rates() == {}


def test_what_cannot_be_unrolled_is_refused_before_a_run_starts(tmp_path):
    with pytest.raises(ValueError, match="--step compile cannot"):
        session_of(tmp_path, unroll=2, compile=True)
    with pytest.raises(ValueError, match="third derivatives"):
        session_of(tmp_path, unroll=2, penalty="r1", norm="instance")
