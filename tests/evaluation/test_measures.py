"""The table of measures: what a new one gets by being in it, and what `--best` goes by."""

import json
from typing import Any

import pytest
import torch

from tests.training.test_every_run_field import SMALL
from translate.cli import main
from translate.conditions import Conditions
from translate.evaluation.base import Examples, Measure
from translate.evaluation.measures import MEASURES, described, lacking
from translate.figures import BETTER, DIRECTIONS, LAST, among, is_better, plain
from translate.images import ImageSpec
from translate.settings import RunSettings
from translate.training.choice import Choice
from translate.training.job import new_job
from translate.training.model_files import better_of
from translate.training.run import fit, train

RGB = ImageSpec(channels=3)
SHORT: dict[str, Any] = SMALL | {"steps": 2, "log_every": 2, "samples": 0}


class ColourDistance(Measure):
    """Distance of the mean colours of two sets, which no picture has alone: kept features, as FID keeps them."""

    better = {"colour_distance": "less"}  # noqa: RUF012

    def __init__(self, examples):
        super().__init__(examples)
        self.made, self.real = [], []

    def add(self, batch, outputs):
        self.made.append(outputs["output"].mean((2, 3)))
        self.real.append(batch.target.mean((2, 3)))

    def figures(self):
        made, real = (torch.cat(kept).mean(0) for kept in (self.made, self.real))
        return {"colour_distance": float((made - real).norm())}


@pytest.fixture
def colour_distance(monkeypatch):
    monkeypatch.setitem(MEASURES, "colour", ColourDistance)
    monkeypatch.setitem(BETTER, "colour_distance", "less")


def test_a_measure_of_sets_needs_its_line_in_the_table_alone(colour_distance, unpaired_fronts, tmp_path, capsys):
    """Without pairs, where there is no other figure to go by."""
    lines: list[str] = []
    flags = SHORT | {"blocks": 1, "data": unpaired_fronts, "out": tmp_path / "run", "best": "colour_distance"}
    run = fit(new_job("cyclegan", flags), say=lines.append)
    *_, last = (json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines())
    found = {name: figures["colour_distance"] for name, figures in last["validation"].items()}
    assert found["raw"] != found["averaged"]
    name = min(found, key=lambda weights: found[weights])
    assert run.figures == last["validation"][name]
    assert run.load().card.weights == name
    assert run.load().card.figures["colour_distance"] == found[name]
    assert any(f"validation colour distance {found[name]:.4f} ({name} weights, best so far)" in line for line in lines)
    assert main(["evaluate", str(run.path)]) == 0
    assert f"\ncolour distance {found[name]:.4f} " in capsys.readouterr().out


def test_best_by_a_figure_that_is_measured_apart(fronts, tmp_path):
    run = train("pix2pix", **SHORT, data=fronts, out=tmp_path / "run", best="drift")
    *_, last = (json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines())
    found = {name: figures["drift"] for name, figures in last["validation"].items()}
    assert run.figures["drift"] == min(found.values()) == last["health"]["drift"]
    assert run.load().card.weights == min(found, key=lambda weights: found[weights])


def test_a_run_may_go_on_by_another_figure(fronts, tmp_path):
    run = train("pix2pix", **SHORT, data=fronts, out=tmp_path / "run")
    assert run.figures.keys() == {"l1", "psnr", "ssim"}
    again = train(resume=run.path, steps=3, best="drift")
    assert again.figures.keys() == {"l1", "psnr", "ssim", "drift"}  # with nothing to go by, the first takes its place


@pytest.mark.parametrize(
    ("best", "need"), [("right", "labels or text as its condition"), ("diversity", "a model with a condition")]
)
def test_best_by_what_a_run_cannot_have_is_refused_before_anything_is_written(best, need, fronts, tmp_path):
    with pytest.raises(ValueError, match=f"--best {best} needs .*{need}: leave it out"):
        train("pix2pix", **SHORT, data=fronts, out=tmp_path / "run", best=best)
    assert not any(tmp_path.iterdir())


def test_best_names_its_choices():
    assert {RunSettings.make({"best": name}).best for name in (*BETTER, "last", "auto")} == {*BETTER, "last", "auto"}
    with pytest.raises(ValueError, match=r'--best got .*must be auto, l1, psnr, .* or last \(did you mean "ssim"\?\)'):
        RunSettings.make({"best": "sim"})
    assert all(name in (RunSettings.model_fields["best"].description or "") for name in BETTER)


def test_every_direction_belongs_to_one_measure():
    of_measures = [name for measure in MEASURES.values() for name in measure.better]
    assert sorted(of_measures) == sorted(DIRECTIONS)


def test_a_figure_needs_what_its_measure_does():
    code = Examples(RGB, RGB, paired=False, conditions=Conditions(z=1))
    assert {name for name in BETTER if lacking(name, code) is None} == {"diversity", "drift"}
    pairs = Examples(RGB, RGB)
    assert {name for name in BETTER if lacking(name, pairs) is None} == {"l1", "psnr", "ssim", "drift"}
    assert lacking("fcn_miou", pairs) == "a model that turns outputs into label maps (--judge of translate evaluate)"


def improves(figures, former, best):
    return Choice().takes("model", best, figures, {}, former=former)


def test_the_better_of_two_and_the_better_than_before():
    figures = {"raw": {"l1": 0.1, "psnr": 20.0}, "averaged": {"l1": 0.2, "psnr": 21.0}}
    assert [better_of(figures, best) for best in ("l1", "psnr", "drift", "last")] == ["raw", "averaged", None, None]
    assert better_of({"raw": {"l1": 0.1}, "averaged": {"l1": 0.1}}, "l1") == "raw"
    assert better_of({"raw": {}, "averaged": {"right": 0.1}}, "right") == "averaged"
    assert not improves({"l1": 0.1}, {"l1": 0.1}, "l1")
    assert improves({"l1": 0.1}, {"psnr": 20.0}, "l1")  # of before there is nothing to go by
    assert not improves({}, {"l1": 0.1}, "l1")
    assert improves({"l1": 0.2}, {"l1": 0.1}, "last")
    assert improves({}, {}, "l1")
    assert is_better("psnr", 21, than=20)
    assert is_better("l1", 0.1, than=0.2)


def test_figures_are_shown_with_their_units_or_plainly():
    assert described({"l1": 0.12345, "psnr": 20.0, "new_one": 1.0}) == "L1 0.1235, PSNR 20.00 dB, new one 1.0000"


def test_a_figure_on_features_is_found_with_and_without_their_network():
    assert [plain(name) for name in ("target_share_lite0", "fid_inception")] == ["target_share", "fid"]
    assert is_better("fid_lite0", 1, than=2)
    figures = {"l1": 0.1, "kid_lite1": 0.2, "made_up": 3.0}
    assert [plain(name) for name in (*figures, "kid")] == ["l1", "kid", "made_up", "kid"]
    assert [among(figures, name) for name in ("kid", "kid_lite1", "kid_lite0", "l1", "ssim", LAST)] == (
        ["kid_lite1", "kid_lite1", None, "l1", None, None]
    )
    assert described({"kid_lite1": 0.2}, {"kid_lite1": 0.01}) == "KID (lite1) 0.2000 ± 0.0100"
    assert RunSettings.make({"best": "kid_lite1"}).best == "kid_lite1"
    assert better_of({"raw": {"kid_lite0": 0.2}, "averaged": {"kid_lite0": 0.1}}, "kid") == "averaged"
    assert improves({"kid_lite0": 0.1}, {"kid_lite0": 0.2}, "kid")
    assert not improves({"kid_lite0": 0.3}, {"kid_lite0": 0.2}, "kid")
