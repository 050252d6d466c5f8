"""What is forked for a test is as what is started for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.warm import start

SAY = """
import multiprocessing, os, signal, sys
print(sys.argv, sys.path[0], os.getcwd(), os.environ["MARK"], __name__, multiprocessing.parent_process())
print([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)])
print("complains", file=sys.stderr)
if "waits" in sys.argv:
    print("begun", flush=True)
    signal.pause()
sys.exit(len(sys.argv))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_forked_program_is_as_a_started_one(tmp_path: Path) -> None:
    results: list[Any] = []
    for new in (False, True):
        how: dict[str, Any] = {"cwd": tmp_path, "env": os.environ | {"MARK": "here"}, "new": new}
        process = start("-c", SAY, "word", **how)
        results.append((*process.communicate(timeout=60), process.returncode))
        ended = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with start("-c", SAY, "waits", **how) as process:
                assert process.stdout is not None
                while process.stdout.readline() != "begun\n":
                    assert process.poll() is None
                assert process.poll() is None
                process.send_signal(number)
                ended.append(process.wait(60))
        results.append(ended)
    assert results[:2] == results[2:]
    assert results[0][1:] == ("complains\n", 2)
    assert results[1] == [-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL]
