"""How much memory is free for a picture. Imports no torch."""

from __future__ import annotations

import sys
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: str) -> int | None:
    """Free memory of `cpu`, `cuda:0`, ...; None where nobody says, as on other systems than Linux."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return _free_here()
    torch = sys.modules.get("torch")  # an exported file runs on a GPU without it
    if kind != "cuda" or torch is None or not torch.cuda.is_available():
        return None
    number = int(index or 0)
    unused = torch.cuda.memory_reserved(number) - torch.cuda.memory_allocated(number)
    return int(torch.cuda.mem_get_info(number)[0]) + unused


def _free_here() -> int | None:
    """What Linux can give without swapping, or what is left to the container that this runs in, if that is less."""
    found = []
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    limit, used = (_lines(GROUP / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdecimal():
        cached = (line.split()[1] for line in _lines(GROUP / "memory.stat") if line.startswith("inactive_file "))
        found.append(int(limit[0]) - int(used[0]) + int(next(cached, "0")))
    return max(min(found), 0) if found else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
