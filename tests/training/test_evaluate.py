"""`translate evaluate` on runs of this software."""

import json
import re
from typing import Any

import pytest

from translate.cli import main
from translate.training.run import train

SMALL: dict[str, Any] = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "steps": 2,
    "tensorboard": False,
    "samples": 0,
}


@pytest.fixture(scope="module")
def run(captioned_fronts, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "run"
    return train("pix2pix", **SMALL, condition="text", code_width=8, flip=False, data=captioned_fronts, out=out)


def test_the_figures_are_those_of_the_last_validation(run, captioned_fronts, capsys):
    assert main(["evaluate", str(run.path / "last.safetensors"), "--data", str(captioned_fronts)]) == 0
    printed = capsys.readouterr().out
    last = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()][-1]
    best = min(last["validation"].values(), key=lambda figures: figures["l1"])
    assert f"\nL1 {best['l1']:.4f} " in printed
    assert f"\nPSNR {best['psnr']:.2f} dB " in printed
    assert "4 pictures" in printed
    assert "does it listen? L1 " in printed


def test_a_run_folder_knows_its_pictures_and_a_file_does_not(run, captioned_fronts, capsys):
    def printed(*words):
        assert main(["evaluate", str(run.path), "--metrics", "l1,ssim", *words]) == 0
        return re.sub("alone: .*", "", capsys.readouterr().out)  # the model's speed

    assert printed("--data", str(captioned_fronts)) == printed()
    assert main(["evaluate", str(run.path / "last.safetensors")]) == 2
    assert "no pictures given" in capsys.readouterr().err


def test_a_model_of_a_picture_alone_has_figures_alone(fronts, tmp_path, capsys):
    made = train("pix2pix", **SMALL, data=fronts, out=tmp_path / "run")
    assert main(["evaluate", str(made.path), "--data", str(fronts), "--split", "test"]) == 0
    printed = capsys.readouterr().out
    assert "3 pictures" in printed
    assert "SSIM" in printed
    assert "listen" not in printed


def test_wrong_use_is_one_line(run, captioned_fronts, fronts, tmp_path, capsys):
    for words, message in (
        ([str(run.path), "--data", str(fronts)], "no training picture has one"),
        ([str(run.path), "--data", str(tmp_path / "nowhere")], "nowhere"),
        ([str(run.path), "--data", str(captioned_fronts), "--split", "test"], "no test folder"),
        ([str(run.path), "--data", str(captioned_fronts), "--splitt", "test"], '(did you mean "--split"?)'),
        (["nowhere"], "nowhere: no such model file"),
    ):
        assert main(["evaluate", *words]) == 2, words
        assert message in capsys.readouterr().err
