"""What a graph has before it rounds, made an output of its own. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from translate.export import storage

REVEALED = "before_rounding"
ROUNDING = {
    "Clip",
    "ArgMax",
    "ArgMin",
}  # the first step from the network's values to pixels, of pictures and of label maps
AFTERWARDS = {"Add", "Cast", "Mul", "Round", "Reshape", "Transpose", "Unsqueeze"}  # steps from there to the output
NO_DATA = {"Where"}  # is put in: condition, its value, the pixels
COLOURS = {"Gather", "GatherND"}  # of a palette, by places


def reveal(file: Path, path: Path) -> bool:
    """Write the graph of `file` to `path`, in the same folder, giving its network's float values alone as `REVEALED`.

    False, and nothing is written, where it rounds nothing: what it gives are the values.
    """
    import onnx

    proto = storage.load_graph(file)
    graph = proto.graph
    made_by = {output: node for node in graph.node for output in node.output}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type not in ROUNDING:
        known = node.op_type in AFTERWARDS | COLOURS | NO_DATA
        names = reversed(node.input[1:]) if node.op_type in NO_DATA else node.input
        node = next((made_by[name] for name in names if name in made_by), None) if known else None
    if node is None:
        return False
    graph.node.append(onnx.helper.make_node("Cast", [node.input[0]], [REVEALED], to=onnx.TensorProto.FLOAT))
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(REVEALED, onnx.TensorProto.FLOAT, None))
    onnx.save(proto, path)
    return True
