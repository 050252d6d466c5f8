"""Baselines against what numpy finds, and what is worse than giving the source back."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from tests.evaluation.test_features import MeanColours
from tests.training.test_every_run_field import SMALL
from translate.batch import Batch
from translate.evaluation.kid import kid
from translate.evaluation.training_alarms import worse_than_source
from translate.images import ImageSpec
from translate.training import judging, progress
from translate.training.baselines import Nearest, Recolouring, as_target, source_itself
from translate.training.job import new_job
from translate.training.run import fit, train

GRAY, RGB = ImageSpec(channels=1), ImageSpec(channels=3)
ONCE: dict[str, Any] = SMALL | {"steps": 1, "samples": 0}


def pictures(count, channels, seed, size=8):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("given", "wanted"), [(1, 3), (3, 1), (3, 3), (5, 2)])
def test_the_best_recolouring_is_that_of_least_squares(given, wanted):
    source, target = pictures(6, given, 0), pictures(6, wanted, 1) * 0.3
    target = (target + 0.5 * source[:, :1]).clamp(-1, 1)
    recolouring = Recolouring()
    for i in range(0, 6, 2):
        recolouring.add(Batch({"source": source[i : i + 2], "target": target[i : i + 2]}))
    x, y = (side.permute(0, 2, 3, 1).reshape(-1, side.shape[1]).double().numpy() for side in (source, target))
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    expected = (x @ np.linalg.lstsq(x, y, rcond=None)[0]).reshape(6, 8, 8, wanted)
    made = recolouring.fitted()(Batch({"source": source, "target": target}))
    np.testing.assert_allclose(made.permute(0, 2, 3, 1), expected.clip(-1, 1), atol=1e-5)


def test_channels_that_are_the_same_have_a_recolouring_too():
    """A gray picture kept as colour: the normal equations have no inverse."""
    gray = pictures(4, 1, 0)
    recolouring = Recolouring()
    recolouring.add(Batch({"source": gray.expand(-1, 3, -1, -1), "target": -0.5 * gray + 0.1}))
    made = recolouring.fitted()(Batch({"source": gray.expand(-1, 3, -1, -1), "target": gray}))
    torch.testing.assert_close(made, -0.5 * gray + 0.1, atol=1e-5, rtol=0)


def test_pixels_that_are_not_valid_do_not_count():
    source, valid = pictures(4, 1, 0), torch.ones(4, 1, 8, 8, dtype=torch.bool)
    target = 0.5 * source
    valid[..., :4] = False
    target = torch.where(valid, target, 1.0)
    recolouring = Recolouring()
    recolouring.add(Batch({"source": source, "target": target}, valid))
    made = recolouring.fitted()(Batch({"source": source, "target": target}))
    torch.testing.assert_close(made, 0.5 * source, atol=1e-5, rtol=0)


def test_the_nearest_source_brings_its_target():
    sources, targets = pictures(5, 3, 0, size=32), pictures(5, 3, 1, size=32)
    nearest = Nearest()
    for i in range(5):
        nearest.add(Batch({"source": sources[i : i + 1], "target": targets[i : i + 1]}))
    order = [3, 0, 4]
    asked = (sources[order] + 0.05 * pictures(3, 3, 2, size=32)).clamp(-1, 1)
    made = nearest.found(lambda place: targets[place : place + 1])(Batch({"source": asked, "target": targets[order]}))
    assert torch.equal(made, targets[order])


def test_a_source_fits_where_its_channels_do():
    labels = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (0, 0, 255)), one_hot=True)
    colour, gray = as_target(GRAY, RGB), as_target(RGB, GRAY)
    assert colour is not None
    assert gray is not None
    assert colour(pictures(2, 1, 0)).shape == (2, 3, 8, 8)
    white_and_green = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]])[..., None, None]
    torch.testing.assert_close(gray(white_and_green).flatten(), torch.tensor([1.0, 2 * 0.587 - 1]))
    assert as_target(labels, RGB) is None
    assert as_target(ImageSpec(channels=4), RGB) is None


def test_the_source_itself_is_enlarged_where_targets_are_larger_and_never_stretched():
    """Without pairs the target of an example is another picture, of another size."""
    batch = Batch({"source": pictures(1, 1, 0), "target": pictures(1, 3, 1, size=16)})
    (alone,), (enlarged,) = (source_itself(GRAY, RGB, scale=scale).items() for scale in (1, 2))
    assert (alone[0], enlarged[0]) == ("source", "bicubic")
    assert torch.equal(alone[1](batch), batch.source.expand(-1, 3, -1, -1))
    larger = Image.fromarray(batch.source[0, 0].numpy()).resize((16, 16), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.asarray(larger).copy()).clamp(-1, 1).expand(1, 3, -1, -1)
    torch.testing.assert_close(enlarged[1](batch), expected, atol=1e-5, rtol=0)
    assert source_itself(None, RGB, scale=1) == {}


def read(path, box):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.crop(box)).copy()).permute(2, 0, 1) / 127.5 - 1


def test_the_figures_of_a_run_are_those_of_its_files(fronts, tmp_path, monkeypatch):
    """At the pictures' own size, so that nothing is resized."""
    features = MeanColours()
    monkeypatch.setattr(judging, "judging_features", lambda spec, **options: features)
    monkeypatch.setattr(judging, "Features", MeanColours)
    values = ONCE | {"size": 32, "patch": 16, "metric_features": "auto"}
    run = train("pix2pix", data=fronts, out=tmp_path / "run", **values)
    left, right = (0, 0, 32, 32), (32, 0, 64, 32)
    of = {split: sorted((fronts / split).glob("*.png")) for split in ("train", "val")}
    source, target, known = (
        torch.stack([read(path, box) for path in of[split]])
        for split, box in (("val", left), ("val", right), ("train", right))
    )
    figures = translate.load(run.path).card.figures
    assert figures["source_l1"] == pytest.approx(float((source - target).abs().mean()) / 2, abs=1e-6)
    count = len(of["val"])
    chosen = known[[i * len(known) // count for i in range(count)]]
    for name, made in (("source", source), ("real", chosen)):
        expected = kid(features.pooled(made), features.pooled(target)).value
        assert figures[f"{name}_kid_colours"] == pytest.approx(expected, abs=1e-5), name
    assert figures["nearest_l1"] > figures["colour_map_l1"] < figures["mean_target_l1"]


def test_gray_to_colour_has_its_source_and_its_recolouring(fronts, tmp_path, monkeypatch):
    said: list[str] = []
    shown: list[dict[str, str]] = []

    class Bar:
        disable = True
        update = close = lambda self: None

        def set_postfix(self, values, *, refresh):
            shown.append(values)

    monkeypatch.setattr(progress, "bar", lambda *_, **named: Bar())
    values = ONCE | {"target": fronts / "train", "derive": "gray", "out": tmp_path / "run", "val_fraction": 0.4}
    values |= {"steps": 2, "log_every": 1, "validate_every": 1}
    run = fit(new_job("pix2pix", values), say=said.append)
    figures = translate.load(run.path).card.figures
    assert figures["colour_map_psnr"] > figures["source_psnr"] > figures["psnr"]
    (line,) = [line for line in said if "without any training" in line]
    assert line.startswith("step 1: without any training, L1 / PSNR: the source itself ")
    assert sum("outputs are worse than the sources themselves: PSNR" in line for line in said) == 2
    assert [values.get("ALARM") for values in shown] == [None, "worse than source"]  # on the bar, from then on
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["alarms"] for line in lines] == [["worse than source"]] * 2


def test_worse_than_the_source_is_worse_in_everything():
    source = {"psnr": 23.0, "perceptual_lite0": 0.2}
    cases = [({"psnr": 20.0, "perceptual_lite0": 0.3}, True), ({"psnr": 24.0, "perceptual_lite0": 0.3}, False)]
    cases += [({"psnr": 20.0, "perceptual_lite0": 0.1}, False), ({"psnr": 20.0}, True), ({"psnr": 24.0}, False)]
    for figures, worse in cases:
        assert (worse_than_source(figures, source, pictures=4) is not None) == worse, figures
    assert worse_than_source({"psnr": 20.0}, source, pictures=3) is None
    assert worse_than_source({"kid_lite0": 0.3}, {"kid_lite0": 0.1}, pictures=9) is None
    alarm = worse_than_source({"psnr": 20.0, "perceptual_lite0": 0.3}, source, pictures=4)
    assert "PSNR 20.00 dB where they reach 23.00, perceptual distance 0.3000 where they have 0.2000" in alarm.message


@pytest.mark.slow
def test_colouring_says_that_it_is_worse_than_its_source_while_it_is(shared_data, tmp_path):
    """Photographs under a strong tint, which a small network learns within a minute."""
    folder = tmp_path / "photos"
    said: list[str] = []
    folder.mkdir()
    for path in sorted((shared_data / "horse2zebra" / "trainA").iterdir())[:40]:
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB").resize((32, 32))).mean(-1, keepdims=True)
        tinted = (pixels * np.array([1.0, 0.7, 0.3])).astype(np.uint8)
        Image.fromarray(tinted).save(folder / f"{path.stem}.png")
    values: dict[str, Any] = {"size": 32, "width": 16, "discriminator_width": 4, "patch": 16, "samples": 0}
    values |= {"steps": 400, "validate_every": 20, "threads": 1, "tensorboard": False, "norm": "instance"}
    values |= {"target": folder, "derive": "gray", "out": tmp_path / "run", "val_fraction": 0.2}
    run = fit(new_job("pix2pix", values), say=said.append)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    source = translate.load(run.path).card.figures["source_psnr"]
    worse = {}
    for line in lines:
        if "validation" in line:
            raw, averaged = line["validation"]["raw"], line["validation"]["averaged"]
            saved = min(raw, averaged, key=lambda figures: figures["l1"])
            worse[line["step"]] = saved["psnr"] < source
            assert ("worse than source" in line.get("alarms", [])) == worse[line["step"]]
    assert worse[20]
    assert not worse[400]
    assert sum("worse than the sources" in line for line in said) == sum(worse.values())
