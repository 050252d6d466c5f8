"""8-bit convolutions: their ranges from some pictures, their quality from others, or no file at all."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from translate.card import Card
from translate.cli import main
from translate.export import real
from translate.export.metadata import MADE_KEY, read_metadata
from translate.export.pictures import cropped, textured
from translate.export.report import CHECK_KEY, Report
from translate.images import ImageSpec
from translate.inference.translator import load, read_card

Exported = tuple[Path, Report, Path]  # the model, what was exported of it in int8, and the pictures


@pytest.fixture(scope="module")
def exported(pair: tuple[Path, Path]) -> Exported:
    folder = pair[0].parent / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(20):
        pixels = textured(rng, read_card(pair[0]).taken, (1, 40 + index, 50))[0]
        Image.fromarray(pixels[..., 0]).save(folder / f"{index:02}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    out = pair[1].with_name("int8.onnx")
    return pair[0], load(pair[0], device="cpu").export(out, precision="int8", calibration=folder), folder


@pytest.mark.slow
def test_convolutions_have_8_bit_weights_with_a_scale_for_each_channel(exported: Exported) -> None:
    model = onnx.load(exported[1].path)
    onnx.checker.check_model(model, full_check=True)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert makers[node.input[0]].op_type == "DequantizeLinear"
        weight, scale, *_ = (weights[name] for name in makers[node.input[1]].input)
        assert weight.data_type == onnx.TensorProto.INT8
        assert list(scale.dims) == [weight.dims[0]] != [1]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim[:3]] == [
        "batch",
        "height",
        "width",
    ]


@pytest.mark.slow
def test_the_figures_are_of_pictures_that_it_was_not_calibrated_on(exported: Exported) -> None:
    """The PSNR, worked out anew."""
    model, report, folder = exported
    out = report.path
    check, *_ = json.loads(read_metadata(out)[CHECK_KEY])
    assert check["psnr"] == report.checks[0].psnr
    (note,) = report.notes
    assert "1 of the pictures could not be read" in note
    assert "broken.png" in note
    exact, near = load(model, device="cpu"), load(out, device="cpu")
    calibration, held_out = real.divided(folder, exact.card, count=100)
    assert (len(calibration.pictures), len(held_out.pictures)) == (15, 5)  # of 20 that can be read
    shown = {picture.tobytes() for picture in calibration.pictures}
    assert not any(picture.tobytes() in shown for picture in held_out.pictures)
    errors = [
        np.square(near(picture).astype(float) - exact(picture)).ravel()
        for batch in cropped(held_out.pictures)
        for picture in batch
    ]
    psnr = 10 * math.log10(255**2 / np.concatenate(errors).mean())
    assert check["psnr"] == pytest.approx(psnr, abs=0.01)
    assert 30 < psnr < 70
    assert (check["real"], check["random"]) == (5, False)
    assert check["speed"] > 0
    assert json.loads(read_metadata(out)[MADE_KEY]) == {"layout": "nhwc-pixels", "precision": "int8", "calibrated": 15}


@pytest.mark.slow
def test_it_takes_any_size_and_number(exported: Exported) -> None:
    near = load(exported[1].path, device="cpu", batch=3)
    for size in ((3, 65, 34), (1, 1, 1), (1, 2, 40)):
        pictures = textured(np.random.default_rng(4), near.card.taken, size)
        made = near(list(pictures))
        assert {picture.shape for picture in made} == {(*size[1:], 3)}
        assert all(np.array_equal(near(picture), one) for picture, one in zip(pictures, made, strict=True))


@pytest.mark.slow
def test_the_report_of_the_command(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is too far off is not written, and the line says what would do; --force writes it."""
    model, _, folder = exported
    monkeypatch.chdir(tmp_path)
    words = ["export", str(model), "out.onnx", "--precision", "int8", "--calibration", str(folder)]
    assert main([*words, "--least-psnr", "90", "--calibration-count", "3"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("translate: nothing was written")
    for part in (r"PSNR \d\d\.\d dB", "has to reach 90 dB", "--calibration", "--least-psnr", "--force"):
        assert re.search(part, line), part
    assert not list(tmp_path.iterdir())
    assert main([*words, "--force", "--calibration-count", "3"]) == 0
    written = capsys.readouterr()
    assert "5 real pictures" in written.out
    assert "times as fast as float32" in written.out
    assert written.err == ""
    assert main(["info", "out.onnx"]) == 0
    assert "int8, calibrated on 3 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precision", "int8"], "--precision int8 needs --calibration FOLDER"),
        (["--precision", "int8", "--calibration", "nowhere"], "--calibration: no folder nowhere"),
        (["--precision", "int8", "--calibration", "empty"], "--calibration empty: no pictures found"),
        (["--precision", "int8", "--calibration", "bad"], "--calibration bad: pictures that cannot be read, such as"),
        (["--precision", "int4"], 'no precision is called "int4" (did you mean "int8"?)'),
        (["--precision", "fp16", "--calibration", "empty"], "--calibration is for --precision int8 only"),
        (["--calibration-count", "3"], "--calibration-count is for --precision int8 only"),
        (["--least-psnr", "20"], "--least-psnr is for a --precision other than float32 only"),
        (["--force"], "--force is for a --precision other than float32 only"),
        (
            ["--precision", "fp16", "--force", "--least-psnr", "20"],
            "--force accepts any PSNR, and --least-psnr requires one",
        ),
        (["--images", "nowhere"], "--images: no file or folder nowhere"),
        (["--images", "empty"], "--images empty: no pictures found"),
        (["--images", "bad"], "--images bad: no picture of it can be read"),
    ],
)
def test_wrong_use_ends_in_a_line(
    words: list[str],
    message: str,
    pair: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "one.png").write_bytes(b"no picture")
    assert main(["export", str(pair[0]), "out.onnx", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out.onnx").exists()


def test_label_maps_have_no_psnr(
    saved: Callable[..., Path], card: Callable[..., Card], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked for is not passed over."""
    labels = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0)), one_hot=True)
    model = saved(tmp_path / "m.safetensors", card(target=labels, settings={"width": 4, "depth": 3}))
    words = ["export", str(model), str(tmp_path / "out.onnx"), "--precision", "fp16", "--least-psnr", "60"]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "translate: --least-psnr is for pictures, and label maps have no PSNR: leave it out"
    assert not (tmp_path / "out.onnx").exists()
