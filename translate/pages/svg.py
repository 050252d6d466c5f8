"""Charts as SVG, from numbers alone: no library, no clock, no random numbers. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from translate.outside import visible
from translate.pages.charts import Chart, best_point

WIDTH, HEIGHT = 560, 250  # of the drawing's own units, which a page stretches
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 30  # margins
TICKS = 5  # about so many on an axis
LABEL = 11  # height of one of a baseline
MARKED = 40  # most points of a line that are marked one by one
COLOURS = 8  # of the style sheet, `.c0` to `.c7`


def svg(chart: Chart) -> str:
    """One chart as an `<svg>` element. Its colours are those of the page's style sheet, its text is for readers."""
    steps = [step for line in chart.lines for step, _ in line.points]
    values = [value for line in chart.lines for _, value in line.points] + [value for _, value in chart.levels]
    logarithmic = chart.logarithmic and min(values) > 0
    across, down = _steps_axis(steps), _values_axis(values, logarithmic=logarithmic)
    x = scale(across[0], across[1], LEFT, WIDTH - RIGHT)
    y = scale(*((math.log10(down[0]), math.log10(down[1])) if logarithmic else down[:2]), HEIGHT - BOTTOM, TOP)

    def place(value: float) -> float:
        return y(math.log10(value) if logarithmic else value)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(summary(chart))}">']
    for tick in down[2]:
        at = place(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{at + 3.5:.1f}" text-anchor="end">{short(tick)}</text>')
    for tick in across[2]:
        at = x(tick)
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 11}" text-anchor="middle">{short(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    sides: dict[str, list[float]] = {"end": [], "start": []}  # where labels are: to the right, or to the left of it
    for name, value in sorted(chart.levels, key=lambda level: place(level[1])):
        at = place(value)
        parts.append(f'<path class="level" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        above = at - 4 if at > TOP + 14 else at + 12
        anchor = next((side for side, used in sides.items() if all(abs(above - y) >= LABEL for y in used)), "end")
        sides[anchor].append(above)
        left = WIDTH - RIGHT if anchor == "end" else LEFT + 4
        parts.append(f'<text class="level" x="{left}" y="{above:.1f}" text-anchor="{anchor}">{_text(name)}</text>')
    for index, line in enumerate(chart.lines):
        points = [(x(step), place(value)) for step, value in line.points]
        parts.append(f'<g class="c{index % COLOURS}"><path class="line" d="{_path(points)}"/>')
        if len(points) <= MARKED:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{4 if len(points) == 1 else 2.2}"/>' for a, b in points]
        parts.append("</g>")
    if found := best_point(chart):
        line, step, value = found
        ring = f'cx="{x(step):.1f}" cy="{place(value):.1f}" r="6"'
        parts.append(f'<circle class="best c{chart.lines.index(line) % COLOURS}" {ring}/>')
    parts.append(f'<path class="cursor" d="M0 {TOP}V{HEIGHT - BOTTOM}" visibility="hidden"/></svg>')
    return "".join(parts)


def summary(chart: Chart) -> str:
    """What a chart shows, in words."""
    said = []
    for line in chart.lines:
        (first, start), (last, end) = line.points[0], line.points[-1]
        said.append(f"{line.name} from {start:.4g} at step {first:g} to {end:.4g} at step {last:g}")
    if found := best_point(chart):
        said.append(f"best {found[2]:.4g} at step {found[1]:g}")
    return f"{chart.title}: {'; '.join([*said, *(f'{name} {value:.4g}' for name, value in chart.levels)])}"


def frame(chart: Chart) -> tuple[float, float]:
    """The first and the last step of a drawing: at its left and right margin."""
    return _steps_axis([step for line in chart.lines for step, _ in line.points])[:2]


def sparkline(points: Sequence[tuple[float, float]]) -> str:
    """A curve as small as a word, or nothing of a single point."""
    if len(points) < 2:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    x, y = scale(points[0][0], points[-1][0], 2, 78), scale(low, high, 18, 2)
    drawn = _path([(x(step), y(value)) for step, value in points])
    return f'<svg class="spark" viewBox="0 0 80 20" aria-hidden="true"><path class="line" d="{drawn}"/></svg>'


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The straight map that takes `low` to `start` and `high` to `end`; all to their middle where both are equal."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, *, about: int = TICKS) -> list[float]:
    """Round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def short(value: float) -> str:
    """A number on an axis: `20k` for 20,000."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:.4g}"


def _steps_axis(steps: Sequence[float]) -> tuple[float, float, list[float]]:
    low, high = min(steps), max(steps)
    low = 0.0 if low < 0.2 * high else low
    return low, high, ticks(low, high)


def _values_axis(values: Sequence[float], *, logarithmic: bool) -> tuple[float, float, list[float]]:
    low, high = min(values), max(values)
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        wanted = [1] if len(powers) > 4 else [1, 2, 5] if len(powers) > 2 else [1, 2, 3, 5, 7]
        found = [m * 10.0**power for power in powers for m in wanted if low * 0.999 <= m * 10.0**power <= high * 1.001]
        return low, high, found or [low, high]
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = low - room if low < 0 or low - room > 0 else min(low, 0.0), high + room
    return low, high, ticks(low, high)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def _text(text: str) -> str:
    return escape(visible(text))
