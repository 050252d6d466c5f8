"""A model repository for NVIDIA Triton: versions of a model, and their configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from translate.card import Card
from translate.export import storage
from translate.export.graph import INPUT, OUTPUT, Deployed
from translate.export.sample_conditions import drawn
from translate.files import write_text
from translate.images import ImageSpec
from translate.outside import about, read_text

FILE, CONFIG = "model.onnx", "config.pbtxt"
MAX_BATCH = 16  # pictures of one size that the server puts together
TYPES = {"uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "float32": "TYPE_FP32", "int64": "TYPE_INT64"}
KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}


@dataclass(frozen=True)
class Place:
    """The place of a version in a repository."""

    root: Path  # of the model: REPOSITORY/NAME
    version: int
    config: str

    @property
    def work(self) -> Path:
        """The folder to make it in: a server that watches the repository must not see a part of a model."""
        return self.root if self.root.exists() else self.root.parent


def plan(repository: Path, deployed: Deployed, *, name: str | None, model: Path | None, device: str) -> Place:
    """The next version of the model in a repository, which need not exist.

    Raises:
        ValueError: the path is a file, or the model of that name has other inputs or outputs.
    """
    if repository.suffix.lower() == ".onnx" or (repository.exists() and not repository.is_dir()):
        raise ValueError(
            f"{repository}: --triton writes a folder, a model repository: give its name in place of a file"
        )
    name = name or default_name(deployed.card, model)
    root = repository / name
    ends = interface(deployed)
    config = f'name: "{name}"\n{HEAD}{ends}{TAIL.replace("KIND", KINDS[device])}'
    existing = root / CONFIG
    with about(existing):
        former = _words(read_text(existing)) if existing.is_file() else None
    if former is not None and _words(ends) not in former:
        raise ValueError(
            f"{existing}: the model there takes or gives something else than this one: choose another --name, or "
            "remove it"
        )
    versions = [int(path.name) for path in root.glob("*") if path.name.isdecimal()]
    return Place(root, max(versions, default=0) + 1, config)


def publish(file: Path, place: Place) -> Path:
    """Move a finished file to its place, in one step; returns its path.

    An existing configuration is kept, since its owner may have tuned it.
    """
    build = file.parent / "built"
    version = build / str(place.version)
    version.mkdir(parents=True)
    storage.move(file, version / FILE)
    whole = not place.root.exists()
    if whole or not (place.root / CONFIG).exists():
        write_text((build if whole else place.root) / CONFIG, place.config)
    if whole:
        build.rename(place.root)
    else:
        version.rename(place.root / str(place.version))
    return place.root / str(place.version) / FILE


def default_name(card: Card, model: Path | None) -> str:
    """The name of the run folder or the model file; without either, of the kind of model."""
    if model is None:
        given = card.model
    else:
        in_run = (model.parent / "config.json").is_file()
        given = model.resolve().parent.name if in_run else model.stem
    return re.sub(r"[^\w.-]+", "-", given, flags=re.ASCII).strip(".-") or "model"


def interface(deployed: Deployed) -> str:
    """Inputs and outputs for the server's configuration: without the batch; -1 is any height or width."""
    example_conditions = drawn(deployed.card.conditions, np.random.default_rng(0), 1)
    inputs = [_picture(INPUT, deployed.input, deployed)]
    inputs += [_end(name, str(values.dtype), list(values.shape[1:])) for name, values in example_conditions.items()]
    return _ends("input", inputs) + _ends("output", [_picture(OUTPUT, deployed.output, deployed)])


def _ends(kind: str, ends: list[str]) -> str:
    between = ",\n"
    return f"{kind} [\n{between.join(ends)}\n]\n"


def _picture(name: str, spec: ImageSpec, deployed: Deployed) -> str:
    return _end(name, spec.dtype, [-1 if place in deployed.axes else spec.channels for place in range(1, 4)])


def _end(name: str, dtype: str, dims: list[int]) -> str:
    return f'  {{\n    name: "{name}"\n    data_type: {TYPES[dtype]}\n    dims: {dims}\n  }}'


def _words(text: str) -> str:
    """Without comments, and with single spaces."""
    return " ".join(re.sub(r"#.*", "", text).split())


HEAD = f"""platform: "onnxruntime_onnx"
max_batch_size: {MAX_BATCH}
"""

TAIL = """# Requests whose pictures are of one size go through together.
dynamic_batching { }
instance_group [ { kind: KIND } ]
"""
