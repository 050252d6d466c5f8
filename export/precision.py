"""The table of precisions. A new one is a line here. Imports no torch."""

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
    """The numbers inside a graph: how they are brought there, and how near the result has to be."""

    summary: str
    tolerance: Tolerance
    convert: Callable[[Path, Iterable[Arrays]], None] | None = None  # rewrites a float32 file; None: it stays
    calibrated: bool = False  # `convert` is given what the graph takes for pictures; else nothing
    device: str = "cpu"  # the first kind that runs it, so that it can be checked
    opset: int | None = None  # the oldest that has it; None: any


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
