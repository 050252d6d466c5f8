"""Where the time of a training step goes: the plain recipe beside ours, in every way that a step can be run."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.options import Flags
from benchmarks.gpu.record import Clock, Record
from benchmarks.measure import machine
from benchmarks.train import make_model, noise, plain_step
from translate.batch import Batch
from translate.devices import pick_device
from translate.models import Model
from translate.settings import ModelSettings
from translate.training import loop
from translate.training.ema import Average

Work = Callable[[], object]
CASES = (("pix2pix", 1), ("cyclegan", 1), ("cut", 1), ("pix2pix", 16))  # the most wanted first
FEWEST_SECONDS = 3.0  # that a way is begun with
PROFILED = 2  # steps
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")


@dataclass(frozen=True)
class Way:
    """How a step is run."""

    name: str
    precision: str = "float32"
    channels_last: bool = False
    step: str = "eager"
    plain: bool = False


WAYS = (
    Way("plain float32, TF32", plain=True),
    Way("float32, TF32"),
    Way("bfloat16", "bfloat16"),
    Way("bfloat16, channels-last", "bfloat16", channels_last=True),
    Way("float32, TF32, graph", step="graph"),
    Way("bfloat16, graph", "bfloat16", step="graph"),
    Way("bfloat16, channels-last, graph", "bfloat16", channels_last=True, step="graph"),
    Way("bfloat16, channels-last, compiled", "bfloat16", channels_last=True, step="compile"),
)


def run(flags: Flags, record: Record, clock: Clock) -> None:
    """The plain recipe and ours step by step, case by case, as far as the time goes."""
    device = pick_device(flags.device)
    record.row("machine", machine=machine(device))
    record.row("products of matrices", kind="bfloat16", TFLOPs=product_rate(device, side=256 if flags.quick else 8192))
    fill(flags, record, clock, [way for way in WAYS if way.step == "eager"], device=device)


def graphs(flags: Flags, record: Record, clock: Clock) -> None:
    """The same as CUDA graphs: in a process of their own, since a recording that fails spoils what comes after it."""
    device = pick_device(flags.device)
    if device.type != "cuda":
        record.note("left out, since it needs CUDA")
        return
    fill(flags, record, clock, [way for way in WAYS if way.step == "graph"], device=device)


def compiled(flags: Flags, record: Record, clock: Clock) -> None:
    """pix2pix alone, compiled, which takes most of a minute: the last part, whose end may cut it off."""
    if flags.quick:
        record.note("left out at toy size: compiling takes most of a minute")
        return
    fill(flags, record, clock, [way for way in WAYS if way.step == "compile"], device=pick_device(flags.device), most=1)


def fill(
    flags: Flags, record: Record, clock: Clock, ways: Sequence[Way], *, device: torch.device, most: int | None = None
) -> None:
    """Rows of these ways, for the first so many cases; the others' tables are looked up for ratios."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    tables = Record.read(flags.out, "steps").get("tables", {})
    peak = 1e12 * tables.get("products of matrices", [{"TFLOPs": float("nan")}])[0]["TFLOPs"]
    plain = {(row["model"], row["batch"]): row["ms"] for row in tables.get("steps", []) if row["way"] == WAYS[0].name}
    work = {(row["model"], row["batch"]): row["flops"] for row in tables.get("work of an eager step", [])}
    cases = CASES[: 1 if flags.quick else most]
    for i, (name, batch) in enumerate(cases):
        case = Clock(clock.left / (len(cases) - i))
        original, settings = make_model(name, size=flags.size, width=flags.width, batch=batch, device=device)
        example = noise(original, size=flags.size, batch=batch, device=device)
        if (name, batch) not in work:
            counted = operations(original, settings, example, device=device)
            record.row("work of an eager step", model=name, batch=batch, **counted)
            work[name, batch] = counted["flops"]
        for way in ways:
            if case.left < FEWEST_SECONDS and not flags.quick:
                record.note(f"left out for want of time: {name}, batch {batch}, {way.name}")
                continue
            try:
                found = measured(way, original, settings, example, device=device, quick=flags.quick)
            except Exception as error:  # the other ways go on
                record.note(f"failed: {name}, batch {batch}, {way.name}: {_line(error)}")
                continue
            if way.plain:
                plain[name, batch] = found["ms"]
            ratio = plain[name, batch] / found["ms"] if (name, batch) in plain else None
            share = 100 * work[name, batch] / (found["ms"] / 1000) / peak
            title = {"model": name, "batch": batch, "way": way.name}
            record.row("steps", **title, **found, **{"plain / this": ratio, "% of bf16 peak": share})


def measured(
    way: Way, original: Model, settings: ModelSettings, example: Batch, *, device: torch.device, quick: bool
) -> dict[str, Any]:
    """Milliseconds of a step in the steady state, memory, and what a profile says."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    step = make_step(way, copy.deepcopy(original), settings, example, device=device)
    for _ in range(1 if quick else 6):
        step()
    synchronise(device)
    first = time.perf_counter() - begin
    times: list[float] = []
    while len(times) < (1 if quick else 5):
        count = 1 if quick or not times else max(1, round(0.2 / times[0]))
        begin = time.perf_counter()
        for _ in range(count):
            step()
        synchronise(device)
        times.append((time.perf_counter() - begin) / count)
    seconds = statistics.median(times[1:] or times)
    found: dict[str, Any] = {"ms": 1000 * seconds, "first s": first}
    if device.type == "cuda":
        found["GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return found | profiled(step, seconds, device=device)


def make_step(way: Way, model: Model, settings: ModelSettings, example: Batch, *, device: torch.device) -> Work:
    """One iteration and, but for the plain recipe, the averaging of weights, as a call."""
    if way.plain:
        return plain_step(model, settings, example)
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    pictures = {name: x.contiguous(memory_format=layout) for name, x in example.pictures.items()}
    batch = replace(example, pictures=pictures)
    optimizers = loop.make_optimizers(model, settings, device=device)
    step: Any = loop.Step(model, optimizers, device=device, precision=way.precision, pace=settings.pace)
    average = Average(model, decay=0.999)
    if way.step == "compile":
        step.compile()
    if way.step == "graph":
        from translate.training.graph import GraphStep

        step = GraphStep(step)
    batches = [batch] * step.rounds

    def whole() -> None:
        step(batches)
        average.update(model)

    return whole


def profiled(step: Work, seconds: float, *, device: torch.device) -> dict[str, Any]:
    """Kernels, launches and host reads of a step, and the share of its time in which the GPU has nothing to do."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type != "cuda":
        return {}
    activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(PROFILED):
            step()
        synchronise(device)
    events = profile.events()
    on_gpu = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [event for event in on_gpu if not getattr(event, "is_user_annotation", False)]
    spans = sorted((event.time_range.start, event.time_range.end) for event in kernels)
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return {
        "kernels": len(kernels) / PROFILED,
        "launches": sum(event.name in LAUNCHES for event in events) / PROFILED,
        "host reads": sum(event.name == "aten::_local_scalar_dense" for event in events) / PROFILED,
        "idle %": max(0.0, 100 * (1 - busy / PROFILED / 1e6 / seconds)),
    }


class Counted(TorchDispatchMode):
    """Counts what PyTorch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(original: Model, settings: ModelSettings, example: Batch, *, device: torch.device) -> dict[str, Any]:
    """Dispatched operations of a step of ours, and its floating-point operations."""
    step = make_step(Way("float32"), copy.deepcopy(original), settings, example, device=device)
    step()
    with Counted() as counted:
        step()
    with FlopCounterMode(display=False) as flops:
        step()
    return {"dispatched": counted.count, "flops": flops.get_total_flops()}


def product_rate(device: torch.device, *, side: int) -> float:
    """TFLOP/s of products of bfloat16 matrices, the best of some rounds."""
    matrix = torch.randn(side, side, device=device).bfloat16()
    best = float("inf")
    for _ in range(10):
        synchronise(device)
        begin = time.perf_counter()
        for _ in range(5):
            torch.mm(matrix, matrix)
        synchronise(device)
        best = min(best, (time.perf_counter() - begin) / 5)
    return 2 * side**3 / best / 1e12


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def timed(times: dict[str, float], name: str, device: torch.device) -> Iterator[None]:
    """Add the seconds of the block to those of this name."""
    synchronise(device)
    begin = time.perf_counter()
    yield
    synchronise(device)
    times[name] = times.get(name, 0.0) + time.perf_counter() - begin


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
