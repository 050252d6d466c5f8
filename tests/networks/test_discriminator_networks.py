"""What is particular to one discriminator: the scales of pictures, the mixing of features, published sizes."""

import pytest
import torch
from torch.nn import functional as F

from translate.networks import Discriminator, Shown
from translate.networks.autoencoder import Autoencoder
from translate.networks.backbone import Backbone
from translate.networks.multiscale import MultiScale
from translate.networks.patchgan import patchgan
from translate.networks.projected import Projected
from translate.networks.segmenter import Segmenter
from translate.networks.unet_discriminator import UNetDiscriminator


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def test_published_sizes():
    with torch.device("meta"):
        assert count(MultiScale(6)) == 3 * count(patchgan(6)) == 3 * 2_768_705
        assert count(UNetDiscriminator(3)) == 4_376_897  # Real-ESRGAN's
        oasis = Segmenter(3, segments=34, size=256)
    assert [block.two.out_channels for block in oasis.down] == [128, 128, 256, 256, 512, 512]
    assert [block.one.in_channels for block in oasis.up] == [512, 1024, 512, 512, 256, 256]
    assert [block.two.out_channels for block in oasis.up] == [512, 256, 256, 128, 128, 64]
    assert (oasis.last.in_channels, oasis.last.out_channels) == (64, 35)
    with torch.device("meta"):
        assert [len(Segmenter(3, segments=2, size=size, width=2).down) for size in (8, 16, 64, 128, 512)] == [
            1,
            2,
            4,
            5,
            6,
        ]


def test_each_scale_sees_the_picture_halved_once_more():
    torch.manual_seed(0)
    network = MultiScale(3, width=2, patch=16, scales=3, norm="instance")
    x = torch.rand(2, 3, 41, 50)
    for seen, scale in zip(network.see(x, channels=3), network.scales, strict=True):
        torch.testing.assert_close(seen.logits, scale(x))
        x = torch.stack(
            [
                torch.stack(
                    [
                        x[..., max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2].mean((2, 3))
                        for j in range(-(-x.shape[3] // 2))
                    ],
                    2,
                )
                for i in range(-(-x.shape[2] // 2))
            ],
            2,
        )  # what lies outside does not count


@pytest.mark.parametrize("spatial", [0, 1])
def test_mixed_features_by_hand(spatial):
    torch.manual_seed(0)
    network = Projected(3 + spatial, spatial=spatial, width=2, d_backbone_size=96).double()
    picture, source = (torch.rand(2, channels, 64, 64).double() * 2 - 1 for channels in (3, 1))

    def mixed(x):
        maps = Backbone().features(x, min_side=96)[1:]  # strides 4, 8, 16 and 32
        assert [level.shape[-1] for level in maps] == [24, 12, 6, 3]
        kernels = dict(network.named_buffers())
        found: list[torch.Tensor] = []
        coarser = torch.zeros(())
        for level in (3, 2, 1, 0):
            here = torch.einsum("bchw,dc->bdhw", maps[level], kernels[f"across_channels_{level}"][:, :, 0, 0])
            coarser = coarser if level == 3 else F.interpolate(coarser, here.shape[-2:], mode="bilinear")
            coarser = F.conv2d(F.pad(here + coarser, (1, 1, 1, 1)), kernels[f"across_scales_{level}"])
            found.insert(0, F.interpolate(coarser, scale_factor=2, mode="bilinear"))
        return found

    expected = mixed(picture)
    if spatial:
        expected = [torch.cat(pair, 1) for pair in zip(mixed(source.expand(-1, 3, -1, -1)), expected, strict=True)]
    assert [level.shape[1] for level in expected] == [(1 + spatial) * wide for wide in (2, 2, 4, 8)]
    network.eval()
    (scores,) = Discriminator(network)(Shown(picture, source if spatial else None))
    for one, head, level in zip(scores, network.heads, expected, strict=True):
        torch.testing.assert_close(one.logits, head(level))


@pytest.mark.parametrize(("side", "halvings"), [(64, 3), (128, 4), (224, 4), (256, 5)])
def test_small_discriminators_end_in_maps_of_four_positions_a_side(side, halvings):
    with torch.device("meta"):
        network = Projected(3, width=2, d_backbone_size=side)
        shown = Shown(torch.rand(2, 3, 64, 64))
    scores = network.see(shown.image, channels=3)
    assert len(scores) == 4
    assert len(scores[0].features) == halvings
    if side > 64:
        assert {one.logits.shape for one in scores} == {(2, 1, 4, 4)}
    assert Discriminator(network).scale_weight == 0.25


def test_log_odds_are_those_of_all_true_classes_together():
    torch.manual_seed(0)
    network = Segmenter(3, segments=3, width=2, size=32)
    (seen,) = network.see(torch.rand(2, 3, 32, 32), channels=3)
    real = seen.segments.softmax(1)[:, :-1].sum(1, keepdim=True)
    torch.testing.assert_close(seen.logits, (real / (1 - real)).log(), rtol=1e-4, atol=1e-5)


def test_an_autoencoder_of_pairs_reconstructs_the_picture_alone():
    torch.manual_seed(0)
    network = Autoencoder(5, spatial=2, width=2, size=32)
    x = torch.rand(2, 5, 32, 32)
    (seen,) = network.see(x, channels=3)
    again, _, features = network.reconstruct(x)
    assert again.shape == (2, 3, 32, 32)
    torch.testing.assert_close(seen.logits.flatten(), (again - x[:, 2:]).square().mean((1, 2, 3)))
    assert features[-1].shape == (2, 8, 4, 4)
