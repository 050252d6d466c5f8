"""One large picture translated whole, in strips and in blended tiles: time, memory, and how far apart they are.

    python -m benchmarks.tiles [--model runs/zebra] [--input photo.jpg] [--tile 512] [--device cpu]

Each way runs in a process of its own, since the most memory that a process has held never goes down.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from benchmarks import command
from benchmarks.convert import make_model
from benchmarks.measure import machine, peak_bytes, table
from translate.card import Footprint
from translate.devices import pick_device
from translate.fields import Settings
from translate.houses import draw, sample_house
from translate.images import ImageError, read, to_spec, write
from translate.inference.pieces import check_tiles, exact_strips, footprint_of, rows_for
from translate.inference.tiles import Cuts, Overlap, Side, translate_tiles
from translate.inference.translator import load

WHOLE, STRIPS, TILES = "whole", "strips", "tiles"


class Flags(Settings):
    """One large picture whole, in strips and in tiles: about half a minute on a CPU core."""

    model: Path | None = Field(None, description="a run folder or a model file (default: an untrained U-Net)")
    input: Path | None = Field(None, description="the picture (default: a drawn house front of --size)")
    size: int = Field(1024, ge=64, description="side of the drawn picture in pixels")
    width: int = Field(16, ge=1, description="channels of the untrained U-Net's first layer")
    tile: int = Field(512, ge=1, description="side of the tiles in pixels; strips take about as much memory")
    rounds: int = Field(1, ge=1, description="measured rounds; the fastest one counts")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads of the network (default: torch's own choice)")
    save: Path | None = Field(None, description="folder for the pictures made, whole.png, strips.png and tiles.png")


@dataclass(frozen=True)
class Made:
    """What one way gives."""

    seconds: float
    memory: float  # GiB above what the process held with the model loaded; of a GPU, all of its own
    rows: tuple[int, ...]  # where two pieces meet, or a blend begins or ends
    columns: tuple[int, ...]


def translate(way: str, source: Path, result: Path, model: Path, flags: Flags) -> Made | None:
    """Translate the array in `source` one way, and save it to `result`. None: the network cannot go this way."""
    if flags.threads:
        torch.set_num_threads(flags.threads)
    backend = load(model, device=flags.device, tile=None).backend
    pixels, footprint, strips = np.load(source), footprint_of(backend), exact_strips(backend)
    height, width = pixels.shape[:2]
    backend(pixels[None, :64, :64])
    lines: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    before = peak_bytes()
    if backend.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    seconds: list[float] = []
    for _ in range(flags.rounds):
        begin = time.perf_counter()
        if way == WHOLE:
            made = backend(pixels[None])[0]
        elif way == TILES:
            made = translate_tiles(backend, pixels, tile=flags.tile, footprint=footprint).pixels
            lines = borders(height, flags.tile, footprint), borders(width, flags.tile, footprint)
        elif strips is None:
            return None
        else:
            rows = rows_for(flags.tile, width)
            made = strips(pixels, rows=rows)
            lines = (tuple(range(rows, height, rows)), ())
        seconds.append(time.perf_counter() - begin)
    np.save(result.with_suffix(".npy"), made)
    held = torch.cuda.max_memory_allocated() if backend.device.startswith("cuda") else peak_bytes() - before
    return Made(min(seconds), held / 2**30, *lines)


def borders(length: int, tile: int, footprint: Footprint) -> tuple[int, ...]:
    """Pixels along a side at which the blend of two tiles begins, is even, or ends."""
    overlap, side = Overlap.of(footprint, tile=tile), Side(length, footprint.stride)
    cuts = Cuts.make(side.padded, tile=tile, overlap=overlap.pixels, margin=overlap.margin, stride=footprint.stride)
    ends = [
        (start + cuts.margin, former + cuts.tile - cuts.margin)
        for former, start in zip(cuts.starts, cuts.starts[1:], strict=False)
    ]
    lines = {line - side.before for begin, end in ends for line in (begin, (begin + end) // 2, end)}
    return tuple(sorted(line for line in lines if 0 < line < length))


def seams(pixels: np.ndarray, made: Made) -> float | None:
    """Mean difference `[H, W, C]` of neighbouring pixels across the borders of pieces, over that elsewhere.

    1 where nothing is to be seen. None: there are no borders.
    """
    across, elsewhere = [], []
    for axis, lines in enumerate((made.rows, made.columns)):
        slopes = np.abs(np.diff(pixels.astype(np.float32), axis=axis)).mean((1 - axis, 2))  # between i and i + 1
        at_border = np.isin(np.arange(1, len(slopes) + 1), lines)
        across.append(slopes[at_border])
        elsewhere.append(slopes[~at_border] if lines else slopes[:0])
    found = np.concatenate(across)
    return float(found.mean() / np.concatenate(elsewhere).mean()) if len(found) else None


def apart(one: np.ndarray, other: np.ndarray, *, levels: float) -> list[str]:
    """Largest and mean difference in levels of 255, and the PSNR in dB."""
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64)) * levels
    power = float(np.square(difference).mean())
    psnr = f"{10 * math.log10(255**2 / power):.1f}" if power else "equal"
    return [f"{difference.max():.3g}", f"{difference.mean():.2g}", psnr]


def benchmark(flags: Flags) -> None:
    """Print the table of one picture."""
    if flags.threads:
        torch.set_num_threads(flags.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = flags.model or folder / "model.safetensors"
        if flags.model is None:
            make_model(model, width=flags.width, size=256)
        translator = load(model, device=flags.device, tile=flags.tile)
        check_tiles(footprint_of(translator.backend), flags.tile)
        card = translator.card
        try:
            picture = read(flags.input) if flags.input else None
            pixels = to_spec(picture, card.taken, name=str(flags.input)) if picture else drawn(flags.size)
        except ImageError as error:
            raise ValueError(str(error)) from None
        np.save(folder / "source.npy", pixels)
        where = machine(pick_device(flags.device))
        print(f"{card.model}, {pixels.shape[1]}x{pixels.shape[0]}, --tile {flags.tile}; {where}\n")
        levels = 255 / (card.target.high - card.target.low)
        rows: list[list[object]] = []
        results: dict[str, np.ndarray] = {}
        for way in (WHOLE, STRIPS, TILES):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                made = alone.submit(translate, way, folder / "source.npy", folder / way, model, flags).result()
            if made is None:
                rows.append([way, *["not this network"] + [""] * 6])
                continue
            results[way] = np.load(folder / f"{way}.npy")
            if flags.save:
                write(flags.save / f"{way}.png", results[way])
            marks = [seams(results[side], made) for side in (way, WHOLE)]
            rows.append(
                [
                    way,
                    f"{made.seconds:.1f}",
                    f"{made.memory:.2f}",
                    *apart(results[way], results[WHOLE], levels=levels),
                    *("" if mark is None else f"{mark:.3f}" for mark in marks),
                ]
            )
        titles = ["", "s", "GiB", "levels apart", "mean", "PSNR", "across borders / elsewhere", "the same of the whole"]
        print(table(rows, titles=titles))


def drawn(size: int) -> np.ndarray:
    """A house front `[size, size, 3]`."""
    return draw(sample_house(0, 0), (size, size)).photo


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.tiles", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
