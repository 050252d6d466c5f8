"""Ways to run one network beside each other: PyTorch as it is written, ours, and exported files.

    python -m benchmarks.infer [--generator unet] [--size 256,512] [--batch 1,8] [--device cpu]

The ways take turns, one pass at a time. All are given the same pixels in memory, and give pixels. Products of matrices
take a turn in every round too, so that a way's share of what the machine can do is measured beside it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command
from benchmarks.convert import COLOUR
from benchmarks.measure import alternate, machine, ratio, table
from benchmarks.ways import EAGER, OPENVINO, TORCH, Worker
from translate.card import Card
from translate.devices import pick_device
from translate.export.options import ExportSettings
from translate.fields import Settings
from translate.images import write
from translate.inference.translator import load
from translate.models import build, load_for_inference
from translate.models.pix2pix import Pix2PixSettings
from translate.networks.fast import can_pack
from translate.sizes import Size
from translate.training.folder import save_model
from translate.weights import load_tensors

EXPORTED = {"onnx float32": "float32", "onnx fp16": "fp16", "onnx int8": "int8"}
SIDE = 1024  # of the matrices whose product is the machine's peak
CALIBRATION = 8  # pictures: enough for figures of speed
QUICK = {"width": 4, "size": "32", "batch": "2", "rounds": 1}
PEAKS = {"torch bfloat16": "bfloat16", "openvino bfloat16": "bfloat16", "onnx int8": "int8", "openvino int8": "int8"}
"""Ways that compute in another type than float32, as which ONNX Runtime's CPU computes float16 too."""


class Flags(Settings):
    """Ways to run one network beside each other: some minutes on two CPU cores, less than one with --quick."""

    generator: Literal["unet", "resnet"] = Field("unet", description="network of the pix2pix: unet or resnet")
    statistics: Literal["each", "running"] = Field(
        "each", description="batch norm by those of each picture, as after training at batch 1, or by running ones"
    )
    norm: Literal["batch", "instance"] = Field("batch", description="norm of the network: batch or instance")
    width: int = Field(64, ge=1, description="channels of the first layer")
    size: str = Field("256,512", description="sides of the pictures in pixels, with commas between")
    batch: str = Field("1,8", description="pictures in a pass, with commas between")
    rounds: int = Field(5, ge=1, description="measured rounds, after two that do not count")
    threads: int | None = Field(None, ge=1, description="CPU threads of every way (default: each library's own choice)")
    device: str = Field("cpu", description="cpu, cuda or cuda:1, for every way; auto takes CUDA where there is one")
    quick: bool = Field(False, description="a tiny network, small pictures and one round: to see that all of it runs")

    @field_validator("size", "batch")
    @classmethod
    def _whole_numbers(cls, value: str) -> str:
        if not all(word.isdecimal() and int(word) for word in value.split(",")):
            raise ValueError("give whole numbers from 1 up, with commas between")
        return value

    def cases(self) -> list[tuple[int, int]]:
        """Sides and batches, each with each."""
        sizes, batches = ([int(word) for word in text.split(",")] for text in (self.size, self.batch))
        return [(size, batch) for size in sizes for batch in batches]


def make_model(path: Path, flags: Flags, *, size: int) -> None:
    """Write an untrained pix2pix whose pixels spread over the range, as a trained one's do."""
    settings = Pix2PixSettings.make(
        {
            "generator": flags.generator,
            "norm": flags.norm,
            "width": flags.width,
            "batch": 1 if flags.statistics == "each" else 2,
            "discriminator_width": 1,
            "patch": 1,
        }
    )
    torch.manual_seed(0)
    model = build("pix2pix", settings, source=COLOUR, target=COLOUR, size=size)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.normal_(0, (1.5 / layer.weight[0].numel()) ** 0.5)
    save_model(
        path,
        model,
        Card(model="pix2pix", settings=settings.as_json(), source=COLOUR, target=COLOUR, size=Size.of(size)),
    )


def pictures(size: int, *, count: int) -> np.ndarray:
    """Drawn house fronts, `[N, H, W, 3]` uint8."""
    from translate.houses import draw, sample_house  # which needs OpenCV

    return np.stack([draw(sample_house(0, index), (size, size)).photo for index in range(count)])


def export_all(
    model: Path, folder: Path, *, device: str, exported: Mapping[str, str] = EXPORTED
) -> tuple[dict[str, Path], dict[str, str]]:
    """The ways that run an exported file: the file of each, or why there is none."""
    made: dict[str, Path] = {}
    missing: dict[str, str] = {}
    translator = load(model, device="cpu")
    images = folder / "calibration"
    images.mkdir()
    for index, picture in enumerate(pictures(translator.card.size.height, count=CALIBRATION)):
        write(images / f"{index}.png", picture)
    for name, precision in exported.items():
        options: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
        if precision == "int8":
            options |= {"calibration": images, "force": True}  # noise has no PSNR to reach
        if unknown := set(options) - set(ExportSettings.model_fields):
            missing[name] = f"translate export has no --{min(unknown)}"
            continue
        try:
            translator.export(folder / f"{precision}.onnx", **options)
            made[name] = folder / f"{precision}.onnx"
        except (ValueError, RuntimeError) as error:  # a library is missing, or the file breaks its contract
            missing[name] = str(error).splitlines()[0]
    if find_spec("openvino") is None or not device.startswith("cpu"):
        missing["openvino"] = "it is not installed, or the device is not the CPU"
    else:
        made |= {name: made[way] for name, (way, _) in OPENVINO.items() if way in made}
    return made, missing


def work_of(model: Path, *, size: int) -> int:
    """Floating-point operations of one picture: two for each weight and place of each convolution."""
    network = load_for_inference(load(model, device="cpu").card, load_tensors(model)).to("meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops()


def products(device: torch.device) -> dict[str, Callable[[], object]]:
    """Products of two matrices of `SIDE`, called after the type of their numbers and what computes them.

    Of float32 PyTorch's own may be a half as fast as oneDNN with a packed matrix: the peak is the faster one's.
    """
    numbers = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    work: dict[str, Callable[[], object]] = {}
    for kind, matrix in (("float32", numbers), ("bfloat16", numbers.bfloat16())):
        work[f"{kind} by mm"] = partial(torch.mm, matrix, matrix)
        if can_pack(nn.ParameterList([matrix]), matrix.dtype) and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            packed = torch.ops.mkldnn._reorder_linear_weight(matrix)
            work[f"{kind} packed"] = partial(torch.ops.mkldnn._linear_pointwise, matrix, packed, None, "none", [], "")
    if hasattr(torch, "_int_mm"):
        whole = numbers.mul(32).clamp(-127, 127).to(torch.int8)
        work["int8 by mm"] = partial(torch._int_mm, whole, whole)
    return work


def psnr(made: np.ndarray, expected: np.ndarray) -> str:
    """In dB of 255 levels."""
    power = float(np.square(made.astype(float) - expected).mean())
    return "equal" if power == 0 else f"{10 * np.log10(255**2 / power):.1f}"


def compare(files: Mapping[str, Path], flags: Flags, *, size: int, batch: int, device: torch.device) -> None:
    """Measure all ways on pictures of one size, and print their table."""
    images = pictures(size, count=batch)
    workers: list[Worker] = []
    try:
        for name, file in files.items():
            workers.append(Worker(name, file, device=str(device), threads=flags.threads, images=images))
        peaks = products(device)
        turns: dict[str, Callable[[], object]] = {worker.name: worker.run for worker in workers}
        times = alternate({**turns, **peaks}, rounds=flags.rounds)
        measured = {worker.name: worker.close() for worker in workers}
    finally:
        for worker in workers:
            worker.process.kill()
    work = work_of(files[EAGER], size=size)
    rate: dict[str, float] = {}  # the best round's, as of a peak
    for product in peaks:
        kind = product.split()[0]
        rate[kind] = max(rate.get(kind, 0), 2 * SIDE**3 / min(times[product]) / 1e9)
    rows = []
    for name in files:
        seconds = statistics.median(times[name])
        pixels, grown = measured[name]
        peak = rate.get(PEAKS.get(name, "float32"))
        share = "" if peak is None else f"{100 * work * batch / seconds / 1e9 / peak:.0f} %"
        shown = [f"{1000 * seconds:.1f}", f"{batch / seconds:.2f}", f"{ratio(times[EAGER], times[name]):.2f}"]
        rows.append([name, *shown, f"{grown / 2**30:.2f}", share, psnr(pixels, measured[EAGER][0])])
    known = ", ".join(f"{kind} {value:.0f}" for kind, value in rate.items())
    print(f"{size} px, batch {batch}: {work / 1e9:.2f} GFLOP a picture; products of matrices, GFLOP/s: {known}\n")
    print(table(rows, titles=["way", "ms", "images/s", "eager / this", "GiB", "share of peak", "dB to eager"]) + "\n")


def benchmark(flags: Flags) -> None:
    """Print the table of each size and batch."""
    if flags.quick:
        given = flags.model_fields_set
        flags = flags.replace(**{name: value for name, value in QUICK.items() if name not in given})
    device = pick_device(flags.device)
    if flags.threads:
        torch.set_num_threads(flags.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        make_model(model, flags, size=flags.cases()[0][0])
        made, missing = export_all(model, Path(folder), device=str(device))
        files = {**dict.fromkeys((EAGER, *TORCH), model), **made}
        norm = f"statistics of batch norm: {flags.statistics}" if flags.norm == "batch" else "instance norm"
        kind = f"{flags.generator} of width {flags.width}, {norm}"
        print(f"{kind}; {machine(device)}\n")
        for name, reason in missing.items():
            print(f"left out: {name}: {reason}\n")
        for size, batch in flags.cases():
            compare(files, flags, size=size, batch=batch, device=device)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.infer", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
