"""From a network to a checked ONNX file."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from translate.card import Card
from translate.export.graph import AXES, INPUT, OUTPUT, Deployed, trace
from translate.export.session import open_session
from translate.export.verify import Check, Run, verify

if TYPE_CHECKING:
    import onnx

CHECK_KEY = "translate.check"  # the metadata entry with the figures of the contract
LARGEST = 2**31 - 2**27  # bytes of weights that still fit, with the graph, into one file of a format limited to 2 GB


def export_model(network: nn.Module, card: Card, path: Path, *, opset: int | None = None) -> Check:
    """Write `network` to `path` as one ONNX file, checked against PyTorch before it takes its place.

    Input `image` `[N, H, W, Cs]` in the source's dtype, output `translated` `[N, H*s, W*s, Ct]` in the target's, for
    any N, H and W. The card and the figures of the check are in its metadata. Weights of more than 2 GB, which the
    format cannot hold, go to a second file beside it, called as the first with `.data` after it.

    Args:
        network: on the CPU in float32 and eval mode.
        card: what it is.
        opset: ONNX operator set; None for the exporter's own choice.

    Raises:
        ValueError: a library is missing, or the path, opset or model is none that can be exported.
        NotTheSame: the graph differs from the network by more than is allowed. Nothing is written.
    """
    path = Path(path)
    check_libraries()
    check_path(path)
    if card.inputs != ("image",):
        raise ValueError(f"{card.model} takes {', '.join(card.inputs)}: models of a picture alone can be exported")

    import onnx
    import onnxruntime

    card = card.model_copy(update={"reversible": False})  # a model of both ways is exported one way
    deployed = Deployed(network, card).eval()
    large = sum(t.numel() * t.element_size() for t in network.state_dict().values()) > LARGEST
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem[:40]}-") as folder:
        file = Path(folder) / path.name  # under its own name, which the graph has for its second file
        trace(deployed, opset=opset).save(file, external_data=large)
        proto = onnx.load(file, load_external_data=False)
        _check_opset(proto, opset)
        _clean(proto, card)
        onnx.save(proto, file)
        onnx.checker.check_model(file, full_check=True)
        names = (f"onnxruntime {onnxruntime.__version__} on cpu", f"torch {torch.__version__} on cpu")
        check = verify(_runner(file), deployed.run, card, names=names)
        onnx.helper.set_model_props(proto, {**card.to_metadata(), CHECK_KEY: json.dumps(check.to_json())})
        onnx.save(proto, file)
        _move(file, path)
    return check


def _runner(file: Path) -> Run:
    session = open_session(file, device="cpu").session

    def run(images: np.ndarray) -> np.ndarray:
        (result,) = session.run([OUTPUT], {INPUT: images})
        assert isinstance(result, np.ndarray)
        return result

    return run


def check_libraries() -> None:
    """Whether all that exporting needs is there.

    Raises:
        ValueError: it is not; says what to install.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'exporting needs {", ".join(missing)}: pip install "translate-gan[onnx]"')


def check_path(path: Path) -> None:
    """Whether a model can be exported to `path`.

    Raises:
        ValueError: it is a folder, or its name does not end in .onnx.
    """
    if path.suffix.lower() != ".onnx":
        raise ValueError(f"{path}: an exported model is called .onnx: give a name like {path.stem or 'model'}.onnx")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, and the exported model is a file")


def _check_opset(proto: onnx.ModelProto, asked: int | None) -> None:
    (got,) = (entry.version for entry in proto.opset_import if entry.domain == "")
    if asked is not None and got != asked:  # the exporter keeps its own where it cannot convert, and only logs it
        raise ValueError(f"--opset {asked}: this model cannot be written in it, only in {got}: leave out --opset")


def _clean(proto: onnx.ModelProto, card: Card) -> None:
    """Without the exporter's traces of this machine's folders, and with names for what any size may be."""
    graph = proto.graph
    for piece in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, *proto.functions):
        piece.ClearField("metadata_props")
        piece.ClearField("doc_string")
    for holder in (graph, proto):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    graph.ClearField("value_info")  # the inner shapes, in terms that nobody reads; the runtime works them out
    for value, scale in ((graph.input[0], 1), (graph.output[0], card.scale)):
        for axis, dimension in zip(AXES, value.type.tensor_type.shape.dim, strict=False):
            dimension.dim_param = axis if scale == 1 or axis == "batch" else f"{axis}_{scale}"
    graph.name = card.model
    proto.producer_name = "translate"


def _move(file: Path, path: Path) -> None:
    """The weights first: until the graph follows, what lies under `path` is the former one or none."""
    data = file.with_name(f"{file.name}.data")
    for made, place in ((data, path.with_name(data.name)), (file, path)):
        if made.exists():
            with made.open("rb+") as written:
                os.fsync(written.fileno())
            made.replace(place)
