"""A run folder: its configuration, weights, checkpoints and journal, each written whole or not at all."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from translate.card import Card
from translate.devices import is_out_of_memory
from translate.files import atomic, drop_leftovers, write_text
from translate.models import Model, deployed_state
from translate.version import __version__

CHECKPOINT = re.compile(r"step-(\d+)\.pt")


def versions() -> dict[str, str]:
    """What wrote a run or model."""
    return {"translate": __version__, "torch": torch.__version__, "python": platform.python_version()}


class RunFolder:
    """The paths of one run and what is read from and written to them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.model = path / "model.safetensors"  # the best weights
        self.last = path / "last.safetensors"  # the newest weights
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.cache = path / "cache"

    def read_config(self) -> dict[str, Any]:
        """
        Raises:
            ValueError: this is no run folder, or its configuration is damaged.
        """
        if not self.config.is_file():
            raise ValueError(f"{self.path} is not a run folder: it has no config.json")
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.config} is damaged: {error}") from None
        if not (isinstance(config, dict) and config.keys() >= {"model", "settings", "source", "target", "data"}):
            raise ValueError(f"{self.path} is not a run folder: its config.json is that of something else")
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace the configuration."""
        write_text(self.config, json.dumps(config, indent=2) + "\n")

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first."""
        found = [CHECKPOINT.fullmatch(p.name) for p in self.checkpoints.glob("step-*.pt")]
        return sorted(int(m.group(1)) for m in found if m)

    def checkpoint(self, step: int) -> Path:
        """Where the full training state after `step` is kept."""
        return self.checkpoints / f"step-{step:08d}.pt"

    def save_checkpoint(self, step: int, state: dict[str, Any], *, keep: int) -> None:
        """Write the training state, then drop all but the newest `keep`, once this one is safe.

        Raises:
            OSError: it could not be written whole. The older checkpoints are as they were.
        """
        path = self.checkpoint(step)
        try:
            with atomic(path) as temporary, temporary.open("wb") as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            # torch tells of a full disk by a RuntimeError of its own; the system's reason is then the context
            reason = error if isinstance(error, OSError) else error.__context__
            if not isinstance(reason, OSError):
                raise
            raise OSError(f"{path} could not be written: {reason}") from error
        for old in self.checkpoint_steps()[:-keep]:
            self.checkpoint(old).unlink()

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest training state, on the CPU, or None where there is none yet.

        Only tensors and plain values are unpickled.

        Raises:
            ValueError: its file is damaged.
        """
        steps = self.checkpoint_steps()
        if not steps:
            return None
        path = self.checkpoint(steps[-1])
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            if is_out_of_memory(error):
                raise
            instead = f"step {steps[-2]}" if len(steps) > 1 else "the start"
            raise ValueError(f"{path} is damaged: delete it to go on from {instead}") from error

    def safe(self, *, resumable: bool = True) -> str:
        """What a stopped run still has, for the user; `resumable` where going on as before makes sense."""
        steps = self.checkpoint_steps()
        if not steps:
            return "there is no checkpoint yet"
        newest = f"the last good checkpoint is step {steps[-1]}, {self.checkpoint(steps[-1])}"
        return f"{newest}; go on with: translate train --resume {self.path}" if resumable else newest

    def forget_after(self, step: int) -> None:
        """Drop what a killed run wrote after the checkpoint of `step`: those steps are going to be done again."""
        if self.metrics.is_file():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            # a line cut by the kill has no newline at its end
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            if len(kept) < len(lines):
                write_text(self.metrics, "".join(kept))
        for folder in (self.path, self.checkpoints, self.samples, self.cache):
            drop_leftovers(folder)

    def journal(self, record: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def save_model(path: Path, model: Model, card: Card) -> None:
    """Write a model file: the deployed weights with the card in the header.

    Raises:
        OSError: it could not be written whole. A former file of this name is as it was.
    """
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in deployed_state(model).items()}
    try:
        with atomic(path) as temporary:  # not save_file, whose files only their owner may read
            temporary.write_bytes(save(state, metadata=card.to_metadata()))
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a model file, on the CPU.

    Raises:
        ValueError: it is damaged, or no such file at all.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: no safetensors file, or a damaged one: {error}") from None
