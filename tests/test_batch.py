"""Pixels as decoded, and what the networks see of them."""

import pytest
import torch

from translate.batch import RawBatch, nearest_entry, normalize, quantize
from translate.images import ImageSpec

CPU = torch.device("cpu")
RED, BLACK = (255, 0, 0), (0, 0, 0)


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_ignored_colour_is_left_out_with_its_noise(one_hot):
    """JPEG label maps hold shades of every colour: a shade of the ignored one is not learned as that class."""
    labels = ImageSpec(channels=3, kind="labels", palette=(BLACK, RED), ignore=BLACK, one_hot=one_hot)
    image = ImageSpec(channels=1)
    maps = torch.tensor([[[[0, 0, 0], [3, 0, 1], [250, 2, 0], [255, 0, 0]]]], dtype=torch.uint8)
    raw = RawBatch({"source": torch.zeros(1, 1, 4, 1, dtype=torch.uint8), "target": maps})
    batch = raw.to(CPU, {"source": image, "target": labels})
    valid, classes = batch.valid, batch.classes
    assert valid is not None
    assert classes is not None
    assert classes.tolist() == [[[0, 0, 1, 1]]]
    assert valid.tolist() == [[[[False, False, True, True]]]]
    swapped = RawBatch({"source": raw.target, "target": raw.source}).to(CPU, {"source": labels, "target": image}).valid
    assert swapped is not None
    assert torch.equal(swapped, valid)
    assert raw.to(CPU, {"source": image, "target": image.model_copy(update={"channels": 3})}).valid is None


@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        (ImageSpec(channels=3), torch.uint8),
        (ImageSpec(channels=2, dtype="uint16", high=65535), torch.uint16),
        (ImageSpec(channels=1, dtype="uint16", low=100, high=4095), torch.uint16),
        (ImageSpec(channels=3, kind="labels", palette=(BLACK, RED), one_hot=True), torch.uint8),
    ],
)
def test_pixels_survive_the_way_to_the_network_and_back(spec, dtype):
    if spec.kind == "labels":
        raw = torch.tensor(spec.palette, dtype=dtype)[torch.randint(2, (2, 5, 7))]
    else:
        raw = torch.randint(int(spec.low), int(spec.high) + 1, (2, 5, 7, spec.channels)).to(dtype)
    seen = normalize(raw, spec)
    assert seen.shape == (2, spec.network_channels, 5, 7)
    assert seen.min() >= -1
    assert seen.max() <= 1
    assert torch.equal(quantize(seen, spec), raw.float())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_entry_is_the_nearest(channels):
    """Against every distance worked out in whole numbers."""
    generator = torch.Generator().manual_seed(0)
    palette = torch.randint(256, (200, channels), generator=generator).unique(dim=0)
    spec = ImageSpec(channels=channels, kind="labels", palette=tuple(map(tuple, palette.tolist())))
    raw = torch.randint(256, (2, 17, 13, channels), generator=generator).to(torch.uint8)
    distance = (raw.long().unsqueeze(-2) - palette).square().sum(-1)  # [2, 17, 13, K]
    chosen = distance.gather(-1, nearest_entry(raw, spec).unsqueeze(-1)).squeeze(-1)
    assert torch.equal(chosen, distance.amin(-1))
