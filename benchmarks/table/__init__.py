"""The table of docs/benchmarks.md: ours, ours in plain form, and the published code's way by hand."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    from benchmarks.table.__main__ import main as whole

    return whole(argv)
