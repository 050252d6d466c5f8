"""Pictures for a machine without OpenCV: resized here to what training loads, as JPEG.

python -m benchmarks.gpu.carry --pairs FOLDER --unpaired FOLDER --out FOLDER [--size 286] [--count 400]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from benchmarks import command
from translate.datasets.resizing import resize
from translate.fields import Settings
from translate.images import read

PARTS = {"pairs": ("train", "val"), "unpaired": ("trainA", "trainB", "testA", "testB")}
QUALITY = 95


class Flags(Settings):
    """Pictures of load size for `python -m benchmarks.gpu`."""

    pairs: Path | None = Field(None, description="folder with side-by-side pairs in train/ and val/")
    unpaired: Path | None = Field(None, description="folder with trainA/, trainB/, testA/ and testB/")
    out: Path = Field(Path("carried"), description="folder to write")
    size: int = Field(286, ge=8, description="pixels of a side: what training resizes to, 286 for crops of 256")
    count: int = Field(400, ge=1, description="pictures of each part, the first by name")


def benchmark(flags: Flags) -> None:
    """Write the folders, and print their sizes.

    Raises:
        ValueError: a folder has no such part.
    """
    for kind, parts in PARTS.items():
        given: Path | None = getattr(flags, kind)
        if given is None:
            continue
        total = 0
        for part in parts:
            if not (given / part).is_dir():
                raise ValueError(f"--{kind} {given} has no folder {part}")
            files = sorted(path for path in (given / part).iterdir() if path.is_file())[: flags.count]
            for file in files:
                to = flags.out / kind / part / f"{file.stem}.jpg"
                to.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(at_load_size(file, flags.size, paired=kind == "pairs")).save(to, quality=QUALITY)
                total += to.stat().st_size
        print(f"{flags.out / kind}: {total / 1e6:.1f} MB")


def at_load_size(file: Path, size: int, *, paired: bool) -> np.ndarray:
    """`[size, size, 3]` uint8, of pairs `[size, 2 * size, 3]`, each half for itself as training does it."""
    pixels = read(file).pixels
    middle = pixels.shape[1] // 2
    halves = [pixels[:, :middle], pixels[:, middle:]] if paired else [pixels]
    made = [resize(np.ascontiguousarray(half), size, size) for half in halves]
    return np.concatenate([np.repeat(half, 3, 2) if half.shape[2] == 1 else half[..., :3] for half in made], 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.gpu.carry", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
