"""Random layouts of pictures of which it is known what each file is: its split, its side, its class, its partner.

A set is drawn first, as a list of pictures or pairs, and then laid out in one of the ways that people lay out sets.
What training would use is compared with what was drawn, file by file.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import shutil
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from translate.datasets.pairs import Pair
from translate.datasets.prepare import Prepared

WORDS = {
    "train": ["train", "training", "Train", "TRAIN"],
    "val": ["val", "validation", "valid", "dev", "Val"],
    "test": ["test", "testing", "Test"],
}
CLASSES = ["brick", "wood", "train", "glass", "été"]

Used = tuple[str | None, str | None, str | None]
"""Files of source and target below the root, halves included, and the label."""


@dataclass
class Known:
    """A set on the disk: what to call `prepare` with, and what it should find."""

    root: Path
    rng: random.Random
    given: dict[str, object] = field(default_factory=dict)
    truth: dict[str, set[Used]] = field(default_factory=lambda: {"train": set(), "val": set(), "test": set()})
    reported: list[str] = field(default_factory=list)  # parts of the report on files that are not used

    def put(self, path: str, *, size: tuple[int, int] = (12, 12)) -> str:
        """A picture like no other, of (width, height)."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(self.rng.getrandbits(32)).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        return path

    def form(self) -> Literal["NFC", "NFD"]:
        """How an archive spells "é": as one sign, or as macOS does."""
        return self.rng.choice(("NFC", "NFD"))

    def word(self, split: str) -> str:
        """One of the names of a split."""
        return self.rng.choice(WORDS[split])


@dataclass(frozen=True)
class Drawn:
    """One pair or picture before it is laid out."""

    split: str
    kind: str  # its class
    stem: str


def draw(rng: random.Random, *, classes: Iterable[str]) -> list[Drawn]:
    """Pictures of two splits or three, with training ones of every class."""
    splits = rng.choice([["train", "val", "test"], ["train", "val"], ["train", "test"]])
    numbers = itertools.count()
    return [
        Drawn(split, kind, f"{rng.choice(['img', 'ä', 'IMG_'])}{next(numbers)}")
        for split in splits
        for kind in classes
        for _ in range(rng.randint(2, 4) if split == "train" else rng.randint(1, 2))
    ]


def used(prepared: Prepared, root: Path, *, labels: bool = False) -> dict[str, set[Used]]:
    """What training would use of each split, as `Known.truth` has it."""

    def text(view: object) -> str | None:
        half = f":{view.half}" if view is not None and view.half else ""
        return None if view is None else view.path.relative_to(root).as_posix() + half

    def of(pair: Pair) -> Used:
        return text(pair.source), text(pair.target), pair.label if labels else None

    parts = {"train": prepared.train, "val": prepared.val, "test": prepared.test}
    return {split: {of(pair) for pair in pairs} for split, pairs in parts.items()}


# Ways to lay out pairs, and, where they have folders of sides, pictures without pairs.


def sided(place: str) -> Callable[[Known, list[Drawn], bool], None]:
    """Files of the form `place`, in which {split}, {side} and {kind} stand for these."""

    def lay(known: Known, drawn: list[Drawn], paired: bool) -> None:
        words = {split: known.word(split) for split in WORDS}
        if "{split}{side}" in place:  # TRAINA is a word of its own
            words = {split: word if word.islower() else word.capitalize() for split, word in words.items()}
        by_kind = known.rng.random() < 0.5
        for one in drawn:
            files = []
            for side in "AB":
                folder = place.format(split=words[one.split], side=side)
                inner = f"{one.kind}/" if by_kind else ""
                suffix = known.rng.choice([".png", ".bmp"])
                stem = one.stem if paired else f"{side.lower()}-{one.stem}"
                files.append(known.put(unicodedata.normalize(known.form(), f"{folder}/{inner}{stem}{suffix}")))
            if paired:
                known.truth[one.split].add((files[0], files[1], None))
            else:
                known.truth[one.split] |= {(files[0], None, None), (None, files[1], None)}
        known.given = {"data": known.root}
        if known.rng.random() < 0.3 and place.startswith("{side}/"):
            known.given = {"source": known.root / "A", "target": known.root / "B"}

    return lay


def side_by_side(known: Known, drawn: list[Drawn], paired: bool) -> None:
    """One file a pair, in a folder of each split."""
    words = {split: known.word(split) for split in WORDS}
    for one in drawn:
        file = known.put(f"{words[one.split]}/{one.kind}/{one.stem}.png", size=(24, 12))
        known.truth[one.split].add((f"{file}:left", f"{file}:right", None))
    known.given = {"data": known.root}


def table(known: Known, drawn: list[Drawn], paired: bool) -> None:
    """A table, whose lines are split by a column, by folders at the top or further down, or that lies in each split."""
    words = {split: known.word(split) for split in WORDS}
    way = known.rng.choice(["column", "top", "below", "each"])
    rows: dict[str, list[dict[str, str]]] = {}
    for one in drawn:
        folder = {"column": "{side}", "below": "{side}/{split}"}.get(way, "{split}/{side}")
        files = [
            known.put(f"{folder.format(side=side, split=words[one.split])}/{one.kind}/{one.stem}.png")
            for side in ("outlines", "photos")
        ]
        known.truth[one.split].add((files[0], files[1], None))
        home = words[one.split] if way == "each" else "."
        below = [file.removeprefix(f"{home}/") for file in files]
        spelled = [unicodedata.normalize(known.form(), name) for name in below]
        row = {"file_name": spelled[0], "target_file_name": spelled[1]}
        rows.setdefault(home, []).append(row | ({"split": words[one.split]} if way == "column" else {}))
    for home, lines in rows.items():
        known.rng.shuffle(lines)
        write_table(known.root / home, lines, known.rng)
    known.given = {"data": known.root}


def write_table(folder: Path, rows: list[dict[str, str]], rng: random.Random) -> None:
    """The rows as a table of one of the kinds that are read."""
    if rng.random() < 0.3:
        text = "\n".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows)
        (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
        return
    separator = rng.choice([",", ";", "\t"])
    name = "metadata.tsv" if separator == "\t" and rng.random() < 0.5 else "metadata.csv"
    with (folder / name).open("w", encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="") as file:
        if separator != "," and rng.random() < 0.5:
            file.write(f"sep={separator}\r\n")
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


PAIRS = {
    place: sided(place)
    for place in ("{split}{side}", "{split}_{side}", "{split}/{side}", "{side}/{split}", "{side}/{split}{side}")
} | {"side by side": side_by_side, "table": table}

UNPAIRED = [place for place in PAIRS if "{side}" in place]


# Ways to lay out domains: pictures by their classes.


def classed(place: str) -> Callable[[Known, list[Drawn]], None]:
    """Files of the form `place`, in which {split} and {kind} stand for these."""

    def lay(known: Known, drawn: list[Drawn]) -> None:
        words = {split: known.word(split) for split in WORDS}
        if "{split}{kind}" in place:
            words = {split: word if word.islower() else word.capitalize() for split, word in words.items()}
        for one in drawn:
            kind = unicodedata.normalize(known.form() if "{split}/" in place else "NFC", one.kind)
            file = known.put(f"{place.format(split=words[one.split], kind=kind)}/{one.stem}.png")
            known.truth[one.split].add((None, file, one.kind))
        known.given = {"data": known.root}

    return lay


def labelled(known: Known, drawn: list[Drawn]) -> None:
    """A table of single pictures, with the class of each as a label, or as one column for each class."""
    words = {split: known.word(split) for split in WORDS}
    kinds = sorted({one.kind for one in drawn})
    by_column = known.rng.random() < 0.5
    yes, no = known.rng.choice([("1", "-1"), ("1", "0"), ("True", "False")])
    rows = []
    for one in drawn:
        file = known.put(f"photos/{one.stem}.png")
        known.truth[one.split].add((None, file, one.kind))
        cells = {kind: yes if kind == one.kind else no for kind in kinds} if by_column else {"label": one.kind}
        rows.append({"file_name": file, "split": words[one.split], **cells})
    known.rng.shuffle(rows)
    write_table(known.root, rows, known.rng)
    known.given = {"data": known.root, **({"label_columns": ",".join(kinds)} if by_column else {})}


DOMAIN_LAYOUTS = {
    place: classed(place) for place in ("{split}/{kind}", "{kind}/{split}", "{split}{kind}", "{split}_{kind}")
} | {"table": labelled}


# What else lies in the folders of sets, and is not to be learned from.


def litter(known: Known) -> None:
    """A few of the things that systems, programs and trainings leave between pictures."""
    pictures = sorted(path for path in known.root.rglob("*") if path.suffix in (".png", ".bmp"))
    for thing in known.rng.sample(LITTER, 5):
        thing(known, known.rng.choice(pictures))


def hidden(known: Known, picture: Path) -> None:
    shutil.copy(picture, picture.with_name(f".{picture.name}"))
    picture.with_name(f"._{picture.name}").write_bytes(b"AppleDouble")
    known.reported.append("2 hidden files skipped")


def hidden_folder(known: Known, picture: Path) -> None:
    (picture.parent / ".thumbnails").mkdir()
    shutil.copy(picture, picture.parent / ".thumbnails" / picture.name)
    known.reported.append(".thumbnails/")


def thumbnails(known: Known, picture: Path) -> None:
    name = known.rng.choice(["@eaDir", "__MACOSX", "#recycle", "thumbs", "Thumbnails"])
    (picture.parent / name).mkdir()
    shutil.copy(picture, picture.parent / name / picture.name)
    known.reported.append(f"{name}/")


def run_folder(known: Known, picture: Path) -> None:
    run = (
        known.rng.choice([known.root if "data" in known.given else picture.parent, picture.parent])
        / "runs"
        / "pix2pix-set"
    )
    (run / "samples").mkdir(parents=True)
    config = dict.fromkeys(("format", "model", "settings", "source", "target", "data"))
    (run / "config.json").write_text(json.dumps(config))
    shutil.copy(picture, run / "samples" / "step-00000001.png")
    known.reported.append("1 folder of a training skipped")


def ring(known: Known, picture: Path) -> None:
    (picture.parent / "above").symlink_to(known.root)
    known.reported.append("1 link to folders skipped")


def link_to_itself(known: Known, picture: Path) -> None:
    (picture.parent / "itself.png").symlink_to("itself.png")
    known.reported.append("itself.png: cannot be followed")


def link_to_nothing(known: Known, picture: Path) -> None:
    (picture.parent / "gone.png").symlink_to("nowhere.png")
    known.reported.append("gone.png: a link to nothing")


def pipe(known: Known, picture: Path) -> None:
    os.mkfifo(picture.parent / "pipe.png")
    os.mkfifo(picture.parent / "pipe")
    known.reported += ["pipe.png: no file but a pipe", "1 odd entry skipped"]


def no_text(known: Known, picture: Path) -> None:
    shutil.copy(picture, picture.parent / os.fsdecode(b"caf\xe9.png"))
    known.reported.append("caf\\xe9.png: its name is not UTF-8")


LITTER = [hidden, hidden_folder, thumbnails, run_folder, ring, link_to_itself, link_to_nothing, pipe, no_text]
