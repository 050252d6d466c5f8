"""A loaded model is a copy: its file may be replaced, cut or removed meanwhile. Real processes, and real files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FROZEN = Path(__file__).parent / "frozen" / "0.1.0"

PROGRAM = """
import hashlib, os, shutil, sys
import numpy as np
from translate.inference.translator import load

t = load(sys.argv[1], device="cpu")
rng = np.random.default_rng(0)

def result():  # of a size that is new each time, so that nothing is at hand from before
    return hashlib.sha256(np.ascontiguousarray(t(picture)).data).hexdigest()

picture = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
before = result()
for change in sys.argv[2:]:
    for suffix in ("", ".data"):
        path = sys.argv[1] + suffix
        if not os.path.exists(path):
            continue
        if change == "cut":
            os.truncate(path, 0)
        elif change == "removed":
            os.remove(path)
        else:
            shutil.copyfile(change + suffix, path)  # as cp does: the same file, with other content
    print(result() == before, flush=True)
"""


def other(path: Path) -> Path:
    """A model like the frozen one with other weights."""
    if path.suffix == ".onnx":
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 4:
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(-values[::-1].copy(), tensor.name))
        onnx.save(model, path.with_name("other.onnx"))
    else:
        tensors = {name: -tensor for name, tensor in load_file(path).items()}
        with safe_open(path, framework="pt") as file:
            metadata = {key: text for key, text in file.metadata().items() if key != "checksum"}
        save_file(tensors, path.with_name("other.safetensors"), metadata=metadata)
    return path.with_name(f"other{path.suffix}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "onnx", "onnx in two files"])
def test_results_stay_what_they_are(kind: str, tmp_path: Path) -> None:
    model = tmp_path / f"model.{kind.split()[0]}"
    shutil.copy(FROZEN / model.name, model)
    replacement = other(model)
    if "two" in kind:
        for path in (model, replacement):
            options: dict[str, Any] = {
                "save_as_external_data": True,
                "location": f"{path.name}.data",
                "size_threshold": 64,
            }
            onnx.save(onnx.load(path), path, **options)
    words = [sys.executable, "-c", PROGRAM, str(model), str(replacement), "cut", "removed"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # a negative one is a signal
    assert done.stdout.split() == ["True"] * 3
