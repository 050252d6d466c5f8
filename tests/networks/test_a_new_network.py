"""A network is one file and one line of a table: its flags, training, conversion and export follow from these.

The table that help reads is made again by a command.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from tests.models.test_models import small_model, small_step, some_batch
from translate import command_table
from translate.cli import main
from translate.fields import flag
from translate.inference.translator import load
from translate.models import MODELS
from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.network import Featured, Foldable, Local, Network, NetworkSettings, Staged

# What the file of a network holds.


class PlainSettings(NetworkSettings):
    waves: int = Field(3, ge=1, le=100, description="channels between the two convolutions")


class Plain(nn.Module):
    """Two convolutions; no norm, no code, and nothing but `forward`."""

    def __init__(self, inputs: int, outputs: int, *, size: Any, waves: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, waves, 3, padding=1)
        self.last = nn.Conv2d(waves, outputs, 3, padding=1)

    def forward(self, source: Tensor) -> Tensor:
        return torch.tanh(50 * self.last(torch.relu(self.first(source))))


class Telling(Plain):
    """The same, with the features that PatchNCE compares."""

    def __init__(self, inputs: int, outputs: int, *, size: Any, waves: int = 3) -> None:
        super().__init__(inputs, outputs, size=size, waves=waves)
        self.feature_channels = (inputs, waves)

    def encode(self, source: Tensor) -> list[Tensor]:
        return [source, self.first(source)]

    def forward_with_features(self, source: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self(source), self.encode(source)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setitem(GENERATORS, "plain", Network(Plain, PlainSettings))
    monkeypatch.setattr(command_table, "FILE", tmp_path / "commands.json")
    command_table.FILE.write_text(command_table.made(), encoding="utf-8")
    command_table.table.cache_clear()
    yield
    command_table.table.cache_clear()


SHORT = ["--discriminator-width", 4, "--patch", 16, "--size", 32, "--steps", 1, "--samples", 0, "--device", "cpu"]


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.usefixtures("plain")
def test_its_flags_are_in_the_help_and_belong_to_it_alone(fronts: Path, tmp_path: Path, capsys: Any) -> None:
    assert run("train", "pix2pix", "--help-all") == 0
    section = capsys.readouterr().out.split("With --generator plain:\n")[1].split("\n\n")[0]
    assert "--waves INT" in section
    assert "--width" not in section
    start = ["train", "pix2pix", "--data", fronts, "--out", tmp_path / "run", *SHORT]
    assert run(*start, "--waves", 5) == 2
    assert "--waves 5 is for --generator plain, not for unet: leave it out" in capsys.readouterr().err
    assert run(*start, "--generator", "plain", "--width", 5) == 2
    printed = capsys.readouterr().err
    assert "--width 5 is for --generator unet or encoder-decoder or resnet, not for plain: leave it out" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
def test_it_trains_converts_whole_and_in_tiles_and_is_exported(fronts: Path, tmp_path: Path, capsys: Any) -> None:
    made = tmp_path / "run"
    chosen = ["--generator", "plain", "--waves", 5, "--norm", "batch"]
    assert run("train", "pix2pix", "--data", fronts, "--out", made, *SHORT, *chosen) == 0
    settings = load(made).card.settings
    assert (settings["waves"], "width" in settings) == (5, False)
    picture = np.random.default_rng(0).integers(0, 256, (200, 180, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "in.png")
    for name, flags in (("whole", ()), ("tiles", ("--tile", 128))):
        assert run("convert", made, tmp_path / "in.png", tmp_path / f"{name}.png", *flags) == 0
    assert "tiles of 128 pixels" in capsys.readouterr().out
    assert run("export", made, tmp_path / "out.onnx") == 0
    whole, tiles = (np.asarray(Image.open(tmp_path / f"{name}.png"), int) for name in ("whole", "tiles"))
    inside = (slice(2, -2), slice(2, -2))  # beyond the border the tiles are mirrored, and this network pads with zeros
    assert np.abs(whole - tiles)[inside].max() <= 1
    assert whole.std() > 5
    exported = np.asarray(load(tmp_path / "out.onnx", device="cpu")(picture), int)
    assert np.abs(whole - exported).max() <= 1


@pytest.mark.usefixtures("plain")
def test_who_needs_a_part_that_it_has_not_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="--generator plain gives no features to compare patches by"):
        small_model("cut", **OF_PLAIN)
    with pytest.raises(ValueError, match="--generator plain takes no condition: use unet or resnet or encoder-decoder"):
        small_model("pix2pix label", **OF_PLAIN)
    monkeypatch.setitem(GENERATORS, "plain", Network(Telling, PlainSettings))
    model = small_model("cut", **OF_PLAIN)
    before = {name: weight.clone() for name, weight in model.generator.state_dict().items()}
    small_step("cut", model, **OF_PLAIN)(some_batch("cut"))
    assert all(not torch.equal(weight, before[name]) for name, weight in model.generator.state_dict().items())


OF_PLAIN = {"generator": "plain", "width": 64, "blocks": None}


def test_the_networks_of_the_table_have_all_parts_and_plain_ones_none() -> None:
    parts = (Local, Staged, Foldable, Featured)
    for network in GENERATORS.values():
        assert all(isinstance(network(3, 2, size=32), part) for part in parts)
        assert "code" in network.takes
    assert not any(isinstance(Plain(3, 2, size=32), part) for part in parts)


def test_a_name_that_alternatives_share_means_the_same_in_all() -> None:
    for table in (GENERATORS, DISCRIMINATORS):
        seen: dict[str, tuple[Any, ...]] = {}
        for network in table.values():
            for name, field in network.settings.model_fields.items():
                meaning = (field.description or "").partition(" (")[0]
                kind = (field.annotation, field.default, repr(field.metadata), meaning)
                assert seen.setdefault(name, kind) == kind, flag(name)


@pytest.mark.parametrize("name", [name for name, cls in MODELS.items() if "init" in cls.settings_class.every_field()])
def test_stored_defaults_of_networks_that_were_not_chosen_are_left_out(name: str) -> None:
    """As earlier versions stored every field of every network."""
    cls = MODELS[name].settings_class
    stored = {field: info.default for field, info in cls.every_field().items()}
    settings = cls.make(stored)
    assert settings == cls.make({})
    assert stored.keys() - settings.as_json().keys(), "some are of other networks"
    other = {"blocks": 3} if "blocks" not in settings.as_json() else {"first_bias": True}
    with pytest.raises(ValueError, match=f"{flag(*other)} .* is for --generator .*, not for {settings.generator}"):
        cls.make(stored | other)
