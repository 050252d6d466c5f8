"""Which device the networks run on. Imports no torch until one is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from translate.tables import closest

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str) -> torch.device:
    """The device called `name`: `auto` (CUDA, then MPS, then CPU), `cpu`, `cuda`, `cuda:1`, ... or `mps`.

    Only `auto` falls back. A device that was asked for and cannot be used is an error, never the CPU instead.

    Raises:
        ValueError: no such kind of device, or it cannot be used here, with the reason.
    """
    import torch

    wanted = name.strip().lower()
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, colon, index = wanted.partition(":")
    if kind not in CHOICES[1:] or (colon and not index.isdecimal()):
        hint = closest("cuda" if kind == "gpu" else kind, CHOICES)  # by spelling alone the closest would be cpu
        raise ValueError(f'no device "{name}"{hint}: choose auto, cpu, cuda, cuda:1 or mps')
    trouble = _TROUBLE[kind](int(index) if index else 0)
    if trouble:
        raise ValueError(f"device {wanted} cannot be used: {trouble}; `auto` picks one that can")
    return torch.device(wanted)


def _cpu_trouble(index: int) -> str | None:
    return None if index == 0 else "there is one CPU, cpu"


def _cuda_trouble(index: int) -> str | None:
    import torch

    if not torch.backends.cuda.is_built():
        return f"this PyTorch ({torch.__version__}) was built without CUDA"
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()  # is_available() keeps the reason to itself; this raises it
        except (RuntimeError, AssertionError) as error:
            return str(error).strip().splitlines()[0].rstrip(".")
        return "no GPU was found"
    count = torch.cuda.device_count()
    return None if index < count else f"there are {count} GPUs, cuda:0 to cuda:{count - 1}"


def _mps_trouble(index: int) -> str | None:
    import torch

    if not torch.backends.mps.is_built():
        return f"this PyTorch ({torch.__version__}) was built without MPS, which needs a Mac"
    if not torch.backends.mps.is_available():
        return "MPS needs an Apple GPU and macOS 12.3 or newer"
    return None if index == 0 else "there is one MPS device, mps"


_TROUBLE = {"cpu": _cpu_trouble, "cuda": _cuda_trouble, "mps": _mps_trouble}


def bfloat16_trouble(device: torch.device) -> str | None:
    """Why a device does not compute in bfloat16 with instructions of its own, which it would only imitate; or None."""
    import torch

    if device.type == "cpu":
        named = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        known = [found for name in named if (found := getattr(torch.cpu, name, None)) is not None]
        return None if any(supported() for supported in known) else "this CPU has no AVX512_BF16 or AMX for bfloat16"
    if device.type == "cuda":
        supported = torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip is not None
        return None if supported else "this GPU has no bfloat16; --precision float16 may do"
    return f"bfloat16 has not been tried on {device.type}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that a GPU or the CPU ran out of memory."""
    import torch

    text = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
