"""Changed cards, metadata, configurations, checkpoints and tables: one line that names the file, and nothing written.

A few of each kind in the usual tests; a thousand in the slow ones.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import translate
from byhand import reference_networks as reference
from tests.conditioned import words
from tests.odd_values import ODD, SIGNS, TENSORS, as_text, changed
from translate.card import Card
from translate.cli import main
from translate.conditions import Conditions
from translate.config import read_config
from translate.files import write_text
from translate.images import ImageSpec
from translate.inference.condition_table import ConditionTable
from translate.locks import describe
from translate.models import MODELS, build
from translate.training.changes import read_contents
from translate.training.folder import RunFolder, save_model
from translate.training.run import train

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SMALL: dict[str, Any] = {
    "size": 16,
    "load_size": 16,
    "width": 2,
    "depth": 2,
    "discriminator_width": 2,
    "patch": 1,
    "workers": 0,
}


def some(few: int, many: int) -> pytest.MarkDecorator:
    """How many changed files: a few, and in the slow tests many others."""
    return pytest.mark.parametrize(
        "cases", [range(few), pytest.param(range(few, many), marks=pytest.mark.slow)], ids=str
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        (folder / part).mkdir()
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)).save(folder / part / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run of two steps: going on to two steps is refused whatever else is right."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return train("pix2pix", data=data, out=out, steps=2, samples=0, tensorboard=False, snapshot_budget=0, **SMALL).path


@pytest.fixture
def ends(capsys, monkeypatch, tmp_path) -> Callable[..., int]:
    """Runs a command, which must end in order."""
    monkeypatch.chdir(tmp_path)

    def check(words: list[object], *, file: Path, or_says: str = "?") -> int:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        assert not RAW.search(said.out + said.err), (said, code)
        if code == 1:  # the model is whole, and the picture none for it
            assert "failed: 1 picture\n" in said.out, said
        elif code:
            assert said.err.startswith("translate: "), said
            assert said.err.count("\n") == 1, said
            assert len(said.err) < 3000, said
            asked = "--seed: this model is conditioned" in said.err  # of what its card says now
            assert file.name in said.err or or_says in said.err or asked, said
        return code

    return check


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def card_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["translate"])


def by_commands(ends, file, picture, tmp_path, *flags) -> None:
    """What a person would do with a model file."""
    before = contents(tmp_path)
    ends(["info", file], file=file)
    ends(["info", file, "--json"], file=file)
    assert contents(tmp_path) == before
    if ends(["convert", file, picture, tmp_path / "out.png", "--tile", "none", *flags], file=file):
        assert contents(tmp_path) == before
    (tmp_path / "out.png").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def cards(run, tmp_path_factory):
    """Model files of several kinds: their cards and tensors."""
    files = [run / "model.safetensors"]
    palette = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (9, 9, 9)), one_hot=True, ignore=(0, 0, 0))
    colour, gray = ImageSpec(channels=3), ImageSpec(channels=1, dtype="uint16", high=65535)
    networks = {name: SMALL[name] for name in ("width", "depth", "discriminator_width", "patch")}
    for name, source, target, conditions, settings in (
        ("pix2pix", colour, palette, Conditions(labels=("a", "b")), {"condition": "label"}),
        ("pix2pix", colour, gray, Conditions(text=words()), {"condition": "text"}),
        ("bicyclegan", gray, colour, Conditions(z=3), {"z": 3, "encoder_width": 2}),
    ):
        own = MODELS[name].settings_class.make(networks | settings)
        model = build(name, own, source=source, target=target, size=16, conditions=conditions)
        kind = Card(model=name, settings=own.as_json(), source=source, target=target, size=16, conditions=conditions)
        files.append(tmp_path_factory.mktemp("cards") / "model.safetensors")
        save_model(files[-1], model, kind.model_copy(update={"inputs": model.inputs, "derive": "blur"}))
    return [(card_of(file), load_file(file)) for file in files]


@some(12, 250)
def test_cards(cards, data, tmp_path, ends, cases):
    picture, file = data / "train" / "0.png", tmp_path / "model.safetensors"
    for case in cases:
        chance = random.Random(case)
        card, tensors = cards[case % len(cards)]
        text = as_text(changed(card, chance), chance).encode(errors="replace").decode()
        save_file(tensors, file, metadata={"translate": text})
        more = {"labels": ["--label", "a"], "text": ["--text", "a red door"], "z": ["--seed", "1"]}
        conditioned = [word for name, flags in more.items() if card["conditions"][name] for word in flags]
        derived = ["--derive"] if card["derive"] and chance.random() < 0.3 else []
        by_commands(ends, file, picture, tmp_path, *conditioned, *derived)
        if case % 20 == 0:  # of the plain one, which asks nothing of the data
            before = contents(tmp_path)
            ends(["evaluate", file, "--data", data], file=file)
            assert contents(tmp_path) == before


@some(12, 250)
def test_metadata_of_onnx_files(run, data, tmp_path, ends, cases):
    card, file = card_of(run / "model.safetensors"), tmp_path / "model.onnx"
    made = {"layout": "nhwc-pixels", "precision": "float32", "calibrated": 0}
    shape: list[int | str | None] = ["batch", "height", "width", 3]
    ends_of = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, shape) for name in ("image", "made")]
    node = onnx.helper.make_node("Identity", ["image"], ["made"])
    graph = onnx.helper.make_graph([node], "g", ends_of[:1], ends_of[1:])
    for case in cases:
        chance = random.Random(case)
        which = chance.random() < 0.7
        texts = {
            "translate": as_text(changed(card, chance), chance) if which else json.dumps(card),
            "translate.export": json.dumps(made) if which else as_text(changed(made, chance), chance),
        }
        model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
        onnx.helper.set_model_props(model, {k: text.encode(errors="replace").decode() for k, text in texts.items()})
        data_of = model.SerializeToString()
        file.write_bytes(data_of if chance.random() < 0.9 else data_of[: chance.randrange(len(data_of))])
        by_commands(ends, file, data / "train" / "0.png", tmp_path)


@some(4, 100)
def test_configurations_of_runs(run, tmp_path, ends, cases):
    shutil.copytree(run, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    config = folder.read_config()
    for case in cases:
        chance = random.Random(case)
        text = as_text(changed(config, chance), chance)
        folder.config.write_text(text, encoding="utf-8", errors="replace")
        before = contents(tmp_path)
        words = ["train", "--resume", folder.path, "--steps", 2]
        assert (
            ends(words, file=folder.config, or_says=str(folder.path)) == 2
        )  # not a run, at its end, or of other networks
        assert contents(tmp_path) == before


@some(6, 150)
def test_checkpoints(run, tmp_path, ends, cases):
    shutil.copytree(run, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    path = folder.checkpoint(2)
    state = folder.read_checkpoint(2)
    for case in cases:
        chance = random.Random(case)
        odd = [one for one in ODD if one != {SIGNS: SIGNS}] + 3 * TENSORS
        torch.save(changed(state, chance, odd=odd), path)
        if chance.random() < 0.1:
            path.write_bytes(path.read_bytes()[: chance.randrange(2000)])
        before = contents(tmp_path)
        # what is whole in spite of the change ends the command as well: there are no more steps to make
        assert ends(["train", "--resume", folder.path, "--steps", 2], file=path, or_says="is at step 2 of 2") == 2
        refused_or_read(partial(translate.load, folder.path, step=2, device="cpu"), path.name)
        assert contents(tmp_path) == before


@some(4, 60)
def test_files_of_the_reference_code(tmp_path, ends, cases):
    state = dict(reference.UNet(3, 3, depth=5, width=2, norm=reference.batch).state_dict())
    for case in cases:
        chance = random.Random(case)
        odd = [one for one in ODD if one != {SIGNS: SIGNS}] + 5 * TENSORS
        path = tmp_path / "latest_net_G.pth"
        torch.save(changed(state, chance, odd=odd), path, _use_new_zipfile_serialization=chance.random() < 0.5)
        if chance.random() < 0.3:
            path.write_bytes(path.read_bytes()[: chance.randrange(5000)])
        before = contents(tmp_path)
        if ends(["import", path, "--out", tmp_path / "out"], file=path):
            assert contents(tmp_path) == before
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@some(20, 150)
def test_tables(tmp_path, cases):
    known = Conditions(labels=("red", "green"))
    rows = [{"file_name": f"{i}.png", "label": label, "text": "a door"} for i, label in enumerate(known.labels * 2)]
    for case in cases:
        chance = random.Random(case)
        table = tmp_path / chance.choice(("t.csv", "t.jsonl", "t.tsv"))
        made = changed(rows, chance)
        lines = [as_text(row, chance) for row in made]
        if table.suffix != ".jsonl":
            between = "\t" if table.suffix == ".tsv" else ","
            lines = [between.join(str(cell)[:400] for cell in row.values()) for row in made if isinstance(row, dict)]
            lines.insert(0, between.join(rows[0]))
        table.write_text("\n".join(lines), encoding="utf-8", errors="replace")
        refused_or_read(partial(ConditionTable, table, known), table.name)


def refused_or_read(read: Callable[[], object], name: str) -> None:
    said = name
    try:
        read()
    except ValueError as error:
        said = str(error)
    assert name in said
    assert not RAW.search(said)


@some(20, 100)
def test_small_files(tmp_path, cases):
    """Configurations that are given, journals, lists of pictures, locks."""
    config = {"model": "pix2pix", "settings": {"width": 4, "data": "x", "lr": 0.1}}
    record, held = {"step": 1, "losses": {"g": 0.1}}, {"process": 1, "host": "here", "since": "now"}
    folder = RunFolder(tmp_path)
    for case in cases:
        chance = random.Random(case)
        given = tmp_path / chance.choice(("c.json", "c.toml"))
        text = as_text(changed(config, chance), chance)
        given.write_text(text, encoding="utf-8", errors="replace")
        refused_or_read(partial(read_config, given), given.name)
        write_text(folder.metrics, as_text(changed(record, chance), chance).encode(errors="replace").decode() + "\n")
        said: list[str] = []
        folder.forget_after(3, say=said.append)
        assert not RAW.search("".join(said))
        folder.pictures.write_bytes(gzip.compress(text.encode(errors="replace"))[: chance.choice((10, 10**6))])
        assert isinstance(read_contents(folder.pictures), dict | None)
        assert not RAW.search(describe(as_text(changed(held, chance), chance).encode(errors="replace")))
