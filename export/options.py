"""Options of exporting, as `translate export --help-all` lists them. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from translate.export.precision import PRECISIONS
from translate.export.report import Layout
from translate.fields import Settings, flag

MIN_OPSET, MAX_OPSET = 17, 24  # tested
ALIASES = {"float16": "fp16", "bfloat16": "bf16"}  # the names in `translate convert`


class ExportSettings(Settings):
    """The options of `translate export`."""

    layout: Layout = Field(
        "nhwc-pixels",
        description="pixels in and out, as in files, with the scaling inside; or the bare network, from and to "
        "[N, C, H, W] float32 in [-1, 1]",
    )
    precision: str = Field(
        "float32",
        description="numbers inside the graph, whose input and output stay as they are: "
        + ", ".join(f"{name} ({precision.summary})" for name, precision in PRECISIONS.items()),
    )
    calibration: Path | None = Field(None, description="with --precision int8: folder of pictures to convert")
    calibration_count: int = Field(100, ge=1, description="pictures of it that the 8-bit ranges are taken from")
    least_psnr: float | None = Field(
        None,
        gt=0,
        description="PSNR in dB against the network in float32 that fp16, bf16 or int8 has to reach (default: "
        + ", ".join(f"{p.tolerance.psnr:g} for {name}" for name, p in PRECISIONS.items() if p.tolerance.psnr)
        + ")",
    )
    force: bool = Field(False, description="write the file though it does not reach --least-psnr")
    images: Path | None = Field(
        None,
        description="picture or folder to check the file on as well; up to four are used (default: of those that the "
        "run was validated or trained on, if they still exist)",
    )
    opset: int | None = Field(
        None,
        ge=MIN_OPSET,
        le=MAX_OPSET,
        description="ONNX operator set of the file (default: the exporter's own choice)",
    )
    direction: Literal["AtoB", "BtoA"] | None = Field(
        None,
        description="way to go, for models that were trained both ways: as --direction was in training (default), "
        "or the reverse",
    )
    triton: bool = Field(
        False, description="write FOLDER/NAME/1/model.onnx and FOLDER/NAME/config.pbtxt for NVIDIA Triton"
    )
    step: int | None = Field(
        None,
        ge=0,
        description="of a run folder: export the weights after this step, from its snapshots/ or checkpoints/",
    )
    name: str | None = Field(None, description="with --triton: NAME (default: that of the run or model file)")
    triton_device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="with --triton: where the server runs it; auto is its GPUs if it has any"
    )

    @field_validator("precision")
    @classmethod
    def _known(cls, value: str) -> str:
        value = ALIASES.get(value, value)
        PRECISIONS[value]  # names the choices, and the closest
        return value

    @field_validator("name")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w-][\w.-]*", value, re.ASCII):
            raise ValueError("a model's name in Triton is of letters, digits, _, - and .")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        precision = PRECISIONS[self.precision]
        if precision.calibrated and self.calibration is None:
            raise ValueError(
                f"--precision {self.precision} needs --calibration FOLDER: a hundred pictures like those to convert"
            )
        for name, useful, purpose in (
            ("calibration", precision.calibrated, "--precision int8"),
            ("calibration_count", precision.calibrated, "--precision int8"),
            ("least_psnr", precision.tolerance.psnr is not None, "a --precision other than float32"),
            ("force", precision.tolerance.psnr is not None, "a --precision other than float32"),
            ("name", self.triton, "--triton"),
            ("triton_device", self.triton, "--triton"),
        ):
            if not useful and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{flag(name)} is for {purpose} only: leave it out")
        if self.opset is not None and self.opset < (precision.opset or 0):
            raise ValueError(
                f"--opset {self.opset} has no {self.precision}, which came with {precision.opset}: "
                f"give --opset {precision.opset} or newer, or leave it out"
            )
        if self.force and self.least_psnr is not None:
            raise ValueError("--force accepts any PSNR, and --least-psnr requires one: leave one of them out")
        return self
