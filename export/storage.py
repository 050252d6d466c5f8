"""Reading, writing and moving whole graphs of any size, and what is written on them. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - 2**27  # bytes of weights that still fit, with the graph, into one file of a format limited to 2 GB


def data_file(file: Path) -> Path:
    """Where the weights are that do not fit into `file`."""
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

    data_file(file).unlink(missing_ok=True)  # it would be added to
    large = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > LARGEST
    onnx.save(proto, file, save_as_external_data=large, location=data_file(file).name)


def label(file: Path, metadata: Mapping[str, str]) -> None:
    """Write the metadata of a file, in place of what it has."""
    import onnx

    proto = load_graph(file)
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.save(proto, file)


def move(file: Path, path: Path) -> None:
    """The weights first: until the graph follows, what lies under `path` is the former one or none."""
    for made, place in ((data_file(file), data_file(path)), (file, path)):
        if made.exists():
            with made.open("rb+") as written:
                os.fsync(written.fileno())
            made.replace(place)
