"""The files of a checkpoint of the reference code: which there are, and the tensors in them."""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

from torch import Tensor

from translate.files import SPECIAL, is_special
from translate.importing.options import ImportSettings
from translate.outside import visible
from translate.weights import unpickled

WRAPPED = "module."  # what DataParallel puts before every name
FILE = re.compile(r"(.+)_net_(G|G_A)\.pth")


@dataclass(frozen=True)
class Files:
    """Files of one checkpoint, by the role of their networks; those of a one-way model have no way back."""

    generator: Path
    discriminator: Path | None = None
    generator_back: Path | None = None
    discriminator_back: Path | None = None
    heads: Path | None = None


_ALONE = threading.Lock()  # two threads would give back each other's filters of warnings


def find_files(source: Path, settings: ImportSettings) -> Files:
    """The files that `source` means: itself with those that flags name, or those of one epoch in a folder.

    In a folder of CycleGAN, G_A translates A to B and D_A is the discriminator of B.

    Raises:
        ValueError: there is no such file or folder, or the folder has no generator of this epoch.
    """
    named = {
        "discriminator": settings.discriminator,
        "generator_back": settings.back,
        "discriminator_back": settings.back_discriminator,
    }
    if is_special(source):
        raise ValueError(f"{source}: {SPECIAL}")
    if source.is_file():
        if settings.epoch != "latest":
            raise ValueError(f"--epoch chooses among the files of a folder, and {source} is a file: leave it out")
        return Files(source, **named)
    if not source.is_dir():
        raise ValueError(f"{source}: no such file or folder")
    if any(named.values()):
        raise ValueError(f"{source} is a folder, whose files are found by name: give the generator's file instead")
    start = f"{settings.epoch}_net_"

    def found(role: str) -> Path | None:
        path = source / f"{start}{role}.pth"
        return path if path.is_file() else None

    generator, there, back = found("G"), found("G_A"), found("G_B")
    if generator is not None:
        return Files(generator, found("D"), heads=found("F"))
    if there is not None and back is not None:
        return Files(there, found("D_A"), back, found("D_B"))
    if there is not None or back is not None:
        raise ValueError(f"{source} has one of {start}G_A.pth and {start}G_B.pth: to import it alone, give the file")
    epochs = sorted({match.group(1) for path in source.iterdir() if (match := FILE.fullmatch(path.name))})
    hint = f": there is --epoch {', '.join(epochs)}" if epochs else ""
    raise ValueError(f"{source} has neither {start}G.pth nor {start}G_A.pth{hint}")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, on the CPU, floats in 32 bits, with the names that the network itself gave them.

    Only tensors and plain values are unpickled.

    Raises:
        ValueError: the file is missing or damaged, is no state dict, or could only be read by running code from it.
    """
    if not path.is_file():
        raise ValueError(f"{path}: {SPECIAL if is_special(path) else 'no such file'}")
    try:
        with _ALONE, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch has not written: the answer is below
            state = unpickled(path)
    except UnpicklingError as error:
        if error.__cause__ is not None:  # torch's reader stumbles over a damaged file in a dozen ways
            name = type(error.__cause__).__name__
            raise ValueError(f"{path} is damaged, or no file of PyTorch ({name})") from None
        raise ValueError(
            f"{path} holds more than tensors (or is damaged), and reading that could run code hidden in it: save the "
            "network's state_dict() alone where the file was made"
        ) from None
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        raise ValueError(f"{path} is no state dict: expected tensors by name, found a {type(state).__name__}")
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"{path} is no state dict of one network: {few(others)} {_are(others)} no tensor")
    if all(name.startswith(WRAPPED) for name in state):
        state = {name.removeprefix(WRAPPED): value for name, value in state.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def few(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(names) - 4
    return ", ".join(visible(name[:200]) for name in names[:4]) + (f" and {rest} more" if rest > 0 else "")


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
