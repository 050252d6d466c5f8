"""`translate convert` with conditions: by flags, by a table, as several outputs and as sheets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conditioned import LABELS, SHIFTED, save_conditioned
from translate.cli import main
from translate.conditions import Conditions, draw_z
from translate.inference.translator import Translator, load


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conditioned(tmp_path_factory.mktemp("conditioned") / "model.safetensors")


@pytest.fixture(scope="module")
def t(file: Path) -> Translator:
    return load(file, device="cpu", allow=SHIFTED)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "deeper/a.png", "deeper/a-1.png"):
        Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(folder / name)
    return folder


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file())


def test_one_for_all(file: Path, t: Translator, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    words = ["--label", "wood", "--text", "a red door a green one", "--seed", "4", "--device", "cpu"]
    assert main(["convert", str(file), str(pictures), str(out), *words, "--allow", SHIFTED]) == 0
    assert names(out) == names(pictures)
    for name in names(out):
        expected = t(read(pictures / name), label="wood", text="a red door a", seed=4)
        assert np.array_equal(read(out / name), expected)
    shown = capsys.readouterr().out
    assert "longer than the 4 tokens that the model reads: its end changes nothing (4 pictures" in shown


def test_a_table(file: Path, t: Translator, pictures: Path, tmp_path: Path) -> None:
    """By the path below IN, and else by the file's name; what is missing on either side is reported."""
    table = tmp_path / "metadata.csv"
    table.write_text(
        "file_name,target_file_name,label,text,more\n"
        "deeper/a.png,,wood,,x\n"
        "a.png,,stone,a red door,\n"
        "a.png,,stone,a red door,once more\n"
        "elsewhere/a-1.png,there/other.png,brick,,\n"
        "gone.png,,wood,,\n"
    )
    report = t.convert(pictures, tmp_path / "out", labels_from=table, seed=2)
    assert report.converted == 3
    assert [failure.reason for failure in report.failures] == [f"{pictures / 'b.png'}: {table} has no line for it"]
    (note,) = report.notes
    assert (note.text, note.count, note.first) == (f"named in {table}, and not there", 1, "gone.png")
    for name, label, text in (
        ("deeper/a.png", "wood", None),
        ("a.png", "stone", "a red door"),
        ("deeper/a-1.png", "brick", None),
    ):
        assert np.array_equal(read(tmp_path / "out" / name), t(read(pictures / name), label=label, text=text, seed=2))
    again = t.convert(pictures, tmp_path / "out", labels_from=table, seed=2)
    assert (again.converted, again.existing, again.failed) == (0, 3, 1)
    assert [note.first for note in again.notes] == ["gone.png"]
    lines = [{"file_name": "x/b.png", "text": "green"}, {"file_name": "b.png", "label": "wood"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    one = t.convert(pictures / "b.png", tmp_path / "one.png", labels_from=tmp_path / "rows.jsonl")
    assert one.converted == 1
    assert np.array_equal(read(tmp_path / "one.png"), t(read(pictures / "b.png"), label="wood"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\na.png,wool\n", 'line 2: label: the model knows no label "wool"'),
        ("file_name,label\na.png,wood\na.png,brick\n", "lines 2 and 3 disagree on a.png"),
        ("file_name,label\n", "has no lines but the header"),
        ("file,label\na.png,wood\n", "line 2: no file_name"),
        ("file_name,colour\na.png,wood\n", "line 2: no label or text, on which this model is conditioned"),
        ("file_name,label\na.png\n", "line 2: fewer cells than the header"),
        (None, "cannot be opened"),
    ],
)
def test_a_table_of_no_use(
    text: str | None, message: str, file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    table = tmp_path / "t.csv"
    if text is not None:
        table.write_text(text)
    words = [str(pictures), str(tmp_path / "out"), "--labels-from", str(table), "--device", "cpu"]
    assert main(["convert", str(file), *words, "--allow", SHIFTED]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--labels-from" in line
    assert message in line
    assert not (tmp_path / "out").exists()


def test_names_that_are_in_the_table_twice(t: Translator, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file_name,label\nx/a.png,wood\ny/a.png,brick\nx/b.png,wood\ny/b.png,wood\n")
    report = t.convert(pictures, tmp_path / "out", labels_from=table, recursive=False)
    assert report.converted == 1
    assert "lines 2 and 3 could each be for it: write its path as a.png" in report.failures[0].reason


def test_samples_are_numbered_and_go_on(t: Translator, pictures: Path, tmp_path: Path) -> None:
    """No names collide, though `a-1.png` is an input too; the same call does the rest, and more samples are added."""
    out = tmp_path / "out"
    report = t.convert(pictures, out, samples=2, seed=7)
    assert report.converted == 8
    stems = ("a", "b", "deeper/a", "deeper/a-1")
    assert names(out) == sorted(f"{stem}-{number}.png" for stem in stems for number in (1, 2))
    for number in (1, 2):
        expected = t(read(pictures / "deeper/a-1.png"), seed=6 + number)
        assert np.array_equal(read(out / f"deeper/a-1-{number}.png"), expected)
    (out / "b-2.png").unlink()
    again = t.convert(pictures, out, samples=2, seed=7)
    assert (again.converted, again.existing) == (1, 7)
    more = t.convert(pictures, out, samples=3, seed=7)
    assert (more.converted, more.existing) == (4, 8)
    t.convert(pictures / "a.png", tmp_path / "one.png", samples=2)
    assert np.array_equal(read(tmp_path / "one-2.png"), t(read(pictures / "a.png"), seed=1))


def test_a_sheet_of_all_labels(t: Translator, pictures: Path, tmp_path: Path) -> None:
    report = t.convert(pictures, tmp_path / "out", label="all", text="red")
    assert report.converted == 4
    assert names(tmp_path / "out") == names(pictures)
    sheet, source = read(tmp_path / "out" / "b.png"), read(pictures / "b.png")
    cells = [source, *(t(source, label=label, text="red") for label in LABELS)]
    assert places(sheet, cells)
    assert t.convert(pictures, tmp_path / "out", label="all", text="red").existing == 4


def test_a_strip_between_two_codes(t: Translator, pictures: Path, tmp_path: Path) -> None:
    t.convert(pictures / "b.png", tmp_path / "out.png", interpolate=3, seed=1, seed_to=2)
    sheet, source = read(tmp_path / "out.png"), read(pictures / "b.png")
    assert places(sheet, [source, t(source, seed=1)])
    assert places(sheet, [t(source, seed=2)])


def test_codes_are_added_up(t: Translator, pictures: Path, tmp_path: Path) -> None:
    """As in DCGAN: what the codes 1 and 2 have in common, less 3, plus 4."""
    t.convert(pictures / "b.png", tmp_path / "out.png", arithmetic="1,2 - 3 + 4", text="red")
    sheet, source = read(tmp_path / "out.png"), read(pictures / "b.png")
    one, two, three, four = (draw_z(t.card.conditions.z, seed) for seed in (1, 2, 3, 4))
    codes = [(one + two) / 2, three, four, (one + two) / 2 - three + four]
    assert places(sheet, [source, *(t(source, z=code, text="red") for code in codes)])
    assert not places(sheet, [source, t(source, z=codes[-1] + 0.5, text="red")])


def places(sheet: np.ndarray, cells: list[np.ndarray]) -> bool:
    """Whether the cells are in the sheet, from left to right."""
    height, width = cells[0].shape[:2]
    left = 0
    for cell in cells:
        found = [
            x
            for x in range(left, sheet.shape[1] - width + 1)
            for y in range(sheet.shape[0] - height + 1)
            if np.array_equal(sheet[y : y + height, x : x + width], cell)
        ]
        if not found:
            return False
        left = found[0] + width
    return True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--label wod", '--label: the model knows no label "wod"; did you mean "wood"?: it knows brick, wood, stone'),
        ("--seed x", "--seed got 'x'"),
        ("--seed -1", "--seed"),
        ("--samples 0", "--samples got '0'"),
        ("--labels-from t.csv --label wood", "--labels-from gives each picture its own: leave out --label"),
        ("--interpolate 3", "give --seed and --seed-to"),
        ("--seed-to 3", "--seed-to is for --interpolate only"),
        ("--samples 2 --label all", "--label all and --samples each make several outputs"),
        ("--samples 2 --interpolate 2 --seed 1 --seed-to 2", "--interpolate and --samples each make several"),
        ("--arithmetic 1-2+x", "give numbers of codes with + and - between them"),
        ("--arithmetic 12", "give numbers of codes with + and - between them"),
        ("--arithmetic 1-2+3 --seed 1", "leave out --seed"),
        ("--arithmetic 1-2+3 --samples 2", "--arithmetic and --samples each make several"),
        ("--arithmetic 1-2+3 --label all", "--label all and --arithmetic each make several"),
        ("--arithmetic 1-2+3 --labels-from t.csv", "--labels-from gives each picture its own: leave out --arithmetic"),
        ("--arithmetic 1-2+3 --in-place", "--arithmetic makes several"),
        ("--label all --in-place", "--in-place replaces a picture by its output"),
    ],
)
def test_wrong_use_ends_in_a_line(
    words: str, message: str, file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [*words.split(), "--device", "cpu"]
    assert main(["convert", str(file), str(pictures), str(tmp_path / "out"), *given, "--allow", SHIFTED]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message.split(";")[0] in line
    assert message.rpartition("?")[2] in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--text red", "--text: this model is conditioned on label"),
        ("--seed 1", "--seed: this model is conditioned on label"),
        ("--samples 2", "--samples: this model is conditioned on label"),
        ("--arithmetic 1,2-3", "--arithmetic: this model is conditioned on label"),
        ("--interpolate 2 --seed 1 --seed-to 2", ": this model is conditioned on label"),
        ("", "this model needs a label: one of brick, wood, stone: give --label, --labels-from"),
    ],
)
def test_conditions_that_a_model_does_not_take_are_refused(
    words: str, message: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = save_conditioned(tmp_path / "m.safetensors", Conditions(labels=LABELS, required=True))
    assert (
        main(
            [
                "convert",
                str(model),
                str(pictures),
                str(tmp_path / "out"),
                *words.split(),
                "--device",
                "cpu",
                "--allow",
                SHIFTED,
            ]
        )
        == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_model_of_pictures_alone(card, inverter, pictures: Path, tmp_path: Path) -> None:
    t = Translator(inverter())
    for given in ({"text": "x"}, {"label": "all"}, {"seed": 1}, {"samples": 2}):
        with pytest.raises(
            ValueError, match=f"--{next(iter(given))}: this model is conditioned on nothing but its pic"
        ):
            t.convert(pictures, tmp_path / "out", **given)
    with pytest.raises(ValueError, match="--labels-from: this model is conditioned on nothing but its picture"):
        t.convert(pictures, tmp_path / "out", labels_from=pictures)
