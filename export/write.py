"""From a network to a checked ONNX file."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from translate.card import Card
from translate.export import real, storage, triton
from translate.export.contract import check_device, checks
from translate.export.graph import AXES, INPUT, LAYOUTS, Deployed, FromNoise, trace
from translate.export.options import ExportSettings
from translate.export.precision import PRECISIONS
from translate.export.report import Made, Report
from translate.fields import flag

if TYPE_CHECKING:
    import onnx

DEFAULTS = ExportSettings()


def export_model(
    network: nn.Module, card: Card, path: Path, *, settings: ExportSettings = DEFAULTS, model: Path | None = None
) -> Report:
    """Write `network` to `path` as one ONNX file, which is checked against PyTorch first.

    Input `image` `[N, H, W, Cs]` in the source's dtype, output `translated` `[N, H*s, W*s, Ct]` in the target's, for
    any N, H and W; in the layout nchw-float `[N, Cs, H, W]` and `[N, Ct, H*s, W*s]` float32 in [-1, 1]. Conditions
    are inputs as `Conditions.encode` returns them, in either layout: `label` `[N, classes]` float32, `tokens`
    `[N, length]` int64, `z` `[N, Z]` float32; of a model with noise planes `seed` `[N, 1]` int64, from which the graph
    makes them. Dropout is left out. The card, how the file was made and the figures of the check are in its
    metadata. Weights of more than 2 GB, which the format cannot hold, go to a second file beside it, called as the
    first with `.data` after it.

    Args:
        network: on the CPU in float32 and eval mode.
        card: its description.
        path: the file to write, or to replace; with `settings.triton` the folder of a model repository.
        settings: what is written, and what it is checked on.
        model: the file that the network came from: it gives a name, and pictures of its run to check with.

    Raises:
        ValueError: a library is missing, or the path, opset, precision or model cannot be exported.
        NotTheSame: the graph differs from the network by more than is allowed. Nothing is written.
        OSError: the file cannot be written, as on a full disk. One that was there stays.
    """
    path = Path(path)
    check_libraries()
    if unknown := set(card.inputs) - {INPUT, *card.conditions.inputs}:
        raise ValueError(
            f"{card.model} takes {', '.join(card.inputs)}, and its card does not say what {', '.join(unknown)} may be: "
            "models of a picture, label, text and z can be exported"
        )
    if card.source is None:
        _check_noise(card, settings)
    kind = LAYOUTS[settings.layout] if card.source else FromNoise
    deployed = kind(network, _of_graph(card)).eval()
    if settings.least_psnr is not None and deployed.output.kind == "labels":
        raise ValueError("--least-psnr is for pictures, and label maps have no PSNR: leave it out")
    place = None
    if settings.triton:
        place = triton.plan(path, deployed, name=settings.name, model=model, device=settings.triton_device)
    else:
        check_path(path)
    check_device(PRECISIONS[settings.precision], requested=settings.precision)
    pictures = real.choose(card, settings, model)

    work = place.work if place else path.parent
    try:
        with _folder(work, prefix=f".{path.stem[:40]}-") as folder:
            # under its final name, by which the graph refers to its second file
            file = Path(folder) / (triton.FILE if place else path.name)
            plain = _make(file, deployed, settings=settings, calibration=pictures.calibration)
            figures = tuple(checks(file, plain, deployed, real=pictures.checked(), settings=settings))
            made = Made(settings.layout, settings.precision, len(pictures.calibration.pictures))
            report = Report(path, made, figures, pictures.notes())
            storage.label(file, {**deployed.card.to_metadata(), **report.to_metadata()})
            if place:
                return replace(report, path=triton.publish(file, place))
            storage.move(file, path)
        return report
    except OSError as error:  # the error of a full disk has no name, or the temporary one
        raise OSError(f"{path}: could not be written: {error.strerror or error}") from error


def _of_graph(card: Card) -> Card:
    """The description of the graph of a model: it goes one way, and has no dropout."""
    seeds = tuple(name for name in card.conditions.seeds if name == "noise")
    conditions = card.conditions.model_copy(update={"seeds": seeds})
    return card.model_copy(update={"reversible": False, "conditions": conditions})


def _check_noise(card: Card, settings: ExportSettings) -> None:
    """
    Raises:
        ValueError: an option that is for models that take pictures.
    """
    for name in ("layout", "precision", "images", "calibration", "triton"):
        if getattr(settings, name) != ExportSettings.model_fields[name].default:
            raise ValueError(
                f"{flag(name)}: {card.model} makes pictures of noise, and such a model is exported in float32, noise "
                "in and pixels out, to a file alone: leave it out"
            )


def _make(file: Path, deployed: Deployed, *, settings: ExportSettings, calibration: real.Sample) -> Path:
    """Write the graph to `file`; returns the path of the graph in float32, which may be `file`."""
    precision = PRECISIONS[settings.precision]
    opset = settings.opset or precision.opset
    large = sum(t.numel() * t.element_size() for t in deployed.state_dict().values()) > storage.MAX_INLINE_BYTES
    with _opset_errors(settings.opset):
        trace(deployed, opset=opset).save(file, external_data=large)
        _finish(file, deployed, opset=opset)
    if precision.convert is None:
        return file
    plain = file.parent / "float32" / file.name
    plain.parent.mkdir()
    storage.move(file, plain)
    storage.save(storage.load(plain), file)
    with _opset_errors(settings.opset):
        precision.convert(file, (deployed.feed(picture[None]) for picture in calibration.pictures))
        _finish(file, deployed, opset=opset)
    return plain


@contextlib.contextmanager
def _opset_errors(opset: int | None) -> Iterator[None]:
    """Raises errors within the block as errors of `--opset`, if one was requested.

    If an operator set lacks an operator, the exporter and the checker fail without naming that as the cause.

    Raises:
        ValueError: the block fails and `opset` is given.
    """
    try:
        yield
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        if opset is None:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"--opset {opset}: this model cannot be written in it: {reason}: leave out --opset") from error


def _folder(work: Path, *, prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in `work`.

    Raises:
        ValueError: `work` cannot be made, or cannot be written to.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=work, prefix=prefix)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{work}: cannot be written to: a part of it is a file") from None
    except OSError as error:
        raise ValueError(f"{work}: cannot be written to: {error.strerror}") from None


def check_libraries() -> None:
    """Check that the libraries for export are installed.

    Raises:
        ValueError: one is missing; the message says what to install.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'exporting needs {", ".join(missing)}: pip install "translate-gan[onnx]"')


def check_path(path: Path) -> None:
    """Check that a model can be exported to `path`.

    Raises:
        ValueError: it is a folder, or its name does not end in .onnx.
    """
    if path.suffix.lower() != ".onnx":
        raise ValueError(
            f"{path}: an exported model is called .onnx: give a name like {path.stem or 'model'}.onnx, or --triton "
            "for a folder that NVIDIA Triton serves"
        )
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, and the exported model is a file")


def _finish(file: Path, deployed: Deployed, *, opset: int | None) -> None:
    """Clean the written graph, and check it with onnx."""
    import onnx

    proto = storage.load_graph(file)
    _check_opset(proto, opset)
    _clean(proto, deployed)
    proto.ir_version = ir_version(proto)
    onnx.save(proto, file)
    onnx.checker.check_model(file, full_check=True)


def _check_opset(proto: onnx.ModelProto, requested: int | None) -> None:
    (got,) = (entry.version for entry in proto.opset_import if entry.domain == "")
    if requested is not None and got != requested:  # the exporter keeps its own if it cannot convert, and only logs it
        raise ValueError(f"--opset {requested}: this model cannot be written in it, only in {got}: leave out --opset")


def ir_version(proto: onnx.ModelProto) -> int:
    """The version of the file format that came with the graph's operator set, so that runtimes of its time read it."""
    import onnx

    version: int = onnx.helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
    return version


def _clean(proto: onnx.ModelProto, deployed: Deployed) -> None:
    """Remove the exporter's metadata, which has paths of this machine, and name the dynamic dimensions."""
    graph = proto.graph
    image = [INPUT] if deployed.card.source else []
    assert [value.name for value in graph.input] == [*image, *deployed.card.conditions.fed]
    for piece in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, *proto.functions):
        piece.ClearField("metadata_props")
        piece.ClearField("doc_string")
    for holder in (graph, proto):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    graph.ClearField("value_info")  # inner shapes as long formulas; the runtime infers them
    if not image:
        graph.output[0].type.tensor_type.shape.dim[0].dim_param = AXES[0]
    for value, scale in ((graph.input[0], 1), (graph.output[0], deployed.card.scale)) if image else ():
        dimensions = value.type.tensor_type.shape.dim
        for axis, place in zip(AXES, deployed.axes, strict=True):
            dimensions[place].dim_param = axis if scale == 1 or axis == "batch" else f"{axis}_{scale}"
    for value in graph.input[len(image) :]:
        value.type.tensor_type.shape.dim[0].dim_param = AXES[0]
    graph.name = deployed.card.model
    proto.producer_name = "translate"
