"""What a run of every model must do: resume exactly, save, load, convert; a new one is tested by existing."""

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import translate
from tests.models.test_models import CONDITIONED, EVERY, FEW, variant
from tests.parts import slow_but
from tests.training.test_run import assert_same, final_state, losses, records
from translate.inference.convert import convert
from translate.inference.options import ConvertSettings
from translate.models import MODELS
from translate.training.job import new_job
from translate.training.run import fit, train

SMALL = {
    "size": 32,
    "width": 4,
    "batch": 1,
    "log_every": 1,
    "samples": 2,
    "tensorboard": False,
    "steps": 8,
    "validate_every": 4,
    "checkpoint_every": 2,
    "keep": 100,
    "deterministic": torch.cuda.is_available(),  # on a CPU resuming is exact without being asked to
}


def model_of(name):
    return MODELS[name.split()[0]]


def fit_anew(name, *arguments, **changes):
    """Train the model that `name` begins with."""
    return train(name.split()[0], **flags(name, *arguments, **changes))


def flags(name, data, out, **changes):
    """A short run of a model: what it has no field for is left out, `pool` is small enough to be full halfway."""
    fields = model_of(name).settings_class.every_field()
    changes = {**variant(name), **changes}
    own = {
        "discriminator_width": 4,
        "pool": 2,
        "nce_patches": 16,
        "dropout": 0.5,
        "augment": "translation",
        "code_width": 8,
        "encoder_width": 4,
    }
    if "generator" not in fields or fields["generator"].default == "resnet":
        own["blocks"] = 2
    elif "dropout" in fields and not fields["dropout"].default:
        del own["dropout"]  # so shallow a U-Net has none
    if "invert" in fields:
        del own["encoder_width"]  # of an encoder that it has with --invert alone
    if name in ("pix2pix", "pix2pix perceptual", "dcgan"):
        del own["code_width"]  # they take no condition
    if "discriminator" in fields and fields["discriminator"].default == "patchgan":
        own["patch"] = 16
    return SMALL | {k: v for k, v in own.items() if k in fields} | {"data": data, "out": out} | changes


@pytest.fixture(scope="module", params=slow_but(FEW, EVERY))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def data(name, fronts, unpaired_fronts, captioned_fronts, domains):
    if model_of(name).data == "domains" or name == "dcgan label":
        return domains
    if model_of(name).data == "targets":
        return fronts
    if name in CONDITIONED:
        return captioned_fronts
    return fronts if model_of(name).data == "pairs" else unpaired_fronts


def request_of(translator):
    """A request with the conditions that a translator requires."""
    conditions = translator.card.conditions
    if not conditions.required:
        return {}
    return {"label": conditions.labels[0]} if conditions.labels else {"text": "a red brick house"}


@pytest.fixture(scope="module")
def whole(name, data, tmp_path_factory):
    """An uninterrupted run."""
    return fit_anew(name, data, tmp_path_factory.mktemp("every") / name)


@pytest.mark.parametrize("stop_after", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_resumed_equals_uninterrupted(name, data, whole, tmp_path, stop_after, monkeypatch):
    from translate.training.session import Session

    plain = Session.advance

    def advance(session, batches):
        plain(session, batches)
        if session.done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "advance", advance)
    first = fit_anew(name, data, tmp_path / "run")
    assert (first.interrupted, first.step) == (signal.SIGTERM, stop_after)
    monkeypatch.undo()
    assert train(resume=tmp_path / "run").finished
    assert_same(final_state(tmp_path / "run"), final_state(whole.path))
    assert losses(tmp_path / "run") == losses(whole.path)
    for file in ("model.safetensors", "last.safetensors"):
        assert_same(load_file(tmp_path / "run" / file), load_file(whole.path / file))


def test_the_pools_are_part_of_the_state(name, whole):
    """Two pictures of each side, where the method has pools of past fakes."""
    pools = final_state(whole.path)["pools"]
    assert len(pools) == 1  # of one process
    kept = {player: {k: len(v) for k, v in kinds.items()} for player, kinds in pools[0].items()}
    if "pool" not in model_of(name).settings_class.model_fields:
        assert kept == {}
    elif "discriminator" in kept:  # not of a model without a pool of its own
        assert set(kept["discriminator"].values()) == {2}
        both = model_of(name).reversible
        assert {"fake", "fake_back"} <= kept["discriminator"].keys() if both else "fake" in kept["discriminator"]


def test_a_run_converts_a_folder_from_its_one_file(name, data, whole, tmp_path):
    if model_of(name).data == "targets":
        pytest.skip("there is nothing to convert: tests/inference/test_sample.py")
    folder = next(path for path in (data / "valA", data / "val" / "labels", data / "val") if path.is_dir())
    translator = translate.load(whole.path / "model.safetensors")
    report = convert(translator, folder, tmp_path / "out", settings=ConvertSettings.make(request_of(translator)))
    names = sorted(path.name for path in folder.iterdir() if path.suffix == ".png")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    assert (report.converted, report.failures) == (len(names), ())
    first = Image.open(folder / names[0])
    made = np.asarray(Image.open(tmp_path / "out" / names[0]))
    assert np.array_equal(made, np.asarray(translator(first, **request_of(translator))))
    scale = translator.card.scale
    assert made.shape[:2] == (first.height * scale, first.width * scale)


def test_the_other_way_is_there_or_refused(name, whole):
    forth = translate.load(whole.path, direction="AtoB")
    assert forth.card == translate.load(whole.path).card
    if not model_of(name).reversible:
        with pytest.raises(ValueError, match=f"{name.split()[0]} was trained one way, AtoB"):
            translate.load(whole.path, direction="BtoA")
        return
    back = translate.load(whole.path, direction="BtoA")
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert back(picture).shape == picture.shape
    assert not np.array_equal(back(picture), forth(picture))
    weights = {k: v for k, v in load_file(whole.path / "model.safetensors").items() if k.startswith("generator_back.")}
    network = back.backend._network
    assert_same(
        {f"generator_back.{k}": v.cpu() for k, v in network.state_dict().items()},
        weights,
    )


def test_both_ways_are_named_as_the_training_had_them(name, data, tmp_path):
    """Trained with --direction BtoA, `AtoB` is the network back."""
    if not model_of(name).reversible:
        pytest.skip("goes one way")
    run = fit_anew(name, data, tmp_path / "run", direction="BtoA", steps=1)
    default, same, other = (translate.load(run.path, direction=d) for d in (None, "BtoA", "AtoB"))
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(default(picture), same(picture))
    assert not np.array_equal(default(picture), other(picture))


def test_fine_tuning_starts_from_all_networks(name, data, whole, tmp_path):
    printed: list[str] = []
    fit(
        new_job(name.split()[0], flags(name, data, tmp_path / "run", steps=1, init_from=whole.path)), say=printed.append
    )
    (line,) = [line for line in printed if line.startswith("started from")]
    count = len(final_state(whole.path)["model"])
    assert f"{count} of {count} tensors" in line


def test_validation_has_figures_where_there_are_true_pairs(name, data, whole, tmp_path):
    validated = [r for r in records(whole.path) if "health" in r]
    assert [r["step"] for r in validated] == [4, 8]
    if model_of(name).data == "pairs":
        assert all("l1" in r["validation"]["raw"] for r in validated)
        return
    assert not any("validation" in r for r in validated)
    if model_of(name).data in ("domains", "targets"):
        return  # there are no true pairs
    run = fit_anew(name, data, tmp_path / "run", val_paired=True, steps=1)
    assert {"l1", "psnr", "ssim"} <= records(run.path)[-1]["validation"]["raw"].keys()
    assert run.blind["l1"] > 0
    files = [sorted((data / side).glob("*.png")) for side in ("valA", "valB")]
    x, y = (np.stack([np.asarray(Image.open(path)) / 127.5 - 1 for path in paths]) for paths in files)
    flat = np.concatenate([x.reshape(-1, 3), np.ones((x.size // 3, 1))], 1)
    mapped = (flat @ np.linalg.lstsq(flat, y.reshape(-1, 3), rcond=None)[0]).reshape(y.shape)
    expected = np.abs(mapped.clip(-1, 1) - y).mean() / 2  # a share of the value range
    assert translate.load(run.path).card.figures["colour_map_l1"] == pytest.approx(expected, abs=1e-5)


def test_a_model_that_is_conditioned_says_at_each_validation_whether_it_listens(name, whole):
    conditions = translate.load(whole.path).card.conditions
    heard = [r["condition_sensitivity"] for r in records(whole.path) if "health" in r and "condition_sensitivity" in r]
    assert len(heard) == (2 if conditions else 0)
    for figures in heard:
        assert figures["diversity"] > 0
        expected = (
            {"right", "wrong", *(() if conditions.required else ("none",))}
            if conditions.inputs != ("z",) and model_of(name).data != "targets"
            else set()
        )
        assert figures.keys() == expected | {"diversity"}


@pytest.mark.slow
def test_bfloat16_resumes_exactly_too(name, data, tmp_path):
    # a run of one step is validated at its end, so the other is there, too
    changes = {"precision": "bfloat16", "batch": 2, "accumulate": 2, "schedule": "constant", "validate_every": 1}
    fit_anew(name, data, tmp_path / "whole", steps=3, **changes)
    fit_anew(name, data, tmp_path / "run", steps=1, **changes)
    train(resume=tmp_path / "run", steps=3)
    assert_same(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))
    state = final_state(tmp_path / "whole")
    batches = {"stargan": 5, "dualgan": 3}.get(name.split()[0], 1)  # in an iteration, one for each step of the critic
    assert state["seen"] == 3 * 4 * batches
    assert all(torch.isfinite(v).all() for v in state["model"].values() if v.is_floating_point())
