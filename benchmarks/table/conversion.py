"""Converting pictures: a network in memory, and folders of files, in every way there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks import infer
from benchmarks.convert import convert_ours
from benchmarks.plain import pictures as published
from benchmarks.plain.networks import ResNet, UNet
from benchmarks.table.options import Bench, Kind
from benchmarks.table.report import Contest
from benchmarks.turns import Candidate, Work
from benchmarks.ways import OPENVINO
from translate.inference.convert import default_threads
from translate.inference.translator import Translator, load
from translate.models import load_for_inference
from translate.networks.resnet import blocks_for
from translate.networks.unet import depth_for
from translate.tuning import WAITING, keep_freed_memory
from translate.weights import load_tensors

Generator = Literal["unet", "resnet"]

THEIRS, AS_PUBLISHED = "theirs, eval mode", "theirs, as the published script (train mode)"
EXACT, FAST = "ours", "ours, --speed fast"
ONNX, INT8 = "ours, ONNX file", "ours, ONNX file, int8"
NAMES = {"onnx float32": ONNX, "onnx int8": INT8} | {name: f"ours, {name}" for name in OPENVINO}
KINDS: dict[str, Kind] = {FAST: "bfloat16", INT8: "int8"}
KINDS |= {NAMES["openvino bfloat16"]: "bfloat16", NAMES["openvino int8"]: "int8"}
TITLES = {"unet": "U-Net-256", "resnet": "ResNet-9"}


@dataclass(frozen=True)
class Network:
    """One network in the files that the ways run."""

    generator: Generator
    size: int
    width: int
    files: Mapping[str, Path]  # by way


def made(bench: Bench, generator: Generator) -> Network:
    """An untrained network with running statistics or instance norm, and what it was exported to; made once.

    With statistics of each picture, as after training at batch 1, the published eval mode would compute something else.
    """
    if generator not in bench.networks:
        bench.networks[generator] = _make(bench, generator)
    network: Network = bench.networks[generator]
    return network


def _make(bench: Bench, generator: Generator) -> Network:
    size, width = bench.sized(256, 32), bench.sized(64, 4)
    folder = bench.folder / generator
    folder.mkdir()
    model = folder / "model.safetensors"
    flags = infer.Flags(
        generator=generator, norm="batch" if generator == "unet" else "instance", statistics="running", width=width
    )
    infer.make_model(model, flags, size=size)
    files = dict.fromkeys((EXACT, FAST), model)
    if bench.flags.quick:
        bench.notes.append(f"{TITLES[generator]}: --quick exports nothing, so ONNX and OpenVINO are left out")
        return Network(generator, size, width, files)
    exported = {name: precision for name, precision in infer.EXPORTED.items() if name in NAMES}
    found, missing = infer.export_all(model, folder, device="cpu", exported=exported)
    bench.notes.extend(f"{TITLES[generator]}: {name} is left out: {reason}" for name, reason in missing.items())
    return Network(generator, size, width, files | {NAMES[name]: file for name, file in found.items()})


def opened(way: str, file: Path) -> Translator:
    """Our model, opened as a user would."""
    options: dict[str, dict[str, Any]] = {EXACT: {"speed": "exact"}, FAST: {"speed": "fast"}}
    options |= {NAMES[name]: {"backend": "openvino", **given} for name, (_, given) in OPENVINO.items()}
    return load(file, device="cpu", **options.get(way, {}))


def by_hand(network: Network, *, training: bool) -> nn.Module:
    """The published network with the same weights."""
    plain = (
        UNet(depth=depth_for(network.size), width=network.width)
        if network.generator == "unet"
        else ResNet(blocks=blocks_for(network.size), width=network.width)
    )
    file = network.files[EXACT]
    own = load_for_inference(load(file, device="cpu").card, load_tensors(file))
    with torch.no_grad():
        for weight, mine in zip(plain.parameters(), own.parameters(), strict=True):
            weight.copy_(mine)
    return plain.train(training)


def their_picture(network: Network, training: bool, pixels: np.ndarray) -> Work:
    """Pixels to pixels, in memory."""
    plain, image = by_hand(network, training=training), Image.fromarray(pixels)
    return lambda: np.array(published.translate(plain, image))


def our_picture(network: Network, way: str, pixels: np.ndarray) -> Work:
    """The same by a call of `translate.load`'s result, in the process of the command."""
    keep_freed_memory()
    return partial(opened(way, network.files[way]), pixels)


def their_folder(network: Network, training: bool, files: Sequence[Path], out: Path) -> Work:
    """Open, translate, save as PNG, one after another."""
    plain = by_hand(network, training=training)

    def run() -> np.ndarray:
        published.convert(plain, files, out)
        return _first_of(out)

    return run


def our_folder(network: Network, way: str, source: Path, out: Path) -> Work:
    """`translate convert`, without its start."""
    keep_freed_memory()
    translator = opened(way, network.files[way])
    threads = default_threads(translator.device)

    def run() -> np.ndarray:
        convert_ours(translator, source, out, format="PNG", threads=threads)
        return _first_of(out)

    return run


def _first_of(folder: Path) -> np.ndarray:
    return np.array(Image.open(min(folder.glob("*.png"))))


def picture(bench: Bench, *, generator: Generator, rounds: int, targets: Mapping[str, float]) -> Contest:
    """One picture in memory, beside the published network."""
    network = made(bench, generator)
    file = min(bench.photos(size=network.size, count=1).iterdir())
    pixels = np.array(Image.open(file))
    candidates = [
        Candidate(name, their_picture, {"network": network, "training": name == AS_PUBLISHED, "pixels": pixels})
        for name in (THEIRS, AS_PUBLISHED)
    ]
    candidates += [
        Candidate(way, our_picture, {"network": network, "way": way, "pixels": pixels}, WAITING)
        for way in network.files
    ]
    what = f"{TITLES[generator]}: a picture of {network.size} px in memory"
    return Contest(what, candidates, rounds, **_arithmetic(network, targets))


def folder(bench: Bench, *, generator: Generator, count: int, rounds: int, targets: Mapping[str, float]) -> Contest:
    """A folder of JPEG files to PNG files, beside a loop with Pillow."""
    network = made(bench, generator)
    count = bench.sized(count, 2)
    source = bench.photos(size=network.size, count=count)
    files = sorted(source.iterdir())
    candidates = []
    for place, name in enumerate((THEIRS, AS_PUBLISHED, *network.files)):
        out = bench.folder / f"{generator}-{place}"
        if name in (THEIRS, AS_PUBLISHED):
            given: dict[str, Any] = {"training": name == AS_PUBLISHED, "files": files, "out": out}
            candidates.append(Candidate(name, their_folder, {"network": network, **given}))
        else:
            given = {"network": network, "way": name, "source": source, "out": out}
            candidates.append(Candidate(name, our_folder, given, WAITING))
    what = f"{TITLES[generator]}: a file of a folder, JPEG to PNG"
    return Contest(what, candidates, rounds, each=count, **_arithmetic(network, targets))


def _arithmetic(network: Network, targets: Mapping[str, float]) -> dict[str, Any]:
    work = infer.work_of(network.files[EXACT], size=network.size)
    other = (AS_PUBLISHED,) if network.generator == "unet" else ()  # dropout, and statistics of the picture
    return {"kinds": KINDS, "targets": targets, "flops": float(work), "other": other}
