"""The published networks, layer by layer. `[B, C, H, W]` in [-1, 1] goes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]


def needs_bias(norm: Norm) -> bool:
    """Whether convolutions before this norm have a bias: batch norm has its own."""
    return norm is not nn.BatchNorm2d


class UNet(nn.Module):
    """pix2pix's generator: 4x4 convolutions of stride 2 down to one pixel, and back with skips."""

    def __init__(self, *, depth: int = 8, width: int = 64, norm: Norm = nn.BatchNorm2d, dropout: float = 0.5) -> None:
        super().__init__()
        bias, last = needs_bias(norm), depth - 1
        widths = [width * min(2**level, 8) for level in range(depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, outputs in enumerate(widths):
            inputs = widths[level - 1] if level else 3
            down: list[nn.Module] = [nn.LeakyReLU(0.2, inplace=True)] if level else []
            down.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))
            down += [norm(outputs)] if 0 < level < last else []
            self.down.append(nn.Sequential(*down))
            joined = outputs if level == last else 2 * outputs
            up: list[nn.Module] = [nn.ReLU(inplace=True)]
            up.append(nn.ConvTranspose2d(joined, inputs, 4, stride=2, padding=1, bias=bias or not level))
            up += [norm(inputs)] if level else [nn.Tanh()]
            up += [nn.Dropout(dropout)] if dropout and 4 <= level < last else []
            self.up.append(nn.Sequential(*up))

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)  # whose leaky ReLU changes the skip before it in place, as in the published code
            skips.append(x)
        x = skips.pop()
        for up in reversed(list(self.up)[1:]):
            x = torch.cat([skips.pop(), up(x)], 1)
        made: Tensor = self.up[0](x)
        return made


class BlurDown(nn.Module):
    """Half the sides: a [1, 2, 1] blur of stride 2, the border mirrored (CUT)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Double the sides: zeros between the pixels, and a [1, 3, 3, 1] blur, the border repeated (CUT)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, self.kernel, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


class Block(nn.Module):
    """`x` plus two 3x3 convolutions of it."""

    def __init__(self, channels: int, *, norm: Norm) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.layers = nn.Sequential(
            *(
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, channels, 3, bias=bias),
                norm(channels),
                nn.ReLU(inplace=True),
            ),
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.layers(x)
        return added


class ResNet(nn.Module):
    """CycleGAN's generator; `blurred`: CUT's, with blurs around convolutions of stride 1."""

    def __init__(
        self, *, blocks: int = 9, width: int = 64, norm: Norm = nn.InstanceNorm2d, blurred: bool = False
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), norm(width), nn.ReLU(True)]
        for w in (width, 2 * width):
            layers += [nn.Conv2d(w, 2 * w, 3, stride=1 if blurred else 2, padding=1, bias=bias)]
            layers += [norm(2 * w), nn.ReLU(True), *([BlurDown(2 * w)] if blurred else [])]
        layers += [Block(4 * width, norm=norm) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            if blurred:
                layers += [BlurUp(w), nn.Conv2d(w, w // 2, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(w, w // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += [norm(w // 2), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made

    def encode(self, x: Tensor, places: Sequence[int]) -> list[Tensor]:
        """`x` itself, and the outputs of the layers at these places; runs no further than the last."""
        found = [x]
        for place, layer in enumerate(self.layers[: max(places) + 1]):
            x = layer(x)
            if place in places:
                found.append(x)
        return found


def patchgan(channels: int, *, width: int = 64, norm: Norm = nn.BatchNorm2d, blurred: bool = False) -> nn.Sequential:
    """The 70-pixel PatchGAN; `blurred`: CUT's."""
    bias, stride = needs_bias(norm), 1 if blurred else 2
    layers: list[nn.Module] = []
    for level, inputs in enumerate((channels, width, 2 * width)):
        outputs = width * 2**level
        layers += [nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=bias or not level)]
        layers += [norm(outputs)] if level else []
        layers += [nn.LeakyReLU(0.2, inplace=True), *([BlurDown(outputs)] if blurred else [])]
    layers += [nn.Conv2d(4 * width, 8 * width, 4, padding=1, bias=bias), norm(8 * width), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))
