"""One more like this: the code of a picture, by the encoder in a model's file. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from translate.datasets.resizing import resize
from translate.inference.backend import EncodingBackend
from translate.inference.model import LoadedModel
from translate.inference.picture_types import accept
from translate.inference.requests import Requests

MAX_PIXELS = 100_000_000


def code_of(model: LoadedModel, picture: Any, *, name: str = "like", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The code `[Z]` float32 that makes a picture such as this, as far as the model can.

    Args:
        picture: of any type that a call takes, with the channels of the model's target as files have them; it is
            resized to the size that the model was trained at.
        name: of the picture, in errors.

    Raises:
        ValueError: the file has no encoder, or the picture is none that the model could have made.
    """
    card, backend = model.card, model.backend
    if not card.conditions.z:
        raise ValueError(
            f"{name}: {card.model} has no code that could be read off a picture: bicyclegan has one, and dcgan trained "
            "with --invert"
        )
    if not isinstance(backend, EncodingBackend):
        raise ValueError(
            f"{name}: an exported file has no encoder: read the code with the model that it was made of, "
            "`translate.load(RUN).code_of(PICTURE)`, and give that as z"
        )
    if not backend.encodes:
        raise ValueError(
            f"{name}: {model.file or 'this model'} has no encoder, which reads the code off a picture: train dcgan "
            "with --invert; a bicyclegan of an earlier version with --resume, which keeps its encoder in the file"
        )
    taken = card.model_copy(update={"source": card.target, "scale": 1})
    items = accept(picture, card=taken, name=name, keep_alpha=False, max_pixels=max_pixels).items
    if len(items) != 1:
        raise ValueError(f"{name}: {len(items)} pictures: give one")
    spec = card.target
    pixels = resize(items[0].pixels, *card.size, labels=spec.kind == "labels", nodata=spec.nodata)
    return backend.code_of(pixels[None])[0]


def with_codes(model: LoadedModel, requested: Requests, like: Any, *, several: bool) -> Requests:
    """The request with the code of the picture `like` in place of `z`; of a list of them, one for each picture.

    Raises:
        ValueError: as `code_of`, or another code is requested as well.
    """
    if like is None:
        return requested
    for name in ("z", "seed", "samples"):
        if getattr(requested, name) is not None:
            raise ValueError(f"like and {name}: the code is that of the picture: leave out {name}")
    if not isinstance(like, list | tuple):
        return replace(requested, z=code_of(model, like))
    if not several:
        raise ValueError("like: a list of pictures is for a list of pictures: give one")
    return replace(requested, z=_stacked([code_of(model, one, name=f"like {i}") for i, one in enumerate(like)]))


def _stacked(codes: Sequence[np.ndarray]) -> np.ndarray | None:
    return np.stack(codes) if codes else None
