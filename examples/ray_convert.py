"""Convert a folder by a trained model on a Ray cluster: files in, files out, at the full depth of the model.

    python ray_convert.py MODEL IN OUT [--workers 4] [--gpus 1] [--batch 64] [--format png] [--overwrite]

IN and OUT are folders that all machines see, or addresses that fsspec knows, such as s3://bucket/photos (with s3fs
installed). MODEL is a run folder, a model file or an exported .onnx file under a path that each machine has.

What goes through Ray are names. A worker loads the model once, fetches the files of a batch, converts them as
`translate convert` does (16 bits, transparency, profiles and metadata included), and puts the results in their place.
Names are those that `translate convert` gives, settled over all files of a folder before the work; files that are there
already are skipped, so that the same command continues.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np

import translate
from translate.files import write_bytes
from translate.images import format_for, is_image_name
from translate.inference.names import name_outputs
from translate.inference.translator import read_card

TRANSFERS = 16  # files that a worker fetches or puts at a time


def rows(
    model: str, source: str, out: str, *, format: str | None = None, overwrite: bool = False
) -> Iterator[dict[str, str]]:
    """A row for each picture that is to be converted: the addresses of the file and of its output."""
    card = read_card(model)
    files, root = fsspec.core.url_to_fs(source)
    place, target = fsspec.core.url_to_fs(out)
    whole_source, whole_target = files.unstrip_protocol(root), place.unstrip_protocol(target)  # for any working folder
    inside = [PurePosixPath(path).relative_to(root) for path in files.find(root)]
    pictures = sorted(p for p in inside if is_image_name(p.name) and not any(part[0] == "." for part in p.parts))
    there = set() if overwrite or not place.exists(target) else set(place.find(target))
    for folder, found in groupby(sorted(pictures, key=lambda p: (p.parent, p.name)), key=lambda p: p.parent):
        names = [path.name for path in found]
        for name, output, _ in name_outputs(names, target=card.target, format=format):
            if f"{target}/{folder / output}" not in there:
                yield {"source": f"{whole_source}/{folder / name}", "target": f"{whole_target}/{folder / output}"}


class Convert:
    """A worker: holds the model, and converts batches of files."""

    def __init__(self, model: str, **options: Any) -> None:
        self.t = translate.load(model)
        self.options = options

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`source` and `target`, `[N]` addresses each, to `target` and `error`, which is empty where all went well."""
        sources, targets = (list(map(str, batch[name])) for name in ("source", "target"))
        with tempfile.TemporaryDirectory(prefix="translate-ray-") as work, ThreadPoolExecutor(TRANSFERS) as pool:
            given, made = Path(work) / "in", Path(work) / "out"
            places = [given / str(number) / PurePosixPath(source).name for number, source in enumerate(sources)]
            errors = list(pool.map(fetch, sources, places))
            if any(path.exists() for path in places):
                report = self.t.convert(given, made, **self.options)
                reasons = {failure.path: failure.reason for failure in report.failures}
                errors = [error or reasons.get(path, "") for error, path in zip(errors, places, strict=True)]
            found = [next((made / str(number)).glob("[!.]*"), None) for number in range(len(sources))]
            errors = list(pool.map(put, found, targets, errors))
        return {"target": np.array(targets), "error": np.array(errors)}


def fetch(address: str, path: Path) -> str:
    """Copy a file here; returns the reason if that fails."""
    path.parent.mkdir(parents=True)
    try:
        files, place = fsspec.core.url_to_fs(address)
        path.write_bytes(files.cat_file(place))
    except OSError as error:
        path.unlink(missing_ok=True)
        return f"{address}: cannot be read: {error}"
    return ""


def put(path: Path | None, address: str, error: str) -> str:
    """Copy an output to its place, whole or not at all; returns the reason if there is none."""
    if path is None:
        return error or f"{address}: not made"
    try:
        files, place = fsspec.core.url_to_fs(address)
        if "file" in files.protocol:
            write_bytes(Path(place), path.read_bytes())
        else:
            files.pipe_file(place, path.read_bytes())  # an object appears when it is whole
    except OSError as failure:
        return f"{address}: cannot be written: {failure}"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a picture could not be converted."""
    import ray

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("source", metavar="IN")
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--workers", type=int, default=1, help="processes that hold the model, over all machines")
    parser.add_argument("--cpus", type=float, default=1, help="of each worker")
    parser.add_argument("--gpus", type=float, default=0, help="of each worker, or a share, such as 0.25")
    parser.add_argument("--batch", type=int, default=64, help="files that a worker converts at a time")
    parser.add_argument("--format", help="file type of every output (default: that of its input)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist already")
    given = parser.parse_args(argv)
    source, out = given.source.rstrip("/"), given.out.rstrip("/")
    format = given.format and format_for(given.format)
    model = str(Path(given.model).resolve())  # workers have other working folders
    found = list(rows(model, source, out, format=format, overwrite=given.overwrite))
    if not found:
        print(f"nothing to convert in {source}: no pictures, or all of them are in {out}")
        return 0
    made = ray.data.from_items(found).map_batches(
        Convert,
        fn_constructor_kwargs={"model": model} | ({"format": format} if format else {}),
        batch_size=given.batch,
        compute=ray.data.ActorPoolStrategy(size=given.workers),
        num_cpus=given.cpus,
        num_gpus=given.gpus,
    )
    failed = 0
    for row in made.iter_rows():
        if row["error"]:
            failed += 1
            print(row["error"], file=sys.stderr)
    print(f"converted {len(found) - failed:,} of {len(found):,} pictures into {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
