"""Whatever the output streams are, a command does its work, ends with its exit code, and shows no traceback."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.export.conftest import make_card, save_model
from translate.cli import main
from translate.conditions import Conditions
from translate.console import SafeStream, say
from translate.inference.translator import load

SMALL = {"width": 4, "discriminator_width": 4, "patch": 16}
TRAIN = ("--size", "32", "--width", "4", "--discriminator-width", "4", "--patch", "16", "--steps", "1")


class WriteOnly:
    """What windows and notebooks put in the place of a stream: no encoding, no flush, no terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


class Narrow(WriteOnly):
    """One that takes ASCII alone and does not say so."""

    def write(self, text: str) -> None:
        text.encode("ascii")
        super().write(text)


class Broken(io.StringIO):
    """One whose other end is gone, for all that one may ask of it."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")

    def isatty(self) -> bool:
        raise OSError(5, "Input/output error")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def wrapped(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


STREAMS = {
    "none": lambda: None,
    "closed": closed,
    "detached": lambda: (stream := wrapped("utf-8"), stream.detach())[0],
    "ascii": lambda: wrapped("ascii"),
    "cp437": lambda: wrapped("cp437"),
    "write only": WriteOnly,
    "narrow": Narrow,
    "broken": Broken,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    label = "wei\u00df \u2713"
    card = make_card(model="stargan", settings={"width": 4, "discriminator_width": 4, "blocks": 1})
    card = card.model_copy(update={"conditions": Conditions(labels=(label, "b"))})
    return save_model(tmp_path_factory.mktemp("streams") / "m\u00f6del.safetensors", card)


@contextlib.contextmanager
def speaking(kind: str):
    """Both streams of one kind, in a block; gives what was written to standard output, as far as one can know."""
    before = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = (STREAMS[kind](), STREAMS[kind]())

    def written():
        if isinstance(out, WriteOnly):
            return out.text
        return out.buffer.getvalue().decode(kind) if kind in ("ascii", "cp437") else None

    try:
        yield written
        assert (sys.stdout, sys.stderr) == (out, err)
    finally:
        sys.stdout, sys.stderr = before


@pytest.fixture(params=STREAMS)
def kind(request) -> str:
    return request.param


def test_commands_do_their_work(kind, model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("gr\u00fcn \u2713.png", "\u6f22.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "b\u00e4d \u2713.png").write_bytes(b"no picture")
    out, names = tmp_path / "out", ["gr\u00fcn \u2713.png", "\u6f22.png"]
    with speaking(kind) as written:
        assert main(["convert", str(model), str(tmp_path / "in"), str(out)]) == 1  # one has failed
        assert sorted(path.name for path in out.iterdir() if path.suffix == ".png") == names
        assert written() is None or "converted 2 pictures" in written()
        assert main(["info", str(model)]) == 0
        assert main(["--help"]) == 0
        assert main(["models"]) == 0
        assert main(["info", "nothing \u2713"]) == 2
        assert main(["convert", str(model), str(tmp_path / "in"), str(out), "--what\u2713", "1"]) == 2


def test_json_is_json_in_any_encoding(kind, model):
    with speaking(kind) as written:
        assert main(["info", str(model), "--json"]) == 0
        text = written()
    assert text is None or json.loads(text)["conditions"]["labels"][0] == "wei\u00df \u2713"


def test_the_library_works_without_streams(kind, model, tmp_path):
    Image.new("RGB", (20, 30)).save(tmp_path / "a \u2713.png")
    with speaking(kind):
        report = load(model, device="cpu").convert(tmp_path / "a \u2713.png", tmp_path / "out.png", progress=True)
        say("\u2713")
    assert report.converted == 1


def test_training_goes_to_its_end(kind, fronts, tmp_path):
    words = ["train", "pix2pix", "--data", str(fronts), "--out", str(tmp_path / "r\u00fcn"), *TRAIN]
    with speaking(kind):
        assert main(words) == 0
    assert (tmp_path / "r\u00fcn" / "model.safetensors").is_file()


def test_what_a_stream_cannot_say_is_written_as_escapes_whatever_it_calls_its_encoding():
    streams: list[Any] = [Narrow(), WriteOnly()]
    for stream in streams:
        SafeStream(stream).write("b\u00e4r\n")
        assert stream.text in ("b\u00e4r\n", "b\\xe4r\n")
