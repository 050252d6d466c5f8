"""The page of an inspection in a real browser: it shows its pictures, and asks the network for nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

import translate
from tests.examples.conftest import missing
from tests.examples.test_web import QUIET
from translate.houses import write_paired

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        missing(f"no browser is on this machine: {', '.join(NAMES)}")
    write_paired(tmp_path / "set", count_train=14, count_val=2, count_test=0, size=64, layout="folders")
    for side in "AB":
        shutil.copy(tmp_path / "set" / f"train{side}" / "0003.png", tmp_path / "set" / f"val{side}" / "copy.png")
    page = tmp_path / "page.html"
    translate.inspect(tmp_path / "set", html=page, try_steps=0)
    shot = tmp_path / "shot.png"
    words = [browser, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=900,1400"]
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 120, "check": True}
    found = subprocess.run([*words, "--dump-dom", page.as_uri()], text=True, **quiet).stdout  # type: ignore[call-overload]
    assert "set: inspection" in found
    assert "in training too" in found
    assert not re.findall(r'(?:src|href)="(?!data:)', found)
    subprocess.run([*words, f"--screenshot={shot}", page.as_uri()], **quiet)  # type: ignore[call-overload]
    with Image.open(shot) as seen:
        # the sheet and the examples are drawn: far more colours than text on paper has
        assert len(seen.convert("RGB").getcolors(2**24) or ()) > 1000
