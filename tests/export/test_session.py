"""Sessions: what they are asked for is what runs, or one line says why not."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from translate.export import providers
from translate.export.metadata import MADE_KEY
from translate.export.providers import CPU, CUDA, TENSORRT, library_trouble, load_libraries, trouble
from translate.export.session import open_session
from translate.export.tensorrt import default_folder, engine_key, engine_options
from translate.inference.translator import load

GPUS = {"cuda": CUDA, "cuda:1": CUDA, "tensorrt": TENSORRT, "tensorrt:1": TENSORRT}


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def with_metadata(file: Path, made: Path, entries: Mapping[str, str]) -> Path:
    proto = onnx.load(file)
    onnx.helper.set_model_props(proto, dict(entries))
    onnx.save(proto, made)
    return made


@pytest.fixture
def pictures() -> np.ndarray:
    """`[2, 9, 13, 1]` uint8, what the exported model of these tests takes."""
    return np.random.default_rng(0).integers(0, 256, (2, 9, 13, 1), dtype=np.uint8)


def test_bound_inputs_and_outputs_are_those_of_a_plain_run(pair: tuple[Path, Path], pictures: np.ndarray) -> None:
    """From arrays, from arrays that are no plain rows, and from what is on the device already."""
    opened = open_session(pair[1], device="cpu")
    (expected,) = opened.session.run(None, {"image": pictures})
    assert expected.std() > 1
    for value in (
        pictures,
        np.asfortranarray(pictures),
        onnxruntime.OrtValue.ortvalue_from_numpy(pictures, "cpu", 0),
    ):
        (made,) = opened.run({"image": value})
        assert made.device_name() == "cpu"
        assert np.array_equal(made.numpy(), expected)


def test_results_outlive_later_runs_and_other_threads(pair: tuple[Path, Path], pictures: np.ndarray) -> None:
    opened = open_session(pair[1], device="cpu")
    inputs = [np.roll(pictures, shift, 2) for shift in range(6)]
    expected = [opened.session.run(None, {"image": value})[0] for value in inputs]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda value: opened.run({"image": value})[0], inputs))
    assert all(np.array_equal(value.numpy(), want) for value, want in zip(made, expected, strict=True))


def test_what_runs_is_what_the_session_reports(pair: tuple[Path, Path]) -> None:
    opened = open_session(pair[1], device="CPU ")
    assert (opened.device, opened.session.get_providers()) == ("cpu", [CPU])
    automatic = open_session(pair[1])
    assert automatic.device == {CPU: "cpu", CUDA: "cuda:0"}[automatic.session.get_providers()[0]]


def test_threads_spin_while_a_picture_is_computed_and_no_longer(pair: tuple[Path, Path]) -> None:
    options = open_session(pair[1], device="cpu").session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_no_block_of_memory_is_kept_for_a_size(pair: tuple[Path, Path]) -> None:
    """The second large picture of a size would take half as much again as the first."""
    assert not open_session(pair[1], device="cpu").session.get_session_options().enable_mem_pattern


def test_threads_are_as_many_as_asked_for(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, expected in (("3", 3), ("0", len(os.sched_getaffinity(0))), ("many", len(os.sched_getaffinity(0)))):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert open_session(pair[1], device="cpu").session.get_session_options().intra_op_num_threads == expected


@pytest.mark.skipif(has_driver(), reason="this machine has a driver for GPUs")
@pytest.mark.parametrize("device", GPUS)
def test_a_gpu_that_cannot_be_used_is_an_error_with_the_reason(pair: tuple[Path, Path], device: str) -> None:
    with pytest.raises(ValueError, match=rf"^device {device} cannot be used: .+; `auto` picks one that can$") as caught:
        open_session(pair[1], device=device)
    built = GPUS[device] in onnxruntime.get_available_providers()
    assert ("no NVIDIA driver was found" if built else "was built without") in str(caught.value)


@pytest.mark.skipif(has_driver(), reason="this machine has a driver for GPUs")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_where_the_runtime_falls_back_by_itself_it_is_noticed(
    pair: tuple[Path, Path], device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a machine whose driver is there and whose libraries are not: ONNX Runtime gives a session on the CPU."""
    if GPUS[device] not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime was built without GPUs")
    monkeypatch.setattr("translate.export.session.trouble", lambda provider: None)
    engines = tmp_path / "engines" if device == "tensorrt" else None
    with pytest.raises(ValueError, match=rf"^device {device} cannot be used: .+; `auto` picks one that can$") as caught:
        open_session(pair[1], device=device, engines=engines)
    reason = library_trouble(GPUS[device])
    assert (reason or "gives no reason") in str(caught.value)
    assert open_session(pair[1], device="auto").device == "cpu"


def test_the_loader_names_the_library_that_is_missing() -> None:
    """In a process of its own, since what `load_libraries` loads stays. Without TensorRT it is libnvinfer."""
    if TENSORRT not in onnxruntime.get_available_providers() or providers._tensorrt_folders():
        pytest.skip("this ONNX Runtime was built without TensorRT, or TensorRT is installed")
    script = (
        "from translate.export.providers import *\n"
        "load_libraries(TENSORRT)\n"
        "print('reason:', library_trouble(TENSORRT))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, lines  # none of ONNX Runtime's own lines
    assert ": cannot open shared object file" in lines[0]
    missing = lines[0].removeprefix("reason: ").removeprefix("TensorRT is not installed: ").partition(":")[0]
    with pytest.raises(OSError, match=missing):
        ctypes.CDLL(missing)


def test_a_runtime_without_gpus_says_which_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    for provider, name in ((CUDA, "CUDA"), (TENSORRT, "TensorRT")):
        assert f"was built without {name}: onnxruntime-gpu has it" in str(trouble(provider))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("mps", 'no device "mps" for an .onnx file'),
        ("gpu", r'no device "gpu" for an .onnx file \(did you mean "cuda"\?\)'),
        ("tensorflow", "choose auto, cpu, cuda, cuda:1, tensorrt or tensorrt:1"),
        ("tensorrtt", 'did you mean "tensorrt"'),
        ("tensorrt:x", 'no device "tensorrt:x"'),
        ("tensorrt:", 'no device "tensorrt:"'),
        ("auto:1", 'no device "auto:1"'),
        ("cpu:1", "there is one CPU"),
    ],
)
def test_devices_that_there_are_not(pair: tuple[Path, Path], device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_session(pair[1], device=device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_engines_are_for_tensorrt(pair: tuple[Path, Path], device: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--engines is a folder for TensorRT, and --device is {device}"):
        open_session(pair[1], device=device, engines=tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_engines_lie_where_caches_do() -> None:
    own = {"TRANSLATE_ENGINES": "/fast/disk"}
    for environment, platform, expected in (
        ({}, "linux", Path.home() / ".cache/translate-gan/tensorrt"),
        ({"XDG_CACHE_HOME": "/c"}, "linux", Path("/c/translate-gan/tensorrt")),
        ({"XDG_CACHE_HOME": "/c"}, "darwin", Path.home() / "Library/Caches/translate-gan/tensorrt"),
        ({"LOCALAPPDATA": "/local"}, "win32", Path("/local/translate-gan/tensorrt")),
        (own, "linux", Path("/fast/disk")),
        (own, "win32", Path("/fast/disk")),
    ):
        assert default_folder(environment, platform=platform) == expected


def test_a_file_finds_its_own_engines_only(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key = engine_key(pair[1], version="1.30")
    copied = tmp_path / "copied.onnx"
    copied.write_bytes(pair[1].read_bytes())
    assert engine_key(copied, version="1.30") == key
    assert engine_key(copied, version="1.31") != key
    copied.with_name("copied.onnx.data").write_bytes(b"weights")
    assert engine_key(copied, version="1.30") != key
    assert engine_key(pair[0], version="1.30") != key


def test_tensorrt_keeps_engines_and_the_type_of_the_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    options = engine_options(pair[1], folder=tmp_path / "engines")
    place = Path(str(options["trt_engine_cache_path"]))
    assert place.is_dir()
    assert (place.parent, place.stat().st_mode & 0o77) == (tmp_path / "engines", 0)
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == 1
    assert options["trt_timing_cache_path"] == str(tmp_path / "engines")
    for precision, expected in (("fp16", (1, 0, 0)), ("bf16", (0, 1, 0)), ("int8", (0, 0, 1)), ("", (0, 0, 0))):
        made = {MADE_KEY: json.dumps({"precision": precision})} if precision else {}
        file = with_metadata(pair[1], tmp_path / f"{precision}.onnx", made)
        options = engine_options(file, folder=tmp_path / "engines")
        assert tuple(options[f"trt_{name}_enable"] for name in ("fp16", "bf16", "int8")) == expected


def test_a_folder_that_cannot_be_made_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--engines .*file: no folder for TensorRT's engines: "):
        engine_options(pair[1], folder=tmp_path / "file")


def test_loading_libraries_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    if sys.platform.startswith("linux") and not has_driver():
        load_libraries(CUDA)
    assert capfd.readouterr().out == ""


FORKED = """
import os, signal, sys
import numpy as np, translate
picture = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
t = translate.load(sys.argv[1], device="cpu")
expected = t(picture)
number = os.fork()
if number == 0:
    signal.alarm(60)  # what hangs ends, and fails
    os._exit(0 if np.array_equal(t(picture), expected) and np.array_equal(t(picture), expected) else 1)
_, status = os.waitpid(number, 0)
assert np.array_equal(t(picture), expected)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_the_file_anew(pair: tuple[Path, Path]) -> None:
    words = [sys.executable, "-c", FORKED, str(pair[1])]
    done = subprocess.run(
        words, env=os.environ | {"OMP_NUM_THREADS": "2"}, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_copy_of_an_exported_model_has_the_bytes_of_its_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    file = Path(shutil.copy(pair[1], tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, (20, 31), dtype=np.uint8)
    t = load(file, device="cpu")
    made = copy.deepcopy(pickle.loads(pickle.dumps(t)))
    expected = t(picture)
    assert np.array_equal(made(picture), expected)
    file.write_bytes(b"another model")
    assert np.array_equal(copy.deepcopy(made)(picture), expected)
    with pytest.raises(ValueError, match=r"model\.onnx: changed since it was loaded"):
        pickle.dumps(t)
