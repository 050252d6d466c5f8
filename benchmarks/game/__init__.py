"""What the game does where the answer is known: the plots and figures of docs/game.md."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    from benchmarks.game.__main__ import main as command  # the parts import this package

    return command(argv)
