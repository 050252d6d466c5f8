"""The inspection as one HTML file, and its contact sheet as a PNG. Imports no torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from translate.datasets.pairs import Pair
from translate.datasets.regions import read_view
from translate.files import atomic, write_text
from translate.images import ImageError
from translate.images.sheet import displayable, sheet, shrunk
from translate.inspection.reading import Set, keys_of
from translate.inspection.summary import NAMED, Inspection, facts
from translate.outside import visible

CELL = 144  # pixels of the longer side of a picture on the sheet
ROWS, GROUPS = 6, 3  # of the sheet: examples below each other, and beside each other
EXAMPLES = 4  # shown beside a finding
LISTED = 200  # files of a finding that the page lists


def picture(read: Set, pair: Pair) -> list[np.ndarray] | None:
    """The sides of an example, small, as the network sees them; None if a file can no longer be read."""
    try:
        return [
            shrunk(
                displayable(
                    read_view(view, read.prepared.specs[role], max_pixels=read.settings.max_pixels),
                    read.prepared.specs[role],
                ),
                CELL,
            )
            for role, view in keys_of(pair)
        ]
    except (ImageError, OSError):
        return None


def contact_sheet(read: Set) -> Image.Image | None:
    """Examples spread evenly over the training pictures; without pairs, sources and targets beside each other."""
    train = list(read.prepared.train)
    if read.kind == "unpaired":
        sides = [[pair for pair in train if pair.source], [pair for pair in train if pair.target and not pair.source]]
        parts = [_spread(side, ROWS * GROUPS) for side in sides if side]
        shown = [[cell for part in row if (cells := picture(read, part)) for cell in cells] for row in zip(*parts)]  # noqa: B905
    else:
        shown = [cells for pair in _spread(train, ROWS * GROUPS) if (cells := picture(read, pair))]
    shown = [cells for cells in shown if len(cells) == len(shown[0])]
    if not shown:
        return None
    titles = list(read.sides) if len(shown[0]) == 2 else ["picture"]
    groups = max(1, min(GROUPS * 2 // len(titles), len(shown)))
    rows = [[cell for cells in shown[i : i + groups] for cell in cells] for i in range(0, len(shown), groups)]
    blank = np.full((1, 1, 3), 255, np.uint8)
    return sheet([row + [blank] * (groups * len(titles) - len(row)) for row in rows], titles=titles * groups)


def write_sheet(path: Path, page: Image.Image) -> None:
    """Write the contact sheet as a PNG.

    Raises:
        OSError: it cannot be written.
    """
    with atomic(path) as temporary:
        page.save(temporary, format="PNG")


def write_page(path: Path, inspection: Inspection, page: Image.Image | None) -> None:
    """Write the HTML page: one file, which loads nothing.

    Raises:
        OSError: it cannot be written.
    """
    write_text(path, page_of(inspection, page))


def page_of(inspection: Inspection, page: Image.Image | None) -> str:
    """The HTML page as text."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("translate.inspection", "."), autoescape=True)
    environment.filters["visible"] = visible
    read, trial = inspection.read, inspection.trial
    return environment.get_template("page.html").render(
        title=", ".join(root.name or str(root) for root in read.roots),
        folders=[str(root) for root in read.roots],
        kind=read.kind,
        layout=read.layout,
        facts=facts(read),
        findings=[
            {
                "severity": finding.severity,
                "message": finding.message,
                "files": finding.files[:LISTED],
                "rest": max(0, len(finding.files) - LISTED),
                "open": len(finding.files) <= NAMED,
                "pictures": _thumbnails(read, finding.examples[:EXAMPLES]),
            }
            for finding in inspection.findings
        ],
        remarks=inspection.remarks,
        suggestion=inspection.suggestion,
        trial=trial if trial is None or isinstance(trial, str) else trial.describe(),
        sheet=None if page is None else _inlined(page),
        lines=read.lines,
    )


def _thumbnails(read: Set, pairs: Sequence[Pair]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for pair in pairs:
        if cells := picture(read, pair):
            pictures = [_inlined(Image.fromarray(cell)) for cell in cells]
            found.append({"name": read.names(pair), "pictures": pictures})
    return found


def _spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)]


def _inlined(image: Image.Image) -> str:
    """A picture as a data URI."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
