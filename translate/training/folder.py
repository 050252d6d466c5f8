"""A run folder: its configuration, weights, checkpoints and journal, each written whole or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from translate.card import Card
from translate.files import atomic, write_text
from translate.models import Model, deployed_state

CHECKPOINT = re.compile(r"step-(\d+)\.pt")


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
            ValueError: this is no run folder.
        """
        if not self.config.is_file():
            raise ValueError(f"{self.path} is not a run folder: it has no config.json")
        return json.loads(self.config.read_text(encoding="utf-8"))

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
        """Write the training state, then drop all but the newest `keep`, once this one is safe."""
        with atomic(self.checkpoint(step)) as temporary:
            torch.save(state, temporary)
        for old in self.checkpoint_steps()[:-keep]:
            self.checkpoint(old).unlink()

    def load_checkpoint(self, *, device: torch.device) -> dict[str, Any] | None:
        """The newest training state, or None where there is none yet. Only tensors and plain values are unpickled."""
        steps = self.checkpoint_steps()
        return torch.load(self.checkpoint(steps[-1]), map_location=device, weights_only=True) if steps else None

    def safe(self) -> str:
        """What a stopped run still has, for the user."""
        steps = self.checkpoint_steps()
        if not steps:
            return "there is no checkpoint yet"
        newest = f"the last good checkpoint is step {steps[-1]}, {self.checkpoint(steps[-1])}"
        return f"{newest}; go on with: translate train --resume {self.path}"

    def forget_after(self, step: int) -> None:
        """Drop what a killed run wrote after the checkpoint of `step`: those steps are going to be done again."""
        if self.metrics.is_file():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            # a line cut by the kill has no newline at its end
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            if len(kept) < len(lines):
                write_text(self.metrics, "".join(kept))
        for leftover in [*self.path.glob(".*-*"), *self.checkpoints.glob(".*-*")]:
            leftover.unlink()

    def journal(self, record: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def save_model(path: Path, model: Model, card: Card) -> None:
    """Write a model file: the deployed weights with the card in the header."""
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in deployed_state(model).items()}
    with atomic(path) as temporary:
        save_file(state, temporary, metadata=card.to_metadata())


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a model file, on the CPU."""
    return load_file(path)
