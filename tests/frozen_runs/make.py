"""Makes the frozen runs. Never to be run again but to add one: what it freezes is what the code of that day did.

At commit 854c712, from the root of the checkout: `python -m tests.frozen_runs.make [NAME ...]`. It writes a zip for
each run that has none yet, and first of all the pictures.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # as the tests have it; before torch is imported

import numpy as np
import torch
from PIL import Image

import translate
from tests.frozen_runs.runs import HERE, PLAIN, RUNS, STEPS, STOPPED, asked_picture, digest, rounding, unpack
from translate.batch import Batch
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session

COMMON: dict[str, Any] = {
    "size": 16,
    "batch": 1,
    "lr": 0.02,
    "steps": STEPS,
    "validate_every": STOPPED,
    "checkpoint_every": STOPPED,
    "keep": 100,
    "log_every": 3,  # so that the checkpoint is in the middle of an interval
    "samples": 0,
    "snapshot_budget": 0,
    "threads": 1,
    "device": "cpu",
    "workers": 0,
    "tensorboard": False,
}
COLOURS = np.array([(40, 60, 160), (200, 180, 40), (170, 50, 60)], np.uint8)


def write_pictures(folder: Path) -> None:
    """Flat label maps of three colours `a*.png` and shaded pictures of them `b*.png`, as pairs, apart and on a heap."""
    random = np.random.default_rng(0)
    sides: dict[str, list[Image.Image]] = {"a": [], "b": []}
    for number in range(6):
        labels = np.zeros((16, 16), int)
        for colour in (1, 2):
            top, left = random.integers(0, 8, 2)
            labels[top : top + random.integers(4, 9), left : left + random.integers(4, 9)] = colour
        warm = number % 2 == 1
        shaded = COLOURS[labels][..., :: -1 if warm else 1] * np.linspace(0.4, 1, 16)[:, None, None]
        shaded = np.clip(shaded * (1.2 if warm else 0.8) + random.integers(0, 20, (16, 16, 1)), 0, 255)
        sides["a"].append(Image.fromarray(COLOURS[labels]))
        sides["b"].append(Image.fromarray(shaded.astype(np.uint8)))
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        pairs, domains = folder / "pairs" / split, folder / "heap" / split
        parts = {
            "a": [pairs, folder / "unpaired" / f"{split}A"],
            "b": [pairs, domains, folder / "unpaired" / f"{split}B"],
        }
        for side, folders in parts.items():
            for place in folders:
                place.mkdir(parents=True, exist_ok=True)
                for number in numbers:
                    sides[side][number].save(place / f"{side}{number}.png")
        said = [("warm", "warm glow") if number % 2 else ("cold", "cold sea") for number in numbers]
        _write_table(
            pairs / "metadata.csv",
            ("file_name", "target_file_name", "label", "text"),
            [(f"a{n}.png", f"b{n}.png", *row) for n, row in zip(numbers, said, strict=True)],
        )
        _write_table(
            domains / "metadata.csv",
            ("file_name", "label", "text"),
            [(f"b{n}.png", *row) for n, row in zip(numbers, said, strict=True)],
        )


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def pack(folder: Path, archive: Path) -> None:
    """All files of a folder, in order and without their times."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, path.read_bytes(), compresslevel=9)


def freeze(name: str, pictures: Path, folder: Path) -> Path:
    """Train a run, and keep its folder as it was after step `STOPPED`, when the next one was about to begin."""
    model, data, settings, asked = RUNS[name]
    settings = {**COMMON, **settings}
    out, kept = folder / "whole", folder / "kept"
    plain = Session.advance
    digests = {}

    def advance(session: Session, batches: Sequence[Batch]) -> None:
        if session.done == STOPPED:
            shutil.copytree(
                out, kept, ignore=shutil.ignore_patterns(".lock", "last.safetensors", "samples", "snapshots")
            )
        plain(session, batches)
        if session.done > STOPPED:
            digests[str(session.done)] = digest(session.state_dict()["model"])

    Session.advance = advance  # type: ignore[method-assign, assignment]
    try:
        train(model, data=pictures / data, out=out, **settings)
    finally:
        Session.advance = plain  # type: ignore[method-assign]
    config = json.loads((kept / "config.json").read_text(encoding="utf-8"))
    config["settings"] |= {"data": data, "out": None}  # where it was made is nobody's business
    (kept / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    picture = asked_picture(pictures, data)
    translate.load(kept, device="cpu")(picture, **asked).save(kept / "translated.png")
    translate.load(kept, device="cpu", step=STOPPED)(picture, **asked).save(kept / "checkpoint.png")
    if translate.load(kept, device="cpu").card.reversible:
        translate.load(kept, device="cpu", direction="BtoA")(picture, **asked).save(kept / "reversed.png")
    if name in PLAIN:
        shutil.copy(RunFolder(out).checkpoint(STEPS), kept / "end.pt")
        alike = rounding(size=settings["size"], width=settings["width"])
        notes = {"torch": torch.__version__, "rounding": alike, "model": digests}
        (kept / "end.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    return kept


def main(names: Sequence[str]) -> None:
    """Make what is missing of `names`, or of all."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if not (HERE / "pictures.zip").exists():
            write_pictures(work / "made")
            pack(work / "made", HERE / "pictures.zip")
        pictures = unpack("pictures", work)
        for name in names or RUNS:
            archive = HERE / f"{name}.zip"
            if not archive.exists():
                pack(freeze(name, pictures, work / name), archive)
                print(f"{name}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
