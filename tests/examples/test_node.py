"""The Node.js client of the documents gives the pixels that PyTorch gives."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import ASKED, CONDITIONED, MODELS, Exported, differences, pixels, sentences, suited
from tests.examples.odd import ODD, Save
from translate.conditions import tokenizer
from translate.images import read, to_spec, write

Client = Callable[[str], Path]


def run(node: str, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [node, folder / "translate.mjs", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_same_pixels(
    name: str, node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    exported, t = models[name]
    for picture in pictures:
        suitable = suited(picture, name, tmp_path)
        done = run(node, client("node"), exported, suitable, tmp_path / "out.png")
        assert done.returncode == 0, done.stderr
        assert differences(pixels(tmp_path / "out.png"), t, suitable).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(33, 47, 1), (33, 47, 3)])
def test_files_of_16_bits_are_read_whole(
    shape: tuple[int, ...], node: str, client: Client, models: Exported, tmp_path: Path
) -> None:
    exported, t = models["16 bits"]
    write(tmp_path / "deep.png", np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16))
    done = run(node, client("node"), exported, tmp_path / "deep.png", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    made = pixels(tmp_path / "out.png")
    assert made.dtype == np.uint16
    assert differences(made, t, tmp_path / "deep.png").max() <= 1 / 16


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_labels_words_and_codes(
    asked: dict[str, Any], node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    exported, t = models[CONDITIONED]
    words = [f"--{name}={v if isinstance(v, str) else ','.join(map(str, v))}" for name, v in asked.items()]
    done = run(node, client("node"), exported, pictures[-1], tmp_path / "out.png", *words)
    assert done.returncode == 0, done.stderr
    assert differences(pixels(tmp_path / "out.png"), t, pictures[-1], **asked).max() <= 1


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        pytest.param("colour", ["--label", "wood"], "has no input label", marks=pytest.mark.slow),
        (CONDITIONED, ["--label", "glass"], "knows no label"),
        (CONDITIONED, ["--z", "1"], "takes 2 finite numbers"),
        (CONDITIONED, ["--z", "1,x"], "takes 2 finite numbers"),
    ],
)
def test_what_a_model_does_not_know_is_told(
    name: str,
    words: list[str],
    message: str,
    node: str,
    client: Client,
    models: Exported,
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    done = run(node, client("node"), models[name][0], pictures[-1], tmp_path / "out.png", *words)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_the_numbers_of_words_are_those_of_python(node: str, client: Client, tmp_path: Path) -> None:
    """By the same JSON, in another library: whatever the letters are."""
    texts = [
        *(
            "a red door",
            "  A   RED\tdoor\n",
            "\u00c9t\u00e9 \ufb01ne \u2460",
            "\u6f22\u5b57 \u304b\u306a",
            "\U0001f600 smile",
        ),
        *(
            "don't we'll I'm",
            "the filling",
            "cafe\u0301",
            "\u0130stanbul \u00df \u03a3\u03c2",
            "a\u00a0b\u200bc\u3000d",
            "x" * 99,
        ),
        *("1,234.5%", "<|endoftext|>", "\u1e9e \u212b", "a\u0085b\u001cc", "door.door!door", ""),
    ]
    text = sentences()
    job = {"tokenizer": text.tokenizer, "texts": texts}
    (tmp_path / "job.json").write_text(json.dumps(job))
    script = (
        'import { Tokenizer } from "@huggingface/tokenizers";\nimport { readFileSync } from "node:fs";\n'
        "const { tokenizer, texts } = JSON.parse(readFileSync(process.env.JOB));\n"
        "const made = new Tokenizer(JSON.parse(tokenizer), {});\n"
        "console.log(JSON.stringify(texts.map((text) => made.encode(text).ids)));\n"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-e", script],
        cwd=client("node"),
        env=os.environ | {"JOB": str(tmp_path / "job.json")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [tokenizer(text.tokenizer).encode(one).ids for one in texts]


@pytest.mark.slow
@pytest.mark.parametrize(("save", "matters"), ODD.values(), ids=ODD)
def test_pictures_are_what_they_look_like(
    save: Save, matters: bool, node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    """As the camera noted, on white and in sRGB, as in training. Colour engines round differently here and there."""
    exported, t = models["colour"]
    save(Image.fromarray(pixels(pictures[-1])), tmp_path / "odd.png")
    expected = t(to_spec(read(tmp_path / "odd.png"), t.card.taken, name="odd.png")).astype(int)
    done = run(node, client("node"), exported, tmp_path / "odd.png", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    made = pixels(tmp_path / "out.png")
    assert made.shape == expected.shape
    assert np.abs(made - expected).mean() < 0.5
    with Image.open(tmp_path / "odd.png") as image:
        naive = t(np.asarray(image.convert("RGB")))
    assert matters == (naive.shape != expected.shape or np.abs(naive - expected).mean() > 2)
