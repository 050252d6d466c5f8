"""Alarms of the training itself: of made journals and spectra, and of short real runs that go wrong or well."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.test_alarms import measured as health
from tests.training.test_alarms import names, pictures
from translate.evaluation import training_alarms
from translate.evaluation.spectrum import Grids
from translate.evaluation.training_alarms import SLOW_SECONDS, journal_alarms, waiting_alarm
from translate.training import health as health_of_runs
from translate.training.health import TrainingHealth
from translate.training.job import new_job
from translate.training.run import fit


def journal(count=20, *, every=50, suffix="", gradient=lambda i: 10.0, **losses):
    """Lines of a journal; each loss is a function of the line's number."""
    usual = {"d": lambda i: 0.5, "d_real": lambda i: 1.0, "d_fake": lambda i: -1.0, "g_gan": lambda i: 1.0} | losses
    return [
        {
            "step": (i + 1) * every,
            "losses": {f"{name}{suffix}": value(i) for name, value in usual.items()},
            "gradients": {"generator": gradient(i)},
        }
        for i in range(count)
    ]


def found(lines, objective="vanilla"):
    return [alarm.name for alarm in journal_alarms(lines, objective=objective)]


WON = {"d": lambda i: 0.02, "d_real": lambda i: 5.0, "d_fake": lambda i: -5.0, "g_gan": lambda i: 5.0 + 0.1 * i}


def test_a_discriminator_that_wins_is_sure_for_long_while_the_generators_loss_grows():
    assert found(journal()) == []
    assert found(journal(**WON)) == ["discriminator won"]
    assert found(journal(**WON, suffix="_back")) == ["discriminator won"]
    assert found(journal(**WON | {"g_gan": lambda i: 5.0 - 0.1 * i})) == []
    assert found(journal(**WON | {"d": lambda i: 0.5 if i == 18 else 0.02})) == ["discriminator won"]
    assert found(journal(**WON | {"d": lambda i: 0.5 if i > 16 else 0.02})) == []
    assert found(journal(**WON | {"d_real": lambda i: 1.0})) == []
    assert found(journal(3, **WON)) == []  # step 150: too early
    assert found(journal(**WON), "wasserstein") == []  # a critic has no tie
    assert found(journal(**WON), None) == []
    sure = {"d": lambda i: 0.003, "d_real": lambda i: 0.95, "d_fake": lambda i: 0.02, "g_gan": lambda i: 0.97}
    assert found(journal(**sure), "lsgan") == ["discriminator won"]


def test_a_gradient_is_gone_or_explodes_against_what_was_usual():
    assert found(journal(gradient=lambda i: 10.0 * 1.3 ** (i % 7))) == []
    assert found(journal(gradient=lambda i: 10.0 if i < 17 else 1e-4)) == ["gradient gone"]
    assert found(journal(gradient=lambda i: 0.0)) == ["gradient gone"]
    assert found(journal(gradient=lambda i: 10.0 if i < 18 else 1e-4)) == []  # two lines may be chance
    assert found(journal(gradient=lambda i: 10.0 if i < 17 else 2e3)) == ["gradient exploding"]
    assert found(journal(7, gradient=lambda i: 10.0 if i < 4 else 2e3)) == []  # four lines tell nothing


def test_waiting_for_pictures_counts_over_enough_time():
    assert waiting_alarm(6.0, SLOW_SECONDS, workers=2).message.startswith("reading pictures takes 60% of the time")
    assert waiting_alarm(4.0, SLOW_SECONDS, workers=2) is None
    assert waiting_alarm(6.0, SLOW_SECONDS - 1, workers=2) is None
    state = TrainingHealth(objective=None)
    for _ in range(3):
        state.time(waited=3.0, seconds=4.0)
    assert [alarm.name for alarm in state.alarms(workers=0)] == ["slow loader"]
    state.time(waited=0.0, seconds=SLOW_SECONDS)
    assert state.alarms(workers=0) == []


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_is_found_with_its_period(period):
    source, target = pictures(seed=1, size=64), pictures(size=64)
    target = target + 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    wave = torch.cos(2 * torch.pi * x / period) + torch.cos(2 * torch.pi * y / period)
    assert names(health(source, target, target, paired=True)) == []
    gridded = target + 0.1 * wave
    (alarm,) = health(source, gridded, target, paired=True).alarms()
    assert alarm.name == "checkerboard"
    assert f"a grid of {period} pixels" in alarm.message
    assert names(health(source, target + 0.002 * wave, target, paired=True)) == []  # nobody can see it
    assert names(health(source, gridded, gridded, paired=True)) == []  # so are the targets


def test_the_amplitude_of_a_wave_is_its_own():
    grids = Grids()
    grids.add((0.3 * torch.cos(torch.pi / 2 * torch.arange(64))).expand(2, 3, 64, 64))
    assert float(grids.amplitudes()[0, 2]) == pytest.approx(0.3, abs=1e-6)
    small = Grids()
    small.add(torch.zeros(2, 3, 24, 40))
    assert small.count == 0


# Runs.

SHORT = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "samples": 0, "tensorboard": False}
COURSE = {"steps": 400, "validate_every": 200, "checkpoint_every": 1000, "log_every": 20, "threads": 1}


def outcome(model, out, **settings):
    """All alarms of a run, and what it printed."""
    said: list[str] = []
    fit(new_job(model, SHORT | COURSE | {"out": out} | settings), say=said.append)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {name for line in lines for name in line.get("alarms", [])}, said


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    from translate.houses import write_paired

    folder = tmp_path_factory.mktemp("houses") / "houses"
    write_paired(folder, count_train=16, count_val=16, count_test=0, size=32, seed=0)
    return folder


@pytest.mark.slow
def test_a_good_run_raises_none(houses, tmp_path):
    assert outcome("pix2pix", tmp_path / "run", data=houses)[0] == set()


@pytest.mark.slow
def test_a_discriminator_that_wins_is_told(houses, tmp_path):
    """The generator does not mind it, and six pairs are soon known by heart."""
    few = tmp_path / "few"
    (few / "train").mkdir(parents=True)
    (few / "val").symlink_to(houses / "val")
    for path in sorted((houses / "train").glob("*.png"))[:6]:
        (few / "train" / path.name).symlink_to(path)
    changes = {"lambda_gan": 0.01, "lr": 1e-3, "discriminator_width": 16, "patch": 34, "schedule": "constant"}
    changes |= {"flip": False, "load_size": 32, "steps": 500, "validate_every": 100}
    alarms, said = outcome("pix2pix", tmp_path / "run", data=few, **changes)
    assert alarms == {"discriminator won"}
    assert any("the discriminator has won: its loss is 0.0" in line for line in said)


@pytest.mark.slow
def test_a_gradient_that_is_gone_is_told(houses, tmp_path):
    alarms, said = outcome("pix2pix", tmp_path / "run", data=houses, lambda_l1=0, norm="none", lr=1.0)
    assert {"gradient gone", "collapse", "worse than source"} <= alarms
    assert any("the generator's gradient is gone: its norm is 0" in line for line in said)


@pytest.mark.slow
def test_a_gradient_that_explodes_is_told(houses, tmp_path, after_step):
    """A discriminator whose weights jump: short of numbers that are not finite, rates alone do not bring this about."""

    def jump(session):
        with torch.no_grad():
            for weight in session.model.get_submodule("discriminator").parameters():
                weight.mul_(30.0)

    after_step(300, jump)
    changes = {"objective": "lsgan", "lambda_l1": 1.0, "norm": "none", "lr": 1e-5}
    alarms, said = outcome("pix2pix", tmp_path / "run", data=houses, **changes)
    assert "gradient exploding" in alarms
    assert any("step 400: the generator's gradient explodes: its norm is " in line for line in said)


@pytest.mark.exhaustive
def test_a_grid_is_told_and_resizing_has_none(houses, tmp_path):
    """Nothing but the discriminator holds the output, and it does not know such grids yet."""
    loose = {"lambda_l1": 1.0, "steps": 600}
    assert "checkerboard" in outcome("pix2pix", tmp_path / "run", data=houses, **loose)[0]
    assert outcome("pix2pix", tmp_path / "resized", data=houses, upsample="resize", **loose)[0] == set()


@pytest.mark.exhaustive
def test_pictures_that_take_long_to_read_are_told(tmp_path, monkeypatch):
    for module in (training_alarms, health_of_runs):
        monkeypatch.setattr(module, "SLOW_SECONDS", 1.0)
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for i in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (8, 16, 3), np.uint8)).resize((4000, 2000))
            picture.save(tmp_path / "data" / split / f"{i}.png")
    course = {"steps": 20, "validate_every": 20, "workers": 0}
    alarms, said = outcome("pix2pix", tmp_path / "run", data=tmp_path / "data", **course)
    assert "slow loader" in alarms
    assert any("--cache memory or disk" in line for line in said)
    assert (
        "slow loader" not in outcome("pix2pix", tmp_path / "kept", data=tmp_path / "data", cache="memory", **course)[0]
    )
