"""The browser's client gives the pixels that PyTorch gives: its code in Node.js, and its page in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import ASKED, CONDITIONED, MODELS, Exported, differences, missing, pixels, suited
from tests.examples.odd import ODD
from translate.images import read, to_spec

Client = Callable[[str], Path]
Task = tuple[str, Path, dict[str, Any]]  # a model, a picture, and what is asked for
HERE = Path(__file__).resolve().parent
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
"""Flags of a browser without a screen that speaks with nobody but the page it was given."""


def colours(rgba: bytes, picture: Path, channels: int) -> np.ndarray:
    """`[H, W, 3]`, or `[H, W]` of a model of gray, of the bytes of an `ImageData`, which is opaque."""
    made = np.frombuffer(rgba, np.uint8).reshape(*pixels(picture).shape[:2], 4)
    assert (made[..., 3] == 255).all()
    assert channels == 3 or (made[..., :1] == made[..., :3]).all()
    return made[..., :3] if channels == 3 else made[..., 0]


@pytest.mark.slow
def test_the_same_pixels_from_webassembly(
    node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    """Every operation of the graphs has a kernel there, for its types as well."""
    tasks: list[Task] = [(name, suited(picture, name, tmp_path), {}) for name in MODELS for picture in pictures]
    tasks += [(CONDITIONED, pictures[-1], asked) for asked in ASKED]
    job = []
    for number, (name, picture, asked) in enumerate(tasks):
        image = np.pad(pixels(picture), ((0, 0), (0, 0), (0, 1)), constant_values=255)
        rgba, out = (tmp_path / f"{number}.{kind}" for kind in ("in", "out"))
        image.tofile(rgba)
        job.append([str(models[name][0]), *image.shape[:2], str(rgba), str(out), asked])
    (tmp_path / "job.json").write_text(json.dumps(job))
    words: list[str | Path] = [node, HERE / "wasm.mjs", client("web") / "translate.js", tmp_path / "job.json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for number, (name, picture, asked) in enumerate(tasks):
        t = models[name][1]
        made = colours((tmp_path / f"{number}.out").read_bytes(), picture, t.card.target.channels)
        assert differences(made, t, picture, **asked).max() <= 1, (name, picture.stem, asked)


class Handler(http.server.SimpleHTTPRequestHandler):
    """The client's folder at the root, `/test/` for the job; what the page posts goes to a queue."""

    def __init__(self, *words: object, test: Path, posted: Queue[tuple[str, bytes]], directory: str) -> None:
        self.test, self.posted = test, posted
        super().__init__(*words, directory=directory)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        if path.startswith("/test/"):
            return str(self.test / unquote(path).removeprefix("/test/"))
        return super().translate_path(path)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.put((self.path, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path, test: Path) -> Iterator[tuple[str, Queue[tuple[str, bytes]]]]:
    """An address on this machine, and what is posted there."""
    posted: Queue[tuple[str, bytes]] = Queue()
    handler = functools.partial(Handler, directory=str(folder), test=test, posted=posted)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browsed(address: str, *, profile: Path) -> Iterator[None]:
    """The page in a browser without a screen, which is closed in the end."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        missing(f"no browser is on this machine: {', '.join(names)}")
    words = [browser, *QUIET, f"--user-data-dir={profile}", address]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its helpers too
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the browser is ended with its group of processes")
def test_the_same_pixels_on_the_page(client: Client, models: Exported, pictures: list[Path], tmp_path: Path) -> None:
    """A model and pictures are chosen as a user does it, and the canvas is read; then what it sees in odd files."""
    test = tmp_path / "test"
    test.mkdir()
    shutil.copy(HERE / "drive.html", test)
    page = [asked for asked in ASKED if "z" not in asked]  # for which it has no field
    tasks: list[Task] = [(name, suited(picture, name, test), {}) for name in MODELS for picture in pictures]
    tasks += [(CONDITIONED, pictures[-1], asked) for asked in page]
    for exported, _ in models.values():
        shutil.copy(exported, test)
    for picture in {picture for _, picture, _ in tasks if picture.parent != test}:
        shutil.copy(picture, test)
    for name, (save, _) in ODD.items():
        save(Image.fromarray(pixels(pictures[-1])), test / f"{name}.png")
    data_needs = [[f"{name}.onnx", picture.name, asked] for name, picture, asked in tasks]
    (test / "job.json").write_text(json.dumps({"translate": data_needs, "read": [f"{name}.png" for name in ODD]}))
    made: dict[str, bytes] = {}
    with (
        served(client("web"), test) as (address, posted),
        browsed(f"{address}/test/drive.html", profile=tmp_path / "profile"),
    ):
        while len(made) < len(tasks) + len(ODD):
            try:
                place, body = posted.get(timeout=90)
            except Empty:
                pytest.fail("the page has said nothing in 90 s")
            assert not place.startswith("/failed"), body.decode()
            made[unquote(place.removeprefix("/"))] = body
    for number, (name, picture, asked) in enumerate(tasks):
        t = models[name][1]
        shown = colours(made[str(number)], picture, t.card.target.channels)
        assert differences(shown, t, picture, **asked).max() <= 1, (name, picture.stem, asked)
    source = models["colour"][1].card.taken
    for name in ODD:
        expected = to_spec(read(test / f"{name}.png"), source, name=name).astype(int)
        seen = np.frombuffer(made[f"{name}.png"], np.uint8).reshape(*expected.shape[:2], 4)[..., :3]
        assert np.abs(seen - expected).max() <= 2, name  # colour engines round differently
