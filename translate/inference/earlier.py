"""Earlier weights of a run: snapshots of its generator, and checkpoints of its whole training state. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from translate.card import Card
from translate.files import of_step, steps_in
from translate.inference.torch_backend import TorchBackend, open_network, read_safetensors_card

if TYPE_CHECKING:
    from torch import Tensor

    from translate.inference.options import LoadSettings

SNAPSHOTS, CHECKPOINTS = "snapshots", "checkpoints"
MODEL_FILES = ("last.safetensors", "model.safetensors")  # of a run; their cards describe its networks


def file_at(run: Path, step: int) -> Path:
    """The snapshot of a run after `step`, or else the checkpoint.

    Raises:
        ValueError: this is no run folder, or it has neither; the message lists the steps that exist.
    """
    if not run.is_dir():
        raise ValueError(f"--step is for a run folder, which keeps several, and {run} is none: leave it out")
    for folder, suffix in ((SNAPSHOTS, ".safetensors"), (CHECKPOINTS, ".pt")):
        if step in steps_in(run / folder, suffix):
            return of_step(run / folder, step, suffix)
    steps = sorted({*steps_in(run / SNAPSHOTS, ".safetensors"), *steps_in(run / CHECKPOINTS, ".pt")})
    found = f"there are {', '.join(map(str, steps))}" if steps else "it keeps none"
    raise ValueError(f"--step {step}: {run} has neither a snapshot nor a checkpoint of this step: {found}")


def checkpoint_card(path: Path) -> Card:
    """Card of the model with a checkpoint's weights: the averaged ones where the run keeps an average.

    Raises:
        ValueError: its run has no model file yet, whose card describes the networks.
    """
    card = read_safetensors_card(_model_file(path))
    averaged = bool(card.run.get("ema"))
    step = int(path.stem.removeprefix("step-"))
    return card.model_copy(update={"step": step, "weights": "averaged" if averaged else "raw", "figures": {}})


def checkpoint_tensors(path: Path) -> dict[str, Tensor]:
    """The deployed weights in a checkpoint, averaged where there is an average, on the CPU.

    Raises:
        ValueError: it is damaged, or a weight is NaN or infinite.
    """
    from safetensors import safe_open

    from translate.weights import check_finite, load_state

    state = load_state(path)
    # an average of an earlier version lacks the encoder
    tensors = {**state["model"], **(state.get("average") or state)["model"]}
    with safe_open(_model_file(path), framework="numpy") as file:
        names = set(file.keys())
    found = {name: tensor for name, tensor in tensors.items() if name in names}
    check_finite(found, name=path)
    return found


def open_checkpoint(path: Path, settings: LoadSettings, *, pixels: int | None = None) -> TorchBackend:
    """The model with a checkpoint's weights, on the device in `settings`; `pixels` as for `open_network`.

    Raises:
        ValueError: it is damaged, or the device cannot be used.
    """
    return open_network(path, checkpoint_card(path), lambda: checkpoint_tensors(path), settings, pixels=pixels)


def _model_file(path: Path) -> Path:
    run = path.parent.parent
    for name in MODEL_FILES:
        if (run / name).is_file():
            return run / name
    raise ValueError(f"{run}: this run has no model file yet, which says what the networks in {path} are")
