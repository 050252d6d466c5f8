"""Which sizes go together, and that pairs which do not are found before training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.datasets.prepare import Prepared, prepare
from translate.datasets.resizing import load_shape, resize, without_opencv
from translate.settings import DataSettings
from translate.sizes import Size


@pytest.mark.parametrize(
    ("fit", "shape", "expected"),
    [
        ("stretch", (100, 70), (36, 36)),
        ("cover", (100, 70), (51, 36)),
        ("cover", (70, 100), (36, 51)),
        ("cover", (10, 10), (36, 36)),
        ("none", (100, 70), (100, 70)),
    ],
)
def test_load_shapes(fit: Any, shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert load_shape(*shape, fit=fit, size=Size(36, 36)) == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ((36, 30), (32, 21), "AREA"),
        ((32, 17), (9, 8), "AREA"),
        ((20, 31), (45, 40), "LINEAR"),
        ((13, 20), (9, 31), "NEAREST_EXACT"),
    ],
)
def test_without_opencv_pictures_are_resized_alike(
    before: tuple[int, int], after: tuple[int, int], how: str, dtype: str
) -> None:
    pixels = (np.random.default_rng(0).random((*before, 3)) * 255).astype(dtype)
    expected = resize(pixels, *after, labels=how == "NEAREST_EXACT")
    found = without_opencv(pixels, *after, how)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-3 if dtype == "float32" else 1.001)


def draw(path: Path, *, height: int, width: int) -> None:
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(sum(path.as_posix().encode()))
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


def test_pairs_that_become_no_pictures_of_one_size_are_found_before_training(tmp_path: Path) -> None:
    for i in range(5):
        draw(tmp_path / "a" / f"{i}.png", height=40, width=20)
        draw(tmp_path / "b" / f"{i}.png", height=40 if i == 1 else 80, width=40)

    def run(fit: str) -> tuple[Prepared, str]:
        lines: list[str] = []
        folders = {"source": tmp_path / "a", "target": tmp_path / "b"}
        return prepare(DataSettings.make({**folders, "size": 32, "fit": fit}), say=lines.append), "\n".join(lines)

    for fit, bad in {"stretch": [], "cover": ["1.png"]}.items():
        prepared, report = run(fit)
        assert [problem.path.name for problem in prepared.problems] == bad
        assert len((*prepared.train, *prepared.val)) == 5 - len(bad)
        assert ("1.png: the source is 20x40 pixels and the target 40x40; --fit cover needs" in report) == bool(bad)
        assert ("are used all the same" in report) != bool(bad)
    with pytest.raises(ValueError, match=r"5 files that cannot be used.*--fit none needs the same size"):
        run("none")
