"""Options of loading a model and converting pictures: `translate convert --help-all`. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from translate.allow import OwnClass
from translate.fields import Settings, flag
from translate.images import format_for
from translate.inference.shards import shard_of
from translate.inference.speed import LEAST_PSNR, Speed
from translate.tables import closest

TILE_WORDS = ("auto", "none")
"""Values of `tile` beside a number of pixels."""

SEVERAL = ("samples", "interpolate", "arithmetic")
"""Options that make several outputs of a picture."""

SUM = re.compile(r"\d+(,\d+)*([+-]\d+(,\d+)*)+")


class LoadSettings(OwnClass):
    """Options of `translate.load`: device, precision, which weights."""

    device: str = Field(
        "auto",
        description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps; of an .onnx file also tensorrt, "
        "tensorrt:1, and no mps",
    )
    backend: Literal["torch", "onnxruntime", "openvino"] | None = Field(
        None,
        description="what runs the network: torch (runs and .safetensors), onnxruntime (.onnx, the default for it), or "
        "openvino (.onnx, on the CPU, where that package is installed; takes --speed, too)",
    )
    speed: Speed | None = Field(
        None,
        description="exact (default): float32; fast: bfloat16 where the processor has it, "
        f"{LEAST_PSNR:.0f} dB (PSNR) or more from exact; an .onnx file runs as exported",
    )
    precision: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="autocast type of the network; decides where --speed is given, too (default: float32)"
    )
    direction: Literal["AtoB", "BtoA"] | None = Field(
        None,
        description="way to go, for models that were trained both ways: as --direction was in training (default), "
        "or the reverse",
    )
    step: int | None = Field(
        None,
        ge=0,
        description="of a run folder: use the weights after this step, from its snapshots/ or checkpoints/",
    )
    engines: Path | None = Field(
        None,
        description="with --device tensorrt: folder for its engines (default: $TRANSLATE_ENGINES, or in the user's "
        "cache folder)",
    )
    tile: int | Literal["auto"] | None = Field(
        "auto",
        description="for pictures that do not fit in memory: auto (in the largest pieces that fit), none (they fail), "
        "or the side in pixels of the tiles that all larger pictures are cut into",
    )

    @field_validator("tile", mode="before")
    @classmethod
    def _pixels(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and value not in TILE_WORDS and not value.isdecimal()):
            raise ValueError(f"give auto, none, or a number of pixels like 512{closest(str(value), TILE_WORDS)}")
        return None if value == "none" else value


class ConvertSettings(Settings):
    """Options of `Translator.convert`: what is converted, and how it is written."""

    data: Path | None = Field(
        None,
        description="in place of IN, a set laid out as for training: its sources alone are converted, of pairs side by "
        "side the half that is one",
    )
    split: Literal["train", "val", "test"] | None = Field(
        None, description="with --data: which of its pictures (default: val, held out as in training if need be)"
    )
    shard: str | None = Field(
        None,
        description="I/N, to convert only the I-th of N parts of the inputs, I being from 1: start one for each, at "
        "once or not, with the same OUT; auto/N takes I, and auto in a Slurm array both, from the scheduler",
    )
    recursive: bool = Field(True, description="go into sub-folders and mirror them")
    format: str | None = Field(
        None, description="file type of every output: png, jpg, tiff, webp, ... (default: that of its input)"
    )
    quality: int = Field(95, ge=1, le=100, description="quality of JPEG and WebP outputs")
    overwrite: bool = Field(False, description="replace outputs that exist already (default: they are skipped)")
    update: bool = Field(
        False,
        description="make outputs anew whose input, model or settings are no longer those of the record in OUT "
        "(default: they are kept, and listed in the report)",
    )
    in_place: bool = Field(False, description="allow outputs to replace their inputs, which are lost")
    resize: int | None = Field(
        None,
        ge=1,
        description="shorter side of what the network sees, and of the output before the model's scale, in pixels "
        "(default: the size of the input)",
    )
    keep_alpha: bool = Field(True, description="carry transparency over to the outputs")
    keep_metadata: bool = Field(
        True, description="carry ICC profiles, EXIF, XMP, dots per inch, PNG texts and GeoTIFF keys over"
    )
    derive: bool = Field(
        False,
        description="make the source from each input first, as in training, for models trained with --derive",
    )
    label: str | None = Field(
        None,
        description="for a model conditioned on labels: one that it knows (several with commas between them, where "
        "pictures had several), or all: a sheet of the source and the output for each label in place of an output",
    )
    text: str | None = Field(None, description="for a model conditioned on text: a description of the outputs")
    labels_from: Path | None = Field(
        None,
        description=".csv or .jsonl with file_name, and label or text: conditions of each picture, by its path in IN, "
        "or else its file name",
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="for a model with a latent code, noise planes or dropout: number of what is drawn (default: the "
        "code's middle, noise 0, no dropout)",
    )
    like: Path | None = Field(
        None,
        description="for a model whose file has an encoder (bicyclegan): a picture, in whose style all outputs are",
    )
    samples: int | None = Field(
        None,
        ge=1,
        description="so many outputs for each picture, NAME-1.png, NAME-2.png and so on, of the seeds --seed "
        "(default: 0), the next and so on",
    )
    interpolate: int | None = Field(
        None,
        ge=2,
        description="a sheet of the source and so many outputs for each picture, from the code of --seed to that of "
        "--seed-to, in place of an output",
    )
    seed_to: int | None = Field(None, ge=0, description="with --interpolate: number of the last code")
    arithmetic: str | None = Field(
        None,
        description="a sheet of the source and an output for each term and the sum, in place of an output: numbers of "
        "codes, of which those with commas between are averaged, such as 1,2,3-4,5,6+7,8,9",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="pictures of more pixels, or of more than 16 bytes for each of these, are refused undecoded",
    )
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

    @field_validator("shard", mode="before")
    @classmethod
    def _one_of_many(cls, value: object) -> str | None:
        return None if str(value).strip().lower() == "none" else str(shard_of(value))

    @field_validator("format")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if value is None else format_for(value)

    @field_validator("arithmetic")
    @classmethod
    def _sum(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = "".join(value.split())
        if not SUM.fullmatch(value):
            raise ValueError("give numbers of codes with + and - between them, like 1,2,3-4,5,6+7,8,9")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.data is None and self.split is not None:
            raise ValueError("--split is for --data FOLDER, a set as for training: leave it out")
        if self.data is not None and self.in_place:
            raise ValueError("--in-place would replace pictures of the set in --data: leave it out")
        if self.shard is not None and self.in_place:
            raise ValueError(
                "--in-place keeps no record, so that a --shard that is started again would convert its outputs once "
                "more: name another folder"
            )
        if self.labels_from is not None:
            for name in ("label", "text", "interpolate", "arithmetic"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--labels-from gives each picture its own: leave out {flag(name)}")
        several = [name for name in SEVERAL if getattr(self, name) is not None]
        if len(several) > 1:
            one, other = several[:2]
            raise ValueError(f"{flag(other)} and {flag(one)} each make several outputs of a picture: leave one out")
        for name in ("seed", *several) if self.like is not None else ():
            if getattr(self, name) is not None:
                raise ValueError(f"--like takes the code of a picture, and {flag(name)} others: leave one out")
        if self.interpolate is not None and (self.seed is None or self.seed_to is None):
            raise ValueError("--interpolate goes from one code to another: give --seed and --seed-to")
        if self.interpolate is None and self.seed_to is not None:
            raise ValueError("--seed-to is for --interpolate only: leave it out")
        if self.arithmetic is not None and self.seed is not None:
            raise ValueError("--arithmetic names its codes itself: leave out --seed")
        if self.in_place and (several or self.label == "all"):
            raise ValueError(
                f"--in-place replaces a picture by its output, and {flag(several[0]) if several else '--label all'} "
                "makes several: name another folder"
            )
        return self

    @property
    def one_output(self) -> bool:
        """Whether a picture goes through the network once, and as large as it is."""
        several = any(getattr(self, name) is not None for name in SEVERAL) or self.label == "all"
        return not several and self.resize is None
