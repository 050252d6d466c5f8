"""The flags, which every part reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from translate.fields import Settings


class Flags(Settings):
    """What a GPU shows in a few minutes: where the time of a step goes, feeding, trainings, an exported file, tests."""

    minutes: float = Field(8.5, gt=0, description="time for all parts together")
    out: Path = Field(Path("gpu-results"), description="folder for tables, figures and pages")
    pairs: Path | None = Field(
        None, description="folder of pairs as `python -m benchmarks.gpu.carry` writes it (default: made-up pictures)"
    )
    unpaired: Path | None = Field(None, description="the same without pairs, for --best (default: made-up pictures)")
    direction: Literal["AtoB", "BtoA"] = Field("BtoA", description="direction of --pairs")
    best: str = Field("cut", description='the second training: a model, then settings, as in "cut lambda_nce=2"')
    precision: Literal["float32", "bfloat16"] = Field("float32", description="precision of both trainings")
    only: str | None = Field(None, description="names of the parts to run, with commas between (default: all)")
    quick: bool = Field(False, description="toy sizes and made-up pictures: to see that every part runs")
    isolate: bool = Field(True, description="each part in a process of its own, which a crash or a hang ends alone")
    device: str = Field("auto", description="auto (CUDA, then CPU), cpu, cuda or cuda:1")

    @model_validator(mode="after")
    def _folders(self) -> Self:
        for path in (self.pairs, self.unpaired):
            if path is not None and not path.is_dir():
                raise ValueError(f"no folder {path}")
        return self

    @property
    def size(self) -> int:
        """Pixels of a side of what the networks see."""
        return 32 if self.quick else 256

    @property
    def width(self) -> int:
        """Channels of the first layer of the networks."""
        return 4 if self.quick else 64
