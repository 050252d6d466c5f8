"""Every odd and broken file of the shared collection does in conversion what its manifest says."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from translate.images import read
from translate.inference.report import Report
from translate.inference.translator import Translator

Make = Callable[..., Any]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


@pytest.fixture(scope="module")
def manifest(shared_data: Path) -> dict[str, str]:
    with (shared_data / "awkward" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["expect"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def converted(inverter: Make, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    out = tmp_path_factory.mktemp("converted") / "out"
    return Translator(inverter()).convert(shared_data / "awkward", out), out


def output_of(name: str, out: Path) -> Path | None:
    """The output of an input, whose suffix may have had to change."""
    if (out / name).exists():
        return out / name
    found = list(out.glob(f"{Path(name).stem}.*png"))
    return found[0] if name.endswith(".gif") and found else None


def test_everything_does_what_the_manifest_says(
    converted: tuple[Report, Path], manifest: dict[str, str], shared_data: Path
) -> None:
    report, out = converted
    failed = {failure.path.name: failure.reason for failure in report.failures}
    for name, expected in manifest.items():
        made = output_of(name, out)
        if expected in ("ok", "ok-first-frame"):
            assert made is not None, name
            assert name not in failed
        elif expected == "must-fail":
            assert name in failed[name]
            assert made is None, name
        elif expected in ("must-be-skipped", "ok-or-skipped"):
            assert made is None, name
            assert name not in failed
        else:
            assert (made is None) == (name in failed), name
        if made is not None and name != "animated.gif":
            source, result = ImageOps.exif_transpose(opened(shared_data / "awkward" / name)), opened(made)
            assert result.size == source.size, name
            assert result.n_frames == 1 if hasattr(result, "n_frames") else True
    listed = {path.name for path in (shared_data / "awkward").iterdir()}
    assert report.converted + len(report.failures) + report.ignored == len(listed)
    assert report.exit_code == 1
    assert len(list(out.glob("[!.]*"))) == report.converted
    animations = next(note for note in report.notes if "animation" in note.text)
    assert animations.count >= sum(expected == "ok-first-frame" for expected in manifest.values())


@pytest.mark.parametrize(
    "name", ["plain.jpg", "upper_ext.JPG", "lzw.tif", "rgb.bmp", "lossy.webp", "grey16.png", "rgb16.png"]
)
def test_formats_are_kept(converted: tuple[Report, Path], shared_data: Path, name: str) -> None:
    made = opened(converted[1] / name)
    assert made.format == opened(shared_data / "awkward" / name).format
    assert made.mode == "RGB"


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 6, 8])
def test_orientations_come_out_upright_and_reset(
    converted: tuple[Report, Path], shared_data: Path, orientation: int
) -> None:
    made = opened(converted[1] / f"exif_{orientation}.jpg")
    reference = np.asarray(opened(shared_data / "awkward" / "reference.png")).astype(int)
    assert made.getexif().get(0x0112, 1) == 1
    assert np.abs(255 - np.asarray(made).astype(int) - reference).mean() < 4  # JPEG twice


@pytest.mark.parametrize(
    "name", ["rgba.png", "rgba_hidden_magenta.png", "la8.png", "palette_alpha.png", "palette_transparent.png"]
)
def test_alpha_is_carried_and_laid_on_white_for_the_network(
    converted: tuple[Report, Path], shared_data: Path, name: str
) -> None:
    source = opened(shared_data / "awkward" / name).convert("RGBA")
    made = opened(converted[1] / name)
    assert np.array_equal(np.asarray(made.getchannel("A")), np.asarray(source.getchannel("A")))
    shown = Image.alpha_composite(Image.new("RGBA", source.size, "white"), source).convert("RGB")
    assert np.abs(255 - np.asarray(made.convert("RGB")).astype(int) - np.asarray(shown)).max() <= 1


def test_sixteen_bits_stay_sixteen_bits(inverter: Make, shared_data: Path, tmp_path: Path) -> None:
    """Against OpenCV's and Pillow's own readers."""
    import cv2

    t = Translator(inverter((3, "uint16"), (3, "uint16")))
    for name in ("grey16.png", "grey16.tif", "rgb16.png"):
        t.convert(shared_data / "awkward" / name, tmp_path / name)
        source = cv2.imread(str(shared_data / "awkward" / name), cv2.IMREAD_UNCHANGED)
        made = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert made.dtype == source.dtype == np.uint16
        assert np.array_equal(65535 - made, np.broadcast_to(source.reshape(*source.shape[:2], -1), made.shape))


def test_icc_profiles_are_carried(converted: tuple[Report, Path], shared_data: Path) -> None:
    """Wherever the file's profile describes colours, which the outputs have."""
    seen = 0
    for made in converted[1].glob("[!.]*"):
        source = shared_data / "awkward" / made.name
        if source.is_file() and (icc := opened(source).info.get("icc_profile")) and icc[16:20] == b"RGB ":
            assert read(made).icc == icc, made.name
            seen += 1
    assert seen
