"""Shared fixtures."""

import os
from pathlib import Path

import pytest

# For tensors of a few pixels more than one thread costs more than it gives. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real pictures beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real pictures in {SHARED}, which are absent here")
    return SHARED


@pytest.fixture(scope="session")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small side-by-side set of house fronts: 12 + 4 + 3 pairs of 32 pixels."""
    from translate.datasets.synthetic import write_paired

    folder = tmp_path_factory.mktemp("fronts") / "fronts"
    write_paired(folder, count_train=12, count_val=4, count_test=3, size=32, seed=0)
    return folder


@pytest.fixture(scope="session")
def unpaired_fronts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set without pairs: 12 label maps and 12 fronts of other houses; 4 true pairs to validate on."""
    from translate.datasets.synthetic import write_unpaired

    folder = tmp_path_factory.mktemp("unpaired") / "unpaired"
    write_unpaired(folder, count_train=12, count_val=4, size=32, seed=0)
    return folder
