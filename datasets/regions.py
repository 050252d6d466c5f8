"""From a `View` to its pixels: a whole file, or one half of a side-by-side one. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from translate.datasets.pairs import Pair, View
from translate.images import ImageError, ImageSpec, Picture, read, to_spec


def take(picture: Picture, view: View) -> Picture:
    """The part of the decoded file that `view` names; the arrays are views into the file's, not copies.

    Raises:
        ImageError: the file is to be halved and its width is odd.
    """
    if view.half is None:
        return picture
    width = picture.pixels.shape[1]
    if width % 2:
        raise ImageError(f"{view.path}: its width of {width} is odd, so it cannot be halved into a side-by-side pair")
    columns = slice(0, width // 2) if view.half == "left" else slice(width // 2, width)
    alpha = None if picture.alpha is None else picture.alpha[:, columns]
    extras = picture.extras.without_location("half of the picture is taken")
    return replace(picture, pixels=picture.pixels[:, columns], alpha=alpha, extras=extras)


def open_view(view: View, *, max_pixels: int) -> Picture:
    """The decoded picture of `view`, with the channels and depth of its file.

    Raises:
        ImageError: the file cannot be read, is larger than `max_pixels`, or cannot be halved.
    """
    return take(read(view.path, max_pixels=max_pixels), view)


def read_view(view: View, spec: ImageSpec, *, max_pixels: int) -> np.ndarray:
    """Pixels `[H, W, spec.channels]` of `spec.dtype`.

    Raises:
        ImageError: as `open_view`, or the file does not fit `spec`.
    """
    return to_spec(open_view(view, max_pixels=max_pixels), spec, name=str(view.path))


def read_pair(
    pair: Pair, *, source: ImageSpec, target: ImageSpec, max_pixels: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Source and target pixels of `pair`, each `[H, W, C]` as its spec says; no source where it is derived.

    A side-by-side file is decoded once for both halves.

    Raises:
        ImageError: as `read_view`.
    """
    assert pair.target is not None, f"{pair.name} has no target"
    target_file = read(pair.target.path, max_pixels=max_pixels)
    target_pixels = to_spec(take(target_file, pair.target), target, name=str(pair.target.path))
    if pair.source is None:
        return None, target_pixels
    same_file = pair.source.path == pair.target.path
    source_file = target_file if same_file else read(pair.source.path, max_pixels=max_pixels)
    return to_spec(take(source_file, pair.source), source, name=str(pair.source.path)), target_pixels
