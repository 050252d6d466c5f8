"""Shared fixtures."""

import csv
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from translate.settings import RunSettings

# For tensors of a few pixels more than one thread costs more than it gives. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# An export is mostly sympy on sizes that are not known yet: a cache of 1,000 terms makes it 5 to 9 % slower.
os.environ.setdefault("SYMPY_CACHE_SIZE", "100000")

# Tests leave nothing in the cache of who runs them.
os.environ.setdefault("TRANSLATE_INDEX", "off")

# Features of a pretrained network take seconds of every process. Runs of the tests have none, but where they ask for
# them; processes of their own have the real default.
RunSettings.model_fields["metric_features"].default = None
RunSettings.model_rebuild(force=True)

# A shell's background ignores Ctrl-C, and nohup SIGHUP; so would whatever the tests start.
for name, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, name) and threading.current_thread() is threading.main_thread():
        signal.signal(getattr(signal, name), usual)

TOGETHER = (
    "tests/examples/",
    "tests/export/test_layout.py",
    "tests/export/test_quantize.py",
    "tests/export/test_triton.py",
    "tests/training/test_alarms.py",
    "tests/training/test_group.py",
)
"""Tests whose ids begin so go to one process, which makes once what takes them long."""

WARM = ("tests/test_warm.py", "tests/cli/test_cli.py", "tests/training/test_beside.py", "tests/training/test_run.py")
"""Tests that start commands from the server of `tests/warm.py`, of which one is enough."""

RUNS = "tests/training/test_every_model.py"  # the same, for each model by itself


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist loadgroup`, whose own mark reaches no scheduler with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(RUNS):
                return RUNS + nodeid.rpartition("[")[2].rstrip("]").partition("-")[0]
            if nodeid.startswith(WARM):
                return "warm"
            return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)

    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


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
    from translate.houses import write_paired

    folder = tmp_path_factory.mktemp("fronts") / "fronts"
    write_paired(folder, count_train=12, count_val=4, count_test=3, size=32, seed=0)
    return folder


@pytest.fixture(scope="session")
def unpaired_fronts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set without pairs: 12 label maps and 12 fronts of other houses; 4 true pairs to validate on."""
    from translate.houses import write_unpaired

    folder = tmp_path_factory.mktemp("unpaired") / "unpaired"
    write_unpaired(folder, count_train=12, count_val=4, size=32, seed=0)
    return folder


@pytest.fixture(scope="session")
def captioned_fronts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs with material and caption, which alone tell the colours: 12 for training and 4 for validation."""
    from translate.houses import write_paired

    folder = tmp_path_factory.mktemp("captioned") / "captioned"
    write_paired(folder, count_train=12, count_val=4, count_test=0, size=32, seed=0, layout="metadata", colours="free")
    return folder


@pytest.fixture(scope="session")
def domains(captioned_fronts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their fronts alone, one folder of pictures with labels and captions."""
    folder = tmp_path_factory.mktemp("domains") / "domains"
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        with (captioned_fronts / split / "metadata.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        with (folder / split / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("file_name", "label", "text"))
            for row in rows:
                name = Path(row["target_file_name"]).name
                shutil.copy(captioned_fronts / split / row["target_file_name"], folder / split / name)
                table.writerow((name, row["label"], row["text"]))
    return folder
