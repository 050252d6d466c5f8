"""From a model file to an exported one and back: the same pixels, all that is known of it, or nothing at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from translate.card import KEY, Card
from translate.cli import main
from translate.export import storage
from translate.export.metadata import read_metadata
from translate.export.options import ExportSettings
from translate.export.report import CHECK_KEY
from translate.export.verify import NotTheSame, textured
from translate.export.write import export_model, ir_version
from translate.images import ImageSpec
from translate.inference.translator import load, read_card

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]
Saved = Callable[[Path, Card], Path]
ROOT = Path(__file__).resolve().parents[2]


class DiffersAbroad(nn.Module):
    """What an exporter's fault would do: the graph is not what runs here."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.9 if torch.compiler.is_exporting() else x


def test_the_file_is_whole(pair: tuple[Path, Path]) -> None:
    _, exported = pair
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    (image,), (translated,) = model.graph.input, model.graph.output
    assert (image.name, translated.name) == ("image", "translated")
    for value, channels in ((image, 1), (translated, 3)):
        dims = value.type.tensor_type.shape.dim
        assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", "height", "width", channels]
        assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert not exported.with_name("model.onnx.data").exists()
    assert not [path for path in exported.parent.iterdir() if path.name.startswith(".")]


def test_it_says_what_it_is_and_how_near(pair: tuple[Path, Path]) -> None:
    """Read without onnx, against onnx."""
    file, exported = pair
    metadata = read_metadata(exported)
    assert metadata == {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert read_card(exported) == Card.from_metadata(metadata, path=exported)
    assert read_card(exported).model_copy(update={"footprint": None}) == read_card(file)
    assert read_card(exported).footprint == load(file, device="cpu").backend.strips.footprint
    assert json.loads(metadata[KEY])["step"] == 7
    check, *more = json.loads(metadata[CHECK_KEY])
    assert check["runtime"].endswith("in float32 on cpu")
    on_gpu = torch.cuda.is_available() and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert [other["runtime"].split()[-1] for other in more] == ["cuda:0"] * on_gpu
    assert check["largest"] <= 1
    assert {(1, 8, 8), (3, 33, 47)} <= {tuple(size) for size in check["sizes"]}


def test_it_tells_nothing_of_the_machine_it_was_made_on(pair: tuple[Path, Path]) -> None:
    content = pair[1].read_bytes()
    assert str(ROOT).encode() not in content
    assert b".py" not in content


def test_a_file_that_would_differ_is_not_kept(tmp_path: Path, card: MakeCard) -> None:
    (tmp_path / "out.onnx").write_bytes(b"the former one")
    with pytest.raises(NotTheSame, match="nothing was written"):
        export_model(DiffersAbroad().eval(), card(), tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
    assert (tmp_path / "out.onnx").read_bytes() == b"the former one"


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "size"), [("float32", 30_000), ("fp16", 15_000), ("int8", 8_000)])
def test_weights_too_large_for_the_format_go_beside_it(
    precision: str, size: int, tmp_path: Path, card: MakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are moved elsewhere before they are used."""
    monkeypatch.setattr(storage, "MAX_INLINE_BYTES", 1000)
    torch.manual_seed(0)
    network = nn.Conv2d(3, 3, 31, padding=15).eval().requires_grad_(False)
    photo = tmp_path / "photos" / "1.png"
    photo.parent.mkdir()
    Image.fromarray(textured(np.random.default_rng(1), card().taken, (1, 40, 40))[0]).save(photo)
    calibration = photo.parent if precision == "int8" else None
    settings = ExportSettings(precision=precision, calibration=calibration)
    export_model(network, card(), tmp_path / "made" / "out.onnx", settings=settings)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["out.onnx", "out.onnx.data"]
    assert (tmp_path / "made" / "out.onnx.data").stat().st_size > size > (tmp_path / "made" / "out.onnx").stat().st_size
    (tmp_path / "made").rename(tmp_path / "moved")
    picture = textured(np.random.default_rng(0), card().taken, (1, 20, 30))[0]
    with torch.inference_mode():
        values = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1).clamp(-1, 1)
    expected = ((values[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    off = np.abs(load(tmp_path / "moved" / "out.onnx", device="cpu")(picture) - expected).max()
    assert off < {"float32": 0.51, "fp16": 0.6, "int8": 4}[precision]
    (tmp_path / "moved" / "out.onnx.data").unlink()
    with pytest.raises(ValueError, match="ONNX Runtime cannot open it"):
        load(tmp_path / "moved" / "out.onnx", device="cpu")


@pytest.mark.slow
def test_the_command_at_an_older_opset(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "old.onnx"
    assert main(["export", str(pair[0]), str(out), "--opset", "17"]) == 0
    written = capsys.readouterr()
    assert "of 255 levels" in written.out
    assert "PSNR" in written.out or "equal" in written.out
    assert written.err == ""
    made = onnx.load(out)
    assert [entry.version for entry in made.opset_import if entry.domain == ""] == [17]
    assert made.ir_version == 8  # all that ONNX Runtime 1.16 reads is up to 9


RELEASED = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}  # operator set -> file format, of one release of ONNX


@pytest.mark.parametrize(("opset", "format"), RELEASED.items())
def test_the_file_format_is_that_of_the_operator_set(opset: int, format: int) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    imports = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("of.somebody", 1)]
    assert ir_version(onnx.helper.make_model(graph, opset_imports=imports, ir_version=12)) == format


def test_the_file_format_of_the_default_is_not_newer(pair: tuple[Path, Path]) -> None:
    made = onnx.load(pair[1])
    (opset,) = (entry.version for entry in made.opset_import if entry.domain == "")
    assert made.ir_version == RELEASED[opset]


class Halved(nn.Module):
    """A convolution of bfloat16, which came with operator set 22."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, dtype=torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x.to(torch.bfloat16)).float())


def test_an_operator_set_that_a_model_cannot_have_is_a_line(card: MakeCard, tmp_path: Path) -> None:
    network = Halved().eval().requires_grad_(False)
    with pytest.raises(ValueError, match=r"^--opset 17: this model cannot be written in it"):
        export_model(network, card(), tmp_path / "out.onnx", settings=ExportSettings(opset=17))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="--opset 17 has no bf16, which came with 22"):
        ExportSettings.make({"opset": 17, "precision": "bf16"})


def test_the_command_ends_with_1_where_the_pixels_differ(
    saved: Saved, card: MakeCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside.py").write_text(
        "import torch\n"
        "from translate.models.pix2pix import Pix2Pix\n"
        "class Abroad(Pix2Pix):\n"
        "    def forward(self, image):\n"
        "        return image * 0.9 if torch.compiler.is_exporting() else image\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    small = {"width": 4, "depth": 2, "discriminator_width": 4, "patch": 16}
    file = saved(tmp_path / "model.safetensors", card(model="outside:Abroad", settings=small))
    assert main(["export", str(file), str(tmp_path / "out.onnx"), "--allow", "outside:Abroad"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("translate: nothing was written")
    assert not (tmp_path / "out.onnx").exists()
    sys.modules.pop("outside")


@pytest.mark.slow
def test_the_other_way_of_a_model_of_both(saved: Saved, card: MakeCard, spec: MakeSpec, tmp_path: Path) -> None:
    small = {"width": 4, "depth": 1, "discriminator_width": 4, "patch": 16, "generator": "resnet", "blocks": 1}
    both = card(spec(3), spec(3), model="cyclegan", settings=small, reversible=True)
    file = saved(tmp_path / "model.safetensors", both)
    assert main(["export", str(file), str(tmp_path / "back.onnx"), "--direction", "BtoA"]) == 0
    t = load(tmp_path / "back.onnx", device="cpu", direction="BtoA")
    assert (t.card.direction, t.card.reversible) == ("BtoA", False)
    picture = textured(np.random.default_rng(0), both.taken, (1, 25, 38))[0]
    there, back = (load(file, device="cpu", direction=way)(picture).astype(int) for way in ("AtoB", "BtoA"))
    assert np.abs(t(picture) - back).max() <= 1
    assert np.abs(there - back).max() > 20
    with pytest.raises(ValueError, match=r"back\.onnx goes BtoA alone.*translate export --direction AtoB"):
        load(tmp_path / "back.onnx", direction="AtoB")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing MODEL OUT.onnx"),
        (["{file}"], "missing OUT.onnx"),
        (["{file}", "out.onx"], "out.onx: an exported model is called .onnx"),
        (["{file}", "{folder}"], "is a folder"),
        (["{file}", "{file}/out.onnx"], "cannot be written to: a part of it is a file"),
        (["{file}", "out.onnx", "more"], "unexpected more"),
        (["{file}", "out.onnx", "--opset", "16"], "--opset got '16': must be greater than or equal to 17"),
        (["{file}", "out.onnx", "--opset", "new"], "--opset got 'new': must be a valid integer"),
        (["{file}", "out.onnx", "--opest", "18"], 'did you mean "--opset"'),
        (["{file}", "out.onnx", "--direction", "BtoA"], "was trained one way"),
        (["{exported}", "out.onnx"], "exported already"),
        (["nothing", "out.onnx"], "nothing: no such model file or run folder"),
    ],
)
def test_wrong_use_ends_in_a_line(
    words: list[str],
    message: str,
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    names = {"file": pair[0], "exported": pair[1], "folder": tmp_path / "folder.onnx"}
    assert main(["export", *(word.format(**names) for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_what_cannot_be_exported_from_python(pair: tuple[Path, Path], tmp_path: Path, card: MakeCard) -> None:
    with pytest.raises(ValueError, match="float32 weights"):
        load(pair[0], device="cpu", precision="bfloat16").export(tmp_path / "out.onnx")
    with pytest.raises(ValueError, match=r"this model goes AtoB: give direction='BtoA' to translate\.load"):
        load(pair[0], device="cpu").export(tmp_path / "out.onnx", direction="BtoA")
    with pytest.raises(ValueError, match="takes image, label"):
        export_model(nn.Identity(), card(inputs=("image", "label")), tmp_path / "out.onnx")


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named(
    library: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # what makes `import` of it fail
    with pytest.raises(ValueError, match=rf'needs {library}: pip install "translate-gan\[onnx\]"'):
        load(pair[0], device="cpu").export(tmp_path / "out.onnx")


@pytest.mark.slow
def test_a_run_is_checked_on_its_own_pictures_and_on_those_that_are_given(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of the run's, which it finds by itself; then one that is given in their place."""
    rng = np.random.default_rng(0)
    for name in ("data/train/A/1", "data/train/A/2", "data/train/B/1", "data/train/B/2", "photo"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 30 if name == "photo" else 24
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"data": str(tmp_path / "data")}}))
    (tmp_path / "model.safetensors").write_bytes(pair[0].read_bytes())
    assert main(["export", str(tmp_path), str(tmp_path / "a.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "2 real pictures" in shown
    (check,) = json.loads(read_metadata(tmp_path / "a.onnx")[CHECK_KEY])
    assert [1, 24, 24] in check["sizes"]
    words = ["export", str(tmp_path), str(tmp_path / "a.onnx"), "--images", str(tmp_path / "photo.png")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "1 real picture;" in shown
    (check,) = json.loads(read_metadata(tmp_path / "a.onnx")[CHECK_KEY])
    assert [1, 30, 30] in check["sizes"]
    assert [1, 24, 24] not in check["sizes"]
    assert str(tmp_path).encode() not in (tmp_path / "a.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, as Unix has")
def test_a_full_disk_is_told_with_the_files_name(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        code = main(["export", str(pair[0]), str(tmp_path / "out.onnx")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"translate: {tmp_path / 'out.onnx'}: could not be written: ")
    assert not list(tmp_path.iterdir())
