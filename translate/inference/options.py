"""How a model is loaded and a folder converted: what `translate convert --help` lists. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from translate.images import format_for
from translate.settings import Settings
from translate.tables import closest

WORDS = ("auto", "none")
"""What may stand for a size of tiles."""


class LoadSettings(Settings):
    """Where and how precisely the network runs; the options of `translate.load`."""

    device: str = Field(
        "auto",
        description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps; of an .onnx file also tensorrt, "
        "tensorrt:1, and no mps",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="autocast type of the network: bfloat16 is faster on new hardware, and less exact",
    )
    direction: Literal["AtoB", "BtoA"] | None = Field(
        None,
        description="way to go, for models that were trained both ways: as --direction was in training (default), "
        "or the reverse",
    )
    engines: Path | None = Field(
        None,
        description="with --device tensorrt: folder for its engines (default: $TRANSLATE_ENGINES, or in the user's "
        "cache folder)",
    )
    tile: int | Literal["auto"] | None = Field(
        "auto",
        description="how pictures go through that do not fit in memory: auto (in the largest pieces that fit), none "
        "(they fail), or the side in pixels of the tiles that all larger pictures are cut into",
    )

    @field_validator("tile", mode="before")
    @classmethod
    def _pixels(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and value not in WORDS and not value.isdecimal()):
            raise ValueError(f"give auto, none, or a number of pixels like 512{closest(str(value), WORDS)}")
        return None if value == "none" else value


class ConvertSettings(Settings):
    """What is converted, and how it is written; the options of `Translator.convert`."""

    recursive: bool = Field(True, description="go into sub-folders and mirror them")
    format: str | None = Field(
        None, description="file type of every output: png, jpg, tiff, webp, ... (default: that of its input)"
    )
    quality: int = Field(95, ge=1, le=100, description="quality of JPEG and WebP outputs")
    overwrite: bool = Field(False, description="replace outputs that exist already (default: they are skipped)")
    in_place: bool = Field(
        False, description="allow outputs to replace the inputs they are made from; there is no way back"
    )
    keep_alpha: bool = Field(True, description="carry transparency over to the outputs")
    keep_metadata: bool = Field(True, description="carry ICC profiles and EXIF over (orientation is applied and reset)")
    derive: bool = Field(
        False,
        description="make the source from each input first, as in training, for models trained with --derive",
    )
    max_pixels: int = Field(100_000_000, ge=1, description="larger pictures are refused before they are decoded")
    batch: int | None = Field(
        None,
        ge=1,
        description="pictures of one size in one pass of the network (default: up to 16, fewer if large)",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="threads that decode and encode beside the network (default: 2 on the CPU, else 8)",
    )

    @field_validator("format")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if value is None else format_for(value)
