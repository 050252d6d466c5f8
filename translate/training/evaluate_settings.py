"""Settings of `translate evaluate`, and the flags of training that change nothing in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from translate.allow import OwnClass
from translate.fields import check_suffix, flag
from translate.networks.backbone import imagenet_numbers
from translate.settings import DataSettings


class EvaluateSettings(OwnClass):
    """What to measure, on which pictures, and where to run."""

    split: Literal["val", "test", "train"] = Field(
        "val",
        description="pictures to evaluate on: of validation (as in training, held out if need be), of testing, or of "
        "training, which the model has seen",
    )
    outputs: Path | None = Field(
        None, description="in place of MODEL: a folder of outputs that are there already, with --targets"
    )
    targets: Path | None = Field(None, description="with --outputs: folder of what they should be, of the same names")
    sources: Path | None = Field(
        None, description="with --outputs: folder of what they were made of, to be measured beside them"
    )
    unpaired: bool = Field(
        False, description="with --outputs: outputs and targets are two sets, without partners of the same name"
    )
    metrics: str | None = Field(
        None,
        description="measures or figures, such as l1,kid,perceptual (default: all that are quick and that the pictures "
        "allow for)",
    )
    features: str | None = Field(
        "auto",
        description="pretrained network to judge by: auto (EfficientNet-Lite0, or Lite1 for a model that trains on "
        "Lite0's features), none, or a name of timm",
    )
    features_weights: Path | None = Field(None, description="with --features NAME: file with its weights")
    lpips_weights: Path | None = Field(
        None,
        description="file with torchvision's AlexNet, or with --metrics lpips_vgg its VGG-16: LPIPS is measured too",
    )
    inception_weights: Path | None = Field(
        None, description="file with the Inception-v3 of FID: the true KID and FID are measured too"
    )
    imagenet_classes: str | None = Field(
        None,
        description="ImageNet classes, such as zebra or 340,386: the share of outputs that the network takes for one "
        "of them",
    )
    judge: Path | None = Field(
        None,
        description="model of the other direction, which finds the source label maps in photos: FCN score of outputs",
    )
    group_by: str | None = Field(
        None, description="figures of each group: label, text, folder, or a column of the set's table or of --table"
    )
    task: str | None = Field(
        None,
        description="label, folder or a column, as for --group-by: how well a classifier of it does on real targets "
        "when fitted on translated sources, beside one fitted on sources",
    )
    table: Path | None = Field(
        None, description="with --group-by or --task: .csv, .tsv or .jsonl with file_name and the column"
    )
    memorised: Path | None = Field(
        None, description="write a PNG to this file: the outputs nearest to a training picture, each beside it"
    )
    csv: Path | None = Field(None, description="write a table to this file: a line for each picture, with its figures")
    sheet: Path | None = Field(
        None, description="write a PNG to this file: the worst and the best pictures, each with source and target"
    )
    batch_size: int = Field(
        4, ge=1, description="pictures in one pass of the network; of whole ones (--fit none) it is 1"
    )
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")

    @property
    def class_numbers(self) -> tuple[int, ...]:
        """The numbers of `imagenet_classes`.

        Raises:
            ValueError: there is no such class.
        """
        if self.imagenet_classes is None:
            return ()
        try:
            return imagenet_numbers(self.imagenet_classes)
        except ValueError as error:
            raise ValueError(f"--imagenet-classes {self.imagenet_classes}: {error}") from None

    @field_validator("sheet", "memorised")
    @classmethod
    def _png(cls, value: Path | None) -> Path | None:
        return check_suffix(value, ".png")

    @field_validator("csv")
    @classmethod
    def _csv(cls, value: Path | None) -> Path | None:
        return check_suffix(value, ".csv")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.outputs is None) != (self.targets is None):
            given, lacking = ("targets", "outputs") if self.outputs is None else ("outputs", "targets")
            raise ValueError(f"{flag(given)} goes with {flag(lacking)} FOLDER: give both")
        for name in ("sources", "unpaired"):
            if self.outputs is None and getattr(self, name):
                raise ValueError(f"{flag(name)} goes with --outputs FOLDER --targets FOLDER: leave it out")
        for name in ("split", "allow", "judge", "task", "memorised"):
            if self.outputs is not None and name in self.model_fields_set and getattr(self, name) is not None:
                raise ValueError(f"{flag(name)} is for a model, and --outputs are there already: leave it out")
        for name, what in (("memorised", "are compared with"), ("task", "are told by a classifier that saw")):
            if self.split == "train" and getattr(self, name) is not None:
                raise ValueError(f"{flag(name)} with --split train: the pictures {what} themselves: leave one out")
        if self.features_weights is not None and self.features in (None, "auto"):
            raise ValueError("--features-weights are those of --features NAME: give the name of the network as well")
        for name in ("features_weights", "lpips_weights", "inception_weights", "table"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{flag(name)} {path}: there is no such file")
        if self.table is not None and self.group_by is None and self.task is None:
            raise ValueError("--table is for --group-by COLUMN or --task COLUMN: leave it out")
        _ = self.class_numbers  # raises now rather than after the pictures were read
        for name in ("csv", "sheet", "memorised"):
            path = getattr(self, name)
            if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
                raise ValueError(f"{flag(name)} {path}: name a file in a folder that is there")
        return self


NEEDED_BY = {
    "lpips_weights": "lpips",
    "inception_weights": "inception",
    "imagenet_classes": "class_share",
    "judge": "judge",
}
"""Settings that one measure alone uses, and which."""

OF_TRAINING = {
    **dict.fromkeys(
        ("load_size", "flip", "flip_vertical", "rotate", "zoom", "photometric"),
        "pictures are augmented in training alone",
    ),
    "cache": "each picture is read once",
}
"""Settings of pictures that change nothing in an evaluation, and why."""

OF_THE_MODEL = tuple(
    name
    for name in DataSettings.model_fields
    if name.removeprefix("source_").removeprefix("target_")
    in ("kind", "channels", "range", "nodata", "palette", "one_hot", "ignore", "background")
)
"""Settings of pictures that a model has taken over from its training."""

OF_FOLDERS = (
    "max_pixels",
    "size",
    "fit",
    "val_crop",
    *(name for name in OF_THE_MODEL if not name.startswith("source")),
)
"""Settings of pictures that two folders are read by, in place of those of a model."""


def refuse_pointless(given: Mapping[str, object], settings: EvaluateSettings) -> None:
    """
    Args:
        given: settings of pictures that were given with the command.

    Raises:
        ValueError: one of them changes nothing here.
    """
    for name in given:
        why = OF_TRAINING.get(name)
        if settings.outputs is not None and name not in OF_FOLDERS:
            why = why or "outputs are measured as they are, without a model"
        if settings.outputs is None and name in OF_THE_MODEL:
            why = "the model's own stay what they were in its training"
        if why:
            raise ValueError(f"{flag(name)} changes nothing in an evaluation, where {why}: leave it out")
    fit = given.get("fit")
    if settings.split != "val" and "val_fraction" in given:
        raise ValueError(f"--val-fraction changes nothing with --split {settings.split}: leave it out")
    if fit == "none" and "size" in given and not given.get("val_crop"):
        raise ValueError("--size changes nothing with --fit none, which takes whole pictures: leave it out")
