"""ONNX Runtime's providers, and why one cannot be used here. Imports no torch."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
from pathlib import Path
from typing import Any

from translate.borrowed import Borrowed

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
NAMES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
BUILT_WITH = {CUDA: "CUDA", TENSORRT: "TensorRT"}
LIBRARIES = {CUDA: "onnxruntime_providers_cuda", TENSORRT: "onnxruntime_providers_tensorrt"}
NVINFER = ("nvinfer", "nvinfer_plugin", "nvonnxparser")  # TensorRT's own libraries that the provider is linked to


def runtime() -> Any:
    """The `onnxruntime` module.

    Raises:
        ValueError: it is not installed; the message says how to install it.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            'ONNX Runtime, which runs .onnx files, is not installed: pip install "translate-gan[onnx]"'
        ) from None
    return onnxruntime


def trouble(provider: str) -> str | None:
    """Why a GPU provider cannot be used, as far as known before a session is made; or None."""
    if provider not in runtime().get_available_providers():
        version = runtime().__version__
        return f"this ONNX Runtime ({version}) was built without {BUILT_WITH[provider]}: onnxruntime-gpu has it"
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError:
        return f"no NVIDIA driver was found ({driver})"
    return None


def load_libraries(provider: str) -> None:
    """Load the CUDA, cuDNN and TensorRT libraries that pip installed, which the system's loader does not find.

    `library_trouble` names missing ones.
    """
    preload = getattr(runtime(), "preload_dlls", None)  # since 1.21
    if preload is not None:
        with _print(lambda *words, **options: None):  # it prints missing libraries
            preload()
    if provider != TENSORRT:
        return
    for folder in _tensorrt_folders():
        for name in NVINFER:
            for file in sorted((*folder.glob(f"lib{name}.so.*"), *folder.glob(f"{name}_*.dll"))):
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)


_print = Borrowed[Any](lambda: vars(runtime()).get("print"), lambda value: _set_print(value))


def _set_print(value: Any) -> None:
    if value is None:
        vars(runtime()).pop("print", None)
    else:
        vars(runtime())["print"] = value


def library_trouble(provider: str) -> str | None:
    """The system loader's error for the provider's library; None if it can be loaded."""
    windows = sys.platform == "win32"
    name = f"{LIBRARIES[provider]}.dll" if windows else f"lib{LIBRARIES[provider]}.so"
    library = Path(runtime().__file__).parent / "capi" / name
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        reason = str(error).removeprefix(f"{library}: ")
        if provider == TENSORRT and "nvinfer" in reason:
            return f"TensorRT is not installed: {reason}"
        return reason
    return None


def _tensorrt_folders() -> list[Path]:
    """Where the packages `tensorrt-cu12`, `-cu13` and the like put the libraries."""
    spec = importlib.util.find_spec("tensorrt_libs")
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
