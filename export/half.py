"""Converts convolutions of a graph, and layers between them, to 16-bit floats. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from translate.conditions import Arrays
from translate.export import storage

if TYPE_CHECKING:
    import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")
LOWERED = (*CONVOLUTIONS, "Relu", "LeakyRelu", "Concat", "Add", "Gather", "Slice", "Pad", "Resize")
"""Norms are not among them: a sum of squares soon exceeds 65,504, the largest 16-bit float."""

ALWAYS_FLOAT32 = {"Resize": (1, 2)}  # indices of inputs that the operator defines as float32: regions and factors


def lower(file: Path, _: Iterable[Arrays], *, kind: str) -> None:
    """Rewrite `file` with numbers of `kind`, a type of `onnx.TensorProto`, from the first convolution to the last.

    Scaling, norms, tanh and rounding stay in float32, and so do input and output: 16-bit pixels do not fit into
    16-bit floats. Weights outside the range are clipped.
    """
    import onnx

    low, high = getattr(onnx.TensorProto, kind), onnx.TensorProto.FLOAT
    graph_types = onnx.shape_inference.infer_shapes(storage.load_graph(file)).graph
    proto = storage.load(file)
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    typed = (*graph_types.input, *graph_types.output, *graph_types.value_info)
    floats = {value.name for value in typed if value.type.tensor_type.elem_type == high}
    floats |= {name for name, tensor in weights.items() if tensor.data_type == high}
    chosen = _between_convolutions(graph)
    now_low: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    copies: dict[tuple[str, int], str] = {}

    def as_type(name: str, wanted: int) -> str:
        """Name of this value in the wanted type; adds a cast, or a copy of a weight, at its first use."""
        if wanted == (low if name in now_low else high):
            return name
        if (name, wanted) not in copies:
            copy = f"{name}_as_{onnx.TensorProto.DataType.Name(wanted).lower()}"
            copies[name, wanted] = copy
            if name in weights:
                graph.initializer.append(_converted(weights[name], low, name=copy))
            else:
                nodes.append(onnx.helper.make_node("Cast", [name], [copy], to=wanted, name=f"cast_{copy}"))
        return copies[name, wanted]

    for index, node in enumerate(graph.node):
        for place, name in enumerate(node.input):
            if name in floats:
                lowered = index in chosen and place not in ALWAYS_FLOAT32.get(node.op_type, ())
                node.input[place] = as_type(name, low if lowered else high)
        nodes.append(node)
        if index in chosen:
            now_low.update(node.output)
    for output in graph.output:
        if output.name in now_low:
            producer = next(node for node in nodes if output.name in node.output)
            inner = f"{output.name}_inside"
            for node in nodes:
                node.input[:] = [inner if name == output.name else name for name in node.input]
            producer.output[:] = [inner if name == output.name else name for name in producer.output]
            nodes.append(onnx.helper.make_node("Cast", [inner], [output.name], to=high, name=f"cast_{output.name}"))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    storage.save(proto, file)


def _between_convolutions(graph: onnx.GraphProto) -> set[int]:
    """Indices of the nodes to convert: convolutions, and nodes between two of them."""
    behind: set[str] = set()  # values that depend on a convolution
    after = set()
    for index, node in enumerate(graph.node):
        if node.op_type in CONVOLUTIONS or behind.intersection(node.input):
            behind.update(node.output)
            after.add(index)
    ahead: set[str] = set()  # values that a convolution depends on
    before = set()
    for index, node in reversed(list(enumerate(graph.node))):
        if node.op_type in CONVOLUTIONS or ahead.intersection(node.output):
            ahead.update(node.input)
            before.add(index)
    fixed = {tensor.name for tensor in graph.initializer}  # weights, and values that do not depend on the picture
    fixed.update(value.name for value in graph.input[1:])  # conditions
    for node in graph.node:
        if fixed.issuperset(node.input):
            fixed.update(node.output)
    return {index for index in after & before if _can_be_low(graph.node[index], fixed)} | {
        index for index, node in enumerate(graph.node) if node.op_type in CONVOLUTIONS
    }


def _can_be_low(node: onnx.NodeProto, fixed: set[str]) -> bool:
    """An `Add` of a value that does not depend on the picture is a norm's shift; a residual block adds two that do."""
    return node.op_type in LOWERED and not (node.op_type == "Add" and fixed.intersection(node.input))


def _converted(tensor: onnx.TensorProto, kind: int, *, name: str) -> onnx.TensorProto:
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    values = onnx.numpy_helper.to_array(tensor)
    if kind == onnx.TensorProto.FLOAT16:
        values = values.clip(np.finfo(np.float16).min, np.finfo(np.float16).max)
    return onnx.numpy_helper.from_array(values.astype(dtype), name)
