"""Columns of pictures: of the set itself, or of a table, by the names of files."""

from pathlib import Path

import pytest

from translate.datasets.pairs import Pair, View
from translate.training.evaluate_columns import Columns


def pair(path: str, **more: str) -> Pair:
    return Pair(name=Path(path).stem, source=View(Path("A") / path), target=View(Path("B") / path), **more)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.csv"
    path.write_text("file_name,kind\nx/1.png,day\n2.png,night\ny/3.png,day\nz/3.png,night\n")
    return path


def test_a_line_is_found_by_path_name_or_stem(table: Path) -> None:
    columns = Columns("kind", tables=[table], flag="--group-by")
    assert columns.of([pair("1.png"), pair("2.jpg"), pair("x/1.png")]) == ("day", "night", "day")


def test_names_that_are_missing_or_could_be_two_are_told(table: Path) -> None:
    columns = Columns("kind", tables=[table], flag="--task")
    with pytest.raises(ValueError, match=r"--task kind: 2 pictures have no \(clear\) value there: 3, 4"):
        columns.of([pair("3.png"), pair("4.png"), pair("1.png")])


def test_labels_texts_and_folders_need_no_table() -> None:
    pictures = [pair("summer/1.png", label="warm", text="a lake")]
    for name, value in (("label", "warm"), ("text", "a lake"), ("folder", "summer")):
        assert Columns(name, tables=[], flag="--group-by").of(pictures) == (value,)
    with pytest.raises(ValueError, match="--group-by label: 1 pictures have no"):
        Columns("label", tables=[], flag="--group-by").of([pair("1.png")])


def test_an_unknown_column_is_told_with_the_nearest(table: Path) -> None:
    with pytest.raises(ValueError, match=r'--group-by kin: no such column \(did you mean "kind"\?\) in .*kinds.csv'):
        Columns("kin", tables=[table], flag="--group-by")
