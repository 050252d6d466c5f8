"""Folder conversion beside a naive loop, and its stages alone.

    python -m benchmarks.convert [--images 64] [--size 256] [--width 4] [--device cpu] [--precision float32]

The naive loop opens a picture with Pillow, runs the network on it alone and saves the result with Pillow, one after
another. Both sides do the same maths: the naive loop in eager mode, with the network as it is written; ours with the
folded and packed layers, the passes, the threads and the flushing to disk of `translate convert`. All candidates take
turns in one process.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import nn

from benchmarks import command
from benchmarks.measure import alternate, machine, peak_memory, ratio, table
from translate.card import Card
from translate.devices import pick_device
from translate.fields import Settings
from translate.images import ImageSpec, write
from translate.inference import backend
from translate.inference.convert import default_threads
from translate.inference.files import Carried, decode, encode
from translate.inference.listing import Failure, Listing, walk
from translate.inference.options import ConvertSettings
from translate.inference.pipeline import by_size
from translate.inference.plan import make_plan
from translate.inference.process import short_turns
from translate.inference.translator import Translator, load
from translate.models import build, load_for_inference
from translate.models.pix2pix import Pix2PixSettings
from translate.sizes import Size
from translate.training.folder import save_model
from translate.tuning import keep_freed_memory
from translate.weights import load_tensors

T = TypeVar("T")

COLOUR = ImageSpec(channels=3)
FORMATS = ("JPEG", "PNG")
QUALITY = 95
LIGHT, FULL = 4, 64  # widths: a network that reading and writing take as long as, and the published one
SHARE = 8  # the full network gets an eighth of the pictures
LADDER = ((1, 2), (1, 3), (2, 3), (4, 4), (4, None), (8, None), (16, None), (32, None), (64, None))
"""Widths and depths of the networks that `--match` chooses from; no depth is that of the published one."""
TRIED = 16  # pictures to choose a network by


class Flags(Settings):
    """Folder conversion beside a naive loop, and its stages alone: about a minute on two CPU cores."""

    images: int = Field(64, ge=1, description="pictures to convert; without --width the full network gets an eighth")
    size: int = Field(256, ge=4, description="side of the drawn pictures and of the network's crops, in pixels")
    width: int | None = Field(
        None, ge=1, description="channels of the U-Net's first layer (default: 4, then the published 64)"
    )
    rounds: int = Field(3, ge=1, description="measured rounds, after one that does not count")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="autocast type of our side; the naive loop keeps float32"
    )
    match: bool = Field(
        False, description="of a row of light U-Nets take the one whose time is nearest to decoding's, on one thread"
    )
    onnx: bool = Field(False, description="our side runs the exported file in ONNX Runtime; needs --threads 1")
    threads: int | None = Field(None, ge=1, description="CPU threads of the network (default: torch's own choice)")
    workers: int | None = Field(
        None, ge=1, description="threads that decode and encode (default: as translate convert, 2 on the CPU, else 8)"
    )
    pin: bool = Field(
        False, description="keep the network on one core and reading and writing on the others; needs --threads 1"
    )
    input: Path | None = Field(
        None, description="convert pictures of this folder, again and again if too few (default: drawn house fronts)"
    )


def make_inputs(folder: Path, flags: Flags, *, images: int) -> list[Path]:
    """Fill `folder` with JPEG files of drawn house fronts, or with copies of the first pictures of `--input`.

    If they are too few for `images` they are taken again from the first.
    """
    folder.mkdir()
    if flags.input is None:
        from translate.houses import draw, sample_house

        for index in range(images):
            front = draw(sample_house(0, index), (flags.size, flags.size)).photo
            write(folder / f"{index:05}.jpg", front, quality=QUALITY)
    elif not flags.input.is_dir():
        raise ValueError(f"--input {flags.input}: no such folder")
    else:
        folders = (found for found in walk(flags.input, recursive=True) if isinstance(found, Listing))
        pictures = (found.inside / name for found in folders for name in found.pictures)
        for index, file in enumerate(islice(cycle(pictures), images)):
            shutil.copyfile(flags.input / file, folder / f"{index:05}{file.suffix}")
    files = sorted(folder.iterdir())
    if not files:
        raise ValueError(f"--input {flags.input}: no pictures found")
    return files


def make_model(path: Path, *, width: int, size: int, depth: int | None = None) -> None:
    """Write an untrained pix2pix; no depth is that for the size.

    What it makes is noise, which takes longer to encode than a picture.
    """
    settings = Pix2PixSettings.make({"width": width, "depth": depth, "discriminator_width": 1, "patch": 1})
    torch.manual_seed(0)
    model = build("pix2pix", settings, source=COLOUR, target=COLOUR, size=size)
    save_model(
        path,
        model,
        Card(model="pix2pix", settings=settings.as_json(), source=COLOUR, target=COLOUR, size=Size.of(size)),
    )


def open_model(file: Path, flags: Flags) -> Translator:
    """The model in a `.safetensors` file as `flags` ask for it, and an export of it beside the file if they do."""
    translator = load(file, device=flags.device, precision=flags.precision)
    if not flags.onnx:
        return translator
    exported = file.with_suffix(".onnx")
    translator.export(exported)
    return load(exported, device=flags.device)


def convert_naively(
    network: nn.Module, files: Sequence[Path], folder: Path, *, format: str, device: torch.device
) -> None:
    """What one writes first. JPEG files are asked for as ours are: quality 95, colour at full resolution."""
    folder.mkdir(exist_ok=True)
    options = {"quality": QUALITY, "subsampling": 0} if format == "JPEG" else {}
    for file in files:
        with Image.open(file) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB")))  # [H, W, 3]
        source = pixels.to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            fake = network(source)[0].permute(1, 2, 0)
        made = ((fake + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        Image.fromarray(made).save(folder / f"{file.stem}.{format.lower()}", format, **options)


def convert_ours(translator: Translator, source: Path, folder: Path, *, format: str, threads: int) -> None:
    """`translate convert`, without loading the model.

    Raises:
        ValueError: one of the pictures could not be converted.
    """
    with short_turns():  # as the command does
        report = translator.convert(source, folder, format=format, quality=QUALITY, overwrite=True, threads=threads)
    if report.failures:
        raise ValueError(report.failures[0].reason)


def stages(translator: Translator, source: Path, folder: Path, *, format: str) -> dict[str, Callable[[int], object]]:
    """Each stage alone, over all pictures of `source`, to be called with a number of threads."""
    card = translator.card
    settings = ConvertSettings(format=format, quality=QUALITY, overwrite=True)
    jobs = list(make_plan(source, folder, card=card, settings=settings).jobs)
    take = partial(decode, card=card, settings=settings, core=nullcontext())
    batch = partial(backend.batch_for, device=translator.device, requested=None)
    decoded = [whole(take(job)) for job in jobs]
    passes = list(
        by_size(
            decoded,
            size=lambda item: item.pixels.shape[:2],
            weight=lambda item: 0,
            batch=batch,
            look_ahead=len(jobs),
        )
    )

    def decode_all(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(take, jobs))

    def network(threads: int) -> list[tuple[Carried, np.ndarray]]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            made = [backend.run(translator.backend, [item.pixels for item in together]) for together in passes]
        finally:
            torch.set_num_threads(before)
        pairs = zip((item for together in passes for item in together), (x for xs in made for x in xs), strict=True)
        return [(item.carried, whole(pixels)) for item, pixels in pairs]

    made = network(torch.get_num_threads())

    def encode_all(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for outcome in pool.map(lambda pair: encode(*pair, settings=settings, core=nullcontext()), made):
                whole(outcome)

    return {"decode": decode_all, "network": network, "encode": encode_all}


def nearest_to_decoding(folder: Path, flags: Flags) -> tuple[int, int | None]:
    """Width and depth of the network that takes about as long as decoding, both on one thread."""
    source, file = folder / "tried", folder / "tried.safetensors"
    make_inputs(source, flags, images=TRIED)
    times = {}
    for width, depth in LADDER:
        make_model(file, width=width, depth=depth, size=flags.size)
        parts = stages(open_model(file, flags), source, folder / "unused", format="JPEG")
        calls = {name: partial(parts[name], 1) for name in ("decode", "network")}
        times[width, depth] = alternate(calls, rounds=3, warmup=1)
        if ratio(times[width, depth]["network"], times[width, depth]["decode"]) > 1:
            break  # those that follow are slower still
    return most_alike(times)


def most_alike(times: Mapping[T, Mapping[str, Sequence[float]]]) -> T:
    """The choice whose network takes the time of decoding, or is away from it by the least factor."""
    return min(times, key=lambda choice: abs(math.log(ratio(times[choice]["network"], times[choice]["decode"]))))


@contextmanager
def pinned() -> Iterator[None]:
    """The thread that calls, which runs the network, has a core for itself.

    Elsewhere a thread that wakes up for a moment, since its file has reached the disk, may take the place of the
    network, which then goes on with cold caches.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    over = threading.Event()

    def keep_apart() -> None:
        while not over.wait(0.01):
            for thread in threading.enumerate():
                if thread.name.startswith("translate-convert") and thread.native_id:
                    with suppress(OSError):  # it ended
                        os.sched_setaffinity(thread.native_id, others)

    watch = threading.Thread(target=keep_apart)
    watch.start()
    os.sched_setaffinity(0, {first})
    try:
        yield
    finally:
        over.set()
        watch.join()
        os.sched_setaffinity(0, {first, *others})


class Metered:
    """Counts the CPU time of all threads in a piece of work, and keeps the least of any call."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call, self.seconds = call, math.inf

    def __call__(self) -> None:
        begin = time.process_time()
        self.call()
        self.seconds = min(self.seconds, time.process_time() - begin)


def whole(outcome: T | Failure | MemoryError | backend.NotFinite) -> T:
    """What a stage has made of a picture.

    Raises:
        ValueError: nothing, and why.
    """
    if isinstance(outcome, Failure):
        raise ValueError(outcome.reason)
    if isinstance(outcome, MemoryError | backend.NotFinite):
        raise ValueError(str(outcome))
    return outcome


def largest_difference(one: Path, other: Path) -> int | None:
    """Of the pictures in two folders, in levels of 255; None where two are not of one size."""
    largest = 0
    for paths in zip(sorted(one.glob("[!.]*")), sorted(other.glob("[!.]*")), strict=True):
        a, b = (np.asarray(Image.open(path)).astype(int) for path in paths)
        if a.shape != b.shape:
            return None
        largest = max(largest, int(np.abs(a - b).max()))
    return largest


def compare(folder: Path, flags: Flags, *, width: int, depth: int | None, images: int) -> None:
    """Measure one network, working in `folder`, and print its tables."""
    source, file = folder / "in", folder / "model.safetensors"
    files = make_inputs(source, flags, images=images)
    make_model(file, width=width, depth=depth, size=flags.size)
    translator = open_model(file, flags)
    device = pick_device(flags.device)
    plain = load_for_inference(translator.card, load_tensors(file)).to(device)

    alone = {format: stages(translator, source, folder / f"alone-{format}", format=format) for format in FORMATS}
    parts = {name: alone["JPEG"][name] for name in ("decode", "network")}
    parts |= {f"encode {format}": alone[format]["encode"] for format in FORMATS}
    workers = flags.workers or default_threads(translator.device)
    threads = dict.fromkeys(parts, workers) | {"network": torch.get_num_threads()}
    single = {name: Metered(partial(call, 1)) for name, call in parts.items()}
    work: dict[str, Callable[[], object]] = {f"{name}, 1": call for name, call in single.items()}
    work |= {name: partial(call, threads[name]) for name, call in parts.items()}
    for format in FORMATS:
        naive, ours = folder / f"naive-{format}", folder / f"ours-{format}"
        work[f"naive {format}"] = partial(convert_naively, plain, files, naive, format=format, device=device)
        work[f"ours {format}"] = partial(convert_ours, translator, source, ours, format=format, threads=workers)
    with pinned() if flags.pin else nullcontext():
        times = alternate(work, rounds=flags.rounds, warmup=1)

    rate = {name: f"{len(files) / statistics.median(seconds):.1f}" for name, seconds in times.items()}
    what = f"picture{'s' * (len(files) > 1)} " + (
        f"of {flags.size} px" if flags.input is None else f"from {flags.input}"
    )
    network = f"U-Net of width {width}" + (f" and depth {depth}" if depth else "")
    runtime = (" by ONNX Runtime" if flags.onnx else "") + (", pinned" if flags.pin else "")
    print(f"{network} in {flags.precision}{runtime}, {len(files)} {what}; {machine(device)}\n")
    core = {name: call.seconds for name, call in single.items()}
    rows: list[list[object]] = [
        [name, rate[f"{name}, 1"], rate[name], threads[name], f"{1000 * core[name] / len(files):.2f}"] for name in parts
    ]
    titles = ["stage alone", "images/s, 1 thread", "images/s", "threads", "core ms/image"]
    print(table(rows, titles=titles) + "\n")
    rows = []
    for format in FORMATS:
        names = ("decode", "network", f"encode {format}")
        slowest = [max(seconds) for seconds in zip(*(times[name] for name in names), strict=True)]
        cores = sum(core[name] for name in names) / available_cores()
        bound = [max(seconds, cores) for seconds in slowest]
        levels = largest_difference(folder / f"naive-{format}", folder / f"ours-{format}")
        exact = format == "PNG" and flags.precision == "float32" and device.type == "cpu" and flags.input is None
        assert not exact or (levels is not None and levels <= 1), f"naive and ours differ by {levels} levels"
        rows.append(
            [
                format,
                *(rate[f"{side} {format}"] for side in ("naive", "ours")),
                f"{ratio(times[f'naive {format}'], times[f'ours {format}']):.2f}",
                f"{ratio(times[f'ours {format}'], slowest):.2f}",
                f"{ratio(times[f'ours {format}'], bound):.2f}",
                "sizes differ" if levels is None else levels,
            ]
        )
    titles = ["whole, to", "naive images/s", "ours images/s", "naive / ours", "ours / slowest stage", "ours / bound"]
    print(table(rows, titles=[*titles, "levels apart"]) + "\n")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def benchmark(flags: Flags) -> None:
    """Print the tables of the networks that `flags` ask for."""
    keep_freed_memory()  # as the command does; the stages alone and the naive loop have it too
    if flags.onnx and (flags.threads != 1 or flags.precision != "float32"):
        raise ValueError("--onnx runs in float32, with as many threads as when it was opened: add --threads 1")
    if flags.pin and (flags.threads != 1 or not hasattr(os, "sched_setaffinity") or available_cores() < 2):
        raise ValueError(
            "--pin gives the network's one thread a core: add --threads 1, on Linux with two cores or more"
        )
    if flags.threads:
        torch.set_num_threads(flags.threads)
    if flags.onnx:
        os.environ["OMP_NUM_THREADS"] = "1"  # where ONNX Runtime's sessions look
    chosen: list[tuple[int, int | None, int]] = [(flags.width, None, flags.images)] if flags.width else []
    if flags.match:
        if flags.width:
            raise ValueError("--match chooses the width: leave out --width")
        with tempfile.TemporaryDirectory() as folder:
            chosen = [(*nearest_to_decoding(Path(folder), flags), flags.images)]
    full = max(flags.images // SHARE, 1)
    for width, depth, images in chosen or [(LIGHT, None, flags.images), (FULL, None, full)]:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), flags, width=width, depth=depth, images=images)
    print(f"peak memory {peak_memory()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.convert", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
