"""Reading an ONNX file's header by hand. That it equals what onnx reads is tested beside the writing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from translate.export.metadata import read_metadata
from translate.inference.translator import read_card


def write(path: Path, **metadata: str) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value]))
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path.read_bytes()


def test_texts_of_any_length_and_letters(tmp_path: Path) -> None:
    texts = {"empty": "", "long": "x" * 70_000, "wide": "Größe 大"}
    write(tmp_path / "a.onnx", **texts)
    assert read_metadata(tmp_path / "a.onnx") == texts


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    """Wherever it ends, no more is read than there is, and nothing else is raised."""
    whole = write(tmp_path / "a.onnx", key="value" * 30)
    complete = 0
    for length in range(len(whole)):
        (tmp_path / "b.onnx").write_bytes(whole[:length])
        with contextlib.suppress(ValueError):
            assert read_metadata(tmp_path / "b.onnx") in ({}, {"key": "value" * 30})
            complete += 1
    assert complete < 10  # ends between two fields, of which a file has few


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(200), b"\xff" * 50, b"{}" * 40])
def test_another_kind_of_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: not a (complete ONNX file|model of this software)"):
        read_card(tmp_path / "a.onnx")


def test_an_onnx_file_of_another_software(tmp_path: Path) -> None:
    write(tmp_path / "a.onnx", author="somebody")
    with pytest.raises(ValueError, match="not a model of this software"):
        read_card(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="no such model file"):
        read_metadata(tmp_path / "b.onnx")
