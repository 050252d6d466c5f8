"""Tensors on the disk with a checksum over their bytes, so that a damaged file is found when it is read."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from translate.devices import is_out_of_memory
from translate.files import atomic
from translate.outside import MAX_STEPS, NESTED, VALUES, check_header, parsed, visible

if TYPE_CHECKING:
    from hashlib import _Hash

CHECKSUM = "checksum"
"""Entry of a model file's header, and of a checkpoint. Older files have none, and are read without the check."""


TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}
"""Types of tensors by their names in a safetensors file."""


def checksum(value: Any) -> str:
    """SHA-256 of nested dictionaries and lists of tensors (type, shape, bytes) and plain values.

    Takes about a second for 1 GB (measured on x86 with SHA instructions).
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return f"sha256:{digest.hexdigest()}"


def _feed(digest: _Hash, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{list(value.shape)}".encode())
        data = value.detach().cpu().contiguous().reshape(-1)
        digest.update(data.view(torch.uint8).numpy().data if data.numel() else b"")
    elif isinstance(value, Mapping):
        digest.update(f"mapping of {len(value)}".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__} of {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        text = repr(value).encode()
        digest.update(f"{type(value).__name__} of {len(text)} ".encode() + text)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with texts and a checksum over all of it in its header.

    Raises:
        OSError: it could not be written whole. A former file of this name is as it was.
    """
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    header = {**metadata, CHECKSUM: _of_file(state, metadata)}
    try:
        with atomic(path) as temporary:  # not save_file, which makes files that only their owner may read
            temporary.write_bytes(save(state, metadata=header))
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a model file, on the CPU.

    Raises:
        ValueError: it is damaged, holds weights that are no numbers, or there is no such file at all.
    """
    return load_file(path)[0]


def load_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights of a model file, on the CPU, and the texts of its header, all from one reading.

    They are copies: mapped from the file they would change with it, and a file that is cut off ends the process. That
    takes, with the check, 0.3 s more for 218 MB (measured on one core of an EPYC).

    Raises:
        ValueError: as `load_tensors`.
    """
    try:
        check_header(path)
        with safe_open(path, framework="numpy"):
            pass  # the library checks that the header describes the file
        with path.open("rb", buffering=0) as file:
            length = int.from_bytes(file.read(8), "little")
            header = dict(parsed(file.read(length)))
            metadata = dict(header.pop("__metadata__", {}))
            # by name: a file has them in any order
            tensors = {name: _read(file, entry, start=8 + length) for name, entry in sorted(header.items())}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: no safetensors file, or a damaged one: {visible(error)[:300]}") from None
    texts = {name: text for name, text in metadata.items() if name != CHECKSUM}
    if CHECKSUM in metadata and metadata[CHECKSUM] != _of_file(tensors, texts):
        raise ValueError(f"{path}: damaged: its bytes do not match its checksum; copy the file again")
    check_finite(tensors, name=path)
    return tensors, metadata


def _read(file: BinaryIO, entry: Mapping[str, Any], *, start: int) -> Tensor:
    """A tensor as a header describes it, whose tensors begin at `start`. Each is read to where it stays."""
    if entry["dtype"] not in TYPES:
        raise ValueError(f"weights of type {entry['dtype']}, of which there are none here")
    begin, end = entry["data_offsets"]
    tensor = torch.empty(entry["shape"], dtype=TYPES[entry["dtype"]], device="cpu")
    place = memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    file.seek(start + begin)
    while place:
        read = file.readinto(place)  # type: ignore[attr-defined]
        if not read or len(place) > end - begin:
            raise ValueError("it changed while it was read")
        place, begin = place[read:], begin + read
    return tensor


DIVERGED = "the training diverged, or the file is damaged; use earlier weights (--step N)"


def check_finite(tensors: Mapping[str, Tensor], *, name: object, why: str = DIVERGED) -> None:
    """Refuse weights that are NaN or infinite; `name` begins the error; `why` is its end: the cause and what to do.

    Raises:
        ValueError: there are such; names where.
    """
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.sum(dtype=_wide(tensor)).isfinite():
            continue  # a sum keeps both, and is quicker than a test of each
        if bad := int(tensor.numel() - tensor.isfinite().sum()):
            raise ValueError(
                f"{name}: {bad:,} of the {tensor.numel():,} weights in {key} are not finite (NaN or infinity): {why}"
            )


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def load_state(path: Path) -> dict[str, Any]:
    """The training state in a checkpoint, on the CPU. Only tensors and plain values are unpickled.

    Raises:
        ValueError: it is damaged: no such file, or without a step, weights by name and, if any, an average of them.
        MemoryError: it does not fit.
    """
    try:
        state = unpickled(path)
    except UnpicklingError as error:
        raise ValueError(f"{path} is damaged: {_first_line(error)}") from error
    if not (isinstance(state, dict) and state.keys() >= {"step", "model"}):
        raise ValueError(f"{path} is damaged: it holds no training state")
    average = state.get("average")
    wrong = {
        "step": not _is_count(state["step"]),
        "model": not _are_weights(state["model"]),
        "average": average is not None
        and not (
            isinstance(average, dict) and _is_count(average.get("updates")) and _are_weights(average.get("model"))
        ),
    }
    if any(wrong.values()):
        name = next(name for name in wrong if wrong[name])
        raise ValueError(f"{path} is damaged: {name} is not what it should be")
    noted = state.pop(CHECKSUM, None)
    if noted is not None and noted != checksum(state):
        raise ValueError(f"{path} is damaged: its bytes do not match its checksum")
    return state


def unpickled(path: Path) -> Any:
    """The content of a file of `torch.save`, on the CPU. Only tensors and plain values are unpickled.

    Raises:
        UnpicklingError: it holds more, or is damaged; or its header declares more data than the file has.
        ValueError: it cannot be read.
        MemoryError: it does not fit.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch writes them as they are
                if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                    raise UnpicklingError("it is compressed, or declares more than it holds")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise
    except Exception as error:  # damaged files raise many types, OSError [Errno 22] too
        if is_out_of_memory(error):
            raise MemoryError(f"{path}: does not fit in memory ({_first_line(error)})") from None
        if isinstance(error, PermissionError) or not path.is_file():
            raise ValueError(f"{path}: cannot be read: {_first_line(error)}") from None
        raise UnpicklingError(_first_line(error)) from error
    _measure(value)
    return value


def _first_line(error: Exception) -> str:
    return visible((str(error).strip() or type(error).__name__).splitlines()[0][:100])


def _measure(value: Any) -> None:
    """
    Raises:
        UnpicklingError: nested too deep, more values than are read, or a tensor that is larger than its memory.
    """
    left, count = [(value, 0)], 0
    while left:
        item, depth = left.pop()
        count += 1
        if depth > NESTED or count > VALUES:
            raise UnpicklingError(f"it is nested more than {NESTED} deep, or holds more than {VALUES:,} values")
        if isinstance(item, Tensor):
            if item.layout != torch.strided or item.numel() * item.element_size() > item.untyped_storage().nbytes():
                raise UnpicklingError("a tensor in it declares more than it holds")
        elif isinstance(item, Mapping):
            left += [(part, depth + 1) for part in (*item.keys(), *item.values())]
        elif isinstance(item, list | tuple | set | frozenset):
            left += [(part, depth + 1) for part in item]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS


def _are_weights(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _of_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Sorted by name: a file keeps no order."""
    return checksum([dict(sorted(tensors.items())), dict(sorted(metadata.items()))])
