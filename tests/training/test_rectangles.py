"""Pictures that are not square: training crops of any height and width, and validation on whole pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from tests.drawn import with_draws
from tests.models.test_models import (
    EVERY,
    TARGET,
    card_of,
    conditions_for,
    fields_of,
    small_settings,
    small_step,
    some_batch,
    some_conditions,
    source_of,
)
from tests.training.test_run import TINY, assert_same, final_state, losses, records
from translate.batch import normalize
from translate.cli import main
from translate.evaluation import metrics
from translate.evaluation.metrics import compare
from translate.inference import pieces
from translate.models import build, deployed_state, load_for_inference
from translate.sizes import Size
from translate.training import outputs
from translate.training.baselines import constant, mean_target
from translate.training.job import as_before, new_job
from translate.training.run import fit, train

RECTANGLE = Size(16, 40)


def rectangular(name, size=RECTANGLE, **changes):
    torch.manual_seed(0)
    conditions = some_conditions(name, **changes)
    settings = small_settings(name, **changes)
    source = source_of(name)
    return build(name.split()[0], settings, source=source, target=TARGET, size=size, conditions=conditions)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "changes",
    [{}, {"generator": "unet", "discriminator": "dcgan", "patch": 70, "blocks": None, "augment": "translation,cutout"}],
    ids=["published", "others"],
)
def test_every_model_takes_a_step_on_rectangles_and_its_file_is_loaded_again(name, changes):
    if "init" not in fields_of(name):  # its generator is none of those of pictures
        changes = {key: value for key, value in changes.items() if key != "generator"}
    model, batch = rectangular(name, **changes), some_batch(name, **changes)
    sides = {}
    for side, picture in batch.pictures.items():
        height, width = (length // (model.scale if side == "source" else 1) for length in RECTANGLE)
        high = picture[..., :height, :]
        sides[side] = torch.cat([high, high[..., : width - high.shape[-1]]], -1)
    batch = with_draws(replace(batch, pictures=sides), model)
    given = [sides["source"]] if "source" in sides else []
    values = small_step(name, model, **changes)(batch)
    assert all(value.isfinite() for value in values.values())
    made = model.eval()(*given, **conditions_for(model, batch))
    assert made.shape == batch.target.shape
    settings = small_settings(name, **changes).as_json()
    card = card_of(name, model).model_copy(update={"size": RECTANGLE, "settings": settings})
    card = type(card).from_metadata(card.to_metadata(), path="x")
    loaded = load_for_inference(card, deployed_state(model))
    assert torch.equal(loaded(*given, **conditions_for(model, batch)), made)


@pytest.mark.parametrize("name", sorted({name.split()[0] for name in EVERY if "patch" in fields_of(name)}))
def test_what_a_rectangle_is_too_small_for_is_told_by_its_size(name):
    for changes, size in (
        ({"patch": 70, "discriminator": "patchgan"}, Size(16, 64)),
        ({"discriminator": "dcgan", "patch": 70}, Size(64, 4)),
    ):
        with pytest.raises(ValueError, match=rf"needs pictures of at least \d+ pixels a side, but --size is {size}"):
            rectangular(name, size, **changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pairs of many sizes, of one kind of texture: a is the negative of b."""
    root, rng = tmp_path_factory.mktemp("wide") / "pairs", np.random.default_rng(0)
    for split, sizes in {"train": [(40, 60)] * 6, "val": [(33, 70), (80, 41), (20, 20), (7, 90)]}.items():
        for side in "AB":
            (root / f"{split}{side}").mkdir(parents=True)
        for i, (height, width) in enumerate(sizes):
            coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
            target = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
            Image.fromarray(255 - target).save(root / f"{split}A" / f"{i}.png")
            Image.fromarray(target).save(root / f"{split}B" / f"{i}.png")
    return root


def flags(data, out, **changes):
    return TINY | {"size": "16x24", "fit": "none", "data": data, "out": out, "steps": 4, "validate_every": 2} | changes


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    return train("pix2pix", **flags(pictures, tmp_path_factory.mktemp("whole") / "run"))


def evaluated(file, data, *, crop=None):
    """Figures of a model file on the pictures of `val`, worked out here, picture by picture."""
    translator = translate.load(file, device="cpu")
    network, card = translator.backend.exportable(), translator.card
    figures = []
    for path in sorted((data / "valA").iterdir()):
        sides = [np.asarray(Image.open(p)) for p in (path, data / "valB" / path.name)]
        if crop:
            (height, width), rows, columns = crop, *sides[0].shape[:2]
            top, left = (rows - height) // 2, (columns - width) // 2
            pad = [(max(0, s - n) // 2 + max(0, s - n) % 2,) * 2 for s, n in ((height, rows), (width, columns))]
            sides = [np.pad(x, [*pad, (0, 0)], mode="reflect") for x in sides]
            top, left = top + pad[0][0], left + pad[1][0]
            sides = [x[top : top + height, left : left + width] for x in sides]
        x, y = (
            normalize(torch.from_numpy(side[None].copy()), spec)
            for side, spec in zip(sides, (card.taken, card.target), strict=True)
        )
        with torch.no_grad():
            figures.append({name: value.item() for name, value in compare(network(x), y).items()})
    return {name: pytest.approx(np.mean([each[name] for each in figures]), rel=2e-3) for name in figures[0]}


def test_validation_is_on_whole_pictures_of_any_size_and_decides_which_weights_are_best(run, pictures):
    last = records(run.path)[-1]["validation"]
    better = min(last.values(), key=lambda figures: figures["l1"])
    assert better == evaluated(run.path / "last.safetensors", pictures)
    card = translate.load(run.path).card
    own = {name: value for name, value in card.figures.items() if name in ("l1", "psnr", "ssim")}
    assert own == evaluated(run.path / "model.safetensors", pictures)
    targets = [np.asarray(Image.open(path)) / 255 for path in sorted((pictures / "trainB").iterdir())]
    assert card.figures["mean_target_l1"] == pytest.approx(blind(np.mean(targets, 0), pictures), abs=5e-3)
    settings = json.loads((run.path / "config.json").read_text())["settings"]
    assert (settings["size"], settings["val_crop"]) == ([16, 24], False)
    with Image.open(next((run.path / "samples").iterdir())) as page:
        assert page.size == (4 * (70 + 4) + 4, 16 + 2 * (80 + 4) + 4)  # cells for the largest of two examples


def blind(mean, data):
    """L1 of the mean target, stretched to each picture's size."""
    errors = []
    for path in sorted((data / "valB").iterdir()):
        target = np.asarray(Image.open(path)) / 255
        values = torch.from_numpy(mean).permute(2, 0, 1)[None]
        sized = torch.nn.functional.interpolate(values, target.shape[:2], mode="bilinear", antialias=True)
        errors.append(np.abs(sized[0].permute(1, 2, 0).numpy() - target).mean())
    return np.mean(errors)


def test_the_figures_are_those_of_evaluate(run, pictures, capsys):
    assert main(["evaluate", str(run.path), "--data", str(pictures)]) == 0
    printed = capsys.readouterr().out
    assert f"L1 {translate.load(run.path).card.figures['l1']:.4f}" in printed
    assert main(["evaluate", str(run.path), "--batch-size", "2"]) == 2
    assert "--batch-size 2: whole pictures (--fit none) go one by one" in capsys.readouterr().err
    assert main(["info", str(run.path)]) == 0
    assert "at 16x24 pixels (height x width)" in capsys.readouterr().out


def test_a_run_of_before_keeps_the_middle_of_its_pictures(pictures, tmp_path):
    """Its configuration has one number for the size, and none of the settings for whole pictures."""
    changes = {"size": 24, "checkpoint_every": 2}
    cropped = train("pix2pix", **flags(pictures, tmp_path / "cropped", **changes, val_crop=True))
    better = min(records(cropped.path)[-1]["validation"].values(), key=lambda figures: figures["l1"])
    assert better == evaluated(cropped.path / "last.safetensors", pictures, crop=(24, 24))
    old = train("pix2pix", **flags(pictures, tmp_path / "old", **changes, val_crop=True, keep=9))
    config = json.loads((old.path / "config.json").read_text())
    assert config["settings"].pop("val_crop") is True
    config["settings"]["size"] = 24
    (old.path / "config.json").write_text(json.dumps(config))
    (old.path / "checkpoints" / "step-00000004.pt").unlink(missing_ok=True)
    for path in sorted((old.path / "checkpoints").iterdir())[1:]:
        path.unlink()
    train(resume=old.path)
    assert losses(old.path) == losses(cropped.path)
    assert_same(final_state(old.path), final_state(cropped.path))
    assert json.loads((old.path / "config.json").read_text())["settings"]["val_crop"] is True
    with pytest.raises(ValueError, match="--val-crop cannot change when a run is resumed"):
        train(resume=old.path, val_crop=False, steps=9)


@pytest.mark.parametrize(
    ("kept", "cropped"),
    [({"fit": "none"}, True), ({"fit": "cover"}, False), ({}, False), ({"fit": "none", "val_crop": False}, False)],
)
def test_runs_and_cards_that_say_nothing_of_whole_pictures_were_judged_by_crops(kept, cropped):
    assert as_before(kept)["val_crop"] is cropped


@pytest.mark.parametrize("exact", [True, False])
def test_what_does_not_fit_goes_in_pieces_as_in_conversion(exact, pictures, tmp_path, monkeypatch):
    """As if no picture fitted whole that is larger than a tile."""
    data = tmp_path / "data"
    for side in ("trainA", "trainB", "valA", "valB"):
        (data / side).mkdir(parents=True)
        for i in range(2):
            noise = np.random.default_rng(i).integers(0, 256, (18, 5, 3), np.uint8)
            Image.fromarray(noise.repeat(8, 0).repeat(60, 1)[:, :290]).save(data / side / f"{i}.png")
    whole = train("cyclegan", **flags(data, tmp_path / "whole", val_paired=True, steps=1, blocks=1))

    def none_larger(backend, height, width, *, count=1):
        return count * height * width <= 128 * 128

    for module in (outputs, pieces):
        monkeypatch.setattr(module, "fits", none_larger)
    if not exact:
        monkeypatch.setattr(pieces, "exact_strips", lambda backend: None)
    printed: list[str] = []
    run = fit(
        new_job("cyclegan", flags(data, tmp_path / "cut", val_paired=True, steps=1, blocks=1)), say=printed.append
    )
    reported = [line for line in printed if "does not fit in memory was translated in tiles" in line]
    assert len(reported) == (0 if exact else 1)
    one, other = (records(r.path)[-1]["validation"]["raw"] for r in (whole, run))
    assert one != other
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-3 if exact else 0.1)
    assert_same(final_state(run.path)["model"], final_state(whole.path)["model"])


def test_the_mean_target_of_unlike_sizes_is_known_where_all_are_flat():
    from translate.batch import Batch, RawBatch

    flat = [torch.full((1, height, 9, 3), value, dtype=torch.uint8) for height, value in ((5, 0), (8, 102), (30, 153))]
    mean = mean_target([RawBatch({"source": x, "target": x}) for x in flat], TARGET)
    assert mean.shape == (1, 3, 5, 9)
    like = torch.zeros(2, 3, 70, 3)
    answer = constant(mean)(Batch({"source": like, "target": like}))
    torch.testing.assert_close(answer, torch.full((2, 3, 70, 3), 2 * 85 / 255 - 1))


def test_ssim_of_a_large_picture_is_taken_in_strips(monkeypatch):
    x = torch.rand(1, 3, 50, 31, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = compare(x, -0.5 * x)
    for pixels in (1, 200, 40 * 31):
        monkeypatch.setattr(metrics, "SSIM_PIXELS", pixels)
        torch.testing.assert_close(compare(x, -0.5 * x), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("pix2pix", {"rotate": 20, "zoom": 0.2, "cache": "memory", "source_kind": "labels", "fit": "stretch"}),
        ("cyclegan", {"rotate": 20, "cache": "disk", "fit": "stretch", "flip_vertical": True}),
        ("pix2pix", {"derive": "holes", "fit": "none"}),
        ("cut", {"fit": "cover"}),
        ("stargan", {"fit": "none", "d_steps": 1}),
        ("cyclegan", {"fit": "none"}),
    ],
    ids=str,
)
def test_runs_of_rectangles_resume_exactly_and_convert(model, changes, fronts, unpaired_fronts, domains, tmp_path):
    data = domains if model == "stargan" else fronts if model == "pix2pix" else unpaired_fronts
    own = {"blocks": 1} if model != "pix2pix" else {}
    if model == "cut":
        own["nce_patches"] = 16
    own["deterministic"] = torch.cuda.is_available()
    if "derive" in changes:
        data, own["target"] = None, unpaired_fronts / "trainB"
    values = flags(data, tmp_path / "run", size="12x28", batch=2, schedule="constant", **own, **changes)
    whole = train(model, **values | {"out": tmp_path / "whole"})
    train(model, **values | {"steps": 2})
    train(resume=tmp_path / "run", steps=4)
    assert_same(final_state(tmp_path / "run"), final_state(whole.path))
    card = translate.load(whole.path).card
    assert card.size == (12, 28)
    label = card.conditions.labels[0] if card.conditions else None
    channels = card.source.channels
    assert translate.load(whole.path)(np.zeros((20, 37, channels), np.uint8), label=label).shape[:2] == (20, 37)
