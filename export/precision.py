"""Table of precisions. A new one is a line here. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from translate.conditions import Arrays
from translate.export.half import lower
from translate.export.quantize import quantize
from translate.export.verify import EXACT, Tolerance
from translate.tables import Table


@dataclass(frozen=True)
class Precision:
    """Number format inside a graph: how a file is converted to it, and how close the result has to be."""

    summary: str
    tolerance: Tolerance
    convert: Callable[[Path, Iterable[Arrays]], None] | None = None  # rewrites a float32 file; None: no change
    calibrated: bool = False  # `convert` gets inputs of the graph for pictures; else none
    device: str = "cpu"  # kind that runs it, so that it can be checked
    opset: int | None = None  # the oldest that supports it; None: any


PRECISIONS: Table[Precision] = Table(
    "precision",
    {
        "float32": Precision("as trained", EXACT),
        "fp16": Precision("16-bit floats", Tolerance(45, changed=0.01), partial(lower, kind="FLOAT16")),
        "bf16": Precision(
            "16-bit floats of wide range, for GPUs",
            Tolerance(35, changed=0.02),
            partial(lower, kind="BFLOAT16"),
            device="cuda",
            opset=22,
        ),
        "int8": Precision("8-bit convolutions", Tolerance(30, changed=0.05), quantize, calibrated=True),
    },
)
"""By the names of `--precision`."""
