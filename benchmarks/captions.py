"""Are the colours that a caption names the colours that are drawn? On drawn house fronts, where the answer is known.

    python -m benchmarks.captions --model RUN --data FOLDER [--split test]

FOLDER is what `write_paired(..., layout="metadata", colours="free")` has written; with `unseen=True` its validation and
test houses have pairs of colours that were never in training. A part's colour is the median over its region in the
label map, and right if the nearest entry of the palette is the one that the caption names. Beside it stand the same
with an empty text, what chance gives (the colours of another house's caption), and the true pictures themselves.

A model that learned from fronts and captions alone, such as StarGAN by words, gets a front and another house's caption
in place of a label map and its caption. Chance is then what the front itself has of that caption's colours.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from benchmarks import command
from benchmarks.measure import table
from translate.fields import Settings
from translate.houses import COLOURED_PARTS, colours_in, measured_colour
from translate.images import read
from translate.inference.translator import load
from translate.models import model_class


class Flags(Settings):
    """Are the colours that a caption names the colours that are drawn? On drawn house fronts."""

    model: Path = Field(description="run or model file, trained with --condition text")
    data: Path = Field(description="set of write_paired in the layout metadata, in free colours")
    split: str = Field("test", description="which of its splits: test, val or train")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")


def benchmark(flags: Flags) -> None:
    """Print the table.

    Raises:
        ValueError: no such model or set.
    """
    file = flags.data / flags.split / "metadata.csv"
    if not file.is_file():
        raise ValueError(f"--data {flags.data}: there is no {flags.split}/metadata.csv")
    translator = load(flags.model, device=flags.device)
    if translator.card.conditions.text is None:
        raise ValueError(f"--model {flags.model}: text is not among its conditions")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    captions = [row["text"] for row in rows]
    maps = [read(file.parent / row["file_name"]).pixels[..., :3] for row in rows]
    true = [read(file.parent / row["target_file_name"]).pixels[..., :3] for row in rows]
    others = [*captions[1:], captions[0]]
    if model_class(translator.card.model).data == "domains":
        drawn = {
            "another house's caption": (translator(true, text=others), others),
            "its own caption": (translator(true, text=captions), captions),
            "nothing: the front as it is": (true, others),
        }
    else:
        drawn = {
            "right caption": (translator(maps, text=captions), captions),
            "empty text": (translator(maps, text=""), captions),
            "another house's caption": (translator(maps, text=others), captions),
            "the true pictures": (true, captions),
        }
    titles = ["drawn by", *COLOURED_PARTS, "all"]
    lines_of_table = []
    for name, (pictures, named) in drawn.items():
        right, asked = score(pictures, maps, named)
        shares = [f"{100 * right[part] / asked[part]:.1f} %" if asked[part] else "" for part in COLOURED_PARTS]
        lines_of_table.append([name, *shares, f"{100 * right.total() / max(asked.total(), 1):.1f} %"])
    print(f"{len(rows)} houses of {flags.data.name}/{flags.split}: parts in the colour that the caption names\n")
    print(table(lines_of_table, titles=titles))


def score(
    pictures: Sequence[np.ndarray], maps: Sequence[np.ndarray], captions: Sequence[str]
) -> tuple[Counter[str], Counter[str]]:
    """For each part: in how many pictures its colour is the named one, and in how many it can be told."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for picture, labels, caption in zip(pictures, maps, captions, strict=True):
        for part, colour in colours_in(caption).items():
            found = measured_colour(np.asarray(picture), labels, part)
            if found is not None:
                asked[part] += 1
                right[part] += found == colour
    return right, asked


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.captions", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
