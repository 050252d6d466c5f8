"""What a start on a set reads, and where it keeps its index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from translate.datasets.preparation import index, looking


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of indexes."""
    monkeypatch.setenv(index.VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded."""
    names: list[str] = []
    before = looking.read_hashed

    def read(path: str, **given: Any) -> Any:
        names.append(Path(path).name)
        return before(path, **given)

    monkeypatch.setattr(looking, "read_hashed", read)
    return names
