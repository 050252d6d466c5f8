"""What a rented GPU shows in a few minutes: `python -m benchmarks.gpu`. See docs/benchmarks-gpu.md."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    from benchmarks.gpu.__main__ import main as whole

    return whole(argv)
