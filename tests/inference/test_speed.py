"""`--speed exact|fast`: what it stands for, how far `fast` is from `exact`, and what is told where it cannot be."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.inference.conftest import make_card, spec
from tests.inference.test_torch_backend import save_model
from translate import devices
from translate.cli import main
from translate.houses import draw, sample_house
from translate.images import ImageSpec
from translate.inference.listing import RECORD
from translate.inference.options import LoadSettings
from translate.inference.speed import LEAST_PSNR, choose
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import load
from translate.networks.resnet import ResNet
from translate.networks.unet import UNet

CPU = torch.device("cpu")
NETWORKS = {
    "unet": lambda norm: UNet(3, 3, size=64, width=8, norm=norm),
    "resnet": lambda norm: ResNet(3, 3, size=64, width=8, blocks=3, norm=norm),
}


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any CPU computes in it, if only slowly."""
    monkeypatch.setattr("translate.inference.torch_backend.bfloat16_trouble", lambda device: None)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", NETWORKS)
def test_fast_is_as_far_from_exact_as_is_said(name: str, norm: str) -> None:
    """Of a network that has been trained for a second, on pictures that it has not seen: 56 to 59 dB when written."""
    houses = [draw(sample_house(0, index), 64) for index in range(10)]
    labels, photos = np.stack([one.labels for one in houses]), np.stack([one.photo for one in houses])
    source, target = (torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1 for x in (labels[:8], photos[:8]))
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[name](norm)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    for step in range(40):
        rows = slice(step % 2 * 4, step % 2 * 4 + 4)
        optimizer.zero_grad()
        (network(source[rows]) - target[rows]).abs().mean().backward()
        optimizer.step()
    exact, fast = (
        TorchBackend(make_card(), copy.deepcopy(network), device=CPU, precision=precision)(labels[8:]).astype(float)
        for precision in ("float32", "bfloat16")
    )
    assert exact.std() > 25
    psnr = 10 * np.log10(255**2 / np.square(fast - exact).mean())
    assert LEAST_PSNR <= psnr < 75


def choice(trouble: str | None = None, **options: str) -> tuple[str, str | None]:
    return chosen(spec(), trouble, **options)


def chosen(target: ImageSpec, trouble: str | None = None, **options: str) -> tuple[str, str | None]:
    settings = LoadSettings.make(options)
    return choose(settings.speed, settings.precision, target=target, trouble=lambda: trouble)


def test_a_speed_is_a_precision_and_a_given_precision_wins_and_is_told() -> None:
    assert choice() == choice(speed="exact") == ("float32", None)
    assert choice(speed="fast") == ("bfloat16", None)
    assert choice(precision="bfloat16") == ("bfloat16", None)
    for speed in ("exact", "fast"):
        for precision in ("float32", "bfloat16", "float16"):
            told = f"--precision {precision} is given beside --speed {speed}, and decides"
            assert choice(speed=speed, precision=precision) == (precision, told)
    with pytest.raises(ValueError, match="--speed got 'faster': must be 'exact' or 'fast'"):
        choice(speed="faster")
    deep = chosen(spec(dtype="uint16"), speed="fast")
    assert deep == ("bfloat16", "--speed fast keeps about 10 bits, and this model's outputs are uint16")


def test_a_processor_without_bfloat16_stays_exact_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    trouble = devices.bfloat16_trouble(CPU)
    assert choice(trouble, speed="fast") == (
        "float32",
        "--speed fast: this CPU has no AVX512_BF16 or AMX for bfloat16: the network runs in float32, as with --speed "
        "exact",
    )
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert devices.bfloat16_trouble(CPU) is None
    assert devices.bfloat16_trouble(torch.device("mps")) == "bfloat16 has not been tried on mps"
    for capability, has_it in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert (devices.bfloat16_trouble(torch.device("cuda:0")) is None) == has_it


@pytest.mark.usefixtures("has_bfloat16")
def test_the_command_and_the_library_run_it_and_record_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"width": 4, "depth": 3, "discriminator_width": 4, "patch": 16}
    save_model(tmp_path / "m.safetensors", make_card(settings=settings, size=32))
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "a.png")
    words = ["convert", str(tmp_path / "m.safetensors"), str(tmp_path / "in"), str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--speed", "fast"]) == 0
    assert capsys.readouterr().err == ""
    (line,) = (tmp_path / "out" / RECORD).read_text().splitlines()
    assert json.loads(line)["settings"] == {"precision": "bfloat16"}
    assert main([*words, "--speed", "fast", "--precision", "float32", "--update"]) == 0
    assert capsys.readouterr().err == "--precision float32 is given beside --speed fast, and decides\n"
    assert json.loads((tmp_path / "out" / RECORD).read_text().splitlines()[1])["settings"] == {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        t = load(tmp_path / "m.safetensors", device="cpu", speed="fast")
        assert t.backend.precision == "bfloat16"
        assert not caught
        load(tmp_path / "m.safetensors", device="cpu", speed="exact", precision="bfloat16")
    assert [str(one.message) for one in caught] == ["--precision bfloat16 is given beside --speed exact, and decides"]
    told: list[str] = []
    load(tmp_path / "m.safetensors", device="cpu", speed="fast", precision="float32", say=told.append)
    assert len(told) == 1
