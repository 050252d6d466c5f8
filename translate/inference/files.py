"""One file of a conversion: from its bytes to the network, and on to another file. Imports no torch."""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from translate import images
from translate.card import Card
from translate.datasets.pairs import View
from translate.datasets.regions import take
from translate.datasets.resizing import load_shape, resize
from translate.images import ImageError, Picture, can_hold, format_for, read, save, show_nodata, to_spec
from translate.images.extras import NOTHING, Extras, left_out
from translate.inference.backend import NotFinite
from translate.inference.input_checks import input_checks, too_large
from translate.inference.listing import RECORD, Failure, Half
from translate.inference.options import ConvertSettings
from translate.inference.picture_types import carried_alpha
from translate.inference.plan import Job
from translate.inference.record import Maker, Stamp
from translate.sizes import Size

NO_DATA_LEFT_OUT = "GDAL's no-data value left out: the outputs have a value everywhere"

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""After these errors no other picture could be written either."""


@dataclass(frozen=True, eq=False)
class Carried:
    """What is carried from the input file to the output file without the network."""

    job: Job
    alpha: np.ndarray | None  # [H*s, W*s] of the target's dtype
    icc: bytes | None
    exif: bytes | None
    extras: Extras
    stamp: Stamp  # of the input, before it was read
    notes: tuple[str, ...]

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        metadata = len(self.icc or b"") + len(self.exif or b"") + self.extras.weight
        return metadata + (0 if self.alpha is None else self.alpha.nbytes)


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture that is ready for the network."""

    pixels: np.ndarray  # [H, W, Cs] of the source's dtype
    carried: Carried


@dataclass(frozen=True)
class Written:
    """A picture whose output is written."""

    name: str
    notes: tuple[str, ...]


def failed(job: Job, error: Exception) -> Failure:
    """The failure of one picture. An unexpected error, too, fails its picture only and not the conversion.

    Raises:
        Exception: `error` itself, if it is unexpected and TRANSLATE_TRACEBACK is set.
    """
    if isinstance(error, ImageError):
        return Failure(job.source, str(error))
    if isinstance(error, MemoryError | NotFinite):
        return Failure(job.source, f"{job.source}: {str(error) or 'does not fit in memory'}")
    if os.environ.get("TRANSLATE_TRACEBACK"):
        raise error
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Failure(job.source, f"{job.source}: a fault of this software (TRANSLATE_TRACEBACK=1 shows where): {text}")


def decode(
    job: Job, *, card: Card, settings: ConvertSettings, core: AbstractContextManager[object], half: Half = None
) -> Decoded | Failure:
    """The input of `job`, or `half` of it, ready for the network, or its failure. `core` is held throughout."""
    try:
        with core:
            return _decode(job, card=card, settings=settings, half=half)
    except Exception as error:
        return failed(job, error)


def _decode(job: Job, *, card: Card, settings: ConvertSettings, half: Half) -> Decoded:
    stamp = _stamp(job)
    picture = take(read(job.source, max_pixels=settings.max_pixels), View(job.source, half))
    if settings.derive:
        picture = _whole_multiple(picture, card.scale, name=str(job.source))
    name = str(job.source)
    pixels = _derived(picture, job, card=card) if settings.derive else to_spec(picture, card.taken, name=name)
    if settings.resize:
        pixels = _resized(pixels, settings.resize, card=card, max_pixels=settings.max_pixels, name=name)
    height, width = pixels.shape[0] * card.scale, pixels.shape[1] * card.scale
    alpha = carried_alpha(picture, card, height=height, width=width) if settings.keep_alpha else None
    metadata = settings.keep_metadata
    labels = card.target.kind == "labels"  # their colours are codes, which no profile may change
    extras = _extras(picture, card, height=height, width=width) if metadata else NOTHING
    carried = Carried(
        job,
        alpha=alpha if _holds_alpha(job, card) else None,
        icc=picture.icc if metadata and not labels else None,
        exif=picture.exif if metadata else None,
        extras=extras,
        stamp=stamp,
        notes=(
            *_notes(job, picture, card=card, settings=settings),
            *(_not_carried(job, picture, extras) if metadata else ()),
            *input_checks(pixels, card),
            *too_large(min(pixels.shape[:2]), card),
        ),
    )
    return Decoded(pixels, carried)


def encode(
    carried: Carried,
    pixels: np.ndarray,
    *,
    settings: ConvertSettings,
    core: AbstractContextManager[object],
    maker: Maker | None = None,
) -> Written | Failure:
    """Write the network's `pixels` `[H*s, W*s, Ct]` to the output of its job, or return its failure.

    `maker` then adds its line to the record. `core` is held while this computes, not while it waits for the disk.

    Raises:
        ValueError: the disk is full or cannot be written to, so that no further output can be written.
    """
    job, notes = carried.job, carried.notes
    try:
        with core:
            data = images.encode(
                job.target,
                pixels,
                alpha=carried.alpha,
                icc=carried.icc,
                exif=carried.exif,
                extras=carried.extras,
                quality=settings.quality,
            )
        own = settings.in_place and job.target.exists() and job.target.samefile(job.source)
        save(job.target, data)
        if maker and not own:  # a replaced input cannot be compared with a record later
            notes = (*carried.notes, *_recorded(maker, carried))
    except MemoryError:
        return Failure(job.source, f"{job.source}: its output does not fit in memory")
    except ImageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in DISK_ERRORS:
            raise ValueError(f"{error}. Finished pictures are kept, and the same command continues") from None
        return Failure(job.source, f"{job.source}: {error}")
    except Exception as error:
        return failed(job, error)
    return Written(job.name, notes)


def _recorded(maker: Maker, carried: Carried) -> tuple[str, ...]:
    """Add the line of an output to the record; returns a note if that fails.

    Raises:
        ValueError: the disk is full or cannot be written to.
    """
    job = carried.job
    try:
        maker.write(job.target, job.name, carried.stamp)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise ImageError(f"{job.target.with_name(RECORD)}: cannot be written: {error.strerror}") from error
        return (f"not in the record {RECORD}: {error.strerror}",)
    return ()


def _stamp(job: Job) -> Stamp:
    try:
        return Stamp.of(job.source)
    except OSError:  # reported when it is read
        return Stamp(0, 0)


def _derived(picture: Picture, job: Job, *, card: Card) -> np.ndarray:
    """The source that training would derive from this picture, independent of the other pictures converted."""
    from translate.datasets.derive import derive

    assert card.derive is not None
    pixels = to_spec(picture, card.target, name=str(job.source))
    rng = np.random.default_rng(zlib.crc32(job.name.encode()))
    return derive(card.derive, pixels, spec=card.target, amount=card.derive_amount, rng=rng, scale=card.scale)


def _whole_multiple(picture: Picture, scale: int, *, name: str) -> Picture:
    """The picture cropped to a multiple of `scale` in height and width.

    Raises:
        ImageError: a side is shorter than `scale`.
    """
    before = picture.pixels.shape
    height, width = (side // scale * scale for side in before[:2])
    if not height or not width:
        raise ImageError(f"{name}: {before[1]}x{before[0]} pixels cannot be reduced by {scale}")
    alpha = None if picture.alpha is None else picture.alpha[:height, :width]
    return replace(picture, pixels=picture.pixels[:height, :width], alpha=alpha)


def _resized(pixels: np.ndarray, side: int, *, card: Card, max_pixels: int, name: str) -> np.ndarray:
    """Resized so that the shorter side has `side` pixels."""
    height, width = load_shape(*pixels.shape[:2], fit="cover", size=Size.of(side))
    if height * width > max_pixels:
        raise ImageError(f"{name}: --resize {side} would make it {width}x{height} pixels, more than --max-pixels")
    return resize(pixels, height, width, labels=card.taken.kind == "labels", nodata=card.taken.nodata)


def _holds_alpha(job: Job, card: Card) -> bool:
    written = format_for(job.target.suffix)
    return can_hold(written, channels=card.target.channels, dtype=card.target.dtype, alpha=True)


def _notes(job: Job, picture: Picture, *, card: Card, settings: ConvertSettings) -> tuple[str, ...]:
    """Notes for the report on a picture that is converted."""
    written = format_for(job.target.suffix)
    notes = [job.note] if job.note else []
    if picture.frames > 1:
        notes.append("an animation or several pages: the first was converted")
    if job.target.suffix == job.source.suffix and picture.format != written:
        notes.append(f"{picture.format} under the name of another type: written as {written}")
    if picture.alpha is not None and settings.keep_alpha:
        bands = card.target.channels
        if bands not in (1, 2, 3, 4):
            notes.append(f"transparency left out: the outputs are {bands} bands")
        elif card.taken.channels not in (2, 4) and bands in (1, 3) and not _holds_alpha(job, card):
            notes.append(f"transparency left out: {written} cannot hold it")
    return tuple(notes)


def _extras(picture: Picture, card: Card, *, height: int, width: int) -> Extras:
    """Further metadata of the input, adapted to an output of `height` by `width` pixels."""
    before = picture.pixels.shape
    extras = picture.extras.scaled(Fraction(width, before[1]), Fraction(height, before[0]))
    if extras.no_data and card.target.nodata is None:
        return replace(extras, no_data=None, left_out=(*extras.left_out, NO_DATA_LEFT_OUT))
    return replace(extras, no_data=show_nodata(card.target.nodata)) if extras.no_data else extras


def _not_carried(job: Job, picture: Picture, extras: Extras) -> list[str]:
    return left_out(extras, icc=picture.icc, exif=picture.exif, format=format_for(job.target.suffix))
