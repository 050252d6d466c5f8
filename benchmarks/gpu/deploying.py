"""One generator to convert with: as it is written, as it is loaded, and exported."""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import infer
from benchmarks.gpu.options import Flags
from benchmarks.gpu.record import Clock, Record
from benchmarks.measure import alternate, ratio
from benchmarks.ways import EAGER, TORCH, Run, open_way
from translate.devices import pick_device
from translate.inference.translator import load

EXPORTED: dict[str, dict[str, str]] = {"onnx float32": {}, "onnx fp16": {"precision": "fp16"}}


def run(flags: Flags, record: Record, clock: Clock) -> None:
    """Latency, images a second and parity, at batch 1 and 8."""
    device = pick_device(flags.device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        made = infer.Flags(width=flags.width, size=str(flags.size))
        infer.make_model(file, made, size=flags.size)
        ways = opened(file, flags, record, clock, device=device)
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (8, flags.size // 8, flags.size // 8, 3), np.uint8)
        images = coarse.repeat(8, 1).repeat(8, 2)  # textured: flat pictures say nothing about parity
        for batch in (1,) if flags.quick else (1, 8):
            part = images[:batch]
            times = alternate(
                {name: partial(way, part) for name, way in ways.items()}, rounds=1 if flags.quick else 20, warmup=3
            )
            plain = ways[EAGER](part)
            for name, way in ways.items():
                ms = 1000 * statistics.median(times[name])
                row = {"way": name, "batch": batch, "ms": ms, "images/s": 1000 * batch / ms}
                row |= {"eager / this": ratio(times[EAGER], times[name]), "dB to eager": infer.psnr(way(part), plain)}
                record.row("conversion", **row)


def opened(file: Path, flags: Flags, record: Record, clock: Clock, *, device: torch.device) -> dict[str, Run]:
    """The ways that can be gone here; why the others cannot becomes a note."""
    makers: dict[str, Callable[[], Run]] = {
        name: partial(open_way, name, file, device=str(device)) for name in (EAGER, *TORCH)
    }
    for name, options in EXPORTED.items():
        if name == "onnx float32" or not flags.quick:
            makers[name] = partial(exported, name, file, dict(options), device=device)
    ways: dict[str, Run] = {}
    for name, make in makers.items():
        if clock.left < 5 and ways and not flags.quick:
            record.note(f"left out for want of time: {name}")
            continue
        try:
            ways[name] = make()
        except Exception as error:  # a library is missing, or it cannot use the device
            record.note(f"left out: {name}: {(str(error) or type(error).__name__).splitlines()[0][:300]}")
    return ways


def exported(name: str, file: Path, options: dict[str, str], *, device: torch.device) -> Run:
    """The exported file, in ONNX Runtime, which is looked for before the seconds that exporting takes."""
    importlib.import_module("onnxruntime")
    path = file.with_name(f"{name.split()[-1]}.onnx")
    load(file, device="cpu").export(path, **options)
    return load(path, device=str(device)).backend
