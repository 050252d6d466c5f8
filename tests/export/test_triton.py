"""A repository that Triton can read: its configuration against ONNX Runtime's word on the file, and its versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format  # type: ignore[import-untyped]

from translate.card import Card
from translate.cli import main
from translate.export import triton
from translate.export.graph import LAYOUTS
from translate.export.session import open_session
from translate.images import ImageSpec
from translate.inference.translator import load

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]

TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(uint16)": "TYPE_UINT16", "tensor(float)": "TYPE_FP32"}


def config_class() -> Any:
    """The part of Triton's model_config.proto that is used here, with its names and numbers."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="part_of_model_config.proto", package="part", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> None:
        made = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=f".part.{of}" if of else None)

    for name, values in (
        ("DataType", {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_UINT16": 3, "TYPE_INT64": 9, "TYPE_FP32": 11}),
        ("Kind", {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2}),
    ):
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    text, whole, enum_kind, inner = kinds.TYPE_STRING, kinds.TYPE_INT32, kinds.TYPE_ENUM, kinds.TYPE_MESSAGE
    ends = (
        ("name", 1, text, False, ""),
        ("data_type", 2, enum_kind, False, "DataType"),
    )
    message("ModelInput", *ends, ("dims", 4, kinds.TYPE_INT64, True, ""))
    message("ModelOutput", *ends, ("dims", 3, kinds.TYPE_INT64, True, ""))
    message("ModelInstanceGroup", ("count", 2, whole, False, ""), ("kind", 4, enum_kind, False, "Kind"))
    message("ModelDynamicBatching", ("preferred_batch_size", 1, whole, True, ""))
    message(
        "ModelConfig",
        ("name", 1, text, False, ""),
        ("platform", 2, text, False, ""),
        ("max_batch_size", 4, whole, False, ""),
        ("input", 5, inner, True, "ModelInput"),
        ("output", 6, inner, True, "ModelOutput"),
        ("instance_group", 7, inner, True, "ModelInstanceGroup"),
        ("dynamic_batching", 11, inner, False, "ModelDynamicBatching"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("part.ModelConfig"))


def parse(path: Path) -> Any:
    return text_format.Parse(path.read_text(encoding="utf-8"), config_class()())


@pytest.fixture(scope="module")
def repository(pair: tuple[Path, Path]) -> Path:
    folder = pair[0].parent / "served"
    words = ["--triton", str(folder), "--name", "gray-to-colour", "--triton-device", "cpu"]
    assert main(["export", str(pair[0]), *words]) == 0
    return folder


@pytest.mark.slow
def test_the_configuration_says_what_the_file_says(repository: Path) -> None:
    assert [path.name for path in repository.iterdir()] == ["gray-to-colour"]
    root = repository / "gray-to-colour"
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "1",
        "1/model.onnx",
        "config.pbtxt",
    ]
    config = parse(root / "config.pbtxt")
    session = open_session(root / "1" / "model.onnx", device="cpu").session
    assert (config.name, config.platform) == ("gray-to-colour", "onnxruntime_onnx")
    assert config.max_batch_size > 1
    assert config.HasField("dynamic_batching")
    assert [group.kind for group in config.instance_group] == [2]  # the CPU
    names = config_class().DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
    for told, known in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        (end,), (value,) = told, known
        assert (end.name, names[end.data_type].name) == (value.name, TYPES[value.type])
        batch, *rest = value.shape
        assert isinstance(batch, str)  # any number: the server puts pictures together, and leaves it out of dims
        assert list(end.dims) == [-1 if isinstance(side, str) else side for side in rest]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "name"), [("uint16", "TYPE_UINT16"), ("float32", "TYPE_FP32")])
def test_other_pictures_and_layouts(
    layout: str, dtype: str, name: str, tmp_path: Path, card: MakeCard, spec: MakeSpec
) -> None:
    import torch

    deployed = LAYOUTS[layout](torch.nn.Identity(), card(spec(2, dtype), spec(5)))
    place = triton.plan(tmp_path / "served", deployed, name="x", model=None, device="auto")
    (tmp_path / "config.pbtxt").write_text(place.config)
    config = parse(tmp_path / "config.pbtxt")
    names = config_class().DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
    pixels = layout == "nhwc-pixels"
    assert names[config.input[0].data_type].name == (name if pixels else "TYPE_FP32")
    assert names[config.output[0].data_type].name == ("TYPE_UINT8" if pixels else "TYPE_FP32")
    assert list(config.input[0].dims) == ([-1, -1, 2] if pixels else [2, -1, -1])
    assert list(config.output[0].dims) == ([-1, -1, 5] if pixels else [5, -1, -1])


@pytest.mark.slow
def test_a_second_export_is_a_second_version(repository: Path, pair: tuple[Path, Path]) -> None:
    """What is served stays as it is, and so does a configuration that its owner has tuned."""
    root = repository / "gray-to-colour"
    first = (root / "1" / "model.onnx").read_bytes()
    tuned = (root / "config.pbtxt").read_text().replace("KIND_CPU", "KIND_GPU  # ours").replace("\n", "\n\n")
    (root / "config.pbtxt").write_text(tuned)
    report = load(pair[0], device="cpu").export(repository, triton=True, name="gray-to-colour", opset=18)
    assert report.path == root / "2" / "model.onnx"
    assert (root / "1" / "model.onnx").read_bytes() == first
    card = load(report.path, device="cpu").card
    assert card.model_copy(update={"footprint": None}) == load(pair[0], device="cpu").card
    assert (root / "config.pbtxt").read_text() == tuned
    assert sorted(path.name for path in root.iterdir()) == ["1", "2", "config.pbtxt"]
    with pytest.raises(ValueError, match=r"config\.pbtxt: the model there takes or gives something else"):
        load(pair[0], device="cpu").export(repository, triton=True, name="gray-to-colour", layout="nchw-float")
    assert sorted(path.name for path in root.iterdir()) == ["1", "2", "config.pbtxt"]


def test_names(tmp_path: Path, card: MakeCard) -> None:
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "config.json").write_text("{}")
    assert triton.default_name(card(), tmp_path / "my run" / "model.safetensors") == "my-run"
    assert triton.default_name(card(), tmp_path / "best one.safetensors") == "best-one"
    assert triton.default_name(card(model="outside:Abroad"), None) == "outside-Abroad"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--triton"], "missing FOLDER"),
        (["--triton=false"], "missing OUT.onnx"),
        (["served", "--triton=it"], "--triton got 'it': must be a valid boolean"),
        (["--triton", "out.onnx"], "out.onnx: --triton writes a folder, a model repository"),
        (["out.onnx", "--triton"], "out.onnx: --triton writes a folder, a model repository"),
        (["a-file", "--triton"], "a-file: --triton writes a folder"),
        (["served", "--triton", "--name", "a/b"], "--name got 'a/b': a model's name in Triton is of letters"),
        (["out.onnx", "--name", "b"], "--name is for --triton only"),
        (["out.onnx", "--triton-device", "gpu"], "--triton-device is for --triton only"),
        (["served"], "or --triton for a folder"),
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
    (tmp_path / "a-file").write_text("mine")
    assert main(["export", str(pair[0]), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
