"""Settings of `translate inspect`. Imports no torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from translate.fields import Settings, check_suffix
from translate.settings import DataSettings

with warnings.catch_warnings():
    # pydantic's old name for `model_dump_json`; the flag is called --json as everywhere
    warnings.filterwarnings("ignore", message='Field name "json" in "InspectSettings"')

    class InspectSettings(Settings):
        """What is written, and what is tried."""

        kind: Literal["auto", "pairs", "unpaired", "domains", "targets"] = Field(
            "auto", description="what the pictures are read as: auto (as their layout says), pairs, unpaired, ..."
        )
        all: bool = Field(False, description="name every file of a finding, not the first few")
        json: Path | None = Field(None, description="write everything that was found to this JSON file")  # type: ignore[assignment]
        html: Path | None = Field(None, description="write a page with pictures to this file; it needs no network")
        sheet: Path | None = Field(
            None, description="write one page of pictures, spread over the set, to this PNG file"
        )
        near_duplicates: bool = Field(True, description="look for pictures that were saved again, or nearly so")
        check_pairs: bool = Field(
            True, description="look for pairs that are exchanged, shifted, or do not belong together"
        )
        try_steps: int = Field(
            3, ge=0, le=1000, description="real training steps that are timed, after one to warm up; 0 for none"
        )
        device: str = Field("auto", description="of these steps: auto (CUDA, then MPS, then CPU), cpu, cuda or mps")

        @field_validator("sheet")
        @classmethod
        def _png(cls, value: Path | None) -> Path | None:
            return check_suffix(value, ".png")

        @field_validator("html")
        @classmethod
        def _html(cls, value: Path | None) -> Path | None:
            return check_suffix(value, ".html", ".htm")

        @field_validator("json")
        @classmethod
        def _json(cls, value: Path | None) -> Path | None:
            return check_suffix(value, ".json")

        def unused(self) -> dict[str, str]:
            return super().unused() | ({} if self.try_steps else {"device": "with --try-steps 0"})


class InspectedData(DataSettings):
    """The pictures, as in training."""

    strict: bool = Field(False, description="exit code 1 if anything was found")


ONLY_IN_STEPS = (
    "load_size",
    "val_crop",
    "flip_vertical",
    "rotate",
    "zoom",
    "photometric",
    "source_one_hot",
    "target_one_hot",
    "cache",
)
"""Settings of the pictures that decide nothing but how long a step takes."""
