"""The generator from noise: the sizes that it makes, and the errors for others."""

import pytest
import torch

from translate.networks import DCGANGenerator
from translate.networks.dcgan import start
from translate.sizes import Size


@pytest.mark.parametrize(("size", "first"), [(8, (4, 4)), (64, (4, 4)), (48, (6, 6)), ("64x256", (4, 16))])
def test_pictures_have_the_size(size, first):
    generator = DCGANGenerator(3, size=Size.of(size), width=2, z=5)
    assert start(Size.of(size)) == first
    made = generator(torch.randn(2, 5))
    assert made.shape == (2, 3, *Size.of(size))
    assert made.abs().max() <= 1


def test_the_published_widths():
    generator = DCGANGenerator(3, size=64)
    assert [norm.num_features for norm in generator.norms] == [512, 256, 128, 64]
    assert generator.first.weight.shape == (100, 512, 4, 4)


@pytest.mark.parametrize(("size", "nearest"), [(100, "96 or 112"), ("128x200", "128x192"), (127, "112 or 128")])
def test_other_sizes_are_refused_with_the_nearest(size, nearest):
    with pytest.raises(ValueError, match=f"nearest are {nearest}$"):
        start(Size.of(size))


def test_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 8 pixels a side, but --size is 7"):
        start(Size.of(7))
