"""Two processes that train together do as one does; how they stop, and how runs go from two to one and back.

All of their runs are made by one pair of processes, since to start a pair takes longer than a run. This file is also
what they execute.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from translate.models import MODELS
from translate.settings import DataSettings, RunSettings
from translate.training import recorder
from translate.training import run as running
from translate.training.folder import RunFolder
from translate.training.group import Group, joined
from translate.training.run import train
from translate.training.session import Session

pytestmark, STEPS = pytest.mark.slow, 4
LIMIT = 240  # seconds for all runs of the pair, so that one that hangs fails

APART = 5e-6  # terms of CUT and DiscoGAN are in float32; a weight changes by about `lr` a step, 2e-4 (DualGAN: 5e-5)
SPECTRAL = {"discriminator": "multiscale", "scales": 2, "spectral_norm": True, "penalty": "r1"}
PROJECTED = {"discriminator": "projected", "d_backbone_size": 64, "objective": "hinge", "patch": 70}
PACES: dict[str, dict] = {
    "at once": {"simultaneous": True, "d_steps": 2, "clip_gradients": 0.5, "optimizer": "sgd", "momentum": 0.5}
    | {"lr": 0.05, "lr_d": 0.02, "weight_decay": 0.01, "augment": "color,cutout", "ada": 0.5, "ada_speed": 1},
    "unrolled": {"unroll": 2, "fresh_batch": True, "clip_gradients": 0.5},
}


def settings(name, data, out, **changes):
    """What makes two processes with a picture each do the same as one with two: all is drawn by example."""
    cls = MODELS[name].settings_class
    defaults = {key: field.default for key, field in cls.every_field().items()}
    small = {"size": 32, "width": 4, "discriminator_width": 4, "nce_patches": 16, "nce_width": 16, "code_width": 8}
    values = {
        **small,
        "blocks": 2 if defaults.get("generator", "resnet") == "resnet" else None,
        "patch": 16 if defaults.get("discriminator") == "patchgan" else 70,
        "encoder_width": 4,
        "norm": "none" if name == "srresnet" else "instance",
        **{"dropout": 0.0, "pool": 0, "batch": 1, "schedule": "constant", "samples": 0},
        **{"device": "cpu", "workers": 0, "log_every": 1, "tensorboard": False},
        **({} if "epochs" in changes else {"steps": STEPS}),
        **changes,
    }
    values = values if "invert" not in defaults else {k: v for k, v in values.items() if k != "encoder_width"}
    if defaults.get("condition") == "none" and "condition" not in changes:
        del values["code_width"]
    known = {*cls.every_field(), *DataSettings.model_fields, *RunSettings.model_fields}
    return {k: v for k, v in values.items() if k in known} | {"data": str(data), "out": str(out)}


def in_float64(batch):
    condition = {k: v.double() if v.is_floating_point() else v for k, v in batch.condition.items()}
    return replace(batch, pictures={n: x.double() for n, x in batch.pictures.items()}, condition=condition)


class Noted(Session):
    """A session that can be asked afterwards, and sends its process a signal where the job says so."""

    last: Session
    stop: dict | None = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        Noted.last = self

    def advance(self, batches):
        if torch.get_default_dtype() == torch.float64:
            batches = [in_float64(b) for b in batches]
        super().advance(batches)
        if Noted.stop == [self.group.rank, self.done]:
            os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def arithmetic(kind):
    """Networks in float64 where weights are compared.

    A bias before an instance norm has no effect, so its gradient is rounding noise, which Adam turns into steps of the
    full rate; in float64 the noise is far below Adam's epsilon.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def state_of(run):
    return RunFolder(Path(run)).load_checkpoint()


def records(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def pair_of(jobs, folder):
    """Have two processes do `jobs`, and return what each has at the end of each: `result[job][rank]`."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    files = [(folder / f"printed-{rank}").open("w+") for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=os.environ | variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        for rank, file in enumerate(files)
    ]
    try:
        codes = [process.wait(LIMIT) for process in processes]
    finally:
        for process, file in zip(processes, files, strict=True):
            process.kill()
            process.wait()
            file.close()
    assert codes == [0, 0], "\n".join((folder / f"printed-{rank}").read_text()[-3000:] for rank in range(2))
    return {job["name"]: [torch.load(folder / f"{job['name']}-{rank}.pt") for rank in range(2)] for job in jobs}


def work(folder):
    """One process of the pair."""
    running.Session = Noted  # type: ignore[misc]
    whole = Group.wrap, Group.mean
    for job in json.loads((folder / "jobs.json").read_text()):
        Noted.stop = job.get("stop")
        without = job.get("without")
        alone = {"wrap": lambda group, module: module, "mean": lambda group, statistic: statistic}
        Group.wrap = alone["wrap"] if without == "wrap" else whole[0]  # type: ignore[method-assign]
        Group.mean = alone["mean"] if without == "mean" else whole[1]  # type: ignore[method-assign]
        recorder.MIN_INTERVAL = 1 if "often" in job else 500
        with arithmetic(torch.float64 if job.get("compared") else torch.float32):
            run = train(job.get("model"), resume=job.get("resume"), **job.get("settings", {}))
        session = Noted.last
        state = {
            "model": session.model.state_dict(),
            "pools": session.pools(),
            "interrupted": None if run.interrupted is None else int(run.interrupted),
            "step": run.step,
        }
        torch.save(state, folder / f"{job['name']}-{session.group.rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pair")


@pytest.fixture(scope="module")
def pair(fronts, domains, folder):
    """What two processes made of everything that is asked below."""

    def job(name, model, **changes):
        extra = {key: changes.pop(key) for key in ("stop", "without", "compared", "often") if key in changes}
        data = domains if MODELS[model].data == "domains" else fronts
        data = data / "train" if "compared" in extra else data  # validation is in float32
        return {"name": name, "model": model, "settings": settings(model, data, folder / name, **changes), **extra}

    course = {"epochs": 1, "schedule": "linear", "pool": 2, "checkpoint_every": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Session", Noted)
        patch.setattr(Noted, "stop", [0, 4])
        assert train("cyclegan", **settings("cyclegan", fronts, folder / "one-to-two", **course)).step == 4
    jobs = [
        *(job(model, model, compared=True, val_fraction=0) for model in MODELS),
        *(
            job(f"{model} perceptual", model, lambda_perceptual=3, compared=True, val_fraction=0)
            for model in ("pix2pix", "bicyclegan")
        ),
        job("spectral", "pix2pix", compared=True, val_fraction=0, **SPECTRAL),
        job("projected", "pix2pix", **PROJECTED),
        job("accumulated", "pix2pix", accumulate=2, compared=True, val_fraction=0),
        *(job(name, "pix2pix", compared=True, val_fraction=0, **changes) for name, changes in PACES.items()),
        job("published", "pix2pix", norm="batch", dropout=0.5),
        job("each by itself", "pix2pix", without="wrap", compared=True, val_fraction=0),
        job("features by themselves", "discogan", without="mean", compared=True, val_fraction=0),
        job("steps ahead by themselves", "pix2pix", without="mean", compared=True, val_fraction=0, **PACES["unrolled"]),
        job("by time", "pix2pix", often=True, batch=6, steps=6, schedule="constant"),
        job("uninterrupted", "cyclegan", **course),
        job("stopped", "cyclegan", stop=[1, 2], **course),
        job("two-to-one", "cyclegan", stop=[1, 2], **course),
        {"name": "resumed", "resume": str(folder / "stopped")},
        {"name": "one-to-two", "resume": str(folder / "one-to-two")},
    ]
    return pair_of(jobs, folder)


def distance(a, b):
    """The largest difference of two weights."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def one(fronts, domains, folder):
    """The weights after a run of one process, by model and changes; each is made once."""
    made: dict = {}

    def weights(model, **changes):
        key = model, tuple(changes.items())
        if key not in made:
            out = folder / f"one-{len(made)}"
            with arithmetic(torch.float64), pytest.MonkeyPatch.context() as patch:
                patch.setattr(running, "Session", Noted)
                patch.setattr(Noted, "stop", None)
                data = (domains if MODELS[model].data == "domains" else fronts) / "train"
                train(model, **settings(model, data, out, val_fraction=0, **changes))
            made[key] = state_of(out)["model"]
        return made[key]

    return weights


@pytest.mark.parametrize("model", MODELS)
def test_two_processes_with_half_the_batch_equal_one_with_the_whole(model, pair, one):
    first, second = (state["model"] for state in pair[model])
    assert equal(first, second)
    assert distance(first, one(model, batch=2)) < APART


@pytest.mark.parametrize("model", ["pix2pix", "bicyclegan"])
def test_the_perceptual_term_is_the_same_in_two_processes(model, pair, one):
    first, second = (state["model"] for state in pair[f"{model} perceptual"])
    assert equal(first, second)
    assert distance(first, one(model, batch=2, lambda_perceptual=3)) < APART


def test_spectral_norms_are_the_same_in_two_processes(pair, one):
    first, second = (state["model"] for state in pair["spectral"])
    assert equal(first, second)
    assert any(key.endswith(".u") for key in first)
    assert distance(first, one("pix2pix", batch=2, **SPECTRAL)) < APART


def test_random_mixing_and_weights_on_it_are_the_same_in_two_processes(pair):
    first, second = (state["model"] for state in pair["projected"])
    kept = [key for key in first if "running_" not in key]  # those are each process's own
    assert any("across_" in key for key in kept)
    assert all(torch.equal(first[key], second[key]) for key in kept)


def test_that_would_show_if_gradients_were_not_averaged(pair, one):
    first, second = (state["model"] for state in pair["each by itself"])
    assert distance(first, second) > 20 * APART
    assert distance(first, one("pix2pix", batch=2)) > 20 * APART


def test_that_would_show_if_features_were_matched_in_each_process_by_itself(pair, one):
    first, second = (state["model"] for state in pair["features by themselves"])
    assert equal(first, second)
    assert distance(first, one("discogan", batch=2)) > 2 * APART


def test_accumulation_in_two_processes_is_a_batch_four_times_as_large(pair, one):
    first, second = (state["model"] for state in pair["accumulated"])
    assert equal(first, second)
    assert distance(first, one("pix2pix", batch=2, accumulate=2)) < APART
    assert distance(first, one("pix2pix", batch=4)) < APART


@pytest.mark.parametrize("name", PACES)
def test_the_game_is_the_same_in_two_processes(name, pair, one):
    """Gradients of unrolled steps, and what ADA goes by, are means over the processes."""
    first, second = (state["model"] for state in pair[name])
    assert equal(first, second)
    assert distance(first, one("pix2pix", batch=2, **PACES[name])) < APART


def test_that_would_show_if_steps_ahead_were_each_process_s_own(pair, one):
    first, second = (state["model"] for state in pair["steps ahead by themselves"])
    assert equal(first, second)
    assert distance(first, one("pix2pix", batch=2, **PACES["unrolled"])) > 2 * APART


def test_with_the_published_batch_norm_and_dropout_weights_stay_the_same_everywhere(pair):
    first, second = (state["model"] for state in pair["published"])
    weights = [name for name in first if "running" not in name]
    assert all(torch.equal(first[name], second[name]) for name in weights)
    assert len(weights) < len(first)


def test_a_signal_to_one_process_stops_both_at_the_same_step(pair, folder):
    for state in pair["two-to-one"]:
        assert (state["interrupted"], state["step"]) == (signal.SIGTERM, 2)


def test_resumed_by_as_many_processes_equals_uninterrupted(pair, folder):
    """Pools of past pictures included, which each process has for itself."""
    for resumed, whole in zip(pair["resumed"], pair["uninterrupted"], strict=True):
        assert resumed["step"] == whole["step"] == 6
        assert equal(resumed["model"], whole["model"])
        for name in ("fake", "fake_back"):
            assert torch.equal(resumed["pools"]["discriminator"][name], whole["pools"]["discriminator"][name])
    first, second = (state["pools"]["discriminator"]["fake"] for state in pair["uninterrupted"])
    assert first.shape == second.shape == (2, 3, 32, 32)
    assert not torch.equal(first, second)
    stored = [state_of(folder / name) for name in ("stopped", "uninterrupted")]
    for a, b in zip(stored[0]["optimizers"].values(), stored[1]["optimizers"].values(), strict=True):
        for i, moments in a["state"].items():
            assert all(torch.equal(value, b["state"][i][key]) for key, value in moments.items())


def test_what_the_clock_of_the_first_process_makes_due_is_done_by_both(pair, folder):
    first, second = (state["model"] for state in pair["by time"])
    assert all(torch.equal(first[name], second[name]) for name in first if "running" not in name)
    validated = [r["step"] for r in records(folder / "by time") if "validation" in r]
    assert validated[0] == 1
    assert validated[-1] == 6
    assert RunFolder(folder / "by time").checkpoint_steps()[-1] == 6


def rates(run):
    """The rates that the journal tells, each of the step after the one of its line."""
    return {r["step"]: r["lr"] for r in records(run)}


def by_hand(seen):
    """The published course over 12 examples: constant for half of them, then to nothing."""
    return 2e-4 * min(1.0, (12 - seen) / 6)


def test_two_processes_are_followed_by_one(pair, folder):
    run = folder / "two-to-one"
    shutil.copytree(run, folder / "copy")
    stopped = state_of(run)
    assert (stopped["seen"], len(stopped["pools"])) == (4, 2)
    finished = train(resume=run)
    assert finished.steps == finished.step == 2 + 8
    assert state_of(run)["seen"] == 12
    assert [r["step"] for r in records(run)] == list(range(1, 11))
    examples = [2, 4, *range(5, 13)]  # after each step
    assert list(rates(run).values()) == pytest.approx([by_hand(seen) for seen in examples], abs=1e-12)
    # the pool that goes on is the first one's, and a step changes at most one of its pictures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Session", Noted)
        patch.setattr(Noted, "stop", [0, 3])
        train(resume=folder / "copy")
    before, after = stopped["pools"][0]["discriminator"]["fake"], state_of(folder / "copy")["pools"][0]
    kept = [any(torch.equal(old, new) for new in after["discriminator"]["fake"]) for old in before]
    assert any(kept)


def test_one_process_is_followed_by_two(pair, folder):
    run = folder / "one-to-two"
    assert [state["step"] for state in pair["one-to-two"]] == [4 + 4, 4 + 4]
    assert equal(*(state["model"] for state in pair["one-to-two"]))
    state = state_of(run)
    assert (state["seen"], len(state["pools"])) == (12, 2)
    assert [r["step"] for r in records(run)] == list(range(1, 9))
    examples = [*range(1, 5), 6, 8, 10, 12]
    assert list(rates(run).values()) == pytest.approx([by_hand(seen) for seen in examples], abs=1e-12)


def test_rates_are_told_in_all_and_by_process(pair, folder):
    for record in records(folder / "uninterrupted"):
        both, each = record["examples_per_second"], record["examples_per_second_and_process"]
        assert both == pytest.approx(2 * each, abs=0.02)
    assert "examples_per_second_and_process" not in records(folder / "one-to-two")[0]


def test_variables_of_half_a_launcher_are_told_by_name():
    half = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    with pytest.raises(ValueError, match=r"RANK, MASTER_PORT is not.*torchrun"), joined(half):
        pass
    with joined({}) as alone, joined({"WORLD_SIZE": "1", "RANK": "0"}) as also:
        assert alone == also == Group()


if __name__ == "__main__":
    try:
        work(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once, so that the other one does not wait
