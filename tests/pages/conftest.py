"""Run folders: two that were trained, and some that were written by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.card import Card
from translate.images import ImageSpec
from translate.training.run import Run, train
from translate.weights import save_tensors

TINY: dict[str, Any] = {
    **{"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "tensorboard": False, "workers": 0},
    **{"steps": 6, "log_every": 1, "validate_every": 3, "samples": 2},
}
JOURNAL = [
    {"step": 50, "epoch": 0.5, "losses": {"d": 0.7, "g_l1": 40.0}, "lr": 2e-4, "examples_per_second": 9.5},
    {"step": 100, "epoch": 1.0, "losses": {"d": 0.5, "g_l1": 30.0}, "lr": 1e-4, "examples_per_second": 10.5},
    {
        **{"step": 100, "epoch": 1.0, "alarms": ["collapse"], "health": {"drift": 2.0}},
        "validation": {"raw": {"l1": 0.2, "kid_lite0": 0.3}, "averaged": {"l1": 0.25, "kid_lite0": 0.2}},
    },
    {
        **{"step": 200, "epoch": 2.0, "losses": {"d": 0.4, "g_l1": 20.0}, "errors": {"averaged": {"kid_lite0": 0.01}}},
        "validation": {"raw": {"l1": 0.15, "kid_lite0": 0.25}, "averaged": {"l1": 0.1, "kid_lite0": 0.1}},
    },
]
FIGURES = {"l1": 0.1, "kid_lite0": 0.1, "mean_target_l1": 0.3, "source_l1": 0.05, "source_kid_lite0": 0.4}


def write_run(
    path: Path, *, journal: str | None = None, figures: dict[str, float] | None = None, **config: Any
) -> Path:
    """A run folder of 200 steps with three sample pages, as a training leaves it but for its weights."""
    (path / "samples").mkdir(parents=True)
    spec = ImageSpec(channels=3).model_dump(mode="json")
    settings = {
        "width": 16,
        "lr": 2e-4,
        "size": [64, 64],
        "steps": 200,
        "epochs": 200.0,
        "data": "/home/me/secret/houses",
    }
    whole: dict[str, Any] = {
        **{"format": 1, "model": "pix2pix", "settings": settings, "source": spec, "target": spec},
        **{"data": {"fingerprint": "x", "reading": 2, "train": 12, "val": 4, "left_out": 1}},
        **{"versions": {"translate": "0.1.0"}, **config},
    }
    (path / "config.json").write_text(json.dumps(whole))
    lines = "".join(json.dumps(record) + "\n" for record in JOURNAL)
    (path / "metrics.jsonl").write_text(lines if journal is None else journal)
    for step in (50, 100, 200):
        Image.new("RGB", (40, 30), (step, 100, 50)).save(path / "samples" / f"step-{step:08d}.png")
    card = Card(
        model=whole["model"] if ":" not in whole["model"] else "pix2pix",
        source=ImageSpec(channels=3),
        target=ImageSpec(channels=3),
        size=(64, 64),
        figures=FIGURES if figures is None else figures,
        weights="averaged",
        step=200,
    )
    import torch

    save_tensors(path / "model.safetensors", {"w": torch.zeros(1)}, card.to_metadata())
    return path


def picture(value: int, *, size: int = 24) -> np.ndarray:
    """A plain gray picture `[size, size, 3]`."""
    return np.full((size, size, 3), value, np.uint8)


@pytest.fixture(scope="session")
def trained(fronts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two small runs on the same house fronts that differ in width and seed."""
    folder = tmp_path_factory.mktemp("trained")
    one = train("pix2pix", data=fronts, out=folder / "narrow", **TINY)
    two = train("pix2pix", data=fronts, out=folder / "wide", **{**TINY, "width": 6, "seed": 1})
    return one, two


class Text(HTMLParser):
    """The tags of a page, and what can be read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words, self._silent = "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        self.words += "" if self._silent else f" {' '.join(data.split())}"


def check_alone(text: str, *, links: Collection[str] = ()) -> None:
    """A page asks for nothing but what is in it and `links`, and can run nothing but its own script."""
    page = Text(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value in links or value.startswith(("data:image/", "#")), (tag, name, value)
        assert not any(name == "style" or name.startswith("on") for name in attributes), tag  # the policy allows none
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    bodies = re.findall(r"<(script|style)>(.*?)</(?:script|style)>", text, re.DOTALL)
    assert [kind for kind, _ in bodies] == ["style", "script"]
    for kind, body in bodies:
        checksum = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{checksum}'" in policy
