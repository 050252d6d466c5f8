"""From a template to a page: one HTML file that needs nothing beside it and asks nobody for anything. No torch.

Text that comes from files is escaped, and its control characters are made visible. A page runs its own script and
style alone, which its security policy names by their checksums: whatever got into the text would not be run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from translate.fields import flag
from translate.figures import in_words
from translate.files import atomic
from translate.outside import visible
from translate.pages.charts import Chart
from translate.pages.svg import COLOURS, frame, svg
from translate.version import __version__

HERE = Path(__file__).resolve().parent / "templates"


def page(template: str, *, scripts: Sequence[str] = (), **values: Any) -> str:
    """The text of a page.

    Args:
        template: its file in `templates/`.
        scripts: files there that it runs.
        **values: names that the template uses.
    """
    style = _file("style.css")
    script = "\n".join(map(_file, scripts))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_checksum(style)}; script-src {_checksum(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    text = (
        _environment()
        .get_template(template)
        .render(values, style=style, script=script, policy=policy, version=__version__)
    )
    return str(text)


def write_page(path: Path, text: str) -> None:
    """Replace the file of a page.

    Raises:
        OSError: it cannot be written.
    """
    with atomic(path) as temporary:  # bytes of names that are no UTF-8 become escapes
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def page_file(path: Path, *, given: str) -> Path:
    """`path`, if it is named as a page is.

    Raises:
        ValueError: it has another suffix, or is a folder.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{given} {path}: a page is a file called .html")
    if path.is_dir():
        raise ValueError(f"{given} {path} is a folder: give the file to write")
    return path


def number(value: float) -> str:
    """A figure as it is printed in tables."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _chart(chart: Chart) -> dict[str, Any]:
    """What the template and its script need of a chart."""
    from markupsafe import Markup

    first, last = frame(chart)
    return {
        "title": chart.title,
        "drawing": Markup(svg(chart)),  # its text is escaped there
        "logarithmic": chart.logarithmic,
        "lines": [{"name": line.name, "colour": index % COLOURS} for index, line in enumerate(chart.lines)],
        "points": {
            "first": first,
            "last": last,
            "lines": [
                {"name": visible(line.name), "points": [(step, float(f"{y:.5g}")) for step, y in line.points]}
                for line in chart.lines
            ],
        },
    }


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "number": number,
        "chart": _chart,
        "thousands": lambda value: f"{value:,}",
        "flag": flag,
        "in_words": in_words,
    }
    return environment


@cache
def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    """As a security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
