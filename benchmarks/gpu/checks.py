"""The tests that need a GPU."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.options import Flags
from benchmarks.gpu.record import Clock, Record
from translate.devices import pick_device

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "gpu"


def run(flags: Flags, record: Record, clock: Clock) -> None:
    """Run them in a process of their own; without a GPU they are counted."""
    files = sorted(FOLDER.glob("test_*.py"))
    nodes = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    named = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    record.row("tests", files=len(files), tests=len(named))
    if pick_device(flags.device).type != "cuda":
        record.note("not run: they need CUDA")
        return
    if importlib.util.find_spec("pytest") is None:
        record.note("not run: pytest is not installed")
        return
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-rA", str(FOLDER)]
    log = flags.out / "tests.txt"
    with log.open("w", encoding="utf-8") as file:
        try:
            done = subprocess.run(
                words, stdout=file, stderr=subprocess.STDOUT, cwd=FOLDER.parents[1], timeout=max(clock.left, 5)
            )
            record.note(f"exit code {done.returncode}")
        except subprocess.TimeoutExpired:
            record.note("ended for want of time")
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith(("PASSED", "FAILED", "ERROR", "SKIPPED")) or " in " in line[-20:]:
            record.note(line.strip()[:300])
