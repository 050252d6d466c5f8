"""The command line: what is right ends in one call, what is wrong in one line, exit code 2 and nothing written."""

import json
import re
import shutil
import signal
import time

import pytest
from PIL import Image

from tests.parts import slow_but
from tests.warm import translate
from translate.cli import main, normalised
from translate.help import describe, rows
from translate.inference.listing import RECORD
from translate.models import MODELS, model_class
from translate.settings import DataSettings, RunSettings
from translate.version import __version__

TINY = ["--size", "32", "--width", "4", "--discriminator-width", "4", "--patch", "16", "--steps", "2", "--samples", "1"]


def run_quietly(words, capsys):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def trained(fronts, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "pix2pix", "--data", str(fronts), "--out", str(out), *TINY]) == 0
    return out


def test_train_convert_and_info(trained, fronts, tmp_path, capsys):
    assert (trained / "model.safetensors").is_file()
    code, out, _ = run_quietly(["convert", trained, fronts / "test", tmp_path / "out", "--format", "png"], capsys)
    assert code == 0
    assert "3 " in out
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 3
    code, out, _ = run_quietly(["info", trained], capsys)
    assert code == 0
    assert out.startswith("pix2pix, ")
    for told in ("l1 ", "fingerprint", "train 12", "torch ", "width 4", "3 channels, 8 bits"):
        assert told in out
    card = json.loads(run_quietly(["info", trained, "--json"], capsys)[1])
    assert card["model"] == "pix2pix"
    assert card["settings"]["width"] == 4
    assert card["data"]["train"] == 12


def test_resume_needs_no_other_flag(trained, capsys):
    code, _, err = run_quietly(["train", "--resume", trained], capsys)
    assert code == 2
    assert "give more --steps" in err
    assert run_quietly(["train", "--resume", trained, "--steps=3"], capsys)[0] == 0
    code, _, err = run_quietly(["train", "--resume", trained, "--norm", "instance"], capsys)
    assert code == 2
    assert "--norm cannot change" in err


def test_unreadable_inputs_give_exit_code_one_and_the_rest_is_done(trained, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"not a picture")
    code, out, err = run_quietly(["convert", trained, tmp_path / "in", tmp_path / "out"], capsys)
    assert code == 1
    assert "bad.png" in out + err
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["good.png"]


WRONG = [
    (["train", "pix2pix", "--data", "DATA", "--epchs", "3"], '--epchs.*did you mean "--epochs"'),
    (["train", "pix2pix", "--data", "DATA", "--steps"], "--steps needs a value"),
    (["train", "pix2pix", "--data", "DATA", "--balance-l1", "1"], "--balance-l1 weighs classes.*--source-kind labels"),
    (["train", "pix2pix", "--data", "DATA", "--out", "--steps", "3"], "--out needs a value"),
    (["train", "pix2pix", "--data", "DATA", "--steps", "3", "--steps", "4"], "--steps is given twice"),
    (["train", "pix2pix", "--data", "DATA", "--load-size=300", "--load_size=310"], "--load-size is given twice"),
    (["train", "pix2pix", "--data", "DATA", "--steps", "many"], "--steps got 'many'.*integer"),
    (["train", "pix2pix", "--data", "DATA", "--steps", "0"], "--steps got '0'.*greater than or equal to 1"),
    (["train", "pix2pix", "--data", "DATA", "--steps", "1e3"], "--steps got '1e3'"),
    (["train", "pix2pix", "--data", "DATA", "--lr=-1"], "--lr got '-1'.*greater than 0"),
    (["train", "pix2pix", "--data", "DATA", "--lr", "inf"], "--lr got 'inf'.*finite"),
    (["train", "pix2pix", "--data", "DATA", "--seed", "99999999999"], "--seed got.*less than"),
    (["train", "pix2pix", "--data="], "--data got ''.*needs a value"),
    (["train", "pix2pix", "--data", "DATA", "--fit", "cover", "--cache", "disk"], "--cache disk needs --fit stretch"),
    (["train", "pix2pix", "--data", "DATA", "--fit", "none", "--load-size", "64"], "--load-size does not go with"),
    (
        ["train", "pix2pix", "--data", "DATA", "--norm", "group", "--inference-norm", "image"],
        "--inference-norm image is for --norm batch, not for group",
    ),
    (["train", "pix2pix", "--data", "DATA", "--norm", "bach"], "--norm got 'bach'.*'batch', 'instance'"),
    (["train", "pix2pix", "--data", "DATA", "--patch", "71"], "--patch got '71'.*70"),
    (["train", "pix2pix", "--data", "DATA", "--strict", "perhaps"], "--strict got 'perhaps'"),
    (["train", "pix2pix", "--data", "DATA", "--size", "16"], "at least 24 pixels"),
    (["train", "pix2pix", "--data", "DATA", "--generator", "resnot"], 'generator is called "resnot".*unet'),
    (["train", "pix2pix", "--data", "DATA", "--layout", "sideways"], "--layout sideways"),
    (["train", "pix2pix", "--data", "DATA", "--device", "tpu"], 'no device "tpu"'),
    (["train", "pix2pix", "--data", "DATA", "extra"], "unexpected extra"),
    (["train", "pix2pix", "--data", "DATA", "-o", "x"], "unexpected -o"),
    (["train", "pix2pix", "--data", "DATA", "--", "--help-me"], "unexpected --"),
    (["train", "pix2pix", "--data", "no/such/folder"], "--data: no folder no/such/folder"),
    (["train", "pix2pix"], "no pictures given"),
    (["train", "pix2pix", "--data", "DATA", "--source", "DATA"], "not both"),
    (["train"], "missing MODEL"),
    (["train", "pix3pix", "--data", "DATA"], '"pix3pix".*did you mean "pix2pix"'),
    (["train", "pix2pix", "--data", "DATA", "--init-from", "nothing"], "--init-from: no file"),
    (["train", "pix2pix", "--config", "nothing.json"], "--config: no file nothing.json"),
    (["train", "--resume", "DATA"], "is not a run folder"),
    (["train", "pix2pix", "--resume", "DATA"], "leave out the model"),
    (["convert", "no-model", "DATA", "out"], "no-model: no such model"),
    (["convert", "DATA", "DATA", "out"], "without model.safetensors"),
    (["convert", "RUN", "no-input", "out"], "no-input: no such file"),
    (["convert", "RUN", "DATA"], "missing OUT"),
    (["convert", "RUN", "DATA", "out", "--qualty", "90"], '--qualty.*did you mean "--quality"'),
    (["convert", "RUN", "DATA", "out", "--format", "xyz"], "--format"),
    (["info"], "missing MODEL"),
    (["models", "--all"], "takes no flag --all"),
    (["demo", "--stepps", "3"], '--stepps.*did you mean "--steps"'),
    (["demo", "--out", "DATA"], "--out .* is in use"),
    (["demo", "--device", "tpu"], 'no device "tpu"'),
    (["train", "pix2pix", "--data", "DATA", "--out", "RUN/config.json/x"], "--out .*config.json is no folder"),
    (["tran"], '"tran".*did you mean "train"'),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_words_end_in_one_line_and_write_nothing(words, message, fronts, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("DATA", str(fronts)).replace("RUN", str(trained)) for word in words]
    code, _, err = run_quietly(words, capsys)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("translate:")]
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in err


def test_settings_from_a_file_and_flags_over_them(fronts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(
        f'model = "pix2pix"\ndata = "{fronts}"\nsize = 32\nwidth = 4\npatch = 16\nsteps = 5\nout = "one"\n'
    )
    assert main(["train", "--config", "small.toml", "--steps", "1"]) == 0
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert config["settings"]["steps"] == 1
    assert config["settings"]["width"] == 4
    assert main(["train", "--config", "one/config.json", "--out", "two"]) == 0
    again = json.loads((tmp_path / "two" / "config.json").read_text())
    assert again["settings"] | {"out": "one"} == config["settings"]
    (tmp_path / "bad.json").write_text('{"widht": 3}')
    capsys.readouterr()
    code, _, err = run_quietly(["train", "pix2pix", "--config", "bad.json"], capsys)
    assert code == 2
    assert '--widht (did you mean "--width")' in err.replace("?)", ")")
    for text in ('{"model": 3, "size": 32}', '{"settings": 3}'):
        (tmp_path / "bad.json").write_text(text)
        code, _, err = run_quietly(["train", "--config", "bad.json"], capsys)
        assert (code, "bad.json: the model is a text" in err) == (2, True)


@pytest.mark.parametrize("name", MODELS)
def test_help_lists_every_field_with_its_default(name, capsys):
    code, out, _ = run_quietly(["train", name, "--help-all"], capsys)
    assert code == 0
    for cls in (model_class(name).settings_class, DataSettings, RunSettings):
        for field in cls.every_field():
            assert f"--{field.replace('_', '-')} " in out
    assert f"[{model_class(name).settings_class.model_fields['lr'].default}]" in out


@pytest.mark.parametrize("cls", [*(m.settings_class for m in MODELS.values()), DataSettings, RunSettings])
def test_every_setting_has_a_description(cls):
    assert all(field.description for field in cls.every_field().values())
    assert describe([("x", rows(cls))], width=80)


@pytest.mark.parametrize(
    "words", [["--help"], [], ["train", "--help"], ["convert", "--help"], ["demo", "-h"], ["info", "--help"]]
)
def test_help_of_each_command(words, capsys):
    code, out, _ = run_quietly(words, capsys)
    assert code == 0
    assert "translate" in out


def test_version(capsys):
    assert run_quietly(["--version"], capsys)[:2] == (0, f"translate {__version__}\n")


def test_models_names_models_layouts_and_derivations(capsys):
    code, out, _ = run_quietly(["models"], capsys)
    assert code == 0
    for name in ("pix2pix", "side-by-side", "metadata", "edges"):
        assert f"  {name} " in out


def test_flags_are_spelled_either_way():
    words = ["train", "--load-size", "3", "--flip=false", "--strict", "--rotate", "-5"]
    assert normalised(words) == ["train", "--load_size=3", "--flip=false", "--strict=\0", "--rotate=-5"]


def test_ctrl_c_anywhere_is_a_line_that_says_something(monkeypatch, capsys):
    def pressed(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("translate.cli._parse", pressed)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "translate: stopped\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    import translate.training.run

    def broken(*args, **kwargs):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(translate.training.run, "train", broken)
    monkeypatch.setattr("translate.cli._parse", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["models"])


@pytest.mark.parametrize("number", slow_but([signal.SIGINT], [signal.SIGINT, signal.SIGTERM]))
def test_a_signal_saves_and_says_how_to_go_on(fronts, tmp_path, number):
    out = tmp_path / "run"
    words = ["train", "pix2pix", "--data", str(fronts), "--out", str(out), *TINY, "--checkpoint-every", "1000000"]
    words[words.index("--steps") + 1] = "1000000"
    process = translate(*words, "--log-every", "1", new=number == signal.SIGINT)
    for _ in range(600):
        if (out / "metrics.jsonl").is_file():
            break
        time.sleep(0.1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"translate train --resume {out}" in stdout
    assert "Traceback" not in stderr
    (checkpoint,) = (out / "checkpoints").iterdir()
    assert int(checkpoint.stem.split("-")[1]) == len((out / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    "number",
    slow_but([signal.SIGINT], [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]),
)
def test_a_signal_stops_a_conversion_in_one_line_and_the_same_command_continues(trained, tmp_path, capsys, number):
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    Image.effect_noise((200, 200), 60).save(tmp_path / "in" / "000.png")
    for n in range(1, 300):
        shutil.copyfile(tmp_path / "in" / "000.png", tmp_path / "in" / f"{n:03}.png")
    words = ["convert", str(trained), str(tmp_path / "in"), str(out)]
    process = translate(*words, "--batch", "1", new=number == signal.SIGINT)
    for _ in range(6000):
        if out.is_dir() and len(list(out.glob("[0-9]*.png"))) > 3:
            break
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert stdout == ""
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert stderr == f"translate: stopped after {len(done)} of 300 pictures; the same command continues\n"
    assert 3 < len(done) < 300
    assert {path.name for path in out.glob(".*")} <= {RECORD}
    for n in range(300):  # all but a few, so as not to take long
        if f"{n:03}.png" not in done and n < 290:
            (tmp_path / "in" / f"{n:03}.png").unlink()
    code, stdout, _ = run_quietly(words, capsys)
    assert code == 0
    assert f"skipped {len(done)} pictures" in stdout
    assert {path.name for path in out.glob("[!.]*")} == {path.name for path in (tmp_path / "in").iterdir()}
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
