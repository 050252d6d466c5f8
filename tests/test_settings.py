"""Settings from files."""

from pathlib import Path

import pytest

from translate.cli import main
from translate.config import overridden, read_config


def test_names_in_a_file_may_be_written_as_flags_are(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text('model = "pix2pix"\nlambda-l1 = 10\nload_size = 30\n')
    assert read_config(path) == ("pix2pix", {"lambda_l1": 10, "load_size": 30})
    path.write_text("lambda-l1 = 10\nlambda_l1 = 30\n")
    with pytest.raises(ValueError, match=r"some\.toml: lambda-l1 and lambda_l1 are the same setting"):
        read_config(path)


@pytest.mark.parametrize(
    ("config", "flags", "together"),
    [
        ({"epochs": 5, "size": 64}, {"steps": 10}, {"size": 64, "steps": 10}),
        ({"steps": 5, "epochs": 200.0}, {"epochs": 3}, {"epochs": 3}),
        ({"steps": 5, "size": 64}, {"size": 32}, {"steps": 5, "size": 32}),
    ],
)
def test_a_flag_for_the_length_takes_the_place_of_the_other_in_a_file(config, flags, together):
    assert overridden(config, flags) == together


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width = 1000000000", "--width got 1000000000: must be less than or equal to 4096"),
        ('steps = "many"', "--steps got 'many': "),
        ("nothing = 1", "unknown flag --nothing"),
        ('"\\u001b[31m" = 1', r"unknown flag --\u001b[31m"),
        ('recipe = "none of ours"', "--recipe got 'none of ours': no recipe is called \"none of ours\""),
        ("width = " + "[" * 5000 + "]" * 5000, "this is no valid TOML: nested too deep"),
        ("width = 1" + "0" * 5000, "this is no valid TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.toml"
    path.write_text(text + "\n")
    assert main(["train", "pix2pix", "--config", str(path), "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"translate: --config {path}: {message}")
