"""Typed, frozen settings: the only source of defaults, help texts, validation and `config.json`.

Three flat classes with disjoint names make one training job: the model's own (a subclass of `ModelSettings`, kept
beside the model: the science), `DataSettings` (which pictures) and `RunSettings` (the budget). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from translate.fields import Settings, flag, resumable
from translate.figures import AUTO, BETTER, LAST, best_choices, plain
from translate.former import former_run_values
from translate.images import Nodata
from translate.outside import MAX_CHANNELS
from translate.pace import Pace
from translate.recipes import PUBLISHED, versioned
from translate.sizes import Size
from translate.tables import closest

DataKind = Literal["pairs", "unpaired", "domains", "targets"]
"""What a model is trained on: pairs of source and target; two sides without pairs; pictures of several domains, each of
which may become like any other; or targets alone, made of noise."""


REDUCED = "reduced"
"""What `derive` is where sources are targets divided by the model's scale. It is the model's choice, and no flag's."""


class ModelSettings(Settings):
    """What every model has: its optimiser and its published budget. Models subclass it and set their own defaults."""

    optimizer: Literal["adam", "rmsprop", "sgd"] = Field("adam", description="optimiser of every player")
    lr: float = Field(2e-4, gt=0, description="learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="first moment's decay of Adam")
    beta2: float = Field(0.999, ge=0, lt=1, description="second moment's decay of Adam")
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last change that goes on (--optimizer sgd)")
    weight_decay: float = Field(0.0, ge=0, le=1, description="weight of half the squared weights, in every gradient")
    clip_gradients: float | None = Field(
        None, gt=0, description="longest gradient of a player, over all its weights; longer ones are shortened to it"
    )
    batch: int = Field(1, ge=1, le=65_536, description="examples a step and process")
    epochs: float = Field(
        200, gt=0, le=1e9, description="passes over the training pictures, unless --steps is given", **resumable()
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="learning rate: constant then linear to 0, half a cosine to 0, or constant"
    )
    decay_start: float = Field(
        0.5, ge=0, le=1, description="share of the budget before the rate starts to fall (linear and cosine)"
    )

    def unused(self) -> dict[str, str]:
        constant = {"decay_start": "with --schedule constant, whose rate never falls"}
        return super().unused() | (constant if self.schedule == "constant" else {})

    @property
    def pace(self) -> Pace:
        """How often the players step; by default each once, on the same batch, in the model's order."""
        return Pace()

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates of the players whose rate is not `lr`."""
        return {}

    @model_validator(mode="after")
    def _optimiser(self) -> Self:
        for name in ("beta1", "beta2"):
            if self.optimizer != "adam" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{flag(name)} is Adam's, and the optimiser is {self.optimizer}: leave it out")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"--momentum is for --optimizer sgd, and the optimiser is {self.optimizer}: leave it out")
        return self


VAL_FRACTION_UNUSED = "where there are validation pictures, in whose place a part is held out"


NO_SOURCE = "--target needs either --source FOLDER, or --derive to make the source from it"


class DataSettings(Settings):
    """Which pictures to train on, and how they are read, paired and augmented.

    Without pairs each side is cropped, mirrored, rotated and scaled by draws of its own.
    """

    data: Path | None = Field(None, description="folder with the pictures, in any known layout")
    source: Path | None = Field(None, description="folder of source pictures, with --target in place of --data")
    target: Path | None = Field(None, description="folder of target pictures; models of pairs pair by file stem")
    val_source: Path | None = Field(None, description="validation folder for --source; else a part is held out")
    val_target: Path | None = Field(None, description="validation folder for --target")
    val_paired: bool = Field(False, description="validation pictures of one stem are true pairs: figures without pairs")
    layout: str = Field("auto", description="layout of --data: auto, or a name from `translate models`")
    label_columns: str | None = Field(
        None, description="columns of a table that are labels where they hold 1 (0 or -1: not), NAME,NAME,..."
    )
    direction: Literal["AtoB", "BtoA"] = Field(
        "AtoB", description="which half or folder is the source: A (left) or B (right)"
    )
    derive: str | None = Field(
        None, description="make the source from the target: gray, edges, lowres, holes, blur, noise"
    )
    derive_amount: float | None = Field(
        None,
        gt=0,
        description="strength of --derive: factor (lowres), pixels (blur), share (holes), sigma 0..1 (noise)",
    )
    val_fraction: float = Field(0.05, ge=0, lt=1, description="share held out where there is no validation folder")
    strict: bool = Field(False, description="stop at the first unreadable or unpaired file instead of leaving it out")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="pictures of more pixels, or of more than 16 bytes for each of these, are refused undecoded",
    )

    size: Size = Field(Size(256, 256), description="crop for training and validation, in pixels; one number: a square")
    load_size: Size | None = Field(
        None, description="pixels that pictures are resized to before the crop (default: size x 286/256)"
    )
    fit: Literal["stretch", "cover", "none"] = Field(
        "stretch", description="resize to load-size: both sides (published), the smallest that covers it, or not at all"
    )
    val_crop: bool = Field(
        False, description="with --fit none: validate on a crop of the middle, not on whole pictures"
    )
    flip: bool = Field(True, description="mirror half of the examples left to right")
    flip_vertical: bool = Field(False, description="mirror half of the examples top to bottom")
    rotate: float = Field(0, ge=0, le=180, description="rotate pictures by up to this many degrees")
    zoom: float = Field(0, ge=0, lt=1, description="scale pictures by a factor from 1-zoom to 1+zoom")
    photometric: float = Field(
        0, ge=0, le=1, description="strength of brightness and contrast changes, on the source only"
    )

    source_kind: Literal["image", "labels"] = Field("image", description="what source files are: images or label maps")
    target_kind: Literal["image", "labels"] = Field("image", description="what target files are: images or label maps")
    source_channels: int | None = Field(
        None, ge=1, le=MAX_CHANNELS, description="channels of the source (default: as the files are)"
    )
    target_channels: int | None = Field(
        None, ge=1, le=MAX_CHANNELS, description="channels of the target (default: as the files are)"
    )
    source_range: str = Field(
        "auto", description="values of the source that become -1 and 1: auto, full, percentile, bands or LOW,HIGH[,...]"
    )
    target_range: str = Field(
        "auto", description="values of the target that become -1 and 1: auto, full, percentile, bands or LOW,HIGH[,...]"
    )
    source_nodata: Nodata = Field(None, description="value of the source where nothing was measured, or nan")
    target_nodata: Nodata = Field(None, description="value of the target where nothing was measured, or nan")
    source_palette: str | None = Field(
        None, description="colours of source label maps, #rrggbb,#rrggbb,... (default: as found)"
    )
    target_palette: str | None = Field(
        None, description="colours of target label maps, #rrggbb,#rrggbb,... (default: as found)"
    )
    source_one_hot: bool = Field(False, description="give source label maps to the network as one channel a class")
    target_one_hot: bool = Field(False, description="let the network make target label maps as one channel a class")
    source_ignore: str | None = Field(None, description="colour of the source label map left out of the losses")
    target_ignore: str | None = Field(None, description="colour of the target label map left out of the losses")
    background: str = Field("#ffffff", description="colour that transparent pictures are laid on")

    cache: Literal["auto", "none", "memory", "disk"] = Field(
        "auto",
        description="keep decoded pictures at load size in memory, or in a memory-mapped file in the run, all from the "
        "start; auto: in memory once they were read, if they fit into a quarter of what is free",
        **resumable(),
    )

    @field_validator("source_nodata", "target_nodata", mode="before")
    @classmethod
    def _not_a_number(cls, value: object) -> object:
        """By its name, however it was given: JSON has no number for it."""
        return "nan" if str(value).strip().lower() == "nan" else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.data is not None and (self.source or self.target):
            raise ValueError("give --data, or --source and --target, not both")
        if self.data is None and self.target is None:
            raise ValueError("no pictures given: use --data FOLDER, or --source FOLDER --target FOLDER")
        if self.source is not None and self.derive is not None:
            raise ValueError(NO_SOURCE)
        if (self.val_source and not self.source) or (self.val_target and not self.target):
            raise ValueError("--val-source and --val-target go with --source and --target")
        if self.load_size is not None and self.fit == "none":
            raise ValueError("--load-size does not go with --fit none, which resizes nothing")
        if self.load_size is not None and any(a < b for a, b in zip(self.load_size, self.size, strict=True)):
            raise ValueError(f"--load-size {self.load_size} is smaller than --size {self.size}")
        if self.cache in ("memory", "disk") and self.fit != "stretch":
            raise ValueError(f"--cache {self.cache} needs --fit stretch, which gives all pictures one size")
        return self

    def unused(self) -> dict[str, str]:
        given = self.val_source is not None or self.val_target is not None
        found = {"val_fraction": VAL_FRACTION_UNUSED} if given else {}
        return super().unused() | found | ({} if self.fit == "none" else {"val_crop": f"with --fit {self.fit}"})

    def for_scale(self, scale: int) -> Self:
        """The same for a model of this scale, complete: one that enlarges makes sources itself, if no folder has them.

        Raises:
            ValueError: a setting that such a model has no use for, or there is nothing to make sources of.
        """
        if scale == 1:
            if self.derive == REDUCED:
                raise ValueError(f"--derive {REDUCED} is what models that enlarge do by themselves: use srresnet")
            if self.target is not None and self.source is None and self.derive is None:
                raise ValueError(NO_SOURCE)
            return self
        larger = f"pictures are made {scale} times as large"
        if self.derive not in (None, REDUCED) or self.derive_amount is not None:
            raise ValueError(f"--derive: {larger}, and sources are the targets reduced by as much: leave it out")
        if "labels" in (self.source_kind, self.target_kind):
            raise ValueError(f"label maps: {larger}, and between two classes there is none: use pictures")
        if self.source is None:
            return self.replace(derive=REDUCED)
        if self.fit != "none":
            raise ValueError(
                f"--fit {self.fit} resizes, and with --source each target is exactly {scale} times as large as its "
                "source: use --fit none"
            )
        return self

    @property
    def resize_to(self) -> Size:
        """What pictures are resized to before the crop; 286 for crops of 256, as published."""
        return self.load_size or Size(*(round(side * 286 / 256) for side in self.size))

    @property
    def val_whole(self) -> bool:
        """Whether validation pictures are whole, each of its own size."""
        return self.fit == "none" and not self.val_crop


class RunSettings(Settings):
    """The run: budget, precision, device, and what is written."""

    recipe: str = Field(
        PUBLISHED,
        description="settings that go together, as defaults for all the others: published, or sharp (pix2pix); "
        "`translate models` lists them",
    )
    out: Path | None = Field(None, description="run folder to make (default: runs/MODEL-DATA)")
    steps: int | None = Field(
        None, ge=1, le=10**12, description="optimisation steps in all; takes the place of --epochs", **resumable()
    )
    accumulate: int = Field(1, ge=1, le=1_000_000, description="batches whose gradients are averaged before an update")
    accept_changed_data: bool = Field(
        False,
        description="with --resume: resume although the pictures have changed; prints and records the changes",
        **resumable(),
    )
    init_from: Path | None = Field(None, description="start from the weights of this model or run (fine-tuning)")
    init_step: int | None = Field(
        None, ge=0, description="with --init-from RUN: its weights after this step, from snapshots/ or checkpoints/"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of weights, data order, augmentation and dropout")

    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps", **resumable())
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="autocast type of the networks")
    channels_last: bool = Field(False, description="memory layout [N, H, W, C] for the networks")
    step: Literal["auto", "eager", "compile", "graph"] = Field(
        "auto",
        description="how a step runs: eager, compile (by torch.compile: slow start), graph (one CUDA graph), or auto: "
        "eager, until graph is proven",
        **resumable(),
    )
    deterministic: bool = Field(False, description="only deterministic kernels, so that CUDA resumes bit by bit")
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of the networks (default: torch's own choice)"
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="processes that read pictures (default: up to 8, none for small CPU runs)",
        **resumable(),
    )

    ema: float = Field(
        0.999, ge=0, lt=1, description="decay of the generator's moving average after its warm-up; 0 for none"
    )
    log_every: int = Field(50, ge=1, description="steps between lines of metrics.jsonl", **resumable())
    log_json: bool = Field(
        False, description="print progress as a JSON object a minute in place of the bar or the line", **resumable()
    )
    validate_every: int | None = Field(
        None,
        ge=1,
        description="steps between validations, exactly (default: an epoch, at least 500 steps; rarer by --care-share)",
        **resumable(),
    )
    checkpoint_every: int | None = Field(
        None,
        ge=1,
        description="steps between checkpoints, exactly (default: as validations; rarer by --care-share)",
        **resumable(),
    )
    care_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="largest share of the run's time for validations, pages, model files and checkpoints, which wait "
        "to keep it (1: never); those with --validate-every, --patience or --checkpoint-every have fixed steps",
        **resumable(),
    )
    checkpoint_minutes: float = Field(
        20, gt=0, description="minutes after which a checkpoint is written even if none is due", **resumable()
    )
    keep: int = Field(2, ge=1, description="newest checkpoints kept, beside the best weights", **resumable())
    metric_features: str | None = Field(
        "auto",
        description="pretrained network on whose features outputs are judged: auto (EfficientNet-Lite0, or Lite1 where "
        "the model trains on Lite0), none, or the name of a timm model",
        **resumable(),
    )
    best: str = Field(
        AUTO,
        description=f"validation figure that decides which weights become model.safetensors: {AUTO} (perceptual for "
        f"pairs, else kid, as far as there are features and pictures), {', '.join(BETTER)}; or {LAST}: always the "
        "newest, averaged where there is an average",
        **resumable(),
    )
    keep_best: str | None = Field(
        None,
        description="further figures, FIGURE,FIGURE,...: the best weights of each are kept as best-FIGURE.safetensors",
        **resumable(),
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="validations without a better figure of --best after which the run ends (default: never)",
        **resumable(),
    )
    snapshot_budget: float = Field(
        2,
        ge=0,
        description="GB for snapshots/, the averaged generator at each validation; thinned out evenly; 0 for none",
        **resumable(),
    )
    samples: int = Field(6, ge=0, le=1000, description="validation pairs in the sample grids", **resumable())
    tensorboard: bool | None = Field(
        None, description="write TensorBoard events (default: when it is installed)", **resumable()
    )
    log_to: str | None = Field(
        None,
        description="loggers of curves, figures, pages and settings, with commas between them: wandb, mlflow, trackio, "
        "tensorboard",
        **resumable(),
    )

    former: ClassVar[Mapping[str, str]] = {"compile": "step"}
    former_switches: ClassVar[frozenset[str]] = frozenset({"compile"})

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return former_run_values(values)

    @property
    def by_time(self) -> tuple[str, ...]:
        """What is postponed to keep `care_share`. `patience` counts validations: a clock must not end a run."""
        given = {"validation": self.validate_every or self.patience, "checkpoint": self.checkpoint_every}
        return tuple(name for name, steps in given.items() if not steps and self.care_share < 1)

    def unused(self) -> dict[str, str]:
        last = {"patience": "with --best last, which goes by no figure"} if self.best == LAST else {}
        fixed = self.checkpoint_every and (self.validate_every or self.patience)
        why = "where validations (--validate-every or --patience) and --checkpoint-every have fixed steps"
        return super().unused() | last | ({"care_share": why} if fixed else {})

    @field_validator("best")
    @classmethod
    def _a_figure(cls, value: str) -> str:
        """Read from the table at each check, and no `Literal`, so that a measure adds its choices in one place."""
        *others, last = best_choices()
        if plain(value) not in (*others, last):
            raise ValueError(f"it must be {', '.join(others)} or {last}{closest(value, best_choices())}")
        return value

    @field_validator("keep_best")
    @classmethod
    def _figures(cls, value: str | None) -> str | None:
        names = [] if value is None else [name.strip() for name in value.split(",")]
        for name in names:
            if plain(name) not in BETTER:
                raise ValueError(f"it must be of {', '.join(BETTER)}, with commas between{closest(name, list(BETTER))}")
        if len({plain(name) for name in names}) < len(names):
            raise ValueError("it names a figure twice")
        return ",".join(names) or None

    @field_validator("recipe")
    @classmethod
    def _with_version(cls, value: str) -> str:
        return versioned(value)
