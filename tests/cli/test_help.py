"""Help that fits: at the terminal's width, what everyone needs first, and all of it on request."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from translate.arguments import normalised
from translate.card import Card
from translate.cli import COMMANDS, main
from translate.command_help import HELP
from translate.command_settings import sections
from translate.console import KEEP, WIDEST, terminal_width, wrapped
from translate.images import ImageSpec
from translate.models import MODELS
from translate.sizes import Size

RGB = ImageSpec(channels=3)
WIDTHS = (60, 80, 120)
ASKED = [*([command] for command in COMMANDS), *(["train", model] for model in MODELS), []]
NO_SETTINGS = {"resume", "config", "json", "step"}  # flags that a command reads by itself


def printed(words, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(words) == 0
    return capsys.readouterr().out.splitlines()


def assert_fits(lines, width):
    long = [line for line in lines if len(line) > width and " " in line.strip()]
    assert not long, long


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_help_fits_the_terminal_and_one_screen(words, width, capsys, monkeypatch):
    lines = printed([*words, "--help"], width, capsys, monkeypatch)
    assert_fits(lines, width)
    assert len(lines) < 40
    assert_fits(printed([*words, "--help-all"], width, capsys, monkeypatch), width)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_is_in_help_all_and_the_first_ones_alone_in_help(command, capsys, monkeypatch):
    words = [command, "pix2pix"] if command == "train" else [command]
    fields = {name for _, cls in sections(*words) for name in cls.model_fields}
    listed = re.compile(r"^  --([a-z0-9-]+) ", re.MULTILINE)
    everything = listed.findall("\n".join(printed([*words, "--help-all"], 80, capsys, monkeypatch)))
    assert {name.replace("-", "_") for name in everything} == fields
    short = "\n".join(printed([*words, "--help"], 80, capsys, monkeypatch))
    first = HELP[command].first
    assert {name.replace("-", "_") for name in listed.findall(short)} == (set(first) or fields)
    if first:
        assert len(first) == len(set(first)) <= 10
        assert f"{len(fields) - len(first)} more: translate {' '.join(words)} --help-all" in short


def test_every_command_shows_two_examples_whose_flags_exist(capsys, monkeypatch):
    assert set(HELP) == set(COMMANDS), "each command has a line in HELP"
    for command, help_of in HELP.items():
        lines = printed([command, "--help"], 60, capsys, monkeypatch)
        begin = lines.index("Examples:") + 1
        assert lines[begin : begin + 2] == [f"  {example}" for example in help_of.examples], "whole, each in its line"
        for example in help_of.examples:
            start, named, *words = example.split()
            assert (start, named in COMMANDS) == ("translate", True)
            model = words[0] if named == "train" else None
            known = {name for _, cls in sections(named, model) for name in cls.model_fields}
            flags = {word[2:].partition("=")[0] for word in normalised(words) if word.startswith("--")}
            assert flags <= known | NO_SETTINGS | {"help"}


@pytest.mark.parametrize("width", WIDTHS)
def test_help_of_train_without_a_model_lists_the_models_a_line_each(width, capsys, monkeypatch):
    lines = printed(["train", "--help"], width, capsys, monkeypatch)
    text = " ".join(line.strip() for line in lines)
    assert "Models differ in flags and defaults" in text
    assert "`translate train pix2pix --help` shows those of pix2pix" in text
    for name, model in MODELS.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        told = line[len(name) + 2 :].strip()
        assert told == model.summary or (told.endswith(" ...") and model.summary.startswith(told.removesuffix(" ...")))


def test_the_width_is_that_of_columns_and_else_eighty(monkeypatch):
    for given, width in (("60", 60), ("100", 100), ("1000", WIDEST), ("5", 40)):
        monkeypatch.setenv("COLUMNS", given)
        assert terminal_width() == width
    monkeypatch.setattr("sys.__stdout__", None)  # no terminal
    for none in ("", "0", "wide"):
        monkeypatch.setenv("COLUMNS", none)
        assert terminal_width() == 80


def test_lines_end_at_spaces_and_what_has_none_at_commas_and_bars():
    assert wrapped("aa bb cc dd", width=7, first="- ", rest="  ") == "- aa bb\n  cc dd"
    assert wrapped("a,b,c,d,e x|y", width=6, rest="  ") == "a,b,c,\n  d,e\n  x|y"
    assert wrapped("/a/path/that/is/long and", width=10, rest="  ") == "/a/path/that/is/long\n  and"
    assert wrapped("text", width=10, first="--flag TYPE  ", rest="    ") == "--flag TYPE\n    text"
    assert wrapped("", width=10) == ""
    pairs = f"width{KEEP}4, depth{KEEP}8, a{KEEP}bbbbbbbbbbbbbbb"
    assert wrapped(pairs, width=12, rest=" ") == "width 4,\n depth 8, a\n bbbbbbbbbbbbbbb"


@pytest.mark.parametrize("width", WIDTHS)
def test_info_wraps_and_keeps_names_beside_their_values(width, tmp_path, capsys, monkeypatch):
    path = (
        "/a/folder/with/a/name/that/is/longer/than/any/line/of/the/terminal/and/has/no/place/to/be/broken/at/all/of/it"
    )
    settings = {"width": 4, "depth": 3, "features_weights": path, "source_palette": ",".join(["#a0b1c2"] * 30)}
    card = Card(
        model="pix2pix", source=RGB, target=RGB, size=Size(64, 64), settings=settings, run={"note": "it\x1b[2J"}
    )
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "model.safetensors", metadata=card.to_metadata())
    lines = printed(["info", str(tmp_path / "model.safetensors")], width, capsys, monkeypatch)
    assert_fits(lines, width)
    assert any(path in line for line in lines), "a path stays whole, to be copied"
    assert lines[1].startswith("  source     3 channels")
    assert any("width 4" in line for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", card.describe())
