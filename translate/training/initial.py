"""Fine-tuning: start from the weights of an earlier model, as far as they fit (`--init-from`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from translate.files import SPECIAL, is_special
from translate.inference.earlier import file_at
from translate.models import Model
from translate.networks.reference import references_of
from translate.outside import some
from translate.training.folder import RunFolder
from translate.weights import load_tensors

MOST_NAMED = 200  # tensors that a message names


def initialise(model: Model, path: Path, *, step: int | None = None) -> str:
    """Load every tensor of `path` that fits by name and shape into `model`. Returns a report of what did not fit.

    A run folder also has the discriminator, a model file does not. Reference batches are chosen anew.

    Args:
        step: of a run: take the weights after this step.

    Raises:
        ValueError: nothing fits, or there is nothing to load, or it is damaged.
    """
    remarks: list[str] = []
    references = tuple(f"{name}." for name in references_of(model))
    found, own = (
        {name: tensor for name, tensor in tensors.items() if not name.startswith(references)}
        for tensors in (_tensors(path, step=step, say=remarks.append), model.state_dict())
    )
    fitting = {name: value for name, value in found.items() if name in own and _fits(own[name], value)}
    if not fitting:
        raise ValueError(f"--init-from {path}: not one of its {len(found)} tensors fits this model")
    model.load_state_dict(fitting, strict=False)
    missing = [name for name in own if name not in fitting]
    notes = [f"{name} ({_shape(found[name])} there, {_shape(own[name])} here)" for name in missing if name in found]
    absent = sorted({name.split(".")[0] for name in missing if name not in found})
    left = [name for name in found if name not in own]
    of = "" if step is None else f" after step {step}"
    message = f"started from {path}{of}: {len(fitting)} of {len(own)} tensors loaded"
    if notes:
        message += f"; of another shape, so new: {', '.join(notes)}"
    if absent:
        count = sum(name not in found for name in missing)
        message += f"; not in the file, so new: {count} tensors of {', '.join(absent)}"
    if left:
        message += f"; in the file only, so unused: {some(left, most=MOST_NAMED)}"
    return "\n".join([*remarks, message])


def _fits(own: Tensor, value: Tensor) -> bool:
    return own.shape == value.shape and own.is_floating_point() == value.is_floating_point() and not value.is_complex()


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _tensors(path: Path, *, step: int | None, say: Callable[[str], object]) -> dict[str, Tensor]:
    if step is not None:
        return _tensors_at(path, step)
    if is_special(path):
        raise ValueError(f"--init-from {path}: {SPECIAL}")
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ValueError(f"--init-from {path}: expected a run folder or a .safetensors file")
        return load_tensors(path)
    folder = RunFolder(path)
    state = folder.load_checkpoint(say=say)
    tensors = dict(state["model"]) if state else {}
    if folder.model.is_file():
        tensors |= load_tensors(folder.model)
    if not tensors:
        raise ValueError(f"--init-from {path}: neither model.safetensors nor a checkpoint in this folder")
    return tensors


def _tensors_at(path: Path, step: int) -> dict[str, Tensor]:
    """All of a checkpoint, if there is one, with the generator of the snapshot or the average."""
    file, folder = file_at(path, step), RunFolder(path)
    if file.suffix != ".pt":
        state = folder.read_checkpoint(step) if step in folder.checkpoint_steps() else {"model": {}}
        return {**state["model"], **load_tensors(file)}
    state = folder.read_checkpoint(step)
    return {**state["model"], **(state.get("average") or state)["model"]}
