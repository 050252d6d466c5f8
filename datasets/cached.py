"""Datasets whose pictures may be kept decoded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

from torch.utils.data import Dataset

from translate.datasets.examples import Example
from translate.settings import DataSettings


class CachedDataset(Dataset[Example]):
    """Examples that are read from files, or from a cache of them at load size. A subclass says what `_fill` decodes."""

    settings: DataSettings

    def with_cache(self, *, folder: Path | None = None, fingerprint: str = "", progress: bool = False) -> Self:
        """The dataset as `settings.cache` wants it: itself, or a copy with all pictures decoded here.

        Args:
            folder: where a disk cache is kept.
            fingerprint: of the files' contents; a disk cache made for another one is not used.
            progress: show a progress bar.

        Raises:
            ValueError: there is no room for the cache.
            ImageError: a file that cannot be read.
        """
        if self.settings.cache == "none":
            return self
        filled = copy.copy(self)
        filled._fill(folder=folder, fingerprint=fingerprint, progress=progress)
        return filled

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        """Decode all pictures, and read from there from now on."""
        raise NotImplementedError
