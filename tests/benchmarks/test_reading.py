"""The benchmark of starts measures starts."""

from benchmarks import reading
from translate.datasets.preparation.index import MIN_FILES, VARIABLE


def test_a_next_start_reads_nothing(monkeypatch):
    for layout in ("side-by-side", "folders"):
        flags = reading.Flags(layout=layout, side=16)
        with reading.many(MIN_FILES + 8, flags) as folder:
            monkeypatch.setenv(VARIABLE, str(folder / "index"))
            starts = [reading.start(folder / "set", layout) for _ in range(2)]
        assert [found["read"] for found in starts] == [MIN_FILES + 8, 0]
        assert all(found["cpu"] > 0 and found["bytes"] >= 0 for found in starts)


def test_the_table_has_a_line_for_each_start(monkeypatch, capsys):
    found = {"cpu": 1, "wall": 2, "bytes": 80000, "read": 40, "later": 0}
    monkeypatch.setattr(reading, "alone", lambda folder, layout: found)
    assert reading.main(["--files", "40,80"]) == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == list(reading.TITLES)
    assert [line[:2] for line in lines[2:]] == [["40", "first"], ["40", "next"], ["80", "first"], ["80", "next"]]
    assert lines[2][2:] == ["1.00", "2.00", "25.000", "0", "2.00", "40", "0"]
