"""What runs the clients in `examples/`: their packages from npm, models, and pictures."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.export.conftest import make_card, make_spec, save_model
from translate.export.verify import textured
from translate.inference.translator import Translator, load

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT.parent / "shared" / "data" / "horse2zebra" / "testA"

SMALL = {"width": 4, "discriminator_width": 4, "patch": 16, "batch": 1}
MODELS = {
    "colour": (3, {"generator": "resnet", "norm": "instance", "blocks": 2, "downsample": "antialiased"}),
    "gray": (1, {"generator": "unet", "norm": "batch", "depth": 3, "upsample": "resize"}),
}
"""What a client may meet -> channels of the target, and settings that call for different operations."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Translator]]:
    """Exported files of colour pictures, and what they were made from."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, (channels, settings) in MODELS.items():
        card = make_card(make_spec(3), make_spec(channels), settings={**SMALL, **settings})
        t = load(save_model(folder / f"{name}.safetensors", card), device="cpu")
        t.export(folder / f"{name}.onnx")
        made[name] = folder / f"{name}.onnx", t
    return made


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """PNG files of odd sizes: two real photos where there are some, and one that is textured."""
    folder = tmp_path_factory.mktemp("pictures")
    found = [pixels(path)[: 201 + n, :177, :3] for n, path in enumerate(sorted(PHOTOS.glob("*.jpg"))[:2])]
    found.append(textured(np.random.default_rng(0), make_spec(3), (1, 61, 90))[0])
    for number, picture in enumerate(found):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs JavaScript, where there is one."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not on this machine")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"the clients are for Node.js 20 and newer, and this is {version}")
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
        pytest.skip("npm is not on this machine")
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
            pytest.skip(f"the packages of examples/{name} could not be installed in 180 s")
        if done.returncode:
            pytest.skip(f"the packages of examples/{name} could not be installed: {done.stderr.strip()[-300:]}")
        with contextlib.suppress(OSError):  # another process of the tests was faster
            (Path(here) / "node_modules").rename(folder / "node_modules")
    assert (folder / "node_modules").is_dir()
    return folder


def pixels(path: Path) -> np.ndarray:
    """`[H, W, C]` of a file, or `[H, W]` of a gray one."""
    with Image.open(path) as image:
        return np.asarray(image)


def differences(made: np.ndarray, t: Translator, picture: Path) -> np.ndarray:
    """Of a client's pixels and PyTorch's, which have to vary or nothing is shown."""
    expected = t(pixels(picture)).astype(int).reshape(made.shape)
    assert expected.std() > 10
    return np.abs(made.astype(int) - expected)
