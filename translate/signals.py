"""A second signal ends the process, also if its threads are blocked. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

GRACE = 2.0  # seconds that the process gets to end by itself
ECHO = 2.0  # seconds in which a launcher passes on a signal that came from a terminal, too
SIGNALLED = 128  # and the signal's number are the exit code
STDERR = 2
COUNTED = (signal.SIGINT, signal.SIGTERM)  # not SIGHUP: at the end of a terminal several come, and SIGTERM with them


def end_by_second_signal() -> None:
    """From now on the second Ctrl-C or SIGTERM ends the process within `GRACE` seconds.

    A thread that reads from a dead mount never comes back, and Python waits for it before it ends. What catches signals
    goes on doing so; this only counts those that are caught. Does nothing off the main thread, where Python allows no
    handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    sender, receiver = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a worker's signals are its own
    threading.Thread(target=_count, args=(sender, receiver), name="translate-signals", daemon=True).start()


def _count(sender: socket.socket, receiver: socket.socket) -> None:
    """`sender` is kept open for the system, which writes the number of each signal there."""
    launched = os.environ.get("WORLD_SIZE", "1") != "1"
    first = None
    while numbers := receiver.recv(64):
        for number in numbers:
            now = time.monotonic()
            if number not in COUNTED:
                continue
            if first is None:
                first = now
            elif not (launched and now - first < ECHO):
                time.sleep(GRACE)
                _end(number)


def _end(number: int) -> None:
    with contextlib.suppress(OSError):
        os.write(STDERR, b"translate: ended by a second signal, while something was waited for\n")
    os._exit(SIGNALLED + number)
