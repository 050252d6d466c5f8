"""Tables of pictures: separators, the types of cells, and labels that are lists, numbers or columns."""

import json
import random

import pytest

from tests.datasets.layouts_of_known_truth import Known
from translate.conditions import Conditions, DataNeeds
from translate.datasets.prepare import prepare
from translate.datasets.table import as_labels, as_text, attributes, rows
from translate.inference.condition_table import ConditionTable
from translate.settings import DataSettings


def domains(folder, lines, *, name="metadata.jsonl", **given):
    """What is made of a table of single pictures, `lines` of it as they are or as JSON."""
    known = Known(folder, random.Random(0))
    for number in range(len(lines)):
        known.put(f"{number}.png")
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("\n".join(texts), encoding="utf-8")
    report: list[str] = []
    settings = DataSettings.make({"data": folder, "size": 8, "val_fraction": 0, **given})
    return prepare(
        settings, kind="domains", data_needs=DataNeeds(label=True, required=True), say=report.append
    ), "\n".join(report)


def row(number, label, **more):
    return {"file_name": f"{number}.png", "label": label, **more}


def test_lists_are_several_labels_and_numbers_are_values(tmp_path):
    labels = [["a", "b"], "c", 1, 1.0, ["b", 2, "b"], [], None, "a, c"]
    prepared, _ = domains(tmp_path, [row(number, label) for number, label in enumerate(labels)])
    assert prepared.conditions.labels == ("1", "2", "a", "b", "c")
    assert prepared.conditions.several
    assert prepared.problems == ()
    assert [pair.label for pair in prepared.train] == ["a,b", "c", "1", "1", "b,2", None, None, "a, c"]


def test_one_and_one_point_nought_are_one_label_in_any_table(tmp_path):
    lines = ["file_name,label", "1.png,1", "2.png,1.0", "3.png,2", "4.png,3.0", "0.png,007"]
    prepared, _ = domains(tmp_path, lines, name="metadata.csv")
    assert prepared.conditions.labels == ("007", "1", "2", "3.0")
    assert prepared.conditions.encode_label("3").tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"a": 1}, "label is an object: give a text or a number"),
        (True, "label is true or false"),
        (float("nan"), "label is nan: give a text or a finite number"),
        ([["a"]], "a label of the list is a list"),
        (["a", None], "label holds an empty one"),
        (["a,b"], "label 'a,b' of the list holds a comma"),
        ("\ud800", "half a sign"),
    ],
)
def test_cells_of_other_types_are_refused_with_their_line(tmp_path, label, message):
    prepared, _ = domains(tmp_path, [row(0, "a"), row(1, label), row(2, "b")])
    assert len(prepared.train) == 2
    (problem,) = prepared.problems
    assert problem.reason.startswith("line 2: ")
    assert message in problem.reason


def test_names_and_captions_are_checked_as_well(tmp_path):
    lines = [row(0, "a"), row(1, "b"), {"file_name": ["2.png"], "label": "a"}, row(3, "b", text=["x"])]
    lines.append('{"file_name": "4.png", "label": "a", "label": "b"}')
    lines.append("[" * 100_000)
    prepared, _ = domains(tmp_path, lines)
    assert [problem.reason for problem in prepared.problems] == [
        "line 3: file_name is a list: give a text or a number",
        "line 4: text is a list: give a text or a number",
        "line 5: 'label' is there twice: keep one",
        "line 6: not valid JSON: too many brackets",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "sep={}\n"])
def test_the_separator_is_found_in_the_header(tmp_path, separator, before):
    cells = [["file_name ", "label", ""], ['"0.png"', "a, b; c\td", ""], ["1.png", "b", ""]]
    cells[1][1] = f'"{cells[1][1]}"'
    text = before.format(separator) + "\n".join(separator.join(line) for line in cells)
    (tmp_path / "metadata.csv").write_text(text)
    found = list(rows(tmp_path / "metadata.csv"))
    assert [found_row.cells for found_row in found] == [
        {"file_name": "0.png", "label": "a, b; c\td"},
        {"file_name": "1.png", "label": "b"},
    ]
    assert [found_row.line for found_row in found] == ([3, 4] if before else [2, 3])


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the column label is there twice"):
        domains(tmp_path, ["file_name,label,label", "0.png,a,b"], name="metadata.csv")


def test_columns_of_attributes_are_labels_where_they_are_chosen(tmp_path):
    lines = [
        "file_name,Smiling,Male,Young",
        "0.png,1,-1,1",
        "1.png,-1,-1,1",
        "2.png,-1,1,-1",
        "3.png,1,1,1",
        "4.png,2,1,1",
    ]
    prepared, report = domains(tmp_path, lines, name="metadata.csv", label_columns="Smiling,Male")
    assert prepared.conditions.labels == ("Male", "Smiling")
    assert prepared.conditions.several
    assert [pair.label for pair in prepared.train] == ["Smiling", None, "Male", "Smiling,Male"]
    assert [problem.reason for problem in prepared.problems] == [
        "line 6: Smiling '2' is neither 1 nor 0 or -1, as --label-columns expects"
    ]
    assert "columns of the metadata that are not used: Young" in report
    with pytest.raises(ValueError, match=r"has no column Smilin.*Smiling"):
        domains(tmp_path, lines, name="metadata.csv", label_columns="Smilin,Male")
    with pytest.raises(ValueError, match="each once"):
        domains(tmp_path, lines, name="metadata.csv", label_columns="Male,Male")


def test_label_columns_are_those_of_a_table(tmp_path):
    known = Known(tmp_path, random.Random(0))
    known.put("A/1.png")
    known.put("B/1.png")
    with pytest.raises(ValueError, match="--label-columns are those of a table, and this set is laid out as folders"):
        prepare(DataSettings(data=tmp_path, label_columns="x"), data_needs=DataNeeds(label=True), say=print)


def test_a_table_for_conversion_is_read_alike(tmp_path):
    table = tmp_path / "t.jsonl"
    conditions = Conditions(labels=("1", "a", "b"), several=True)
    lines = [row("caf\u00e9", ["a", "b"]), row("x", 1.0)]
    table.write_text("\n".join(map(json.dumps, lines)))
    found = ConditionTable(table, conditions)
    assert found.find("cafe\u0301.png").request.label == ("a", "b")
    assert conditions.encode(found.find("x.png").request)["label"].tolist() == [1, 0, 0]
    table.write_text(json.dumps(row("x", {"a": 1})))
    with pytest.raises(ValueError, match=r"--labels-from .*line 1: label is an object"):
        ConditionTable(table, conditions)
    (tmp_path / "t.csv").write_text("file_name;label\nx.png;a\n")
    assert ConditionTable(tmp_path / "t.csv", conditions).find("x.png").request.label == "a"


def test_random_cells_never_make_a_label_of_brackets():
    """Whatever JSON holds, a label is a text that a person wrote, or there is an error."""
    rng = random.Random(0)

    def cell(depth=0):
        kinds = [lambda: rng.choice(["a", "b c", "", " x "]), lambda: rng.randint(-3, 3), lambda: rng.random() * 4]
        kinds += [lambda: rng.choice([True, False, None, float("inf")])]
        if depth < 3:
            kinds += [lambda: [cell(depth + 1) for _ in range(rng.randint(0, 3))], lambda: {"k": cell(depth + 1)}]
        return rng.choice(kinds)()

    made = 0
    for _ in range(500):
        value = cell()
        for read in (as_labels, lambda it: as_text(it, name="x"), lambda it: attributes({"x": it}, ("x",))):
            try:
                found = read(value)
            except ValueError:
                continue
            made += 1
            assert found is None or not set("[]{}'").intersection(found)
            assert found is None or not {"True", "None", "inf"}.intersection(found.split(","))
    assert made > 200
