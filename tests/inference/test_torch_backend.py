"""Model files run by PyTorch: what the header says is what happens, the same for every batch and thread."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from translate.batch import normalize, quantize
from translate.card import Card
from translate.devices import pick_device
from translate.images import ImageSpec
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import load, read_card
from translate.models import build, deployed_state, model_class

MakeCard = Callable[..., Card]
CPU = torch.device("cpu")


def save_model(path: Path, card: Card) -> nn.Module:
    """A small untrained pix2pix, written as training writes it."""
    torch.manual_seed(0)
    settings = model_class(card.model).settings_class.make(card.settings)
    model = build(card.model, settings, source=card.source, target=card.target, size=card.size)
    save_file(deployed_state(model), path, metadata=card.to_metadata())
    return model.eval()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from more, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small(card: MakeCard) -> Card:
    return card(settings={"width": 8, "discriminator_width": 4, "patch": 16, "dropout": 0.5}, size=32, step=7)


def test_a_file_is_enough(small: Card, tmp_path: Path, texture: np.ndarray) -> None:
    """Against the model itself, called as training calls it, on a size that is no multiple of its stride."""
    model = save_model(tmp_path / "model.safetensors", small)
    with torch.inference_mode():
        values = model(torch.from_numpy(texture).permute(2, 0, 1)[None].float() / 127.5 - 1)
        expected = ((values[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    for path in (tmp_path, tmp_path / "model.safetensors"):
        t = load(path, device="cpu")
        assert t.card == read_card(path) == small
        assert np.array_equal(t(texture), expected)
    assert expected.std() > 1


def test_any_batch_and_thread_gives_the_same_pixels(small: Card, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", small)
    t = load(tmp_path, device="cpu")
    images = [np.random.default_rng(n).integers(0, 256, (33, 40, 3), dtype=np.uint8) for n in range(5)]
    one_by_one = [t(image) for image in images]
    assert all(np.array_equal(a, b) for a, b in zip(one_by_one, t(images), strict=True))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert all(np.array_equal(a, b) for a, b in zip(one_by_one, pool.map(t, images), strict=True))
    assert not np.array_equal(one_by_one[0], one_by_one[1])


def test_a_folder_through_the_network(small: Card, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", small)
    (tmp_path / "in").mkdir()
    for n in range(6):
        array = np.random.default_rng(n).integers(0, 256, (20 + n % 2, 24, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / "in" / f"{n}.png")
    t = load(tmp_path, device="cpu")
    t.convert(tmp_path / "in", tmp_path / "one", batch=1)
    t.convert(tmp_path / "in", tmp_path / "three", batch=3)
    for n in range(6):
        made = [(tmp_path / folder / f"{n}.png").read_bytes() for folder in ("one", "three")]
        assert made[0] == made[1]
        with Image.open(tmp_path / "one" / f"{n}.png") as image:
            assert np.array_equal(np.asarray(image), np.asarray(t(tmp_path / "in" / f"{n}.png")))


SPECS = {
    "eight bits": ImageSpec(channels=3),
    "twelve bits in sixteen": ImageSpec(channels=1, dtype="uint16", low=100, high=4095),
    "sixteen bits": ImageSpec(channels=2, dtype="uint16", high=65535),
    "kelvin": ImageSpec(channels=1, dtype="float32", low=200, high=400),
    "labels": ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (9, 200, 30))),
    "one hot": ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (9, 200, 30)), one_hot=True),
}


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_of_picture_survives_the_way_there_and_back(name: str, card: MakeCard) -> None:
    """Through a network that changes nothing."""
    spec = SPECS[name]
    rng = np.random.default_rng(0)
    if spec.palette:
        pixels = np.array(spec.palette, np.uint8)[rng.integers(0, 3, (2, 5, 6))]
    else:
        pixels = rng.uniform(spec.low, spec.high, (2, 5, 6, spec.channels)).astype(spec.dtype)
    made = TorchBackend(card(source=spec, target=spec), nn.Identity(), device=CPU)(pixels)
    assert made.dtype == spec.dtype
    assert np.allclose(made, pixels, atol=0 if spec.dtype != "float32" else 1e-4)


def test_reduced_precision_is_autocast(card: MakeCard) -> None:
    """Weights that are cast once give what autocast gives by casting them at every call."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.InstanceNorm2d(16), nn.Conv2d(16, 3, 3, padding=1), nn.Tanh()
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, 20, 20, 3), dtype=np.uint8)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = quantize(network(normalize(torch.from_numpy(pixels), SPECS["eight bits"])), SPECS["eight bits"])
    backend = TorchBackend(card(), network, device=CPU, precision="bfloat16")
    assert network[0].weight.dtype == torch.bfloat16
    assert np.array_equal(backend(pixels), expected.numpy().astype(np.uint8))


def test_the_fast_network_runs_and_the_plain_one_is_exported(small: Card, texture: np.ndarray) -> None:
    """Where norms are folded what runs has none; what is exported has them, and the weights as they were."""
    torch.manual_seed(0)
    settings = model_class(small.model).settings_class.make({**small.settings, "batch": 4})
    model = build(small.model, settings, source=small.source, target=small.target, size=small.size)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4 if weight.dim() > 1 else 1)  # so that the pixels spread
    plain = copy.deepcopy(model).eval()
    backend = TorchBackend(small, model, device=CPU)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in backend._fast.generator.modules())
    exported = backend.exportable()
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in exported.generator.modules())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in exported.state_dict().items())
    with torch.inference_mode():
        expected = quantize(plain(normalize(torch.from_numpy(texture[None]), small.taken)), small.target).numpy()
    assert expected.std() > 10
    assert np.abs(backend(texture[None]) - expected).max() <= 1
    with pytest.raises(ValueError, match="load it without precision"):
        TorchBackend(small, model, device=CPU, precision="bfloat16").exportable()


def test_for_one_picture_a_large_network_is_used_as_it_is(small: Card, tmp_path: Path, texture: np.ndarray) -> None:
    """It is as large for 1 pixel; the command says how many its picture has. In bfloat16 weights are packed anyway."""
    save_model(tmp_path / "m.safetensors", small)
    usual, once, large = (load(tmp_path / "m.safetensors", device="cpu", pixels=n) for n in (None, 1, 10**6))
    assert once.backend._fast is once.backend._network
    for other in (usual, large):
        assert other.backend._fast is not other.backend._network
    assert np.abs(usual(texture).astype(int) - once(texture)).max() <= 1
    reduced = load(tmp_path / "m.safetensors", device="cpu", precision="bfloat16", pixels=1)
    assert reduced.backend._fast is not reduced.backend._network


def test_no_dropout_and_no_gradients(card: MakeCard) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.9)).train()
    backend = TorchBackend(card(), network, device=CPU)
    pixels = np.full((1, 30, 30, 3), 200, np.uint8)
    made = backend(pixels)
    assert (made == made[0, 0, 0]).all()
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        torch.OutOfMemoryError("CUDA: tried to allocate 2.00 GiB"),
    ],
)
def test_out_of_memory_is_a_memory_error(card: MakeCard, error: Exception) -> None:
    class Greedy(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            raise error

    with pytest.raises(MemoryError, match="allocate"):
        TorchBackend(card(), Greedy(), device=CPU)(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_true_allocation_failure_is_a_memory_error(card: MakeCard) -> None:
    class Greedy(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.new_empty(2**60)

    with pytest.raises(MemoryError):
        TorchBackend(card(), Greedy(), device=CPU)(np.zeros((1, 4, 4, 3), np.uint8))


def test_other_errors_stay_what_they_are(card: MakeCard) -> None:
    with pytest.raises(RuntimeError, match="to have 5 channels") as caught:
        TorchBackend(card(), nn.Conv2d(5, 3, 1), device=CPU)(np.zeros((1, 4, 4, 3), np.uint8))
    assert not isinstance(caught.value, MemoryError)


def test_damaged_and_foreign_files(small: Card, tmp_path: Path) -> None:
    save_model(tmp_path / "whole.safetensors", small)
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / "other.safetensors", metadata=small.to_metadata())
    with pytest.raises(ValueError, match=r"cut\.safetensors: not a complete safetensors file"):
        load(tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=r"foreign\.safetensors: not a model of this software"):
        load(tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: the weights do not fit"):
        load(tmp_path / "other.safetensors", device="cpu")


def test_devices_that_cannot_be_used_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device(" CPU ") == CPU
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match=r'no device "cudda" \(did you mean "cuda"\?\)'):
        pick_device("cudda")
    with pytest.raises(ValueError, match=r'no device "gpu" \(did you mean "cuda"\?\)'):
        pick_device("gpu")
    with pytest.raises(ValueError, match="no device"):
        pick_device("cuda:x")
    with pytest.raises(ValueError, match="there is one CPU"):
        pick_device("cpu:1")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device cuda:1 cannot be used: .+; `auto` picks one that can") as caught:
            pick_device("cuda:1")
        assert "\n" not in str(caught.value)
    else:
        with pytest.raises(ValueError, match=r"cuda:999 cannot be used: there are \d+ GPUs"):
            pick_device("cuda:999")
    if not torch.backends.mps.is_available():
        with pytest.raises(ValueError, match=r"device mps cannot be used: .*MPS"):
            pick_device("mps")


def test_headers_and_other_backends_need_no_torch(small: Card, tmp_path: Path) -> None:
    """Where importing torch raises, cards are read, and a backend of numpy translates and converts."""
    save_model(tmp_path / "model.safetensors", small)
    Image.fromarray(np.full((5, 6, 3), 200, np.uint8)).save(tmp_path / "a.png")
    script = f"""
import sys
sys.modules["torch"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from translate.inference.translator import Translator, read_card
from conftest import Inverter, make_card
assert read_card({str(tmp_path)!r}).step == 7
t = Translator(Inverter(make_card()))
assert (t(np.full((3, 4, 3), 5, np.uint8)) == 250).all()
assert t({str(tmp_path / "a.png")!r}).getpixel((0, 0)) == (55, 55, 55)
report = t.convert({str(tmp_path / "a.png")!r}, {str(tmp_path / "out")!r} + "/")
assert report.converted == 1
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
