"""From settings to a checked `Job`; no pictures are read and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from translate.fields import flag, split
from translate.figures import PAIRED, PERCEPTUAL, plain
from translate.files import free
from translate.images import ImageSpec
from translate.models import Model, build, model_class
from translate.networks.blocks import twice_at_most
from translate.outside import about
from translate.recipes import with_recipe
from translate.settings import DataSettings, ModelSettings, RunSettings
from translate.sizes import Size
from translate.training.condition_setup import placeholder
from translate.training.folder import RunFolder
from translate.training.loggers import check_loggers

PATHS = ("data", "source", "target", "val_source", "val_target")


@dataclass(frozen=True)
class Job:
    """One training run to start or to continue."""

    model: str  # its name in the table, or `module:Class`
    cls: type[Model]
    science: ModelSettings
    data: DataSettings
    run: RunSettings
    folder: RunFolder
    resumed: Mapping[str, Any] | None = None  # the stored configuration of the run that continues

    def named(self) -> AbstractContextManager[None]:
        """Within the block, errors about settings of a resumed run name its configuration file."""
        return nullcontext() if self.resumed is None else about(self.folder.config)

    def settings(self) -> dict[str, Any]:
        """Every setting, flat, as plain JSON values."""
        return {**self.science.as_json(), **self.data.as_json(), **self.run.as_json()}


def new_job(model: str, values: Mapping[str, Any], *, allow: str | None = None) -> Job:
    """A run from the start.

    Args:
        model: a name of the table, or the class of one's own that `allow` repeats where the caller named it.

    Raises:
        NotAllowed: a class outside the table that is not `allow`.
        ValueError: an unknown model or flag, a value that a setting refuses or that changes nothing, a path that does
            not exist, an output folder in use, or networks that do not fit the size.
    """
    cls = model_class(model, allow=allow)
    values = with_recipe(model, values)
    science, data, run = split(values, cls.settings_class, DataSettings, RunSettings)
    science = _found_again(science)
    data = _with_absolute_paths(data).for_scale(cls.enlarges(science))
    _check_best(run, cls)
    check_loggers(run)
    if run.accept_changed_data:
        raise ValueError("--accept-changed-data is for --resume: a new run has no pictures of before; leave it out")
    if run.init_step is not None and run.init_from is None:
        raise ValueError("--init-step goes with --init-from RUN; the length of a training is --steps")
    if run.init_from is not None:
        if not run.init_from.exists():
            raise ValueError(f"--init-from: no file or folder {run.init_from}")
        run = run.replace(init_from=run.init_from.resolve())
    folder = RunFolder(run.out if run.out is not None else free(_usual_folder(model, data)), model=model)
    check_unused(folder)
    above = next(parent for parent in folder.path.absolute().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise ValueError(f"--out {folder.path}: {above} is no folder that can be written to")
    if cls.data not in ("pairs", "targets") and data.derive:
        raise ValueError(f"--derive makes pairs, and {model} is for pictures without pairs: use pix2pix")
    _check_own_targets(model, cls, science)
    if cls.data_needs(science).classes and "labels" not in (data.source_kind, data.target_kind):
        raise ValueError("--balance-l1 weighs classes of label maps: give --source-kind labels or --target-kind labels")
    if cls.data_needs(science).segments and data.source_kind != "labels":
        raise ValueError(
            "--discriminator segment labels the pixels of pictures that are made from label maps, and the source is "
            f"none (--source-kind {data.source_kind}): give --source-kind labels, or use another --discriminator"
        )
    # on the meta device and with one channel: raises if settings, size and networks do not fit together
    tried = try_out(cls, science, size=data.size)
    counted = {"epochs": "beside --steps, which takes its place"} if run.steps else {}
    science.refuse_unused(science.unused_in(tried) | counted)
    data.refuse_unused()
    run.refuse_unused()
    _check_pace(science, run, tried)
    tried.check()
    return Job(model, cls, science, data, run, folder)


def check_unused(folder: RunFolder) -> None:
    """
    Raises:
        ValueError: there is something in the folder, beside the lock of a run that has come to nothing yet.
    """
    if folder.path.is_file() or (folder.path.is_dir() and any(p != folder.lock for p in folder.path.iterdir())):
        already = (
            "holds a run: continue it with `translate train --resume`" if folder.config.is_file() else "is not empty"
        )
        raise ValueError(f"--out {folder.path} {already}, or choose another folder")


def resumed_job(path: Path, values: Mapping[str, Any], *, allow: str | None = None) -> Job:
    """The continuation of a run; `values` may hold what can change on the way.

    Args:
        allow: a class of one's own that the run may be of.

    Raises:
        NotAllowed: its class is neither in the table nor `allow`.
        ValueError: no run folder, or a setting that cannot change, by name.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    if config.get("imported"):
        raise ValueError(
            f"{path} was imported, so there is no training to go on with: start a new run with --config "
            f"{folder.config} --init-from {path} --data FOLDER"
        )
    with about(folder.config):
        stored = as_before(config["settings"])
    values = RunSettings.renamed(values)
    cls = model_class(config["model"], allow=allow, file=folder.config)
    folder = RunFolder(path, model=config["model"])
    if "epochs" in values and "steps" in values:
        raise ValueError("--epochs and --steps both set when the training ends: give one of the two")
    if "epochs" in values:
        stored = {**stored, "steps": None}
    if "steps" in values:
        stored = {name: value for name, value in stored.items() if name != "epochs"}
    with about(folder.config):
        if (config["source"] is None) != (cls.data == "targets"):
            raise ValueError(f"its source does not go with the model {config['model']}")
        before = split(stored, cls.settings_class, DataSettings, RunSettings)
    parts = split({**stored, **values}, cls.settings_class, DataSettings, RunSettings)
    for new, old in zip(parts, before, strict=True):
        for name, field in type(new).model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            if getattr(new, name) == getattr(old, name, None) or extra.get("resume") or name in PATHS:
                continue
            raise ValueError(
                f"{flag(name)} cannot change when a run is resumed (it is {getattr(old, name, None)}): leave it out, "
                f"or start a new run with --init-from {path}"
            )
    science, data, run = parts
    science = _found_again(science)
    _check_best(run, cls)
    check_loggers(run)
    job = Job(config["model"], cls, science, data, run, folder, resumed=config)
    with job.named():
        tried = try_out(cls, science, size=data.size)
        tried.check()
        _check_pace(science, run, tried)
        return replace(job, data=_with_absolute_paths(data).for_scale(cls.enlarges(science)))


def _check_best(run: RunSettings, cls: type[Model]) -> None:
    """
    Raises:
        ValueError: figures of pairs, of a model that makes pictures of noise.
    """
    for name, figure in [("best", run.best), *(("keep_best", figure) for figure in kept_figures(run))]:
        if cls.data == "targets" and plain(figure) in (*PAIRED, *PERCEPTUAL):
            raise ValueError(
                f"{flag(name)} {figure} needs true pairs, and pictures that are made of noise have none: leave it out"
            )


def _check_pace(science: ModelSettings, run: RunSettings, tried: Model) -> None:
    """
    Raises:
        ValueError: steps or a rate of a player that the model does not have, or discriminators that cannot be unrolled.
    """
    players = tried.players
    several = {name for name, count in science.pace.steps.items() if count > 1}
    if unknown := sorted((several | science.rates.keys()) - players.keys()):
        raise ValueError(
            f"--d-steps, --g-steps and --lr-d are for players called discriminator and generator, and the model has no "
            f"{unknown[0]}: it has {', '.join(players)}"
        )
    if science.pace.fresh and len(players) == 1:
        raise ValueError("--fresh-batch changes nothing in a model of one player: leave it out")
    if science.pace.simultaneous and next(iter(players), "") != "discriminator":
        raise ValueError(
            "--simultaneous changes nothing where the discriminator does not step first: it sees fakes from before the "
            "generator's step in any case: leave it out"
        )
    if science.pace.unroll and run.step in ("compile", "graph"):
        raise ValueError(
            f"--unroll takes gradients within the step, which --step {run.step} cannot: leave one of them out"
        )
    if science.pace.unroll and run.precision == "float16":
        raise ValueError(
            "--unroll takes gradients of the discriminator without the scaling that --precision float16 needs: use "
            "--precision bfloat16 or float32"
        )
    if science.pace.unroll and any(game.penalised and twice_at_most(game.network) for game in tried.games):
        raise ValueError(
            "--unroll with a penalty takes third derivatives of the discriminator, which PyTorch's batch and instance "
            "norm do not have: use --norm group or none, or --penalty none"
        )


def _check_own_targets(model: str, cls: type[Model], science: ModelSettings) -> None:
    """
    Raises:
        ValueError: fakes are to be held against their own targets, and have none.
    """
    if cls.data != "pairs" and getattr(science, "feature_matching", "mean") == "layers":
        why = "makes pictures of noise" if cls.data == "targets" else "is for pictures without pairs"
        raise ValueError(
            f"--feature-matching layers holds each fake against its own target, and {model} {why}, so that a fake has "
            "none: use mean"
        )


def kept_figures(run: RunSettings) -> list[str]:
    """The figures of `--keep-best`."""
    return run.keep_best.split(",") if run.keep_best else []


def as_before(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings of a run or a card, with the values of settings that did not exist yet."""
    unknown = {"val_crop": stored.get("fit") == "none", "best": "l1", "metric_features": None}
    return RunSettings.renamed(unknown | dict(stored))


def rehearse(model: str, values: Mapping[str, Any], *, size: Size | int) -> None:
    """Check that a run of these settings could start, without pictures.

    Raises:
        ValueError: a value that a setting of the model refuses, networks that do not fit the size, or something that
            is not installed.
    """
    cls = model_class(model)
    settings = cls.settings_class
    own = {k: value for k, value in with_recipe(model, values).items() if k in settings.known_names()}
    try_out(cls, settings.make(own), size=size).check()


def try_out(cls: type[Model], science: ModelSettings, *, size: Size | int) -> Model:
    """Build the networks on the meta device, with placeholders for the conditions.

    Raises:
        ValueError: the settings do not fit each other or the size.
    """
    import torch

    needs = cls.data_needs(science)
    conditions = placeholder(needs)
    gray = ImageSpec(channels=1)
    labels = ImageSpec(channels=1, kind="labels", palette=((0,), (255,)))
    with torch.device("meta"):
        source = None if cls.data == "targets" else labels if needs.segments else gray
        return build(cls, science, source=source, target=gray, size=size, conditions=conditions)


def _found_again(science: ModelSettings) -> ModelSettings:
    """Files that a model's settings name, by their full paths."""
    return science.replace(**{name: value.absolute() for name, value in science if isinstance(value, Path)})


def _with_absolute_paths(data: DataSettings) -> DataSettings:
    """The run must find its pictures again from another working folder."""
    changes = {}
    for name in PATHS:
        path = getattr(data, name)
        if path is None:
            continue
        if not path.is_dir():
            raise ValueError(f"{flag(name)}: no folder {path}")
        changes[name] = path.resolve()
    return data.replace(**changes)


def _usual_folder(model: str, data: DataSettings) -> Path:
    """runs/MODEL-DATA."""
    pictures = data.data or data.target
    assert pictures is not None
    return Path("runs") / f"{model.split(':')[-1]}-{pictures.resolve().name}"
