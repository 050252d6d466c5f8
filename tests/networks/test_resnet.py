import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.networks import ResNet
from translate.networks.resnet import blocks_for
from translate.sizes import Size

PADS = {"reflect": nn.ReflectionPad2d, "zero": nn.ZeroPad2d}
PLAIN_NORMS = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}


class Blur(nn.Module):
    """CUT's blur of stride 2, from its description."""

    def forward(self, x):
        kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], dtype=x.dtype) / 16
        mirrored = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(mirrored, kernel.expand(x.shape[1], 1, 3, 3), stride=2, groups=x.shape[1])


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


def plain(width, blocks, *, norm="instance", padding="reflect", up="transposed", down="strided"):
    """The published network, in a row: c7s1-w, d2w, d4w, blocks of 4w, u2w, uw, c7s1-3."""
    pad, bias = PADS[padding], norm == "instance"
    normed = PLAIN_NORMS[norm]
    row = [pad(3), nn.Conv2d(3, width, 7, bias=bias), normed(width), nn.ReLU()]
    for channels in (width, 2 * width):
        stride = 2 if down == "strided" else 1
        row += [nn.Conv2d(channels, 2 * channels, 3, stride, padding=1, bias=bias), normed(2 * channels), nn.ReLU()]
        row += [] if down == "strided" else [Blur()]
    for _ in range(blocks):
        conv = [nn.Conv2d(4 * width, 4 * width, 3, bias=bias) for _ in range(2)]
        norms = [normed(4 * width) for _ in range(2)]
        row.append(Residual(pad(1), conv[0], norms[0], nn.ReLU(), pad(1), conv[1], norms[1]))
    for channels in (4 * width, 2 * width):
        half = channels // 2
        if up == "transposed":
            row.append(nn.ConvTranspose2d(channels, half, 3, 2, padding=1, output_padding=1, bias=bias))
        else:
            mode = {"mode": "bilinear", "align_corners": False} if up == "antialiased" else {"mode": "nearest"}
            row += [nn.Upsample(scale_factor=2, **mode), nn.Conv2d(channels, half, 3, padding=1, bias=bias)]
        row += [normed(half), nn.ReLU()]
    return nn.Sequential(*row, pad(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def give_weights(ours, theirs):
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    pairs = [[m for m in net.modules() if isinstance(m, kinds)] for net in (ours, theirs)]
    for mine, other in zip(*pairs, strict=True):
        other.load_state_dict(mine.state_dict())


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"norm": "batch"},
        {"padding": "zero"},
        {"up": "resize"},
        {"up": "antialiased", "down": "antialiased"},
        {"up": "antialiased", "down": "antialiased", "norm": "batch", "padding": "zero"},
    ],
)
def test_it_is_the_published_row_of_layers(kind):
    """CycleGAN's, and CUT's with both ways anti-aliased; outputs and gradients."""
    renamed = {"up": "upsample", "down": "downsample"}
    ours = ResNet(3, 3, width=4, blocks=3, **{renamed.get(key, key): value for key, value in kind.items()})
    theirs = plain(4, 3, **kind)
    give_weights(ours.double(), theirs.double())
    x = torch.rand(2, 3, 24, 32, dtype=torch.float64) * 2 - 1
    weight = torch.rand(2, 3, 24, 32, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    for net in (ours, theirs):
        (net(x) * weight).sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_counts_are_the_published_ones(blocks, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet(3, 3, blocks=blocks).parameters()) == count


def test_blocks_follow_the_size():
    assert [blocks_for(size) for size in (64, 128, 255, 256, 512)] == [6, 6, 6, 9, 9]
    assert [blocks_for(size) for size in (Size(64, 512), Size(512, 255), Size(256, 300))] == [6, 6, 9]
    assert len(ResNet(1, 1, width=1, size=128).blocks) == 6


def test_names_are_those_the_importer_relies_on():
    names = set(ResNet(3, 3, width=2, blocks=1, depth=1).state_dict())
    layers = ("first", "down.0.conv", "blocks.0.conv1", "blocks.0.conv2", "up.0.conv", "last")
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    names = set(ResNet(3, 3, width=2, blocks=1, depth=1, norm="group", upsample="resize").state_dict())
    norms = ("first_norm", "down.0.norm", "blocks.0.norm1", "blocks.0.norm2", "up.0.norm")
    assert names == {
        *(f"{layer}.weight" for layer in layers),
        *(f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias")),
        "last.bias",
    }


def test_dropout_is_inside_the_blocks_in_training_only():
    net = ResNet(3, 3, width=4, blocks=2, dropout=0.5)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    block, x = net.blocks[0], torch.rand(1, 16, 8, 8)
    assert not torch.equal(block(x), block(x))
    places: list[torch.Tensor] = []
    handle = block.conv2.register_forward_pre_hook(lambda conv, inputs: places.append((inputs[0] == 0).float().mean()))
    block(x)
    handle.remove()
    assert 0.6 < places[0] < 0.9  # half of them by the ReLU, half of the others by dropout
    net.eval()
    assert torch.equal(block(x), block(x))


@pytest.mark.parametrize(("changes", "message"), [({"depth": 0}, "--depth"), ({"blocks": 0}, "--blocks")])
def test_too_little_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ResNet(3, 3, **changes)


@pytest.mark.parametrize("blocks", [1, 3])
def test_few_blocks_have_few_taps(blocks):
    net = ResNet(3, 3, width=2, blocks=blocks)
    assert net.tapped == sorted({0, blocks - 1})
    assert len(net.encode(torch.rand(1, 3, 8, 8))) == len(net.feature_channels) == 3 + len(net.tapped)
