"""What is printed and written of an evaluation."""

import csv
import json

from translate.evaluation.intervals import Interval
from translate.evaluation.result import Evaluation

L1 = [0.4, 0.1, 0.3, 0.2]


def found(count: int = 4, **more: object) -> Evaluation:
    values = [L1[i % 4] for i in range(count)]
    names = tuple(f"p{i}" for i in range(count))
    return Evaluation(names, {"l1": sum(values) / count}, {"l1": values}, **more)  # type: ignore[arg-type]


def test_the_best_and_the_worst_are_told_by_the_figures_own_direction() -> None:
    assert found().ranking() == [1, 3, 2, 0]
    assert "best by L1: p1 (0.1000), p3 (0.2000)\nworst by L1: p0 (0.4000), p2 (0.3000)" in found().describe()
    both = Evaluation(("a", "b"), {}, {"l1": [0.1, 0.2], "perceptual_lite0": [2.0, 1.0]})
    assert both.ranked_by == "perceptual_lite0"
    assert both.ranking() == [1, 0]


def test_few_pictures_are_said_to_be_few() -> None:
    text = found().describe()
    assert "4 pictures are few: other pictures may give figures 82 % better or worse (L1)" in text  # t: 3.182, sd 0.129
    assert "intervals are for other pictures of this kind, not for trainings with other seeds" in text
    assert "few" not in found(40).describe()
    assert "1 picture is few" in found(1).describe()


def test_baselines_stand_beside_and_differences_are_judged() -> None:
    clear = {"l1": Interval(0.05, 0.1), "psnr": Interval(0.5, 1.0), "ssim": Interval(-0.1, 0.1)}
    text = found(
        baselines={"the source itself": {"l1": 0.2}, "training targets": {}}, differences={"the source itself": clear}
    ).describe()
    first, second, row = text.splitlines()[1:4]
    assert first.endswith("  the source  training")
    assert second.endswith(" 95 % interval  spread      itself   targets")
    assert row.startswith("L1 0.2500 ")
    assert row.endswith("  0.1291      0.2000")
    assert "beside the source itself: better in PSNR; worse in L1; not clearly different in SSIM" in text


def test_a_figure_that_is_no_mean_has_its_own_error_and_no_interval_of_the_mean() -> None:
    values = {"pixel_accuracy": [0.7, 0.8, 0.9]}
    mixed = Evaluation(("a", "b", "c"), {"pixel_accuracy": 0.6}, values, errors={"pixel_accuracy": 0.05})
    assert mixed.intervals == {}
    assert "pixel accuracy 0.600 ± 0.0500" in mixed.describe()


def test_errors_and_reasons_are_printed_and_names_are_made_visible() -> None:
    odd = Evaluation(
        ("a\x1b[2J",),
        {"kid_lite0": 0.5},
        errors={"kid_lite0": 0.01},
        left_out={"fid_lite0": "too few", "recall_lite0": "too few"},
        targets=7,
        pictures_per_second=12.345,
    )
    text = odd.describe()
    assert text.startswith("1 outputs beside 7 targets\nKID (lite0) 0.5000 ± 0.0100\n")
    assert "left out: FID (lite0), recall (lite0): too few" in text
    assert "the model alone: 12.3 pictures a second" in text
    assert "\x1b" not in text


def test_the_table_has_names_with_commas_and_every_digit() -> None:
    one = Evaluation(("a,b", "c"), {"l1": 0.2}, {"l1": [0.1, 0.30000000000000004]}, columns={"label": ["x", ""]})
    rows = list(csv.reader(one.as_csv().splitlines()))
    assert rows == [["name", "l1", "label"], ["a,b", "0.1", "x"], ["c", "0.30000000000000004", ""]]


def test_json_holds_the_same() -> None:
    reported = json.loads(json.dumps(found(baselines={"the mean target": {"l1": 0.5}}).as_json()))
    assert reported["figures"]["l1"]["value"] == 0.25
    assert reported["figures"]["l1"]["low"] < 0.25 < reported["figures"]["l1"]["high"]
    assert reported["baselines"] == {"the mean target": {"l1": 0.5}}
    assert (reported["best"][0], reported["worst"][0]) == ("p1", "p0")


def test_a_table_that_is_too_wide_goes_on_below() -> None:
    baselines = {f"baseline {i}": {"l1": i / 10} for i in range(6)}
    wide = found(baselines=baselines)
    table = [line for line in wide.describe(width=60).splitlines() if line.startswith(("L1 ", "  "))]
    assert max(map(len, table)) <= 60
    first, second = (line.split()[2:] for line in table if line.startswith("L1 "))
    assert [*first, *second][-6:] == ["0.0000", "0.1000", "0.2000", "0.3000", "0.4000", "0.5000"]  # each once, in order
    assert sum(" ".join(table).count(f"baseline {i}") for i in range(6)) == 6
    assert sum(line.startswith("L1 ") for line in wide.describe().splitlines()) == 1


def test_an_error_of_nothing_is_no_certainty() -> None:
    text = Evaluation(("a", "b"), {"recall_lite0": 0.0}, errors={"recall_lite0": 0.0}).describe()
    assert "recall (lite0) 0.000\n" in text


def test_printed_it_is_the_text_and_its_repr_stays_short() -> None:
    many = found(1000)
    assert str(many) == many.describe()
    assert len(repr(many)) < 1000
