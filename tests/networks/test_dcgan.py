import pytest
import torch
from torch import nn

from translate.networks import dcgan


def test_it_is_the_published_row_of_layers():
    """DiscoGAN's for 64 pixels: w, 2w, 4w, 8w and one logit; batch norm on the three in the middle."""
    layers = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2)]
    for channels in (4, 8, 16):
        conv = nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.2)]
    theirs = nn.Sequential(*layers, nn.Conv2d(32, 1, 4))
    ours = dcgan(3, width=4)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("size", "side"), [(8, 1), (16, 1), (64, 1), (128, 1), (96, 3), (9, 1), (63, 4)])
def test_one_logit_a_picture_of_its_size(size, side):
    logits = dcgan(3, width=2, norm="instance", size=size)(torch.rand(1, 3, size, size))
    assert logits.shape == (1, 1, side, side)


@pytest.mark.parametrize("size", [(64, 256), (16, 8), (8, 72), (32, 96)])
def test_one_logit_a_rectangle_of_its_size(size):
    logits = dcgan(3, width=2, norm="instance", size=size)(torch.rand(1, 3, *size))
    assert logits.shape == (1, 1, 1, 1)


def test_larger_pictures_get_a_map():
    assert dcgan(3, width=2, size=16)(torch.rand(1, 3, 32, 16)).shape == (1, 1, 5, 1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at least 8 pixels a side, but --size is 7"):
        dcgan(3, size=7)
