"""Timing side by side: alternating rounds in one process, so that a drifting machine spoils no ratio."""

from __future__ import annotations

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from translate.files import write_text


def alternate(work: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of each round of each candidate, the candidates taking turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for index in range(warmup + rounds):
        for name, call in work.items():
            _wait()
            begin = time.perf_counter()
            call()
            _wait()
            if index >= warmup:
                times[name].append(time.perf_counter() - begin)
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median of the ratios of neighbouring rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def peak_bytes() -> int:
    """Most memory that this process has held so far."""
    if sys.platform.startswith("linux"):  # what getrusage tells there begins at what the parent process held
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def peak_memory() -> str:
    """Peak of this process so far, and of the GPU where there is one."""
    text = f"{peak_bytes() / 2**30:.2f} GiB"
    if torch.cuda.is_available():
        text += f", GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"
    return text


def machine(device: torch.device) -> str:
    """What was measured on."""
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_cpu()}, threads: {threads}"
    return f"{name}, torch {torch.__version__}"


def table(rows: Sequence[Sequence[object]], *, titles: Sequence[str]) -> str:
    """Aligned columns in Markdown."""
    cells = [list(map(str, titles)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def paste(page: Path, tables: Mapping[str, str]) -> None:
    """Put each table, by its name, between the marks `<!-- NAME -->` and `<!-- end -->` of a page in Markdown.

    Raises:
        ValueError: the page is not there, or has no such marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--page {page}: {error.strerror}") from None
    for name, made in tables.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            raise ValueError(f"--page {page}: there is no line <!-- {name} --> with a line <!-- end --> after it")
        text = f"{before}{mark}\n{made}\n\n{end}{after}"
    write_text(page, text)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cpu() -> str:
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
