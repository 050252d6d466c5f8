"""How a process that runs a network over and over gets its memory. Imports no torch."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters, from glibc's malloc.h
KEPT = 2**29  # bytes of freed memory that the process keeps at most
LARGEST = 2**25  # bytes, the most that every glibc takes; pieces above it come from the system one by one, and go back


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of one pass for the next; says whether it does. For a command's process.

    It gives freed memory back as soon as it can and pays for the first touch of every page again: a fifth of the time
    of a U-Net's pass in float32. A library must not decide that for its program, and other systems have other ways.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT)) and bool(mallopt(MMAP_THRESHOLD, LARGEST))
