"""What runs the clients in `examples/`: their packages from npm, models, and pictures."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from tests.conditioned import LABELS, SHIFTED, save_conditioned
from tests.export.conftest import make_card, make_spec, save_model
from translate.conditions import Conditions, TextInput
from translate.datasets.preparation.vocabulary import learn_tokenizer
from translate.export.verify import textured
from translate.images import ImageSpec, change_depth, read
from translate.inference.translator import Translator, load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "horse2zebra" / "testA"

SMALL = {"width": 4, "discriminator_width": 4, "patch": 16, "batch": 1}
RESNET = {"generator": "resnet", "norm": "instance", "blocks": 2, "downsample": "antialiased"}
UNET = {"generator": "unet", "norm": "batch", "depth": 3, "upsample": "resize"}
PALETTE = ((0, 0, 0), (200, 30, 30), (30, 200, 90), (255, 255, 255))
MODELS: dict[str, tuple[ImageSpec, ImageSpec, dict[str, Any]]] = {
    "colour": (make_spec(3), make_spec(3), RESNET),
    "gray": (make_spec(3), make_spec(1), UNET),
    "16 bits": (make_spec(1, "uint16"), make_spec(3, "uint16"), UNET),
    "gray to gray": (make_spec(1), make_spec(1, "uint16"), UNET),
    "labels": (make_spec(3, kind="labels", palette=PALETTE, one_hot=True), make_spec(3), UNET),
}
"""What a client may meet: pictures in and out, and settings that call for different operations."""

CONDITIONED = "conditioned"  # one more, by all that there is
ASKED: tuple[dict[str, Any], ...] = (
    {},
    {"label": "wood"},
    {"text": " A  green door"},
    {"z": (0.5, -1.25)},
    {"label": "brick", "text": "a red \u00e9 door that is longer than four words", "z": (2.0, 0.0)},
)


def sentences() -> TextInput:
    """A tokenizer as training learns it, of few sentences."""
    text = learn_tokenizer(["a red door", "a green door", "a two-storey house, don't you think?"] * 2, vocabulary=300)
    return TextInput(tokenizer=text, length=12, vocabulary=300)


class Exported(Mapping[str, tuple[Path, Translator]]):
    """The models by name: the exported file, and what it was made from. Each is made when a test asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[Path, Translator]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter((*MODELS, CONDITIONED))

    def __len__(self) -> int:
        return len(MODELS) + 1

    def __getitem__(self, name: str) -> tuple[Path, Translator]:
        if name not in self._made:
            t = load(self._save(name), device="cpu", allow=SHIFTED)
            t.export(self._folder / f"{name}.onnx")
            self._made[name] = self._folder / f"{name}.onnx", t
        return self._made[name]

    def _save(self, name: str) -> Path:
        file = self._folder / f"{name}.safetensors"
        if name == CONDITIONED:
            return save_conditioned(file, Conditions(labels=LABELS, text=sentences(), z=2))
        source, target, settings = MODELS[name]
        return save_model(file, make_card(source, target, settings={**SMALL, **settings}))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("models"))


def suited(picture: Path, name: str, folder: Path) -> Path:
    """The picture as a model of `MODELS` was trained on such: one of labels in the colours of its palette."""
    if name != "labels":
        return picture
    classes = pixels(picture).astype(int).sum(-1) // 64 % len(PALETTE)
    Image.fromarray(np.array(PALETTE, np.uint8)[classes]).save(folder / f"labels-{picture.name}")
    return folder / f"labels-{picture.name}"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """PNG files of odd sizes: two real photos where there are some, and one that is textured."""
    folder = tmp_path_factory.mktemp("pictures")
    found = [pixels(path)[: 201 + n, :177, :3] for n, path in enumerate(sorted(PHOTOS.glob("*.jpg"))[:2])]
    found.append(textured(np.random.default_rng(0), make_spec(3), (1, 61, 90))[0])
    for number, picture in enumerate(found):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def missing(what: str) -> NoReturn:
    """A test that cannot run here is skipped; on CI, which has said that it can, it fails."""
    if os.environ.get("TRANSLATE_CLIENTS") == "required":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs JavaScript, where there is one."""
    found = shutil.which("node")
    if found is None:
        missing("Node.js is not on this machine")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        missing(f"the clients are for Node.js 20 and newer, and this is {version}")
    return found


@pytest.fixture(scope="session")
def client() -> Callable[[str], Path]:
    """The folder of a client in `examples/` with its packages, which are installed if they are not."""
    return _installed


def _installed(name: str) -> Path:
    folder = ROOT / "examples" / name
    if (folder / "node_modules").is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not on this machine")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".node_modules-") as here:
        for file in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(folder / file, here)
        try:
            done = subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund"],
                cwd=here,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        except subprocess.TimeoutExpired:
            missing(f"the packages of examples/{name} could not be installed in 180 s")
        if done.returncode:
            missing(f"the packages of examples/{name} could not be installed: {done.stderr.strip()[-300:]}")
        with contextlib.suppress(OSError):  # another process of the tests was faster
            (Path(here) / "node_modules").rename(folder / "node_modules")
    assert (folder / "node_modules").is_dir()
    return folder


def pixels(path: Path) -> np.ndarray:
    """`[H, W, C]` of a file, or `[H, W]` of a gray one, at its depth."""
    found = read(path).pixels
    return found[..., 0] if found.shape[2] == 1 else found


def differences(made: np.ndarray, t: Translator, picture: Path, **asked: Any) -> np.ndarray:
    """Of a client's pixels and PyTorch's in levels of 255; they have to vary or nothing is shown.

    A client's 8 bits are compared with the 8 bits of PyTorch's 16.
    """
    expected = t(pixels(picture), **asked)
    expected = expected[..., 0] if expected.ndim > made.ndim else expected
    if made.dtype == np.uint8:
        expected = change_depth(expected, "uint8")
    assert made.shape == expected.shape
    assert made.dtype == expected.dtype
    step = 257 if made.dtype == np.uint16 else 1
    assert expected.astype(float).std() / step > 5
    return np.abs(made.astype(float) - expected.astype(float)) / step
