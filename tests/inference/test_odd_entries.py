"""Entries of a folder that are no files: conversion reports each by name, and waits for none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.images import ImageError, read
from translate.inference.translator import Translator
from translate.settings import DataSettings

FROZEN = Path(__file__).parent / "frozen" / "0.1.0" / "model.onnx"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return path


def test_each_is_told_by_name_and_the_rest_is_converted(inverter: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("1.png", "ring1/2.png", "ring2/3.png", os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"d\xfe/4.png")):
        picture(source / name)
    (source / "itself.png").symlink_to("itself.png")
    (source / "itself").symlink_to("itself")
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "ring1" / "next").symlink_to("../ring2")
    (source / "ring2" / "next").symlink_to("../ring1")
    os.mkfifo(source / "pipe.png")
    report = Translator(inverter()).convert(source, tmp_path / "out")
    reasons = {failure.path.name: failure.reason.split(": ", 1)[1] for failure in report.failures}
    assert reasons == {
        "itself.png": "cannot be opened: Too many levels of symbolic links",
        "gone.png": "no such file",
        "pipe.png": "is no file but a pipe, a socket or a device",
    }
    assert report.converted == 5
    again = Translator(inverter()).convert(source, source, in_place=True)
    assert again.failures[0].path.name in reasons


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_a_pipe_or_device_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "p.png")
    with pytest.raises(ImageError, match=r"p\.png: is no file but a pipe, a socket or a device"):
        read(tmp_path / "p.png")


def test_a_path_that_cannot_be_written_down_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"--data got .*it is not UTF-8"):
        DataSettings.make({"data": os.fsdecode(b"caf\xe9")})


def test_names_that_the_terminal_cannot_show_are_printed_all_the_same(tmp_path: Path) -> None:
    Path(tmp_path, os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    command = [sys.executable, "-m", "translate", "convert", str(FROZEN), str(tmp_path), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert r"caf\udce9.png: the file is empty" in done.stdout
