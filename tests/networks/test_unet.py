import pytest
import torch
from torch import nn

from translate.networks import UNet
from translate.networks.blocks import NORMS
from translate.networks.padding import mirror_index, pad_to_multiple
from translate.networks.resampling import UPSAMPLERS
from translate.networks.unet import depth_for


def small(**changes):
    return UNet(3, 2, **{"size": 32, "width": 4, "dropout": 0.0} | changes).eval()


def test_parameter_count_is_the_published_one():
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet(3, 3).parameters()) == 54_413_955


@pytest.mark.parametrize(
    ("size", "depth"),
    [(256, 8), (128, 7), (64, 6), (96, 5), (512, 8), (320, 6), (286, 8), (100, 6), (16, 4), (3, 2)],
)
def test_depth_follows_the_size(size, depth):
    assert depth_for(size) == depth if size > 3 else depth_for(size) <= depth


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (33, 47), (1, 1), (3, 100), (2, 2)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_any_size_comes_back_at_the_same_size(size, norm, upsample):
    output = small(norm=norm, upsample=upsample, per_image=True)(torch.rand(2, 3, *size) * 2 - 1)
    assert output.shape == (2, 2, *size)
    assert output.abs().max() <= 1


def test_dropout_is_where_the_reference_code_has_it():
    rates = [up.dropout.p for up in UNet(3, 3, size=256, width=1).up]
    assert rates == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0]  # from the outermost in; the innermost has none
    assert [up.dropout.p for up in UNet(3, 3, size=128, width=1).up] == [0, 0, 0, 0, 0.5, 0.5, 0]


def test_norms_are_where_the_reference_code_has_them():
    net = small(norm="batch")
    assert [isinstance(d.norm, nn.BatchNorm2d) for d in net.down] == [False, True, True, True, False]
    assert [isinstance(u.norm, nn.BatchNorm2d) for u in net.up] == [False, True, True, True, True]


def test_every_level_sees_its_skip():
    """Cutting a level's skip changes the output: no level is bypassed."""
    net = small(norm="none")
    x = torch.rand(1, 3, 32, 32)
    whole = net(x)
    for level in range(len(net.down) - 1):
        width = net.down[level].conv.out_channels
        cut = small(norm="none")
        cut.load_state_dict(net.state_dict())
        with torch.no_grad():
            cut.up[level].conv.weight[:width] = 0
        assert not torch.allclose(cut(x), whole)


@pytest.mark.parametrize("per_image", [True, False])
def test_inference_never_depends_on_the_other_pictures_of_the_batch(per_image):
    net = small(norm="batch", per_image=per_image)
    a, b = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(net(torch.cat([a, b]))[:1], net(a))


def test_per_image_norm_is_what_training_at_batch_one_saw():
    net = small(norm="batch", per_image=True)
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(net(x), net.train()(x))


def test_too_shallow_is_refused():
    with pytest.raises(ValueError, match="depth of at least 2"):
        UNet(3, 3, depth=1)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_mirror_index_is_numpys_reflection(length):
    import numpy as np

    ours = mirror_index(length, 20, 23, device=torch.device("cpu")).tolist()
    assert ours == np.pad(np.arange(length), (20, 23), mode="reflect").tolist()


def test_padding_is_even_and_croppable():
    x = torch.rand(1, 1, 10, 16)
    padded, (top, left) = pad_to_multiple(x, 16)
    assert padded.shape == (1, 1, 16, 16)
    assert (top, left) == (3, 0)
    assert torch.equal(padded[..., 3:13, :], x)
