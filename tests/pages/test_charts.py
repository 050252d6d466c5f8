"""Curves: which there are, and that the drawing is where the numbers say."""

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.colors import to_rgb

from tests.pages.conftest import JOURNAL
from translate.pages.charts import Chart, Line, best_point, charts_of, over_each_other, thinned
from translate.pages.journal import series_of
from translate.pages.plots import plot
from translate.pages.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, svg, ticks

BASELINES = {"l1": {"mean target": 0.3}}


def test_a_run_has_charts_of_losses_figures_rate_speed_and_checks():
    charts = {chart.title: chart for chart in charts_of(series_of(JOURNAL), baselines=BASELINES)}
    assert list(charts) == [
        "training losses",
        "L1 on unseen pictures",
        "KID (lite0) on unseen pictures",
        "learning rate",
        "pictures a second",
    ]  # there is a single value of drift, which is no curve
    l1 = charts["L1 on unseen pictures"]
    assert l1.lines == (Line("raw", ((100, 0.2), (200, 0.15))), Line("averaged", ((100, 0.25), (200, 0.1))))
    assert l1.levels == (("mean target", 0.3),)
    best = best_point(l1)
    assert best is not None
    line, step, value = best
    assert (line.name, step, value) == ("averaged", 200, 0.1)
    assert charts["training losses"].logarithmic  # 0.4 to 40
    assert best_point(charts["training losses"]) is None


def test_scores_are_apart_from_losses():
    names = ("d", "g_gan", "d_real", "d_fake", "d_real_back", "g_realism", "d_fake_1")
    records = [{"step": step, "losses": dict.fromkeys(names, 1.0)} for step in (1, 2)]
    losses, scores = charts_of(series_of(records))
    assert [line.name for line in losses.lines] == ["d", "g_gan", "g_realism"]
    assert [line.name for line in scores.lines] == ["d_real", "d_fake", "d_real_back", "d_fake_1"]


def test_the_best_of_more_is_better_is_the_most():
    chart = Chart("", (Line("a", ((1, 3.0), (2, 5.0), (3, 5.0))),), better="more")
    assert best_point(chart)[1:] == (2, 5.0)


def test_runs_are_drawn_over_each_other():
    one, two = series_of(JOURNAL), series_of([{"step": 9, "losses": {"d": 1.0}}, {"step": 10, "losses": {"d": 2.0}}])
    charts = {chart.title: [line.name for line in chart.lines] for chart in over_each_other({"one": one, "two": two})}
    assert charts["L1 on unseen pictures"] == ["one"]
    assert charts["loss: d"] == ["one", "two"]
    assert "loss: g_l1" not in charts  # one run alone has it


def test_long_lines_are_thinned_to_means():
    assert thinned([(step, float(step)) for step in range(1, 7)], most=3) == ((2, 1.5), (4, 3.5), (6, 5.5))
    assert len(thinned([(step, 0.0) for step in range(100_000)])) == 300


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.13, 0.21, [0.14, 0.16, 0.18, 0.2]), (-3, 3, [-2, 0, 2]), (5, 5, [5])],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_the_drawing_is_where_the_numbers_say():
    chart = Chart("L1", (Line("a<b>\x1b", ((0, 1.0), (50, 2.0), (100, 4.0))),), levels=(("base", 3.0),), better="less")
    root = ET.fromstring(svg(chart))
    (line,) = [path for path in root.iter("path") if path.get("class") == "line"]
    points = [tuple(map(float, pair.split())) for pair in line.attrib["d"][1:].split("L")]
    assert [x for x, _ in points] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT], abs=0.1)
    (level,) = [path for path in root.iter("path") if path.get("class") == "level"]
    at = float(re.fullmatch(r"M[\d.]+ ([\d.]+)H.*", level.attrib["d"])[1])
    (_, one), (_, two), (_, four) = points
    assert one - two == pytest.approx((two - four) / 2, abs=0.2)  # linear: 1 and 2 of the unit
    assert at == pytest.approx((two + four) / 2, abs=0.2)
    assert TOP <= four < two < one <= HEIGHT - BOTTOM
    (best,) = [circle for circle in root.iter("circle") if "best" in circle.get("class", "")]
    assert (float(best.attrib["cx"]), float(best.attrib["cy"])) == pytest.approx(points[0], abs=0.1)
    assert "a<b>\\u001b from 1 at step 0 to 4 at step 100" in root.get("aria-label")


def test_names_of_baselines_do_not_lie_upon_each_other():
    levels = (("a", 1.0), ("b", 1.001), ("c", 2.0))
    root = ET.fromstring(svg(Chart("", (Line("x", ((0, 0.0), (1, 3.0))),), levels=levels)))
    names = {text.text: text for text in root.iter("text") if text.get("class") == "level"}
    assert {name: text.get("text-anchor") for name, text in names.items()} == {"a": "start", "b": "end", "c": "end"}


def test_a_logarithmic_drawing_has_equal_steps_for_equal_factors():
    root = ET.fromstring(svg(Chart("losses", (Line("a", ((1, 1.0), (2, 10.0), (3, 100.0))),))))
    (line,) = [path for path in root.iter("path") if path.get("class") == "line"]
    ys = [float(pair.split()[1]) for pair in line.attrib["d"][1:].split("L")]
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)


def test_matplotlib_draws_the_same_charts():
    figure = plot(charts_of(series_of(JOURNAL), baselines=BASELINES))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["training losses", "L1 on unseen pictures"]
    raw, averaged, base, best = figure.axes[1].lines
    assert averaged.get_xydata().tolist() == [[100, 0.25], [200, 0.1]]
    assert base.get_xydata()[:, 1].tolist() == [0.3, 0.3]
    assert best.get_xydata().tolist() == [[200, 0.1]]
    assert raw.get_label() == "raw"
    assert to_rgb(raw.get_color()) != to_rgb(averaged.get_color())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plot([]).axes == []  # a run without a journal
