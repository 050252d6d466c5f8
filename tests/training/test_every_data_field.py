"""Every setting of the pictures changes what a training sees of them, or is refused by name.

A new field is tested by existing: it is tried on each of these sets, by the values of `tried` or of `VALUES`.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.test_every_field import tried
from tests.training.test_run import assert_same
from translate.datasets.prepare import prepare
from translate.fields import flag
from translate.models import model_class
from translate.settings import DataSettings
from translate.training.job import new_job
from translate.training.loader import Loader

NETWORKS = {"size": 16, "width": 2, "discriminator_width": 2, "patch": 16, "device": "cpu"}
VALUES: dict[str, tuple[Any, ...]] = {
    "layout": ("metadata", "folders", "side-by-side", "single", "two-folders", "classes"),
    "label_columns": ("tall,wide",),
    "derive": ("gray",),
    "derive_amount": (0.5,),
    "val_fraction": (0.5,),
    "max_pixels": (500,),
    "size": ("16x24", 32),
    "load_size": (20, "20x26"),
    "rotate": (30,),
    "zoom": (0.3,),
    "photometric": (0.5,),
    "source_channels": (1,),
    "target_channels": (1,),
    "source_range": ("10,90", "percentile", "bands"),
    "target_range": ("10,90", "percentile", "bands"),
    "source_nodata": (50.0, "nan"),
    "target_nodata": (50.0, "nan"),
    "source_palette": ("#ff0000,#00ff00,#0000ff",),
    "target_palette": ("#ff0000,#00ff00,#0000ff",),
    "source_ignore": ("#ff0000",),
    "target_ignore": ("#ff0000",),
    "background": ("#102030",),
}
ELSEWHERE = {
    "cache": "where decoded pictures are kept, not which: tests/datasets has its own tests of both kinds",
}


def picture(path: Path, *, seed: int, size: tuple[int, int] = (40, 28)) -> None:
    """Drawn colours from 10 to 127; number 3 is transparent in a place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(10, 128, size=(*size, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[8:10, 8:10, 3] = 0 if seed == 3 else 255
    Image.fromarray(pixels).save(path)


def label_map(path: Path, *, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    Image.fromarray(colours[np.random.default_rng(seed).integers(3, size=(40, 28))]).save(path)


def pairs_with_faults(root: Path) -> dict[str, Any]:
    """RGBA pairs in folders, one picture broken, one without partner, one larger than the others."""
    for number in range(6):
        for side in "AB":
            picture(root / f"train{side}" / f"{number}.png", seed=number + 10 * (side == "B"))
    picture(root / "trainA" / "alone.png", seed=99)
    (root / "trainB" / "0.png").write_bytes(b"no picture")
    for side in "AB":
        picture(root / f"val{side}" / "v.png", seed=50, size=(20, 20))
        picture(root / f"train{side}" / "large.png", seed=60, size=(80, 56))
    return {"model": "pix2pix", "data": root}


def two_folders(root: Path) -> dict[str, Any]:
    for part, count in (("", 5), ("val_", 2)):
        for side in ("source", "target"):
            for number in range(count):
                picture(root / f"{part}{side}" / f"{number}.png", seed=number)
    return {"model": "pix2pix", "source": root / "source", "target": root / "target"}


def maps_to_maps(root: Path) -> dict[str, Any]:
    for number in range(6):
        for side in "AB":
            label_map(root / f"train{side}" / f"{number}.png", seed=number + 10 * (side == "B"))
    return {"model": "pix2pix", "data": root, "source_kind": "labels", "target_kind": "labels"}


def derived(root: Path) -> dict[str, Any]:
    for number in range(6):
        picture(root / f"{number}.png", seed=number)
    return {"model": "pix2pix", "data": root, "derive": "noise"}


def labelled(root: Path) -> dict[str, Any]:
    """Pairs with a table: a label, and two columns that are labels by request."""
    lines = []
    for number in range(8):
        names = {"file_name": f"a{number}.png", "target_file_name": f"b{number}.png"}
        for name in names.values():
            picture(root / "train" / name, seed=number + 10 * name.startswith("b"))
        ticks = {"tall": [1, -1][number % 2], "wide": [1, -1][number // 2 % 2]}
        lines.append(json.dumps({**names, "label": "ab"[number % 2], **ticks}))
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines))
    return {"model": "pix2pix", "data": root, "condition": "label"}


def unlabelled(root: Path) -> dict[str, Any]:
    """The same table, and a model that asks for no labels."""
    return labelled(root) | {"condition": "none"}


def two_sides(root: Path) -> dict[str, Any]:
    """Pictures without pairs, but for those of validation."""
    for side in "AB":
        for number in range(4):
            picture(root / f"train{side}" / f"{side}{number}.png", seed=number + 10 * (side == "B"))
        picture(root / f"val{side}" / "v.png", seed=50 + (side == "B"))
    return {"model": "cyclegan", "data": root}


def two_sides_apart(root: Path) -> dict[str, Any]:
    return two_folders(root) | {"model": "cyclegan"}


def domains(root: Path) -> dict[str, Any]:
    for number in range(8):
        picture(root / "train" / "ab"[number % 2] / f"{number}.png", seed=number)
    return {"model": "stargan", "data": root}


def targets(root: Path) -> dict[str, Any]:
    for number in range(8):
        picture(root / f"{number}.png", seed=number)
    return {"model": "dcgan", "data": root, "batch": 1}


def labelled_targets(root: Path) -> dict[str, Any]:
    return domains(root) | {"model": "dcgan", "condition": "label", "batch": 1}


LAYOUT = {
    pairs_with_faults: "folders",
    two_folders: "two-folders",
    maps_to_maps: "folders",
    derived: "single",
    labelled: "metadata",
    unlabelled: "metadata",
    two_sides: "folders",
    two_sides_apart: "two-folders",
    domains: "classes",
    targets: "single",
    labelled_targets: "classes",
}


def seen_by_training(values: dict[str, Any]) -> dict[str, Any]:
    """Which pictures, what they are, and the first batches of training and validation.

    Raises:
        ValueError: settings that are refused.
    """
    values = dict(values)
    model = values.pop("model")
    job = new_job(model, values)
    cls = model_class(model)
    data = prepare(
        job.data, kind=cls.data, data_needs=cls.data_needs(job.science), say=lambda line: None, progress=False
    )
    loader = Loader(job, data, device=torch.device("cpu"), start=0)
    batches = [*loader.take(4), *loader.validation()]
    loader.close()
    # size decides what of a picture a network sees, background what conversion does with a transparent one
    what = {"size": job.data.size, **{side: spec.model_dump() for side, spec in data.specs.items()}}
    return {
        **what,
        "pictures": {
            part: [(pair.name, pair.source, pair.target) for pair in getattr(data, part)]
            for part in ("train", "val", "test")
        },
        "paired": [data.kind, data.val_paired],
        "conditions": data.conditions.model_dump(),
        "batches": [[*batch.pictures.values(), batch.condition, batch.valid, batch.classes] for batch in batches],
    }


def same(one: Any, other: Any) -> bool:
    try:
        assert_same(one, other)
    except AssertionError:
        return False
    return True


def says_what_is_so(name: str, value: Any, make: Any) -> bool:
    """A word for what would be found anyway, and a strictness about faults that a set does not have."""
    return (name, value) == ("layout", LAYOUT[make]) or (name == "strict" and make is not pairs_with_faults)


def named(name: str, message: str) -> bool:
    """Whether the line says which setting is meant, or the one that has to be given with it."""
    words = [flag(name)]
    if name == "layout":
        words.append("--label-columns")  # what another layout lacks
    if name.endswith("_kind"):
        words.append(flag(name.replace("kind", "palette")))
    return any(re.search(rf"{word}\b", message) for word in words)


def values_of(name: str, field: Any, root: Path) -> tuple[Any, ...]:
    if name in ("data", "source", "target", "val_source", "val_target"):
        path = root / name
        return (path,) if path.is_dir() else ()
    if name in VALUES:
        return VALUES[name]
    return tried(name, field)


@pytest.mark.parametrize("make", LAYOUT, ids=lambda make: make.__name__)
def test_every_field_of_the_pictures_changes_what_is_seen_of_them_or_is_refused_by_name(make, tmp_path):
    root = tmp_path / "set"
    given = make(root)
    fields = DataSettings.model_fields
    base = {**NETWORKS, **given, "out": tmp_path / "run"}
    if given["model"] == "dcgan":
        del base["patch"]
    usual = seen_by_training(base)
    assert same(usual, seen_by_training(base)), "it is a function of the settings"
    silent = []
    for name, field in fields.items():
        if name in ELSEWHERE:
            continue
        for value in values_of(name, field, root):
            if base.get(name, field.default) == value or says_what_is_so(name, value, make):
                continue
            try:
                changed = seen_by_training(base | {name: value})
            except ValueError as error:
                if not named(name, str(error)):
                    silent.append(f"{flag(name)} {value} is refused as: {error}")
                continue
            if same(usual, changed):
                silent.append(f"{flag(name)} {value} changes nothing")
    assert not silent, "\n".join(silent)
