"""Targets that are twice or four times as large as their sources: what is reduced, what is cropped, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch.nn import functional as F

from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared, prepare
from translate.datasets.resizing import reduced
from translate.images import write
from translate.settings import DataSettings
from translate.training.job import new_job

SCALES = [2, 4]


def picture(height: int, width: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    """Values `[H, W, C]` in [0, 1] that are unlike from pixel to pixel, and survive being reduced."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, channels))
    for cell, weight in ((1, 0.1), (3, 0.4), (9, 0.5)):
        coarse = rng.random((-(-height // cell), -(-width // cell), channels))
        total += weight * coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return total


def eight(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 255).astype(np.uint8)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("float32", 3.0)])
def test_a_reduced_picture_is_an_antialiased_bicubic_one(scale: int, dtype: str, full: float) -> None:
    """PyTorch has a kernel of its own, and Pillow one for 8 bits that rounds and clips between the sides."""
    values = picture(12 * scale, 17 * scale, 5) * full
    values[:8, :8], values[:8, 8:16] = 0, full  # beside such an edge the kernel leaves the range
    pixels = (values if dtype == "float32" else np.rint(values)).astype(dtype)
    made = reduced(pixels, scale)
    assert (made.dtype, made.shape) == (pixels.dtype, (12, 17, 5))
    expected = F.interpolate(tensor(pixels), (12, 17), mode="bicubic", align_corners=False, antialias=True)
    truth = expected[0].permute(1, 2, 0).numpy()
    assert truth.min() < 0
    assert truth.max() > full
    truth, allowed = (truth, 1e-5) if dtype == "float32" else (truth.clip(0, full), 0.51)
    assert np.abs(made - truth).max() <= allowed
    if dtype == "uint8":
        pixels = eight(picture(12 * scale, 17 * scale))
        by_pillow = np.asarray(Image.fromarray(pixels).resize((17, 12), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(reduced(pixels, scale) - by_pillow).max() <= 1


def test_what_was_not_measured_is_not_reduced_with_the_rest() -> None:
    pixels = np.full((8, 12, 2), 100, np.uint16)
    pixels[:, :6] = 7  # nothing there, up to half of a pixel of the source
    made = reduced(pixels, 4, nodata=7)
    assert (made[:, 0] == 7).all()
    assert (made[:, 2] == 100).all()
    assert set(np.unique(made)) == {7, 100}


def folders(root: Path, scale: int, sizes: list[tuple[int, int]]) -> tuple[Path, Path]:
    """Sources and the targets that they are made of, of so many source pixels each."""
    for index, (height, width) in enumerate(sizes):
        target = eight(picture(height * scale, width * scale, seed=index))
        for side, pixels in (("small", reduced(target, scale)), ("large", target)):
            (root / side).mkdir(parents=True, exist_ok=True)
            write(root / side / f"{index}.png", pixels)
    return root / "small", root / "large"


def prepared(scale: int, **values: Any) -> tuple[Prepared, DataSettings, list[str]]:
    report: list[str] = []
    settings = DataSettings.make(values).for_scale(scale)
    return prepare(settings, scale=scale, say=report.append), settings, report


def shift_of(source: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """By which the enlarged source is most like the target, of up to 3 pixels each way."""
    large = F.interpolate(tensor(source), target.shape[:2], mode="bicubic", align_corners=False)[0].mean(0).numpy()
    inner = large[3:-3, 3:-3]
    windows = sliding_window_view(target.mean(-1), inner.shape)  # [7, 7, H, W]
    errors = np.square(windows - inner).mean((2, 3))
    down, across = np.unravel_index(errors.argmin(), errors.shape)
    return int(down) - 3, int(across) - 3


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("files", [True, False], ids=["files", "made"])
@pytest.mark.parametrize(
    "changes",
    [{"flip_vertical": True}, {"flip_vertical": True, "rotate": 180, "zoom": 0.2}, {"flip": False, "rotate": 7}],
    ids=["flips", "turns", "small turns"],
)
def test_source_and_target_show_the_same_place(
    scale: int, files: bool, changes: dict[str, Any], tmp_path: Path
) -> None:
    """Of pictures larger and smaller than the crop, whose room is odd and even, mirrored and turned."""
    small, large = folders(tmp_path, scale, [(25, 31), (24, 24), (13, 40), (40, 17), (12, 11)])
    sides = {"source": small} if files else {}
    values = {**sides, "target": large, "size": f"{16 * scale}x{20 * scale}", "fit": "none", "val_fraction": 0}
    data, settings, _ = prepared(scale, **values, **changes)
    dataset = make_dataset(data, settings=settings, part="train", seed=0)
    seen = set()
    for epoch in range(6):
        for index in range(len(dataset)):
            example = dataset[epoch, index]
            assert example.source.shape == (16, 20, 3)
            assert example.target.shape == (16 * scale, 20 * scale, 3)
            assert shift_of(example.source, example.target) == (0, 0), (epoch, index)
            seen.add(example.target.tobytes())
    assert len(seen) > 20


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("part", ["train", "val"])
def test_beyond_the_border_both_are_mirrored_alike(scale: int, part: Any, tmp_path: Path) -> None:
    small, large = folders(tmp_path, scale, [(9, 10)])
    values = {"source": small, "target": large, "size": 16 * scale, "fit": "none", "val_crop": True, "flip": False}
    data, settings, _ = prepared(scale, **values, val_fraction=0)
    example = make_dataset(replace(data, val=data.train), settings=settings, part=part, seed=0)[0, 0]
    apart = np.abs(reduced(example.target, scale).astype(int) - example.source)
    assert (
        np.median(apart) <= 1
    )  # 5 and more where one is mirrored about its border, and the other about its first pixel


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("files", [True, False], ids=["files", "made"])
@pytest.mark.parametrize("val_crop", [True, False])
def test_validation_shows_the_same_place(scale: int, files: bool, val_crop: bool, tmp_path: Path) -> None:
    small, large = folders(tmp_path, scale, [(25, 31), (24, 24), (12, 11)])
    if not files:  # sides that are no multiples
        write(large / "0.png", eight(picture(25 * scale + 1, 31 * scale - 1)))
    sides = {"source": small} if files else {}
    values = {**sides, "target": large, "size": 16 * scale, "fit": "none", "val_fraction": 0, "val_crop": val_crop}
    data, settings, _ = prepared(scale, **values)
    dataset = make_dataset(replace(data, val=data.train), settings=settings, part="val", seed=0)
    for index in range(3):
        example = dataset[0, index]
        assert example.target.shape[:2] == tuple(scale * side for side in example.source.shape[:2])
        assert not val_crop or example.source.shape == (16, 16, 3)
        assert shift_of(example.source, example.target) == (0, 0), index
    first = dataset[0, 0].source.shape[:2]
    assert val_crop or first == ((25, 31) if files else (25, (31 * scale - 1) // scale))


def test_a_target_of_another_size_than_its_source_asks_for_is_named_with_it(tmp_path: Path) -> None:
    small, large = folders(tmp_path, 2, [(20, 20), (20, 20)])
    write(large / "1.png", eight(picture(41, 40)))
    values = {"source": small, "target": large, "size": 16, "fit": "none"}
    data, _, report = prepared(2, **values)
    assert [pair.name for pair in data.train] == ["0"]
    (problem,) = data.problems
    assert problem.path == large / "1.png"
    assert problem.reason == (
        f"of its source {small / '1.png'}: the source is 20x20 pixels and the target 40x41; --scale 2 needs a target "
        "of 40x40"
    )
    assert any("1.png" in line for line in report)
    with pytest.raises(ValueError, match=r"1\.png.*--scale 2 needs a target of 40x40"):
        prepared(2, **values, strict=True)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_changes_nothing(cache: str, tmp_path: Path) -> None:
    _, large = folders(tmp_path, 4, [(25, 31), (24, 24), (12, 11)])
    data, settings, _ = prepared(4, target=large, size=32, fit="stretch", cache=cache, photometric=0.5, val_fraction=0)
    plain = make_dataset(data, settings=settings, part="train", seed=0)
    cached = plain.with_cache(folder=tmp_path / "cache", fingerprint=data.fingerprint)
    for index in range(3):
        one, other = plain[1, index], cached[1, index]
        assert all(np.array_equal(one.pictures[name], other.pictures[name]) for name in ("source", "target"))


@pytest.mark.parametrize(
    ("channels", "dtype", "more"),
    [
        (5, "float32", {"target_range": "bands"}),
        (1, "uint16", {"target_nodata": 9}),
        (3, "float32", {"target_nodata": "nan"}),
        (2, "uint8", {}),
    ],
    ids=str,
)
def test_any_kind_of_picture_becomes_a_batch(channels: int, dtype: str, more: dict[str, Any], tmp_path: Path) -> None:
    values = picture(40, 44, channels) * {"uint8": 255, "uint16": 60000, "float32": 9}[dtype] + 20 * (dtype == "uint16")
    pixels = values.astype(dtype)
    if "target_nodata" in more:
        pixels[:13, :22] = float(more["target_nodata"])
    write(tmp_path / "a.tif", pixels)
    data, settings, _ = prepared(2, target=tmp_path, size=32, fit="none", val_fraction=0, flip=False, **more)
    assert data.source == data.target
    example = make_dataset(data, settings=settings, part="train", seed=0)[0, 0]
    assert (example.source.shape, example.source.dtype) == ((16, 16, channels), dtype)
    (raw,) = ordered_batches(
        make_dataset(replace(data, val=data.train), settings=settings, part="val", seed=0), batch=1
    )
    batch = raw.to(torch.device("cpu"), {"source": data.source, "target": data.target})
    assert batch.source.shape[-2:] == (20, 22)
    assert batch.target.shape[-2:] == (40, 44)
    if "target_nodata" in more:
        assert batch.valid is not None
        assert batch.valid.shape == (1, 1, 40, 44)
        gone = ~batch.valid[0, 0].numpy()
        assert gone[:13, :22].all()
        assert not gone[14:].any()
        assert not gone[:, 24:].any()
    else:
        assert batch.valid is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"derive": "gray"}, "--derive: pictures are made 4 times as large.*leave it out"),
        ({"derive_amount": 2}, "--derive: pictures are made 4 times as large"),
        ({"target_kind": "labels"}, "label maps: pictures are made 4 times as large"),
        ({"source": "small", "source_kind": "labels"}, "label maps: pictures are made 4 times as large"),
        ({"source": "small", "fit": "stretch"}, "--fit stretch resizes.*exactly 4 times.*--fit none"),
        ({"source": "small", "fit": "cover"}, "--fit cover resizes"),
        ({"size": 66}, r"--size 66 is cropped from the target, and --scale 4 has to divide it"),
        ({"size": "64x30"}, r"--size 64x30 .*--scale 4"),
        ({"cache": "memory"}, "--cache memory needs --fit stretch"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    values: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path, 4, [(20, 20)])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        new_job("srresnet", {"target": "large", "out": "run", **values})
    assert "\n" not in str(error.value)


def test_settings_of_sources_that_there_are_no_files_of_are_refused(tmp_path: Path) -> None:
    _, large = folders(tmp_path, 4, [(20, 20)])
    with pytest.raises(ValueError, match="--source-range is for --source FOLDER"):
        prepared(4, target=large, size=32, fit="none", source_range="0,100")


def test_only_models_that_enlarge_reduce(tmp_path: Path) -> None:
    _, large = folders(tmp_path, 4, [(20, 20)])
    with pytest.raises(ValueError, match="--derive reduced is what models that enlarge do by themselves"):
        new_job("pix2pix", {"target": large, "derive": "reduced", "out": tmp_path / "run"})
    with pytest.raises(ValueError, match="--target needs either --source FOLDER, or --derive"):
        new_job("pix2pix", {"target": large, "out": tmp_path / "run"})


@pytest.mark.parametrize("layout", ["single", "folders"])
def test_data_holds_targets_alone(layout: str, tmp_path: Path) -> None:
    _, large = folders(tmp_path / "made", 2, [(20, 20), (21, 22), (23, 24)])
    if layout == "folders":
        for side in "AB":
            (tmp_path / "set" / f"train{side}").mkdir(parents=True)
            for path in large.iterdir():
                write(tmp_path / "set" / f"train{side}" / path.name, eight(picture(40, 40, seed=ord(side))))
        data, _, _ = prepared(2, data=tmp_path / "set", size=32, fit="none")
        assert all(pair.target and pair.target.path.parent.name == "trainB" for pair in data.train)
    else:
        data, _, _ = prepared(2, data=large, size=32, fit="none")
    assert len(data.train) + len(data.val) == 3
    assert not any(pair.source for pair in data.train)
