"""A real browser without a screen, led by the DevTools protocol through two pipes; it speaks with nobody else."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.examples.conftest import missing
from tests.examples.test_web import QUIET

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds for an answer
KEYS = {
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Backspace": 8,
    "Enter": 13,
    "Tab": 9,
    "Home": 36,
    "End": 35,
}

PIPES = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
"""The browser reads from 3 and writes to 4."""


class Page:
    """One page of the browser: what it complains about and asks for is kept."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._session: str | None = None
        self._number, self._rest = 0, b""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Go to a file, and wait until it is shown."""
        self._events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._read(end)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._read(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                found: dict[str, Any] = answer["result"]
                return found

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard, as a person presses it."""
        also = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            code = KEYS[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **also)

    def picture(self, path: Path) -> None:
        """What the page looks like now, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the page since it was opened: of its scripts, its policy, what it could not load."""
        found = []
        for event in self._events:
            kind, params = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif (kind == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert")) or (
                kind == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning")
            ):
                found.append(str(params))
        return found

    @property
    def asked_for(self) -> list[str]:
        """Addresses that were asked for since the page was opened, but those that hold their data themselves."""
        sent = [event["params"] for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")]

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._back], [], [], max(0.0, end - time.monotonic()))[0], "the browser says nothing"
            part = os.read(self._back, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page of a browser that is closed in the end; where there is none the test is skipped, and fails on CI."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing(f"no browser is on this machine: {', '.join(NAMES)}")
    ends = [*os.pipe(), *os.pipe()]
    theirs, to, back, ours = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in ends]  # theirs become 3 and 4
    for end in ends:
        os.close(end)
    flags = [*QUIET, "--remote-debugging-pipe", "--window-size=1100,800", f"--user-data-dir={profile}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-c", PIPES, str(theirs), str(ours), program, *flags, "about:blank"],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        pass_fds=(theirs, ours),
        start_new_session=True,
    )
    try:
        yield Page(to, back)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its helpers too
        process.wait()
        for end in (theirs, to, back, ours):
            os.close(end)
