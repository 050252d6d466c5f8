import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.networks import UNet
from translate.networks.blocks import NORMS
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


@pytest.mark.parametrize(
    ("size", "depth"), [((64, 256), 6), ((256, 64), 6), ((96, 32), 5), ((100, 64), 6), ((512, 1024), 8)]
)
def test_of_a_rectangle_the_shorter_side_counts(size, depth):
    assert depth_for(size) == depth


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
    net = small(norm="none").double()
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    whole = net(x)
    for level in range(len(net.down) - 1):
        width = net.down[level].conv.out_channels
        cut = small(norm="none").double()
        cut.load_state_dict(net.state_dict())
        with torch.no_grad():
            cut.up[level].conv.weight[:width] = 0
        assert not torch.equal(cut(x), whole)


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


@pytest.mark.parametrize("skips", [True, False])
def test_without_skips_all_passes_through_the_bottleneck(skips):
    net = UNet(3, 3, size=32, width=4, norm="none", skips=skips).eval()
    fixed = torch.rand(1, 32, 1, 1)
    net.down[-1].register_forward_hook(lambda module, inputs, output: (output[0], fixed))
    a, b = net(torch.rand(1, 3, 32, 32)), net(torch.rand(1, 3, 32, 32))
    assert torch.equal(a, b) is not skips


@pytest.mark.parametrize("skips", [True, False])
def test_anti_aliased_is_the_plain_construction(skips):
    """Depth 2, batch norm, zero padding, written out: convolution, norm, activation, blur; blur, convolution."""
    net = UNet(
        3, 2, depth=2, width=4, dropout=0.0, downsample="antialiased", upsample="antialiased", skips=skips
    ).train()
    x = torch.rand(2, 3, 8, 8)
    blur = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16

    def halve(x):
        kernel = blur.expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(F.leaky_relu(x, 0.2), (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])

    def conv(x, layer):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    def double(x):
        return F.interpolate(F.relu(x), scale_factor=2, mode="bilinear", align_corners=False)

    one = halve(conv(x, net.down[0].conv))
    two = halve(conv(one, net.down[1].conv))
    up = F.batch_norm(conv(double(two), net.up[1].conv[1]), None, None, training=True)
    up = torch.cat([one, up], 1) if skips else up
    torch.testing.assert_close(net(x), torch.tanh(conv(double(up), net.up[0].conv[1])))


@pytest.mark.parametrize("downsample", ["strided", "antialiased"])
@pytest.mark.parametrize("upsample", ["resize", "antialiased"])
def test_mirrored_padding_leaves_no_border(downsample, upsample):
    """A picture of one colour stays one colour up to its edges; padded with zeros it does not."""
    x = torch.full((1, 3, 32, 32), 0.5)
    for padding in ("reflect", "zero"):
        torch.manual_seed(0)
        output = small(norm="none", downsample=downsample, upsample=upsample, padding=padding)(x)
        spread = (output.amax((2, 3)) - output.amin((2, 3))).max().item()
        assert spread < 1e-6 if padding == "reflect" else spread > 1e-5
