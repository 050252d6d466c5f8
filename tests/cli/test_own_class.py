"""A class of one's own: found by every command, and imported only where the caller allows it, whatever a file says."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import translate
from translate.allow import NotAllowed, is_class
from translate.cli import main
from translate.inference.translator import read_card
from translate.training.run import train

SMALL = [
    "--size",
    32,
    "--width",
    4,
    "--discriminator-width",
    4,
    "--patch",
    16,
    "--samples",
    1,
    "--tensorboard",
    "false",
    "--metric-features",
    "none",
]
MODULE = """
from pydantic import Field
from translate.models.pix2pix import Pix2Pix, Pix2PixSettings

class OwnSettings(Pix2PixSettings):
    own_knob: float = Field(1.0, description="a setting of its own")

class Own(Pix2Pix):
    settings_class = OwnSettings
"""
NAME = "classes_of_ours:Own"
IMPORTED = NAME.partition(":")[0]


@pytest.fixture(scope="module")
def made(fronts, tmp_path_factory):
    """A folder with the module and a run of its class."""
    folder = tmp_path_factory.mktemp("own")
    (folder / f"{IMPORTED}.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*map(str, ["train", NAME, "--data", fronts, "--out", "run", "--steps", 2, *SMALL])]) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it as the working folder of a process that has imported nothing of it."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delitem(sys.modules, IMPORTED, raising=False)
    yield tmp_path / "here"
    sys.modules.pop(IMPORTED, None)


def commands(fronts):
    """One for each way on which a name comes from a file, but for `export`, which takes long."""
    (Path("config.json")).write_text(json.dumps({"model": NAME, "size": 32, "width": 4, "patch": 16}))
    return [
        ["convert", "run", fronts / "test", "out"],
        ["convert", "run/model.safetensors", fronts / "test", "out2"],
        ["convert", "run", fronts / "test", "out3", "--step", "2"],
        ["evaluate", "run", "--split", "test"],
        ["train", "--resume", "run", "--steps", "3"],
        ["train", "--config", "config.json", "--data", fronts, "--out", "new", "--steps", "1"],
    ]


def test_nothing_is_imported_unless_it_is_allowed_and_the_refusal_tells_the_command(here, fronts, capsys):
    for words in commands(fronts):
        words = [*map(str, words)]
        before = sorted(here.rglob("*"))
        assert main(words) == 2, words
        assert IMPORTED not in sys.modules, words
        assert sorted(here.rglob("*")) == before
        said = capsys.readouterr().err
        command = f"translate {shlex.join([*words, '--allow', NAME])}"
        assert said.count("\n") == 1
        assert said.endswith(f"If you trust it: {command}\n"), said
        assert main([*words, "--allow", "another_module:Own"]) == 2
        assert capsys.readouterr().err.endswith(f"{command}\n")
        assert main(shlex.split(command)[1:]) == 0, words
        assert sys.modules.pop(IMPORTED)
    assert str(here) not in sys.path


def test_export_finds_the_class_as_the_others_do(here, capsys):
    assert main(["export", "run", "model.onnx"]) == 2
    assert f"translate export run model.onnx --allow {NAME}\n" in capsys.readouterr().err
    assert IMPORTED not in sys.modules
    assert main(["export", "run", "no-suffix", "--allow", NAME]) == 2
    assert "no-suffix" in capsys.readouterr().err  # that far it comes with the class
    assert IMPORTED in sys.modules


def test_what_a_model_says_is_read_without_its_class(here, fronts, capsys):
    """`info` reads a card, and `--init-from` tensors; both take the flag all the same."""
    for more in ([], ["--allow", NAME]):
        assert main(["info", "run", *more]) == 0
        assert NAME in capsys.readouterr().out
        words = ["train", "pix2pix", "--data", fronts, "--out", f"tuned{len(more)}", "--init-from", "run", "--steps", 1]
        assert main([*map(str, [*words, *SMALL, *more])]) == 0
        assert IMPORTED not in sys.modules


def test_python_says_allow(here, monkeypatch):
    with pytest.raises(NotAllowed, match=f'allow="{NAME}"'):
        translate.load("run")
    assert IMPORTED not in sys.modules
    monkeypatch.syspath_prepend(str(here))
    assert translate.load("run", allow=NAME).card.model == NAME
    run = train(resume="run", steps=3, allow=NAME)
    assert run.load(device="cpu").card.step == 3  # which the caller has just trained
    with pytest.raises(NotAllowed):
        train(resume="run", steps=4)


def test_no_file_allows_a_class(here, fronts, capsys):
    """Neither the configuration that is given, nor that of a run, nor a card."""
    config = {"model": NAME, "allow": NAME, "size": 32}
    Path("config.json").write_text(json.dumps(config))
    assert main(["train", "--config", "config.json", "--data", str(fronts)]) == 2
    assert "no file can allow a class" in capsys.readouterr().err
    stored = json.loads(Path("run/config.json").read_text())
    stored["allow"] = stored["settings"]["allow"] = NAME
    Path("run/config.json").write_text(json.dumps(stored))
    assert main(["train", "--resume", "run", "--steps", "3"]) == 2
    change_card("run/model.safetensors", lambda card: card["run"].update(allow=NAME) or card.update(allow=NAME))
    assert main(["convert", "run", str(fronts / "test"), "out"]) == 2
    assert IMPORTED not in sys.modules


def change_card(path, change):
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["translate"])
    change(card)
    save_file(load_file(path), path, metadata={"translate": json.dumps(card)})


@pytest.mark.parametrize(
    "name", ["os:system", "a:b:c", ":", "x:", ":y", "../x:Y", "x y:Z", "x:Y\x1b[31m", "os.path:a.b"]
)
def test_no_form_of_a_name_comes_through(here, name):
    change_card("run/model.safetensors", lambda card: card.update(model=name))
    with pytest.raises(ValueError, match=r"run/model\.safetensors: "):
        translate.load("run")
    assert is_class(name) == (name == "os:system")


def test_the_flag_takes_a_class_and_nothing_else(capsys):
    for value in ("pix2pix", "no module:X", "os.system"):
        assert main(["convert", "run", "in", "out", "--allow", value]) == 2
        assert "--allow got" in capsys.readouterr().err


def test_help_of_ones_own_class_lists_its_settings(here, capsys):
    assert main(["train", NAME, "--help-all"]) == 0
    assert "--own-knob" in capsys.readouterr().out


def test_read_card_imports_nothing(here):
    assert read_card("run").model == NAME
    assert IMPORTED not in sys.modules
