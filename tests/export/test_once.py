"""A graph that is opened for one picture gives the same picture, from one copy of the same weights."""

from __future__ import annotations

import copy
import ctypes
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from translate.cli import main
from translate.export import once
from translate.export.once import BYTES_PER_PIXEL, open_once
from translate.export.session import Opened, open_session
from translate.export.weights import checked_weights
from translate.images import write
from translate.inference import onnx_backend
from translate.inference.translator import load

Change = Callable[[np.ndarray], object]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 9, 13, 1), dtype=np.uint8)


def changed(file: Path, made: Path, change: Change) -> Path:
    """The file with its largest weight changed in place."""
    proto = onnx.load(file)
    tensor = max(proto.graph.initializer, key=lambda one: len(one.raw_data))
    values = onnx.numpy_helper.to_array(tensor).copy()
    change(values)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, made)
    return made


def test_it_gives_the_same_picture_and_checksum(pair: tuple[Path, Path], picture: np.ndarray) -> None:
    found = open_once(pair[1], device="cpu", pixels=1)
    assert found
    opened, checksum = found
    assert checksum == checked_weights(pair[1])
    usual = open_session(pair[1], device="cpu")
    assert [(end.name, end.type, end.shape) for end in opened.inputs + opened.outputs] == [
        (end.name, end.type, end.shape) for end in usual.inputs + usual.outputs
    ]
    for images in (picture, np.repeat(picture, 2, 0)[:, :5]):
        (made,), (expected,) = opened.run({"image": images}), usual.run({"image": images})
        assert expected.numpy().std() > 1
        assert np.abs(made.numpy().astype(int) - expected.numpy()).max() <= 1


def test_the_session_has_each_large_weight_from_the_file_and_no_copy(pair: tuple[Path, Path]) -> None:
    """Changing the memory that it was given changes what it makes."""
    found = open_once(pair[1], device="cpu", pixels=1)
    assert found
    held = found[0].held
    assert isinstance(held, dict)
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(pair[1]).graph.initializer}
    large = {name for name, values in stored.items() if values.dtype == np.float32 and values.nbytes >= once.SMALL}
    assert set(held) == large
    assert large
    assert all(np.array_equal(held[name].numpy(), stored[name]) for name in large)
    images = np.full((1, 8, 8, 1), 200, np.uint8)
    before = found[0].run({"image": images})[0].numpy().copy()
    for value in held.values():
        ctypes.memset(value.data_ptr(), 0, value.tensor_size_in_bytes())
    assert not np.array_equal(found[0].run({"image": images})[0].numpy(), before)


def test_small_networks_large_pictures_other_devices_and_second_files_are_opened_as_usual(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(pair[1].read_bytes())
    few = file.stat().st_size // BYTES_PER_PIXEL
    assert open_once(file, device="cpu", pixels=few)
    assert open_once(file, device=" CPU:0", pixels=few)
    assert open_once(file, device="cpu", pixels=few + 1) is None
    assert open_once(file, device="cuda", pixels=1) is None
    (tmp_path / "m.onnx.data").write_bytes(b"")
    assert open_once(file, device="cpu", pixels=1) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_are_refused_as_usual(pair: tuple[Path, Path], tmp_path: Path, value: float) -> None:
    bad = changed(pair[1], tmp_path / "bad.onnx", lambda weight: weight.reshape(-1).__setitem__(3, value))
    assert open_once(bad, device="cpu", pixels=1) is None
    with pytest.raises(ValueError, match=r"bad\.onnx: 1 of the .* weights in .* are not finite"):
        load(bad, device="cpu", pixels=1)


def test_files_that_are_cut_off_or_hold_8_bit_weights_are_opened_as_usual(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(pair[1].read_bytes()[:-2000])
    assert open_once(cut, device="cpu", pixels=1) is None
    proto = onnx.load(pair[1])
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2**17, np.int8), "whole"))
    onnx.save(proto, tmp_path / "whole.onnx")
    assert open_once(tmp_path / "whole.onnx", device="cpu", pixels=1) is None


def test_copies_of_the_model_give_the_same_picture(pair: tuple[Path, Path], picture: np.ndarray) -> None:
    translator = load(pair[1], device="cpu", pixels=1)
    assert translator.backend._opened.held
    expected = translator(picture[0]).astype(int)
    for other in (copy.deepcopy(translator), pickle.loads(pickle.dumps(translator))):
        assert np.abs(other(picture[0]) - expected).max() <= 1


def test_the_command_opens_a_model_so_for_one_small_picture_alone(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def opening(path: Path, *, device: str, pixels: int) -> tuple[Opened, str] | None:
        asked.append(pixels)
        return open_once(path, device=device, pixels=pixels)

    monkeypatch.setattr(onnx_backend, "open_once", opening)
    (tmp_path / "in").mkdir()
    for name, size in (("a", (9, 13)), ("b", (8, 8))):
        write(tmp_path / "in" / f"{name}.png", np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))
    model, one = str(pair[1]), str(tmp_path / "in" / "a.png")
    assert main(["convert", model, one, str(tmp_path / "a.png"), "--device", "cpu"]) == 0
    assert asked == [9 * 13]
    assert main(["convert", model, str(tmp_path / "in"), str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert main(["convert", model, one, str(tmp_path / "b.png"), "--resize", "20", "--device", "cpu"]) == 0
    assert asked == [9 * 13]
    made, expected = (np.asarray(image, int) for image in (Image.open(tmp_path / "a.png"), load(model)(one)))
    assert np.abs(made - expected).max() <= 1
