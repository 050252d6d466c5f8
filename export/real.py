"""Real pictures to check and calibrate a file on, as conversion would read them. Imports no torch."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from translate.card import Card
from translate.datasets.derive import derive
from translate.datasets.files import pictures, require_folder
from translate.datasets.layouts import find
from translate.datasets.pairs import Role, View, of_side, views
from translate.datasets.regions import read_view
from translate.export.options import ExportSettings
from translate.export.pictures import middle
from translate.images import ImageError, is_image_name
from translate.outside import parsed, read_text, visible
from translate.settings import DataSettings

T = TypeVar("T")

MAX_PIXELS = 100_000_000
MIN_CROP_SIDE = 256  # pixels; larger pictures are cropped to this or the training's size, whichever is larger
CHECKED, HELD_OUT = 4, 16  # pictures to check a file on, and to judge a quantisation by


@dataclass(frozen=True, eq=False)
class Sample:
    """Pictures, and errors for those that could not be read."""

    pictures: tuple[np.ndarray, ...] = ()  # [H, W, Cs] of the source's dtype
    problems: tuple[str, ...] = ()  # an error message each


@dataclass(frozen=True)
class Pictures:
    """The real pictures of an export, by purpose."""

    shown: Sample  # to check the file on
    calibration: Sample  # to take 8-bit ranges from
    held_out: Sample  # to judge the quantisation by

    def checked(self) -> tuple[np.ndarray, ...]:
        """Pictures to check the file on, `[H, W, C]` each."""
        return (*self.shown.pictures, *self.held_out.pictures)

    def notes(self) -> tuple[str, ...]:
        """Notes on the pictures for the report."""
        problems = [text for sample in (self.shown, self.calibration, self.held_out) for text in sample.problems]
        notes = (
            [f"{len(problems)} of the pictures could not be read, such as {visible(problems[0])}"] if problems else []
        )
        if len(self.calibration.pictures) == 1 == len(self.held_out.pictures):
            notes.append("calibrated on a single picture")
        return tuple(notes)


def choose(card: Card, settings: ExportSettings, model: Path | None) -> Pictures:
    """The pictures in `settings`; to check on, without any, some of the data of `model`'s run.

    Raises:
        ValueError: a folder or file in `settings` has no picture.
    """
    calibration = held_out = Sample()
    if card.source is None:
        return Pictures(calibration, calibration, held_out)
    if settings.calibration is not None:
        calibration, held_out = divided(settings.calibration, card, count=settings.calibration_count)
    if settings.images is not None:
        shown = given(settings.images, card)
    elif model is not None and settings.calibration is None:  # else it would be judged on its calibration pictures
        shown = remembered(model, card)
    else:
        shown = Sample()
    return Pictures(shown, calibration, held_out)


def given(path: Path, card: Card) -> Sample:
    """A few pictures of `path`, a file or a folder.

    Raises:
        ValueError: it is missing, or holds no picture that can be read.
    """
    if not path.exists():
        raise ValueError(f"--images: no file or folder {path}")
    found = pictures(path) if path.is_dir() else [path]
    if not found or not is_image_name(found[0]):
        raise ValueError(f"--images {path}: no pictures found")
    sample = _read(map(View, spread(found, CHECKED)), card)
    if not sample.pictures:
        raise ValueError(f"--images {path}: no picture of it can be read: {sample.problems[0]}")
    return sample


def remembered(model: Path, card: Card) -> Sample:
    """A few sources that the run of a model file was validated or trained on; none if they are gone."""
    config = model.parent / "config.json"
    if not config.is_file():
        return Sample()
    try:
        values = parsed(read_text(config))["settings"]
        settings = DataSettings.make({k: v for k, v in values.items() if k in DataSettings.model_fields})
        listing = find(settings, kind="pairs" if settings.derive else "unpaired").listing
    except (ValueError, KeyError, TypeError, AttributeError, OSError):  # moved, deleted, or no configuration of ours
        return Sample()
    turned = card.direction != settings.direction
    side: Role = "target" if turned or settings.derive else "source"
    pairs = of_side(listing.val, side) or of_side(listing.train, side)
    found = [view for pair in pairs for view in views(pair)]
    return _read(spread(found, CHECKED), card, derived=bool(settings.derive))


def divided(folder: Path, card: Card, *, count: int) -> tuple[Sample, Sample]:
    """`count` pictures of a folder to calibrate on, and others to judge by; the same if there is only one.

    Raises:
        ValueError: it is missing, or holds no picture that can be read.
    """
    found = pictures(require_folder(folder, flag="--calibration"))
    if not found:
        raise ValueError(f"--calibration {folder}: no pictures found")
    apart = spread(found, min(HELD_OUT, max(len(found) // 4, len(found) > 1))) or found
    rest = [path for path in found if path not in set(apart)] or found
    samples = _read(map(View, spread(rest, count)), card), _read(map(View, apart), card)
    for sample in samples:
        if not sample.pictures:
            raise ValueError(f"--calibration {folder}: pictures that cannot be read, such as {sample.problems[0]}")
    return samples


def spread(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` of them, evenly from the first to the last."""
    if count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _read(chosen: Iterable[View], card: Card, *, derived: bool = False) -> Sample:
    read = partial(_derived, card=card) if derived else partial(read_view, spec=card.taken, max_pixels=MAX_PIXELS)
    height, width = (max(side, MIN_CROP_SIDE) for side in card.source_size)
    found: list[np.ndarray] = []
    problems: list[str] = []
    for view in chosen:
        try:
            found.append(middle(read(view), height, width))
        except ImageError as error:
            problems.append(str(error))
    return Sample(tuple(found), tuple(problems))


def _derived(view: View, *, card: Card) -> np.ndarray:
    """The source that training would derive from a target."""
    assert card.derive is not None
    target = read_view(view, card.target, max_pixels=MAX_PIXELS)
    rng = np.random.default_rng(zlib.crc32(view.path.name.encode()))
    height, width = (side // card.scale * card.scale for side in target.shape[:2])
    if not height or not width:
        raise ImageError(f"{view.path}: too small to be reduced by {card.scale}")
    whole = middle(target, height, width)
    return derive(card.derive, whole, spec=card.target, amount=card.derive_amount, rng=rng, scale=card.scale)
