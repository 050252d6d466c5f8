"""TensorRT's options, and the folder for its engines. Imports no torch, and no TensorRT.

The first picture of a size that an engine does not cover makes TensorRT build one, which takes minutes: it times many
ways to run each layer. An engine covers the sizes between the smallest and the largest that it was built for, in each
of N, H and W, and one that has to grow is built again. So a server warms up with the smallest and the largest
batch to come (`Translator.warm_up`), and finds the engine in the folder at the next start.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from translate.export.metadata import MADE_KEY, read_metadata
from translate.export.providers import runtime
from translate.outside import parsed

FOLDER_VARIABLE = "TRANSLATE_ENGINES"
BLOCK = 2**20


def engine_options(path: Path, *, folder: Path | None = None) -> dict[str, str | int]:
    """ONNX Runtime's options for TensorRT and the file in `path`; makes the engines' folder.

    Layers run in float16 and bfloat16 only where the file's do: in float32 TensorRT would not give the same pixels.

    Raises:
        ValueError: the folder cannot be made.
    """
    place = (folder or default_folder(os.environ)) / engine_key(path, version=runtime().__version__)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--engines {place.parent}: no folder for TensorRT's engines: {error.strerror}") from None
    precision = parsed(read_metadata(path).get(MADE_KEY, "{}")).get("precision", "float32")  # checked before
    return {
        "trt_engine_cache_enable": 1,
        "trt_engine_cache_path": str(place),
        "trt_timing_cache_enable": 1,
        "trt_timing_cache_path": str(place.parent),  # its timings of the GPU's kernels serve every file
        "trt_fp16_enable": int(precision == "fp16"),
        "trt_bf16_enable": int(precision == "bf16"),
        "trt_int8_enable": int(precision == "int8"),
    }


def default_folder(environment: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    """`$TRANSLATE_ENGINES`, or `translate-gan/tensorrt` in the folder that the platform has for caches."""
    if environment.get(FOLDER_VARIABLE):
        return Path(environment[FOLDER_VARIABLE])
    if platform == "win32":
        cache = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "translate-gan" / "tensorrt"


def engine_key(path: Path, *, version: str) -> str:
    """Name of the folder for a file's engines: a hash of its weights and of ONNX Runtime's version.

    The weights in a second file count, too. The runtime puts the GPU's generation into the names of its files.
    """
    digest = hashlib.sha256(version.encode())
    for part in (path, path.with_name(f"{path.name}.data")):
        if part.is_file():
            with part.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()[:32]
