"""A loaded model and how pictures go through it: what `Translator`, conversion and its record share. No torch."""

from __future__ import annotations

from pathlib import Path

from translate.card import Card
from translate.inference.backend import Backend
from translate.inference.pieces import Tile, check_tile


class LoadedModel:
    """A backend, and how pictures are batched and cut for it. Nothing in it changes after it is made."""

    def __init__(
        self, backend: Backend, *, batch: int | None = None, tile: Tile = "auto", file: Path | None = None
    ) -> None:
        """`batch` and `tile` as for `load`; `file` is what the model was read from.

        Raises:
            ValueError: a batch below 1, or tiles that the network's pictures cannot be cut into.
        """
        if batch is not None and batch < 1:
            raise ValueError(f"batch is the pictures in one pass, at least 1, not {batch}")
        check_tile(backend, tile)
        self.backend = backend
        self.batch = batch
        self.tile = tile
        self.file = file

    @property
    def card(self) -> Card:
        """What the model says about itself: its settings, pictures, figures and origin."""
        return self.backend.card

    @property
    def device(self) -> str:
        """Where the network runs: `cpu`, `cuda:0`, ..."""
        return self.backend.device
