"""Ways in that people try: names of other programs, switches, several inputs, pipes, configs of other kinds."""

from __future__ import annotations

import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from tests.export.conftest import make_card, save_model
from translate.arguments import flag_values, normalised
from translate.cli import COMMANDS, main
from translate.command_table import known_to_any
from translate.demo import DemoSettings
from translate.export.options import ExportSettings
from translate.fields import Settings
from translate.foreign_flags import FLAG, FOREIGN_FLAGS, unknown_flag
from translate.importing.options import ImportSettings
from translate.inference.options import ConvertSettings, LoadSettings
from translate.settings import DataSettings, RunSettings
from translate.training.evaluate import EvaluateSettings

EVERY = (LoadSettings, ConvertSettings, ExportSettings, ImportSettings, EvaluateSettings, DemoSettings)
BROUGHT = [
    "dataroot",
    "batch_size",
    "n_epochs",
    "n_epochs_decay",
    "gan_mode",
    "netG",
    "netD",
    "ngf",
    "ndf",
    "crop_size",
    "preprocess",
    "lambda_A",
    "lambda_B",
    "lambda_L1",
    "continue_train",
    "epoch",
    "gpu_ids",
    "name",
    "checkpoints_dir",
    "input_nc",
    "output_nc",
    "no_dropout",
    "which_direction",
    "model",
    "phase",
    "loadSize",
    "fineSize",
    "which_epoch",
    "which_model_netG",
    "no_lsgan",
    "niter",
    "niter_decay",
    "display_id",
    "print_freq",
    "pool_size",
    "num_threads",
    "netF",
    "eval",
    "serial_batches",
    "max_dataset_size",
    "init_type",
    "init_gain",
    "n_layers_D",
    "lr_policy",
    "lr_decay_iters",
    "epoch_count",
    "save_epoch_freq",
    "results_dir",
    "num_test",
    "aspect_ratio",
    "CUT_mode",
    "nce_idt",
    "num_patches",
    "nce_T",
    "dataset_mode",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    small = {"width": 4, "depth": 2, "discriminator_width": 4, "patch": 16}
    return save_model(tmp_path_factory.mktemp("doors") / "model.safetensors", make_card(settings=small))


@pytest.fixture
def photos(tmp_path):
    """photos/1.png, photos/2.jpg, photos/sub/3.png and other/1.png, 4.png; no two alike."""
    for number, name in enumerate(("photos/1.png", "photos/2.jpg", "photos/sub/3.png", "other/1.png", "other/4.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (12, 17, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def pictures(folder):
    return {name: data for name, data in files(folder).items() if not name.startswith(".")}


# names of other programs


def test_every_name_that_is_told_exists():
    known = {name for cls in EVERY for name in cls.model_fields} | known_to_any() | {"resume", "config"}
    for foreign, here in FOREIGN_FLAGS.items():
        assert foreign == foreign.lower()
        for found in FLAG.findall(here):
            assert found[2:].replace("-", "_") in known, f"{foreign}: {here}"
        for command in re.findall(r"`translate (\S+?)[ `]", here):
            assert command in COMMANDS, f"{foreign}: {here}"


@pytest.mark.parametrize("name", BROUGHT)
def test_a_name_of_the_reference_code_is_told_ours(name, capsys):
    code, _, err = run(capsys, "train", "pix2pix", f"--{name}", "x", "--data", ".")
    assert code == 2
    assert err.startswith(f"translate: unknown flag --{name}: here it is ")
    assert len(err.splitlines()) == 1


def test_all_unknown_names_are_told_at_once_and_before_a_missing_model(capsys):
    code, _, err = run(capsys, "train", "--dataroot", "x", "--model", "pix2pix", "--gpu_ids", "0", "--lambda_L1", "5")
    assert code == 2
    for told in ("--data FOLDER", "translate train MODEL", "--device", "--lambda-l1"):
        assert told in err


def test_a_name_that_nobody_knows_gets_the_closest():
    assert unknown_flag("widht", ["width", "depth"]) == 'unknown flag --widht (did you mean "--width"?)'
    assert "of `translate train`" in unknown_flag("ngf", ConvertSettings.model_fields)


# switches


@pytest.mark.parametrize(
    "name", [n for n in DataSettings.model_fields if DataSettings.model_fields[n].annotation is bool]
)
def test_every_switch_has_a_no(name):
    classes: list[type[Settings]] = [DataSettings, RunSettings]
    words = normalised([f"--no-{name.replace('_', '-')}", "word"], switches={name})
    assert words == [f"--no_{name}=\0", "word"]
    assert flag_values({f"no_{name}": "\0"}, classes) == {name: False}
    for flags in ({f"no_{name}": "true"}, {f"no_{name}": "\0", name: "true"}):
        with pytest.raises(ValueError, match=f"--no-{name.replace('_', '-')}"):
            flag_values(flags, classes)


def test_a_switch_does_not_eat_the_word_after_it(model, photos, capsys):
    code, _, err = run(capsys, "convert", model, "--no-recursive", "--overwrite", photos / "photos", photos / "out")
    assert (code, err) == (0, "")
    assert set(pictures(photos / "out")) == {"1.png", "2.jpg"}
    assert run(capsys, "convert", model, "--no-size", photos / "photos", photos / "out")[0] == 2


# several inputs


def test_several_inputs_are_what_a_shell_makes_of_a_pattern(model, photos, capsys):
    """The same files as of the folder that they lie in."""
    assert run(capsys, "convert", model, photos / "photos", photos / "whole")[0] == 0
    named = sorted((photos / "photos").iterdir())
    code, out, _ = run(capsys, "convert", model, *named, photos / "out")
    assert (code, "converted 3 pictures" in out) == (0, True)
    assert pictures(photos / "out") == pictures(photos / "whole")
    assert run(capsys, "convert", model, f"{photos}/photos/*", photos / "again")[0] == 0  # where no shell did it
    assert pictures(photos / "again") == pictures(photos / "whole")
    code, out, _ = run(capsys, "convert", model, *named, photos / "out")
    assert "skipped 3 pictures" in out


def test_pictures_of_several_places_lie_side_by_side(model, photos, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    assert run(capsys, "convert", model, "photos/1.png", "other/4.png", "out")[0] == 0
    assert set(pictures(photos / "out")) == {"1.png", "4.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["photos/1.png", "other/1.png", "out"], "photos/1.png and other/1.png would both become 1.png"),
        (["photos/2.jpg", "other/2.png", "out", "--format", "png"], "other/2.png: no such file"),
        (["photos/1.png", "photos/2.jpg", "other/4.png"], "other/4.png: this is a file"),
        (["photos/1.png", "photos/2.jpg", "new.png"], "new.png: named like a picture"),
        (["photos/1.png", "photos/2.jpg", "photos"], "would replace its own input"),
        (["photos/1.png", "other/4.png", "other"], "other holds one of the inputs"),
        (["photos/1.png", "photos/sub", "other", "out"], "folder among inputs from several places"),
        (["photos", "..", "out"], "goes by its name"),
        (["photos/1.png", "-", "out"], "- is standard input, which is one picture"),
        (["photos/1.png", "photos/2.jpg", "-"], "standard output takes one picture"),
        (["photos", "-"], "a folder cannot go to standard output"),
        (["photos/1.png", "-", "--samples", "2"], "--samples makes several outputs"),
    ],
)
def test_inputs_that_cannot_go_together_are_one_line_and_nothing_is_written(
    words, message, model, photos, capsys, monkeypatch
):
    monkeypatch.chdir(photos)
    before = files(photos)
    code, _, err = run(capsys, "convert", model, *words)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert files(photos) == before


# standard input and output


class Stream(io.TextIOWrapper):
    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data))


@pytest.mark.parametrize("name", ["1.png", "2.jpg"])
def test_a_picture_from_standard_input_to_standard_output(name, model, photos, capsys, monkeypatch):
    assert run(capsys, "convert", model, photos / "photos", photos / "out")[0] == 0
    expected = (photos / "out" / name).read_bytes()
    given, taken = Stream((photos / "photos" / name).read_bytes()), Stream()
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", taken)
    assert main(["convert", str(model), "-", "-"]) == 0
    assert taken.buffer.getvalue() == expected
    assert "converted 1 picture into standard output" in capsys.readouterr().err
    taken.buffer.truncate(0)
    taken.buffer.seek(0)
    assert main(["convert", str(model), str(photos / "photos" / name), "-"]) == 0
    assert taken.buffer.getvalue() == expected
    given.buffer.seek(0)
    assert main(["convert", str(model), "-", str(photos / f"one{name[1:]}")]) == 0
    assert (photos / f"one{name[1:]}").read_bytes() == expected


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("data", "out", "code", "message"),
    [
        (b"", Stream(), 1, "standard input: the file is empty"),
        (b"not a picture", Stream(), 1, "standard input: not a picture"),
        (None, Stream(), 2, "standard input is closed"),
        (b"PICTURE", None, 2, "standard output is closed"),
        (b"PICTURE", io.TextIOWrapper(Full()), 1, "standard output: cannot be written to: No space left"),
        (bytes(20 * 2**20), Stream(), 2, "more bytes than a picture"),
    ],
)
def test_streams_that_fail_are_a_line(data, out, code, message, model, photos, monkeypatch, capsys):
    monkeypatch.setattr("translate.inference.stream.MAX_METADATA_BYTES", 2**20)
    data = (photos / "photos" / "1.png").read_bytes() if data == b"PICTURE" else data
    monkeypatch.setattr(sys, "stdin", None if data is None else Stream(data))
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["convert", str(model), "-", "-", "--max-pixels", "10000"]) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert out is None or isinstance(out.buffer, Full) or out.buffer.getvalue() == b""


# configs


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "lr: 1\nsize: 32\n"), ("a.YML", "- a\n"), ("a.cfg", "lr = 1")])
def test_a_config_of_another_kind_is_told_which_are_read(name, text, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    code, _, err = run(capsys, "train", "pix2pix", "--config", tmp_path / name)
    assert code == 2
    assert name in err
    assert "TOML" in err
    assert "JSON" in err


@pytest.mark.parametrize("words", [[], ["pix2pix"]])
def test_a_config_whose_names_are_all_unknown_names_them(words, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps({"netG": "unet_256", "widht": 3, "zzz": 1}))
    code, _, err = run(capsys, "train", *words, "--config", tmp_path / "a.json")
    assert code == 2
    for told in ("a.json", "--netG: here it is --generator", '--widht (did you mean "--width"?)', "--zzz"):
        assert told in err
