"""What cannot be read from the tensors of a foreign checkpoint: the flags of `translate import`. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from translate.fields import Settings
from translate.sizes import Size


class ImportSettings(Settings):
    """Where the run goes, which files belong together, and what they were trained for."""

    out: Path | None = Field(None, description="run folder to make (default: runs/MODEL-SOURCE)")
    model: str = Field(
        "auto",
        description="model to become: pix2pix, cyclegan, cut, ... or auto (two generators: cyclegan; a discriminator "
        "of unpaired pictures, or an anti-aliased ResNet: cut; else pix2pix)",
    )
    epoch: str = Field("latest", description="which files of a folder: latest, or the number of an epoch")
    discriminator: Path | None = Field(None, description="file of the discriminator, if SOURCE is a file")
    back: Path | None = Field(None, description="file of the second generator, target to source, if SOURCE is a file")
    back_discriminator: Path | None = Field(
        None, description="file of the discriminator of sources, if SOURCE is a file"
    )
    size: Size | None = Field(
        None, description="of the training crops, in pixels (default: U-Net 2 to its depth, ResNet 256)"
    )
    inference_norm: Literal["image", "running"] = Field(
        "image",
        description="batch norm at inference: each image's own statistics, as the reference code tests, "
        "or running averages, as it does with --eval",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="dropout in further training (default: 0.5 for a ResNet that has it and a U-Net with batch norm)",
    )
