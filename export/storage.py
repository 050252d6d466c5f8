"""Reads, writes and moves ONNX files of any size, and sets their metadata. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

MAX_INLINE_BYTES = 2**31 - 2**27  # of weights that fit with the graph into one file, which the format limits to 2 GB


def data_file(file: Path) -> Path:
    """The file of weights that do not fit into `file`."""
    return file.with_name(f"{file.name}.data")


def load(file: Path) -> onnx.ModelProto:
    """The graph with all its weights in memory."""
    import onnx

    return onnx.load(file)


def load_graph(file: Path) -> onnx.ModelProto:
    """The graph without the weights of a second file."""
    import onnx

    return onnx.load(file, load_external_data=False)


def save(proto: onnx.ModelProto, file: Path) -> None:
    """Write a graph whose weights are all in memory: one file, or two where the format cannot hold them in one."""
    import onnx

    data_file(file).unlink(missing_ok=True)  # onnx would append to it
    large = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > MAX_INLINE_BYTES
    onnx.save(proto, file, save_as_external_data=large, location=data_file(file).name)


def label(file: Path, metadata: Mapping[str, str]) -> None:
    """Replace the metadata of a file."""
    import onnx

    proto = load_graph(file)
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.save(proto, file)


def move(file: Path, path: Path) -> None:
    """Move the weights, then the graph, so that `path` is the former file or none until both are moved."""
    for made, place in ((data_file(file), data_file(path)), (file, path)):
        if made.exists():
            with made.open("rb+") as written:
                os.fsync(written.fileno())
            made.replace(place)
