"""How much memory is free, and how many share it. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # memory limits of a Linux container


def free_memory() -> int | None:
    """Bytes that Linux can give without swapping, or that are left in this container, if less; elsewhere None."""
    found = []
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    limit, used = (_lines(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdecimal():
        cached = (line.split()[1] for line in _lines(CGROUP / "memory.stat") if line.startswith("inactive_file "))
        found.append(int(limit[0]) - int(used[0]) + int(next(cached, "0")))
    return max(min(found), 0) if found else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def processes_here() -> int:
    """Those that train together on this machine."""
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(ranks) if ranks.isdecimal() else 1)
