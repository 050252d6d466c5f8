"""The benchmarks run, and print the tables that docs/benchmarks.md explains. No time is asserted."""

from __future__ import annotations

import copy
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.benchmarks.tables import Main, Table, column, tables
from tests.parts import slow_but
from translate.networks import Shown
from translate.networks.unet import UNet
from translate.training import loop

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("train", "methods", "convert", "infer", "tiles")
TINY = {
    "train": ["--size", "32", "--width", "4", "--rounds", "1", "--device", "cpu"],
    "methods": ["--size", "32", "--width", "4", "--rounds", "1", "--device", "cpu"],
    "convert": ["--size", "32", "--width", "4", "--rounds", "1", "--device", "cpu", "--images", "2"],
    "infer": ["--quick", "--threads", "1", "--device", "cpu"],
    "tiles": ["--size", "96", "--width", "2", "--rounds", "1", "--device", "cpu", "--tile", "64"],
}


def numbers(table: Table, *titles: str) -> list[float]:
    """Those of some columns, all of them positive."""
    found = [float(row[title]) for row in table for title in titles]
    assert all(number > 0 for number in found)
    return found


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "cut"])
def test_training_steps(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], model: str) -> None:
    assert bench("train")([*TINY["train"], "--model", model]) == 0
    text = capsys.readouterr().out
    steps, *stages = tables(text)
    assert text.startswith(f"{model}, 32 px, width 4, batch 1; ")
    assert column(steps, "step") == ["plain float32", "float32", "bfloat16", "bfloat16, channels-last"]
    numbers(steps, "ms", "pairs/s", "plain / this")
    assert steps[0]["plain / this"] == "1.00"
    assert len(stages) == 2
    for table in stages:
        assert len(table) == 8
        assert {"generator forward", "discriminator: Adam", "average"} < set(column(table, "stage"))
        assert abs(sum(float(share.removesuffix(" %")) for share in column(table, "share")) - 100) < 5
    assert "peak memory" in text


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_the_plain_step_moves_the_weights_as_ours_does(bench: Callable[[str], Main], model: str) -> None:
    """Else their times would say nothing. Batch 2, where a pass too many in batch norm would show; no dropout."""
    train = importlib.import_module("benchmarks.train")
    cpu = torch.device("cpu")
    plain, settings = train.make_model(model, size=32, width=4, batch=2, device=cpu)
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ours = copy.deepcopy(plain)
    before = [p.detach().clone() for p in plain.parameters()]
    batch = train.noise(plain, size=32, batch=2, device=cpu)
    train.plain_step(plain, settings, batch)()
    loop.Step(ours, loop.make_optimizers(ours, settings, device=cpu), device=cpu)([batch])
    moved = torch.cat([(p - q).flatten() for p, q in zip(plain.parameters(), before, strict=True)])
    apart = torch.cat([(p - q).flatten() for p, q in zip(plain.parameters(), ours.parameters(), strict=True)])
    # Adam's first step is the sign of the gradient: where that is nothing but rounding, the sign may differ
    assert (moved.abs() > settings.lr / 2).double().mean() > 0.5  # the others are behind a ReLU that is shut
    assert (apart.abs() > settings.lr / 100).double().mean() < 0.02


@pytest.mark.exhaustive
def test_models_beside_each_other(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    """DualGAN's critics move three times a step, on pictures of their own. pix2pix's work is counted by hand."""
    words = ["--models", "pix2pix,dualgan", "--size", "64", "--width", "16", "--rounds", "1", "--device", "cpu"]
    assert bench("methods")(words) == 0
    text = capsys.readouterr().out
    (rows,) = tables(text)
    assert text.startswith("64 px, width 16, batch 1, float32; ")
    assert column(rows, "model") == ["pix2pix", "dualgan"]
    assert column(rows, "examples") == ["1", "3"]
    numbers(rows, "ms", "GiB", "million weights", "GFLOP")
    for title in ("time / pix2pix's", "memory / pix2pix's", "work / pix2pix's"):
        assert rows[0][title] == "1.00"
        assert float(rows[1][title]) > 0
    make_model = importlib.import_module("benchmarks.train").make_model
    model, _ = make_model("pix2pix", size=64, width=16, batch=1, device=torch.device("cpu"))
    assert rows[0]["million weights"] == f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}"
    assert float(rows[0]["GFLOP"]) == pytest.approx(work_of_pix2pix(model, size=64) / 1e9, abs=0.006)


def work_of_pix2pix(model: torch.nn.Module, *, size: int) -> int:
    """Floating-point operations of a step: two for each weight and place of each convolution, forward."""
    work: dict[str, list[int]] = {"generator": [], "discriminator": []}

    def count(layer: torch.nn.Module, given: tuple[Tensor], made: Tensor, *, to: list[int]) -> None:
        places = given[0] if isinstance(layer, torch.nn.ConvTranspose2d) else made
        to.append(2 * layer.weight.numel() * places[0, 0].numel())

    for player, found in work.items():
        for layer in model.get_submodule(player).modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.register_forward_hook(partial(count, to=found))
    picture = torch.rand(1, 3, size, size)
    model.discriminator(Shown(model.generator(picture), picture))
    translate, judge = (sum(found) for found in work.values())
    first, first_judge = (found[0] for found in work.values())
    # each gradient is as much again: of weights and inputs, but for the pictures; in G's turn of D's inputs alone
    return (3 * translate - first) + 2 * (3 * judge - first_judge) + 2 * judge


def check_conversion(stages: Table, whole: Table) -> None:
    assert column(stages, "stage alone") == ["decode", "network", "encode JPEG", "encode PNG"]
    numbers(stages, "images/s, 1 thread", "images/s", "threads", "core ms/image")
    assert column(whole, "whole, to") == ["JPEG", "PNG"]
    numbers(whole, "naive images/s", "ours images/s", "naive / ours", "ours / slowest stage", "ours / bound")
    assert all(float(row["ours / bound"]) <= float(row["ours / slowest stage"]) for row in whole)


def test_conversion_of_drawn_pictures(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("convert")(TINY["convert"]) == 0
    text = capsys.readouterr().out
    stages, whole = tables(text)
    assert text.startswith("U-Net of width 4 in float32, 2 pictures of 32 px; ")
    check_conversion(stages, whole)
    assert int(whole[1]["levels apart"]) <= 1
    assert "peak memory" in text


def test_conversion_of_pictures_of_ones_own(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of two sizes, in a sub-folder too; a third one is not asked for."""
    (tmp_path / "below").mkdir()
    for name, size in (("1.png", (20, 30)), ("below/2.jpg", (25, 17)), ("below/3.jpg", (400, 400))):
        Image.effect_noise(size, 60).save(tmp_path / name)
    assert bench("convert")([*TINY["convert"], "--input", str(tmp_path), "--precision", "bfloat16"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"U-Net of width 4 in bfloat16, 2 pictures from {tmp_path}; ")
    check_conversion(*tables(text))
    assert len(list(tmp_path.rglob("*.*"))) == 3


@pytest.mark.exhaustive
def test_conversion_by_onnx_runtime(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench("convert")([*TINY["convert"], "--onnx"]) == 2
    assert "add --threads 1" in capsys.readouterr().err
    assert bench("convert")([*TINY["convert"], "--pin"]) == 2
    assert "add --threads 1" in capsys.readouterr().err
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that what the benchmark sets is taken back
    before = torch.get_num_threads()
    try:
        pin = ["--pin"] if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1 else []
        assert bench("convert")([*TINY["convert"], "--onnx", "--threads", "1", *pin]) == 0
    finally:
        torch.set_num_threads(before)
    text = capsys.readouterr().out
    stages, whole = tables(text)
    pinned = ", pinned" if pin else ""
    assert text.startswith(f"U-Net of width 4 in float32 by ONNX Runtime{pinned}, 2 pictures of 32 px; ")
    check_conversion(stages, whole)
    assert int(whole[1]["levels apart"]) <= 1


def test_few_pictures_are_converted_again_and_again(bench: Callable[[str], Main], tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text(name)
    bench("convert")
    convert = importlib.import_module("benchmarks.convert")
    made = convert.make_inputs(tmp_path / "in", convert.Flags(input=tmp_path), images=5)
    assert [path.read_text() for path in made] == ["1.png", "2.png", "1.png", "2.png", "1.png"]


def test_conversion_with_a_network_as_fast_as_decoding(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one that is depends on the machine; the choice by given times is tested below."""
    monkeypatch.setattr(importlib.import_module("benchmarks.convert"), "LADDER", ((2, 3), (1, 2)))
    words = [*TINY["convert"], "--match", "--threads", "1", "--workers", "1"]
    assert bench("convert")(words) == 2
    assert "--match chooses the width" in capsys.readouterr().err
    del words[words.index("--width") : words.index("--width") + 2]
    before = torch.get_num_threads()
    try:
        assert bench("convert")(words) == 0
    finally:
        torch.set_num_threads(before)
    text = capsys.readouterr().out
    named = tuple(
        f"U-Net of width {width} and depth {depth} in float32, 2 pictures of 32 px; "
        for width, depth in ((2, 3), (1, 2))
    )
    assert text.startswith(named)
    stages, whole = tables(text)
    check_conversion(stages, whole)
    assert column(stages, "threads") == ["1"] * 4


def test_the_network_nearest_to_decoding_is_so_by_its_factor(bench: Callable[[str], Main]) -> None:
    """The faster one is 0.7 ms away and half as fast again; the slower one a millisecond, and three times as slow."""
    del bench  # it is what makes the benchmarks importable
    choose = importlib.import_module("benchmarks.convert").most_alike
    times = {
        "slower": {"decode": [0.5, 0.6, 0.4], "network": [1.5, 1.5, 1.5]},
        "faster": {"decode": [2.1, 2.1, 2.1], "network": [1.4, 1.4, 9.0]},
    }
    assert choose(times) == "faster"
    assert choose({**times, "equal": {"decode": [3.0], "network": [3.0]}}) == "equal"


@pytest.mark.exhaustive
def test_a_large_picture(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_unet: Path
) -> None:
    """Strips are the whole to a level; what was made is there to be looked at."""
    Image.effect_noise((150, 96), 60).save(tmp_path / "a.png")
    words = ["--input", str(tmp_path / "a.png"), "--model", str(tiny_unet), "--save", str(tmp_path / "made")]
    assert bench("tiles")([*TINY["tiles"], *words]) == 0
    text = capsys.readouterr().out
    assert text.startswith("pix2pix, 150x96, --tile 64; ")
    (rows,) = tables(text)
    assert column(rows, "") == ["whole", "strips", "tiles"]
    assert rows[0]["PSNR"] == "equal"
    assert float(rows[1]["levels apart"]) <= 1
    assert 0.5 < float(rows[2]["across borders / elsewhere"]) < 2
    for way in column(rows, ""):
        with Image.open(tmp_path / "made" / f"{way}.png") as made:
            assert made.size == (150, 96)


@pytest.fixture
def tiny_unet(bench: Callable[[str], Main], tmp_path: Path) -> Path:
    importlib.import_module("benchmarks.convert").make_model(tmp_path / "m.safetensors", width=4, size=16)
    return tmp_path / "m.safetensors"


def test_seams_are_seen(bench: Callable[[str], Main]) -> None:
    """Of a ramp with a jump at a border, and without one."""
    tiles = importlib.import_module("benchmarks.tiles")
    ramp = np.arange(20.0)[:, None, None].repeat(10, 1).repeat(3, 2)
    border = tiles.Made(1.0, 1.0, (8,), ())
    assert tiles.seams(ramp, border) == 1
    ramp[8:] += 4
    assert tiles.seams(ramp, border) == 5
    assert tiles.seams(ramp, tiles.Made(1.0, 1.0, (9,), ())) == pytest.approx(18 / 22)
    assert tiles.seams(ramp.transpose(1, 0, 2), tiles.Made(1.0, 1.0, (), (8,))) == 5
    assert tiles.seams(ramp, tiles.Made(1.0, 1.0, (), ())) is None
    footprint = importlib.import_module("translate.card").Footprint(stride=4)
    assert tiles.borders(110, 64, footprint) == (49, 55, 61)  # padded by 1 before: 48 + 2, middle, 64 - 2


def test_a_picture_that_cannot_be_read_is_named(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    assert bench("convert")([*TINY["convert"], "--input", str(tmp_path)]) == 2
    assert "00000.png: not a picture" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_ways_to_run_a_network(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever runs it gives the same pixels, to a level in float32. The work is counted by hand."""
    size = 48  # 16 x 3: depth 4
    assert bench("infer")([*TINY["infer"], "--size", str(size), "--statistics", "running"]) == 0
    text = capsys.readouterr().out
    (rows,) = tables(text)
    assert text.startswith("unet of width 4, statistics of batch norm: running; ")
    ways = column(rows, "way")
    left_out = [line.split(": ")[1] for line in text.splitlines() if line.startswith("left out: ")]
    assert ways[:4] == ["torch eager", "torch float32", "torch bfloat16", "onnx float32"]
    others = [*ways[4:], *left_out]
    assert [way for way in others if not way.startswith("openvino")] == ["onnx fp16", "onnx int8"]
    assert any(way.startswith("openvino") for way in others)
    assert (rows[0]["eager / this"], rows[0]["dB to eager"]) == ("1.00", "equal")
    numbers(rows, "ms", "images/s", "eager / this")
    for row in rows[1:]:
        assert row["dB to eager"] == "equal" or float(row["dB to eager"]) > (50 if "float32" in row["way"] else 20)
    assert all(float(row["GiB"]) >= 0 for row in rows)
    network = UNet(3, 3, size=size, width=4)
    work: list[int] = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(partial(count_work, to=work))
    network(torch.rand(2, 3, size, size))
    infer = importlib.import_module("benchmarks.infer")
    flags = infer.Flags(width=4, statistics="running")
    with tempfile.TemporaryDirectory() as folder:
        infer.make_model(Path(folder) / "model.safetensors", flags, size=size)
        assert infer.work_of(Path(folder) / "model.safetensors", size=size) == sum(work)


def count_work(layer: torch.nn.Conv2d, given: tuple[Tensor], made: Tensor, *, to: list[int]) -> None:
    """Two operations for each weight and place."""
    places = given[0] if isinstance(layer, torch.nn.ConvTranspose2d) else made
    to.append(2 * layer.weight.numel() * places[0, 0].numel())


def test_a_way_that_cannot_be_gone_says_why(bench: Callable[[str], Main], tmp_path: Path) -> None:
    """In the process that measures, whose words they are."""
    ways = importlib.import_module("benchmarks.ways")
    images = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"nowhere\.safetensors: no such model file"):
        ways.Worker("torch float32", tmp_path / "nowhere.safetensors", device="cpu", threads=1, images=images)


def test_likeness_in_decibels(bench: Callable[[str], Main]) -> None:
    psnr = importlib.import_module("benchmarks.infer").psnr
    black = np.zeros((2, 3), np.uint8)
    assert psnr(black, black) == "equal"
    assert psnr(black, black + np.uint8(255)) == "0.0"
    assert psnr(black + np.uint8(1), black) == "48.1"


WRONG = {
    "an unknown flag": (["--batches", "2"], "unknown flag --batches"),
    "a word": (["256"], "unexpected 256"),
    "no value": (["--rounds"], "--rounds needs a value"),
    "given twice": (["--rounds", "1", "--rounds", "2"], "--rounds is given twice"),
    "too small": (["--rounds", "0"], "--rounds got '0': must be greater than or equal to 1"),
    "no number": (["--size", "large"], "--size got 'large'"),
    "no device": (["--device", "cudda"], '(did you mean "cuda"?)'),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_are_one_line_and_nothing_is_measured(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], name: str, case: str
) -> None:
    words, message = WRONG[case]
    assert bench(name)(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"benchmarks.{name}: ")
    assert message in said.err
    assert said.err.count("\n") == 1


def test_models_that_cannot_be_measured(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    for models, message in (
        ("cyclegan,cutt", 'did you mean "cut"?'),
        ("cut,cut", "names a model twice"),
        ("cut,", "no model"),
        ("dualgan", "--size is 4"),
    ):
        size = ["--size", "4"] if models == "dualgan" else []
        assert bench("methods")(["--models", models, *size]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert message in said.err
        assert said.err.count("\n") == 1


def test_folders_without_pictures(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert bench("convert")(["--input", str(tmp_path)]) == 2
    assert f"--input {tmp_path}: no pictures found" in capsys.readouterr().err
    assert bench("convert")(["--input", str(tmp_path / "nowhere")]) == 2
    assert f"--input {tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", slow_but(("train",), NAMES))
def test_they_are_modules_to_be_run(name: str) -> None:
    words = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"python -m benchmarks.{name}: ")
    for flag in ("--size", "--rounds", "--device"):
        assert f"\n  {flag} " in done.stdout
