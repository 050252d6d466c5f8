"""Pictures that do not fit in memory go through the network in pieces: exactly in strips, or in blended tiles.

Imports no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from translate.card import Card, Footprint
from translate.inference.backend import NO_CONDITIONS, Backend, Condition, Made, NotFinite, one_by_one, run
from translate.inference.strips import Strips
from translate.inference.tiles import Blended, Overlap, translate_tiles
from translate.inference.torch_backend import TorchBackend
from translate.memory import free_memory


@dataclass(frozen=True)
class PieceReport:
    """How a picture was translated that was not translated in one pass."""

    text: str
    exact: bool  # the same pixels as in one pass, up to rounding


OnPiece = Callable[[int, PieceReport], None]
"""Called with the index of a picture in its batch, and how it was translated."""

Tile = int | Literal["auto"] | None
"""Side of the tiles in pixels; `auto`: the largest that fit, where a picture does not; None: no tiles."""

AUTO_TILES = (2048, 1024, 512, 256, 128)
"""Sides in pixels that `auto` tries."""

ALWAYS_FITS_PIXELS = 2**20
"""Pictures up to this many pixels skip the memory check."""

PYTORCH_OVERHEAD, OTHER_OVERHEAD = 1.5, 2.0
"""Memory of a pass over that of PyTorch's tensors. Measured: up to 1.5 in PyTorch from 768 pixels a side on, 2 for a
ResNet in ONNX Runtime."""

MEMORY_SHARE = 0.8
"""Share of the free memory that a picture may take."""

MIN_TILE = 64
"""Smallest side of a tile in pixels: below, most of it would be overlap."""

MIN_ROWS = 16  # of a strip, in pixels


STRIPS = PieceReport(
    "translated in strips, with the statistics of the whole picture: the same as in one pass, up to rounding", True
)


def check_tile(backend: Backend, tile: Tile) -> None:
    """
    Raises:
        ValueError: the network's pictures cannot be cut into tiles of this side.
    """
    if not isinstance(tile, int):
        return
    footprint = footprint_of(backend)
    if not exact_strips(backend):
        check_tiles(footprint, tile)
    elif tile < max(footprint.stride, MIN_TILE):  # a smaller picture may be mirrored to more than one stride
        raise ValueError(
            f"--tile {tile}: strips of this network take {max(footprint.stride, MIN_TILE)} pixels at least"
        )


def check_tiles(footprint: Footprint, tile: int) -> None:
    """`check_tile` for a network that cannot run in strips.

    Raises:
        ValueError: `tile` is too small, or no multiple of the stride.
    """
    stride = footprint.stride
    least = max(2 * stride, MIN_TILE)
    if tile < least:
        raise ValueError(f"--tile {tile}: tiles of this network have {least} pixels a side at least")
    if tile % stride:
        near = tile // stride * stride
        raise ValueError(f"--tile {tile}: this network is cut at every {stride} pixels: use {near} or {near + stride}")


def whole_tile(footprint: Footprint, tile: int) -> int:
    """The smallest tile from `tile` pixels on that the network can be cut into."""
    return -(-max(tile, 2 * footprint.stride, MIN_TILE) // footprint.stride) * footprint.stride


def footprint_of(backend: Backend) -> Footprint:
    """Stride, receptive field and memory of a backend's network, as far as known."""
    if isinstance(backend, TorchBackend):
        return backend.strips.footprint
    return backend.card.footprint or Footprint()


def run_in_pieces(
    backend: Backend,
    images: Sequence[np.ndarray],
    conditions: Sequence[Condition] = (),
    *,
    tile: Tile,
    on_piece: OnPiece,
) -> list[Made]:
    """`backend.run` for pictures that may not fit in memory: `[H, W, Cs]` each, all of one size.

    With `auto`, pictures that fit alone but not together go one by one.

    Args:
        conditions: of each picture, as for `run`; a piece gets that of its picture.
        on_piece: `on_piece(index, report)` is called for each picture that was not translated in one pass.
    """
    height, width = images[0].shape[:2]
    if tile is None or (tile != "auto" and max(height, width) <= tile):
        return run(backend, images, conditions)
    each = conditions or [NO_CONDITIONS] * len(images)
    if tile != "auto":
        return [
            _in_pieces(backend, image, condition, tiles=[tile], on_piece=partial(on_piece, i))
            for i, (image, condition) in enumerate(zip(images, each, strict=True))
        ]
    results: list[Made] = []
    if fits(backend, height, width):
        if fits(backend, height, width, count=len(images)):
            results += run(backend, images, conditions)
        else:
            results += one_by_one(backend, images, conditions)
        if not any(isinstance(result, MemoryError) for result in results):
            return results
    tiles = _tiles_for(backend, height, width)
    if not tiles:
        return results or run(backend, images, conditions)
    return [
        _in_pieces(backend, image, condition, tiles=tiles, on_piece=partial(on_piece, i))
        if isinstance(result, MemoryError)
        else result
        for i, (image, condition, result) in enumerate(
            zip(images, each, results or [MemoryError("does not fit")] * len(images), strict=True)
        )
    ]


def exact_strips(backend: Backend) -> Strips | None:
    """The runner in strips of the backend's network, or None if it cannot run so."""
    return backend.strips if isinstance(backend, TorchBackend) and backend.strips.stages is not None else None


def rows_for(tile: int, width: int) -> int:
    """Rows of a strip that takes as much memory as a tile: half its pixels, since more copies of them are held."""
    return max(tile**2 // (2 * width), MIN_ROWS)


def fits(backend: Backend, height: int, width: int, *, count: int = 1) -> bool:
    """Whether `count` pictures fit together in the free memory; True if that is not known."""
    pixels = count * height * width
    if pixels <= ALWAYS_FITS_PIXELS:
        return True
    pixel_bytes, free = footprint_of(backend).pixel_bytes, free_bytes(backend.device)
    libraries = PYTORCH_OVERHEAD if isinstance(backend, TorchBackend) else OTHER_OVERHEAD
    return pixel_bytes is None or free is None or pixels * pixel_bytes * libraries <= free * MEMORY_SHARE


def free_bytes(device: str) -> int | None:
    """Free memory of `cpu`, `cuda:0`, ...; None where unknown, as outside Linux."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return free_memory()
    torch = sys.modules.get("torch")  # an exported file runs on a GPU without it
    if kind != "cuda" or torch is None or not torch.cuda.is_available():
        return None
    number = int(index or 0)
    unused = torch.cuda.memory_reserved(number) - torch.cuda.memory_allocated(number)
    return int(torch.cuda.mem_get_info(number)[0]) + unused


def _tiles_for(backend: Backend, height: int, width: int) -> list[int]:
    """Sides that `auto` tries in this order: smaller than the picture, and expected to fit."""
    stride = footprint_of(backend).stride
    whole = [-(-size // stride) * stride for size in AUTO_TILES]
    tiles = [t for t in dict.fromkeys(whole) if t >= 2 * stride and t < max(height, width)]
    fitting = [t for t in tiles if fits(backend, t, t)]
    return fitting or tiles[-1:]


def _in_pieces(
    backend: Backend,
    image: np.ndarray,
    condition: Condition,
    *,
    tiles: Sequence[int],
    on_piece: Callable[[PieceReport], None],
) -> Made:
    height, width = image.shape[:2]
    failure = MemoryError()
    footprint = footprint_of(backend)
    strips = exact_strips(backend)
    if "dropout" in condition and strips is not None:  # strips know nothing of dropout
        strips, tiles = None, [whole_tile(footprint, tile) for tile in tiles]
    for tile in tiles:
        try:
            if strips is not None:
                made = strips(image, condition, rows=rows_for(tile, width))
                on_piece(STRIPS)
                return made
            blended = translate_tiles(backend, image, tile=tile, footprint=footprint, condition=condition)
            on_piece(describe(blended, backend.card, tile=tile, footprint=footprint))
            return blended.pixels
        except NotFinite as error:
            return error
        except MemoryError as error:
            failure = error
    advice = "use a smaller picture or --tile, or a device with more memory"
    return MemoryError(f"{width}x{height} pixels do not fit on {backend.device} in pieces either: {failure}; {advice}")


def describe(blended: Blended, card: Card, *, tile: int, footprint: Footprint) -> PieceReport:
    """The report on a picture translated in tiles: their overlap, and how much neighbours differ."""
    overlap = Overlap.of(footprint, tile=tile)
    start = f"translated in tiles of {tile} pixels that overlap by {overlap.pixels}"
    if overlap.exact or blended.difference is None:
        return PieceReport(
            f"{start}, which is all that a pixel depends on: the same as in one pass, up to rounding", True
        )
    why = "each with its own statistics" if footprint.statistics else "less than a pixel depends on"
    if card.target.kind == "labels":
        apart = f"where two overlap {_about(100 * blended.difference)}% of the pixels are of another class"
    else:
        apart = f"blended: where two overlap they are {_about(blended.difference)} levels of 255 apart"
    return PieceReport(f"{start}, {why}; {apart}", False)


def _about(value: float) -> str:
    """Rounded to one digit, so that similar pictures share a line of the report."""
    return "under 0.1" if value < 0.1 else f"about {float(f'{value:.1g}'):g}"
