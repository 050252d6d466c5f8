"""How a model is exported: what `translate export --help` lists. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from translate.settings import Settings

OLDEST_OPSET, NEWEST_OPSET = 17, 24  # that were tried


class ExportSettings(Settings):
    """The options of `translate export`."""

    opset: int | None = Field(
        None,
        ge=OLDEST_OPSET,
        le=NEWEST_OPSET,
        description="ONNX operator set of the file (default: the exporter's own choice)",
    )
    direction: Literal["AtoB", "BtoA"] | None = Field(
        None,
        description="way to go, for models that were trained both ways: as --direction was in training (default), "
        "or the reverse",
    )
