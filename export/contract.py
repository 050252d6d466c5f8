"""Checks a file that was just exported on every device that can run it here."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from translate.conditions import Arrays
from translate.export import storage
from translate.export.graph import OUTPUT, Deployed
from translate.export.options import ExportSettings
from translate.export.pictures import textured
from translate.export.precision import PRECISIONS, Precision
from translate.export.session import Opened, open_session
from translate.export.verify import Check, NotTheSame, Run, Tolerance, not_finite, trials, verify

TIMED_RUNS = 5  # of each file, in turn; the median counts

REVEALED = "before_rounding"  # the output with the values before rounding
ROUNDING = {"Clip", "ArgMax", "ArgMin"}  # the first step from values to pixels, of pictures and of label maps
AFTER_ROUNDING = {"Add", "Cast", "Mul", "Round", "Reshape", "Transpose", "Unsqueeze"}  # steps from there to the output
NO_DATA = {"Where"}  # sets no-data pixels; its inputs are condition, value, pixels
PALETTE = {"Gather", "GatherND"}  # looks colours up by index

FORCED = Tolerance(psnr=0, changed=1)  # with --force; NaN and infinity fail all the same


def checks(
    file: Path, plain: Path, deployed: Deployed, *, real: Sequence[np.ndarray], settings: ExportSettings
) -> Iterator[Check]:
    """One check on the CPU, if it runs the precision, and one on a GPU, if there is one.

    The reference is PyTorch on the CPU, in float32 throughout; TF32 is off on a GPU.

    Args:
        plain: the same graph in float32; `file` itself, if that is what it is.
        real: pictures `[H, W, Cs]` of the source's dtype.

    Raises:
        NotTheSame: the file differs more than its precision, or `settings`, allow.
    """
    import onnxruntime

    card, precision = deployed.card, PRECISIONS[settings.precision]
    timed = (
        np.arange(1) if card.source is None else textured(np.random.default_rng(1), card.source, (1, *card.source_size))
    )
    for opened in _devices(file, precision, requested=settings.precision):
        try:
            if plain != file:
                _check_finite(file, deployed, real=real, device=opened.device)
            check = verify(
                _runner(opened, deployed),
                deployed.run,
                card,
                names=(
                    f"onnxruntime {onnxruntime.__version__} in {settings.precision} on {opened.device}",
                    f"torch {torch.__version__} in float32 on cpu",
                ),
                output=deployed.output,
                real=real,
                random=not precision.calibrated,
                tolerance=_tolerance(precision, settings),
            )
        except NotTheSame as error:
            raise NotTheSame(f"{error}{_advice(deployed, settings)}") from None
        if plain != file:
            whole = open_session(plain, device=opened.device)
            check = replace(check, speed=_times_as_fast(opened, whole, deployed.feed(timed)))
        yield check


def _check_finite(file: Path, deployed: Deployed, *, real: Sequence[np.ndarray], device: str) -> None:
    """Check that the values inside a reduced-precision file are finite before rounding, which hides NaN.

    Raises:
        NotTheSame: one is NaN or infinite.
    """
    inside = file.with_name(f"inside-{file.name}")
    if not reveal(file, inside):
        return
    session = open_session(inside, device=device).session
    for pictures, _ in trials(deployed.card, real=real):
        (values,) = session.run([REVEALED], deployed.feed(pictures))
        if not np.isfinite(values).all():
            raise not_finite("the file", f"for pictures {list(pictures.shape)}: use --precision float32")
    inside.unlink()


def reveal(file: Path, path: Path) -> bool:
    """Write the graph of `file` to `path`, in the same folder, with the values before rounding as its only output.

    Returns False and writes nothing if the graph does not round.
    """
    import onnx

    proto = storage.load_graph(file)
    graph = proto.graph
    made_by = {output: node for node in graph.node for output in node.output}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type not in ROUNDING:
        known = node.op_type in AFTER_ROUNDING | PALETTE | NO_DATA
        names = reversed(node.input[1:]) if node.op_type in NO_DATA else node.input
        node = next((made_by[name] for name in names if name in made_by), None) if known else None
    if node is None:
        return False
    graph.node.append(onnx.helper.make_node("Cast", [node.input[0]], [REVEALED], to=onnx.TensorProto.FLOAT))
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(REVEALED, onnx.TensorProto.FLOAT, None))
    onnx.save(proto, path)
    return True


def check_device(precision: Precision, *, requested: str) -> None:
    """Check that a device here can run a precision; `requested`: its name in `--precision`.

    Raises:
        ValueError: none can, with the reason.
    """
    if precision.device == "cpu":
        return
    from onnx import TensorProto, helper, save

    with tempfile.TemporaryDirectory() as folder:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [result])
        save(helper.make_model(graph, ir_version=8), Path(folder) / "tried.onnx")
        try:
            open_session(Path(folder) / "tried.onnx", device=precision.device)
        except ValueError as error:
            reason = str(error).split("; `auto`")[0]
            raise ValueError(
                f"--precision {requested}: ONNX Runtime's CPU cannot run it, and a file is checked before it is kept: "
                f"{reason}; fp16 can be checked here"
            ) from None


def _tolerance(precision: Precision, settings: ExportSettings) -> Tolerance:
    if settings.force:
        return FORCED
    if settings.least_psnr is not None:
        return replace(precision.tolerance, psnr=settings.least_psnr)
    return precision.tolerance


def _advice(deployed: Deployed, settings: ExportSettings) -> str:
    """Advice for a file that differs too much; empty where it should have been equal."""
    precision = PRECISIONS[settings.precision]
    tolerance = _tolerance(precision, settings)
    if tolerance.psnr is None:
        return ""
    pictures = "more and other --calibration pictures may help, " if precision.calibrated else ""
    if deployed.output.kind == "labels":
        limit, less = f"change {tolerance.changed:.0%} of the pixels at most", ""
    else:
        limit, less = f"reach {tolerance.psnr:g} dB", "--least-psnr asks for less, "
    return f". --precision {settings.precision} has to {limit}: {pictures}{less}--force writes it all the same"


def _devices(file: Path, precision: Precision, *, requested: str) -> Iterator[Opened]:
    if precision.device == "cpu":
        yield open_session(file, device="cpu")
    try:
        opened = open_session(file, device="cuda")
    except ValueError as error:
        if precision.device == "cpu":  # no GPU can be used
            return
        reason = str(error).removeprefix(f"{file}: ")
        raise ValueError(f"--precision {requested}: this model cannot be run in it here: {reason}") from None
    yield opened


def _runner(opened: Opened, deployed: Deployed) -> Run:
    def run(images: np.ndarray) -> np.ndarray:
        (result,) = opened.session.run([OUTPUT], deployed.feed(images))
        assert isinstance(result, np.ndarray)
        return result

    return run


def _times_as_fast(opened: Opened, other: Opened, feed: Arrays) -> float:
    """Speed relative to `other`, by the medians of alternating runs."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + TIMED_RUNS):  # the first warms up
        for each, taken in zip((opened, other), seconds, strict=True):
            start = time.perf_counter()
            each.session.run([OUTPUT], feed)
            taken.append(time.perf_counter() - start)
    own, others = (statistics.median(taken[1:]) for taken in seconds)
    return others / own
