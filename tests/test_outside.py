"""What comes from outside stays within limits, and reaches no terminal raw."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import resource
import sys
import time
import unicodedata
import zipfile
from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from translate.card import Card
from translate.cli import main
from translate.console import SafeStream
from translate.images import ImageSpec
from translate.importing.reading import read_state
from translate.inference.translator import load, read_card
from translate.models import MODELS, build, load_for_inference
from translate.outside import NESTED, brief, checked, parsed, visible
from translate.training.changes import read_contents
from translate.training.folder import RunFolder, save_model
from translate.weights import load_state, load_tensors

SIGNS = "\x1b[31m\x9b2J\x07\u202e\u2066\x7f\u2028"
SMALL = {"width": 2, "depth": 2, "discriminator_width": 2, "patch": 1}
COLOUR = ImageSpec(channels=3)
MEGABYTE = 2**20


def card(**changes):
    return Card(**{"model": "pix2pix", "source": COLOUR, "target": COLOUR, "size": 16, "settings": SMALL} | changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file, never trained."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    own = MODELS["pix2pix"].settings_class.make(SMALL)
    save_model(path, build("pix2pix", own, source=COLOUR, target=COLOUR, size=16), card())
    return path


@contextlib.contextmanager
def sparing() -> Iterator[None]:
    """The block takes at most 200 MB more than there was before, and 2 s of a processor."""

    def most() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform != "darwin" else 1024)

    before, begin = most(), time.process_time()
    yield
    assert most() - before < 200 * 1024
    assert time.process_time() - begin < 2


@pytest.fixture
def frugal() -> Iterator[None]:
    """The test is refused what it asks for within little memory and time."""
    with sparing():
        yield


def test_every_sign_that_a_terminal_may_obey_is_shown():
    for sign in map(chr, itertools.chain(range(0x3000), range(0xFE00, 0x10000), range(0xE0000, 0xE0080))):
        control = unicodedata.category(sign) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(sign) in (
            *("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"),
        )
        shown = visible(f"a{sign}b")
        assert shown.isprintable() or shown == f"a{sign}b"
        assert (sign not in shown) or not control
        assert sign in '"\\' or json.loads(f'"{shown}"') == f"a{sign}b"  # what it was can be read off


@pytest.mark.parametrize("text", ["Straße", "日本", "a\u200d\U0001f469\u200d\U0001f4bb", "می\u200cخواهم", "x y", "é"])
def test_words_of_any_language_stay(text):
    assert visible(text) == text


def test_a_voice_writes_lines_and_bars_and_nothing_else():
    stream = io.StringIO()
    voice = SafeStream(stream)
    for text in (f"a{SIGNS}\n", "\r 50%|##  |", "\x1b[A\x1b[A", "a\rb", "\udc9b"):
        voice.write(text)
    assert stream.getvalue() == (
        "a\\u001b[31m\\u009b2J\\u0007\\u202e\\u2066\\u007f\\u2028\n\r 50%|##  |\x1b[A\x1b[Aa\\u000db\\udc9b"
    )


@pytest.mark.parametrize(
    "text",
    ["[" * 1000 + "]" * 1000, '{"a":' * 1000 + "1" + "}" * 1000, "[" * 10**6, "[0" + ",0" * 10**6 + "]", '"' * 10**7],
)
def test_json_beyond_the_limits_takes_no_memory(text, frugal):
    for read in (parsed, lambda text: checked(dict[str, int], text)):
        with pytest.raises(ValueError, match=r"nested|values"):
            read(text)


@pytest.mark.parametrize("text", ["", "nul", "[1,", '{"a" 1}', "1e", "9" * 5000, "\x00", '"\x1b"'])
def test_what_is_no_json_is_one_line(text):
    with pytest.raises(ValueError, match="JSON") as caught:
        parsed(text)
    assert "\n" not in str(caught.value)


def test_json_within_the_limits_is_what_json_says():
    deep: object = 1
    for _ in range(NESTED):
        deep = [deep]
    for value in (deep, {"a\\": '[{"\\"}]', "b": [1.5, None, True]}, ['\\"[[[[' * 1000], "[" * 1000):
        assert parsed(json.dumps(value)) == value


def test_long_values_are_cut():
    assert len(brief("x" * 10**6)) < 200
    assert len(brief([1] * 1000)) < 200


@pytest.mark.parametrize(
    ("name", "chosen", "field"),
    [
        (name, chosen, field)
        for name, cls in MODELS.items()
        for chosen, settings in (
            ({}, cls.settings_class),
            *(({part.choice: part.names[0]}, part.settings) for part in cls.settings_class.alternatives()),
        )
        for field, info in settings.model_fields.items()
        if info.annotation in (int, int | None)
    ],
    ids=str,
)
def test_no_setting_of_a_file_makes_a_network_without_end(name, chosen, field, frugal):
    """As the fields say by themselves: so also of a setting that is added."""
    kind = card(model=name, settings=chosen | {field: 10**9})
    with pytest.raises(ValueError, match=f"--{field.replace('_', '-')} got 1000000000"):
        load_for_inference(kind, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 10**9}, "size got"),
        ({"scale": 10**6}, "scale got"),
        ({"step": -1}, "step got"),
        ({"source": {"channels": 10**9}}, "source.channels got"),
        ({"target": {"channels": 3, "low": 1e308}}, "value range"),
        ({"target": {"channels": 3, "high": "255"}}, "target.high got"),
        ({"conditions": {"z": 10**9}}, "conditions.z got"),
        ({"conditions": {"text": {"tokenizer": "{}", "length": 4, "vocabulary": 10**9}}}, "vocabulary got"),
        ({"conditions": {"labels": ["a"] * 10**5}}, "do not fit"),  # a large model, but for the weights
        ({"footprint": {"stride": 0}}, "stride got"),
        ({"run": {"direction": "up"}}, "direction got"),
        ({"settings": [["width", 4]]}, "settings got"),
        ({"settings": {"width": [[[[4]]]]}}, "--width got"),
        ({"scale": 2}, "scale 2 in the description"),
        ({"reversible": True}, "reversible in the description"),
    ],
)
def test_absurd_cards_name_file_and_field(model, tmp_path, frugal, change, said):
    from safetensors.torch import load_file, save_file

    text = json.dumps(json.loads(card().to_metadata()["translate"]) | change)
    file = tmp_path / "m.safetensors"
    save_file(load_file(model), file, metadata={"translate": text})
    with pytest.raises(ValueError, match=r"m\.safetensors: ") as caught:
        load(file, device="cpu")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_swell_are_refused_before_they_do(tmp_path):
    with gzip.open(tmp_path / "pictures.json.gz", "wb") as file:
        file.writelines([b'{"a": "', *itertools.repeat(bytes(MEGABYTE), 250), b'"}'])
    torch.save({"step": 1, "model": {"w": torch.zeros(1).expand(10**9)}}, tmp_path / "view")
    shared: list[object] = ["x"] * 10
    for _ in range(12):
        shared = [shared] * 10  # a thousand billion, to whoever walks through it
    torch.save({"step": 1, "model": {}, "more": shared}, tmp_path / "deep")
    torch.save({"step": 1, "model": {}}, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(tmp_path / "packed", "w", 8) as packed:
        for part in whole.namelist():
            packed.writestr(part, whole.read(part))
        with packed.open(f"{part.split('/')[0]}/data/0", "w") as large:
            large.writelines(itertools.repeat(bytes(MEGABYTE), 250))
    with sparing():
        assert read_contents(tmp_path / "pictures.json.gz") is None
        for name in ("view", "deep", "packed"):
            for read in (load_state, read_state):
                with pytest.raises(ValueError, match=name):
                    read(tmp_path / name)


def test_a_header_of_a_million_tensors_takes_no_memory(tmp_path, frugal):
    file = tmp_path / "model.safetensors"
    header = b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}' + b',"":[]' * 10**6 + b"}"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    for read in (read_card, load_tensors):
        with pytest.raises(ValueError, match=r"model\.safetensors: .*more than 200,000 values"):
            read(file)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_cut_file_of_weights_is_named_wherever_it_is_cut(tmp_path, legacy):
    file = tmp_path / "latest_net_G.pth"
    torch.save({"a": torch.zeros(64), "b": torch.ones(3)}, file, _use_new_zipfile_serialization=not legacy)
    data = file.read_bytes()
    for end in range(0, len(data) - 1, 23):
        file.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"latest_net_G\.pth"):
            read_state(file)


def test_names_of_files_reach_the_terminal_as_one_line(model, tmp_path, capsys):
    name = f"x{SIGNS}\ntranslate: all is well.png"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "good.png")
    assert main(["convert", str(model), str(tmp_path / "in"), str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert main(["convert", str(model), str(tmp_path / "in" / name), str(tmp_path / "one.png")]) in (1, 2)
    assert main(["train", "pix2pix", "--data", str(tmp_path / "in"), "--derive", "gray", "--strict"]) == 2
    assert main(["train", f"pix{SIGNS}\nx", "--data", "x"]) == 2
    said = capsys.readouterr()
    lines = (said.out + said.err).split("\n")
    assert not any(sign in said.out + said.err for sign in SIGNS if not sign.isprintable())
    assert not any(line.startswith("translate: all is well") for line in lines)
    assert sum("all is well.png" in line for line in lines) >= 3


def test_a_newer_run_is_told_from_a_damaged_one(tmp_path):
    folder = RunFolder(tmp_path)
    spec = {"channels": 3}
    parts = {"model": "pix2pix", "settings": {}, "source": spec, "target": spec, "data": {"fingerprint": "x"}}
    folder.write_config(parts | {"format": 99, "source": "a new kind"})
    with pytest.raises(ValueError, match="newer version"):
        folder.read_config()
    folder.write_config(parts | {"source": "a new kind"})
    with pytest.raises(ValueError, match=r"config\.json is damaged: source got 'a new kind'"):
        folder.read_config()
