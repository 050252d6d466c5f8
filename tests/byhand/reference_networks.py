"""Networks laid out as those of the reference code of pix2pix, CycleGAN and CUT; imports nothing of the project.

Only the order of the layers counts here: the state dicts have the names that checkpoints of that code have.
"""

import torch
from torch import nn
from torch.nn import functional as F


def batch(channels):
    return nn.BatchNorm2d(channels)


def instance(channels):
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


def old_instance(channels):
    """As early versions had it: with running statistics, which were only used in eval mode."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=True)


class SkipBlock(nn.Module):
    def __init__(self, layers, *, outermost):
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UNet(nn.Module):
    def __init__(self, inputs, outputs, *, depth, width, norm, dropout=0.0):
        super().__init__()
        bias = norm is not batch
        w = [width * min(2**level, 8) for level in range(depth)]
        block: nn.Module | None = None
        layers: list[nn.Module | None]
        for level in reversed(range(depth)):
            outer = w[level - 1] if level else outputs
            down = nn.Conv2d(w[level - 1] if level else inputs, w[level], 4, 2, 1, bias=bias)
            joined = w[level] * (1 if block is None else 2)
            up = nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=bias or level == 0)
            if level == 0:
                layers = [down, block, nn.ReLU(), up, nn.Tanh()]
            elif block is None:
                layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(), up, norm(outer)]
            else:
                layers = [nn.LeakyReLU(0.2, True), down, norm(w[level]), block, nn.ReLU(), up, norm(outer)]
                layers += [nn.Dropout(dropout)] if dropout and level >= 4 else []
            block = SkipBlock(layers, outermost=level == 0)
        assert block is not None
        self.model = block

    def forward(self, x):
        return self.model(x)


class BlurDown(nn.Module):
    filt: torch.Tensor

    def __init__(self, channels):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = line[:, None] * line[None, :]
        self.register_buffer("filt", (kernel / kernel.sum()).repeat(channels, 1, 1, 1))

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    filt: torch.Tensor

    def __init__(self, channels):
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0])
        kernel = line[:, None] * line[None, :]
        self.register_buffer("filt", (4 * kernel / kernel.sum()).repeat(channels, 1, 1, 1))

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        made = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return made[:, :, 1:-1, 1:-1]


class ResBlock(nn.Module):
    def __init__(self, channels, *, norm, dropout):
        super().__init__()
        bias = norm is not batch
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU(True)]
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv_block(x)


class ResNet(nn.Module):
    def __init__(self, inputs, outputs, *, blocks, width, norm, dropout=0.0, blur_down=False, blur_up=False):
        super().__init__()
        bias = norm is not batch
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), norm(width), nn.ReLU(True)]
        for w in (width, 2 * width):
            layers += [nn.Conv2d(w, 2 * w, 3, 1 if blur_down else 2, 1, bias=bias), norm(2 * w), nn.ReLU(True)]
            layers += [BlurDown(2 * w)] if blur_down else []
        layers += [ResBlock(4 * width, norm=norm, dropout=dropout) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            if blur_up:
                layers += [BlurUp(w), nn.Conv2d(w, w // 2, 3, 1, 1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(w, w // 2, 3, 2, 1, output_padding=1, bias=bias)]
            layers += [norm(w // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class PatchGAN(nn.Module):
    def __init__(self, inputs, *, layers, width, norm, blur=False):
        super().__init__()
        bias = norm is not batch
        stride = 1 if blur else 2

        def halved(channels):
            return [BlurDown(channels)] if blur else []

        w = [width * min(2**level, 8) for level in range(layers + 1)]
        stack = [nn.Conv2d(inputs, width, 4, stride, 1), nn.LeakyReLU(0.2, True), *halved(width)]
        for level in range(1, layers):
            stack += [nn.Conv2d(w[level - 1], w[level], 4, stride, 1, bias=bias), norm(w[level])]
            stack += [nn.LeakyReLU(0.2, True), *halved(w[level])]
        stack += [nn.Conv2d(w[-2], w[-1], 4, 1, 1, bias=bias), norm(w[-1]), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*stack, nn.Conv2d(w[-1], 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


class PixelGAN(nn.Module):
    def __init__(self, inputs, *, width, norm):
        super().__init__()
        bias = norm is not batch
        self.net = nn.Sequential(
            nn.Conv2d(inputs, width, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm(2 * width),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x):
        return self.net(x)


class Heads(nn.Module):
    def __init__(self, channels, *, width):
        super().__init__()
        for index, inputs in enumerate(channels):
            head = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
            setattr(self, f"mlp_{index}", head)


def randomise(network, *, seed):
    """Weights that keep the size of what goes through, so that no tanh is saturated; norms and statistics too."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, mean, std):
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("filt", "num_batches_tracked")):
                continue
            if tensor.ndim == 4:
                normal(tensor, 0.0, (tensor[0].numel()) ** -0.5)
            elif name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif name.endswith("weight") and tensor.ndim == 1:
                normal(tensor, 1.0, 0.2)
            else:
                normal(tensor, 0.0, 0.1)
    return network
