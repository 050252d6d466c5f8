"""The pages in a real browser: nothing is asked for, nothing goes wrong, and keys and buttons do what they say."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browser import Page, browser
from tests.pages.conftest import picture, write_run
from translate.pages.comparison import Comparison, Difference, Example, FigureRow
from translate.pages.render import write_page
from translate.pages.report import overview, write_report
from translate.pages.runs import read_run

pytestmark = pytest.mark.slow

CHART = "[...document.querySelectorAll('figure.chart')].find((chart) => chart.innerText.startsWith('L1'))"
COLOURS = "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two runs and ten pictures: outputs of the first are dark, of the second bright."""
    folder = tmp_path_factory.mktemp("compared")
    runs = tuple(read_run(write_run(folder / name)) for name in ("Dark", "Bright"))
    examples = [Example(f"{n}.png", picture(n), (picture(50 + n), picture(200 + n)), picture(99)) for n in range(10)]
    row = FigureRow("l1", "less", (0.1, 0.2), (None, None), (Difference(0.1, 0.05, 0.15),))
    return Comparison(runs, ("Dark", "Bright"), (row,), tuple(examples), 10, "val")


def check(page: Page, path: Path) -> None:
    """Nothing was complained of, nothing asked for but the file, and on a telephone nothing sticks out."""
    assert page.complaints == []
    assert page.asked_for == [path.resolve().as_uri()]
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    try:
        assert page.value("document.documentElement.scrollWidth") <= 360
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")
    assert page.value("[...document.images].every((image) => image.complete)")


def test_the_report(page, tmp_path):
    run = write_run(tmp_path / "run")
    Image.new("RGB", (900, 50)).save(run / "evaluation.png")
    path = write_report(run)
    page.open(path)
    check(page, path)
    shown = "[...document.querySelectorAll('.film figure')].filter((f) => !f.hidden).map((f) => f.dataset.step).join()"
    assert page.value(shown) == "200"
    page.value("document.querySelector('#film').focus()")
    page.press("ArrowLeft")
    assert page.value(shown) == "100"
    assert page.value("document.querySelector('.control output').textContent") == "100"
    page.press("Home")
    assert page.value(shown) == "50"
    assert page.value("document.querySelector('#film').getAttribute('aria-valuetext')") == "step 50"

    page.value(f"{CHART}.focus()")
    said = f"{CHART}.querySelector('output').textContent"
    page.press("ArrowLeft")
    assert page.value(said) == "step 200: raw 0.15, averaged 0.1"
    page.press("ArrowLeft")
    assert page.value(said) == "step 100: raw 0.2, averaged 0.25"
    page.press("ArrowRight")
    assert page.value(said) == "step 200: raw 0.15, averaged 0.1"
    # the cursor stands where the drawing has the point
    place = f"{CHART}.querySelector"
    at = page.value(f"{place}('.cursor').getAttribute('transform')")
    assert at == f"translate({page.value(f'''{place}('circle.best').getAttribute('cx')''')} 0)"
    page.press("Tab")
    assert page.value(said) == ""
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        ink, paper = page.value(
            "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
        )
        assert contrast(ink, paper) > 7
    page.call("Emulation.setEmulatedMedia", features=[])


def contrast(one: str, other: str) -> float:
    """The ratio of two CSS colours, as accessibility guidelines have it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_table_of_runs(page, tmp_path):
    for name, l1 in (("b", 0.3), ("a", 0.05), ("c", None)):
        write_run(tmp_path / name, figures={} if l1 is None else {"l1": l1})
    path, _ = overview(tmp_path)
    page.open(path)
    check(page, path)
    names = "[...document.querySelectorAll('tbody th')].map((cell) => cell.textContent).join()"
    head = "[...document.querySelectorAll('thead button')].find((button) => button.textContent === 'L1')"
    assert page.value(names) == "a,b,c"
    page.value(f"{head}.focus()")
    page.press("Enter")
    assert page.value(names) == "a,b,c"
    assert page.value(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    page.press("Enter")
    assert page.value(names) == "b,a,c"  # what is missing stays last
    assert page.value(f"{head}.parentElement.getAttribute('aria-sort')") == "descending"


def test_the_comparison(page, compared, tmp_path):
    path = tmp_path / "comparison.html"
    write_page(path, compared.page())
    page.open(path)
    check(page, path)
    assert page.value("document.images.length") == 10 * 4


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The shares p at which the test of p against successes / count is just at 5 %: roots of a quadratic."""
    z2, share = 1.959963984540054**2, successes / count
    a, b, c = 1 + z2 / count, -(2 * share + z2 / count), share**2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_choosing_blindly(page, compared, tmp_path):
    """A viewer who always sees that the dark one is better, but twice."""
    path = tmp_path / "choices.html"
    write_page(path, compared.choices_page())
    sides, orders = [], []
    for _ in range(3):
        page.open(path)
        orders.append(page.value("trials.map((trial) => trial.item.name).join()"))
        sides += page.value("trials.map((trial) => trial.left)")
    assert len(set(orders)) > 1  # 10! orders
    assert 0 < sum(sides) < 30
    check(page, path)
    assert page.value("document.getElementById('result').hidden")

    is_left = "document.getElementById('left').src === trials[choices.length].item.outputs[0]"
    page.press("ArrowDown")
    page.press("ArrowRight" if page.value(is_left) else "ArrowLeft")  # a mistake
    page.press("Backspace")
    assert page.value("document.getElementById('at').textContent") == "picture 2 of 10"
    for _ in range(8):
        page.press("ArrowLeft" if page.value(is_left) else "ArrowRight")
    assert page.value("document.body.innerText").count("Dark") == 0  # nothing is told before the end
    side = "right" if page.value(is_left) else "left"
    button = f"[...document.querySelectorAll('#choosing button')].find((one) => one.textContent.startsWith('{side}'))"
    page.value(f"{button}.click()")

    assert not page.value("document.getElementById('result').hidden")
    found = json.loads(page.value("document.getElementById('json').value"))
    assert (found["runs"], found["chosen"], found["no_difference"]) == (["Dark", "Bright"], [8, 1], 1)
    assert found["interval"] == pytest.approx(wilson(8, 9), abs=1e-6)
    assert [choice["chosen"] for choice in found["choices"]] == [None, *["Dark"] * 8, "Bright"]
    assert sorted(choice["picture"] for choice in found["choices"]) == sorted(f"{n}.png" for n in range(10))
    assert "Dark was chosen in 89 % of the pictures with a difference: it is preferred." in page.value(
        "document.getElementById('verdict').textContent"
    )
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.value("document.getElementById('save').click()")
    saved, end = tmp_path / "choices.json", time.monotonic() + 30
    while not saved.is_file() and time.monotonic() < end:
        time.sleep(0.05)
    assert json.loads(saved.read_text()) == found
    page.value("document.getElementById('copy').click()")
    selected = "(({value, selectionStart, selectionEnd}) => value.slice(selectionStart, selectionEnd))"
    assert json.loads(page.value(f"{selected}(document.getElementById('json'))")) == found
    page.value("document.getElementById('result').focus()")
    page.press("ArrowLeft")  # nothing is left to choose
    assert len(page.value("choices")) == 10
    page.press("Backspace")
    assert page.value("document.getElementById('result').hidden")
    page.press("ArrowDown")
    assert page.value("document.getElementById('counts').innerText").split() == [
        *("Dark", "8", "Bright", "0", "no", "difference", "2")
    ]
    assert page.complaints == []


def test_the_one_that_is_worse_can_be_the_second(page, compared, tmp_path):
    path = tmp_path / "choices.html"
    write_page(path, compared.choices_page())
    page.open(path)
    for number in range(10):
        bright = page.value("document.getElementById('left').src === trials[choices.length].item.outputs[1]")
        page.press("ArrowLeft" if bright == (number < 6) else "ArrowRight")
    verdict = page.value("document.getElementById('verdict').textContent")
    assert verdict.startswith("Bright was chosen in 60 %")
    assert "too few" in verdict
    low, high = (round(100 * share) for share in wilson(6, 10))
    assert f"between {low} % and {high} %" in page.value("document.getElementById('meaning').textContent")
