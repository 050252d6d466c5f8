"""LPIPS and Inception-v3, whose weights come from a file: here random ones, since there is no network."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from translate.batch import Batch
from translate.evaluation import lpips
from translate.evaluation.base import Examples
from translate.evaluation.lpips import Lpips
from translate.evaluation.metrics import LearnedDistance
from translate.images import ImageSpec
from translate.networks import inception
from translate.networks.inception import Inception, resized

RGB = ImageSpec(channels=3)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """As torchvision's file, with its classifier left out: random weights of a deviation that keeps the scale."""
    file = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    drawn = torch.Generator().manual_seed(0)
    sizes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    state = {}
    for place, (out, of, side) in sizes.items():
        scale = (2 / (of * side * side)) ** 0.5
        state[f"features.{place}.weight"] = torch.randn(out, of, side, side, generator=drawn) * scale
        state[f"features.{place}.bias"] = torch.randn(out, generator=drawn) * 0.1
    torch.save(state, file)
    return file


def by_hand(state, heads, output, target):
    """Zhang 2018, eq. 1, on AlexNet's five convolutions."""
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    sides = [(x - shift) / scale for x in (output, target)]
    total = torch.zeros(len(output))
    for number, (place, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
        if number in (1, 2):
            sides = [F.max_pool2d(x, 3, 2) for x in sides]
        weight, bias = (state[f"features.{place}.{name}"] for name in ("weight", "bias"))
        sides = [F.conv2d(x, weight, bias, stride, padding).relu() for x in sides]
        a, b = (x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt() for x in sides)
        total += ((a - b) ** 2 * heads[f"lin{number}.model.1.weight"]).sum(1).mean((1, 2))
    return total


def test_lpips_is_its_formula_on_the_weights_of_the_file(alexnet, tmp_path):
    from torchmetrics.functional.image import lpips as theirs

    heads = torch.load(f"{theirs.__file__.removesuffix('.py')}_models/alex.pth", map_location="cpu", weights_only=True)
    state = torch.load(alexnet, weights_only=True)
    output, target = torch.rand(2, 2, 3, 64, 70, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = by_hand(state, heads, output, target)
    assert expected.min() > 0.01
    distance = Lpips("alex", alexnet)
    torch.testing.assert_close(distance(output, target), expected, rtol=1e-4, atol=1e-6)
    measure = LearnedDistance(Examples(RGB, RGB, lpips=distance))
    measure.add(Batch(pictures={"target": target}), {"output": output})
    assert measure.each() == {"lpips_alex": pytest.approx(expected.tolist(), rel=1e-4)}
    assert measure.figures() == {"lpips_alex": pytest.approx(expected.mean().item(), rel=1e-4)}
    save_file(state, tmp_path / "alexnet.safetensors")
    assert torch.equal(Lpips("alex", tmp_path / "alexnet.safetensors")(output, target), distance(output, target))
    assert distance(output[:, :1, :20, :20], output[:, :1, :20, :20]).tolist() == [0, 0]  # gray, and small


def test_weights_of_something_else_are_refused(alexnet, tmp_path):
    state = torch.load(alexnet, weights_only=True)
    save_file({key: value for key, value in state.items() if "3" not in key}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"has not torchvision's weights of alex: features\.3\.weight is missing or"):
        Lpips("alex", tmp_path / "other.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    for kind in (Lpips, Inception):
        with pytest.raises(ValueError, match=r"text\.pth is no file of weights"):
            kind(weights=tmp_path / "text.pth")
    with pytest.raises(ValueError, match=r"has not the weights of FID's Inception-v3 .* is missing and should be"):
        Inception(alexnet)


def test_weights_that_cannot_be_fetched_are_told(monkeypatch):
    def fails(url, **kwargs):
        assert kwargs["check_hash"] and kwargs["weights_only"]  # noqa: PT018
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fails)
    with pytest.raises(ValueError, match=rf"LPIPS \(alex\) cannot be had \(no route\): give {lpips.URLS['alex']}"):
        Lpips()
    with pytest.raises(ValueError, match=rf"Inception-v3 cannot be had \(no route\): give {inception.URL}"):
        Inception()


def test_inception_reads_its_file_and_gives_its_features(tmp_path):
    drawn = torch.Generator().manual_seed(0)
    state = {}
    for key, value in inception._network().state_dict().items():
        if not key.endswith("num_batches_tracked"):
            fan = value[0].numel() if value.ndim > 1 else 1
            state[key] = (
                torch.randn(value.shape, generator=drawn) * (2 / fan) ** 0.5 if fan > 1 else torch.ones(value.shape)
            )
    torch.save(state, tmp_path / "inception.pth")
    network = Inception(tmp_path / "inception.pth")
    pictures = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = network.pooled(pictures)
    assert found.shape == (2, 2048)
    assert found.min() >= 0
    assert found.std() > 0
    # what is not seen in 8 bits is not seen
    pixels = ((pictures + 1) * 127.5).round() / 127.5 - 1
    assert torch.equal(network.pooled(pixels), found)


def test_resizing_is_that_of_tensorflow_1():
    """Pixel i of 299 is at i * size / 299, with the last pixel repeated beyond the border."""
    row = torch.tensor([0.0, 10.0, 30.0])
    found = resized(row.expand(1, 1, 2, 3), 299)[0, 0, 150]
    assert found[100].item() == pytest.approx(10 + 20 * (300 / 299 - 1), abs=1e-4)
    assert found[50].item() == pytest.approx(10 * 150 / 299, abs=1e-4)
    assert found[250].item() == 30
