"""A U-Net as discriminator: one logit for each pixel (Schonfeld 2020; as in Real-ESRGAN, Wang 2021)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.discriminator import Seen
from translate.networks.patchgan import SpectralSettings
from translate.networks.spectral import spectral_norm as normalise
from translate.sizes import Size

HALVINGS = 3
SMALLEST = 2**HALVINGS


class UNetDiscriminatorSettings(SpectralSettings):
    """A U-Net that scores each pixel. It has no norm but the spectral one."""

    implies = {"spectral_norm": True}  # noqa: RUF012


class UNetDiscriminator(nn.Module):
    """`[B, channels, H, W]` -> logits `[B, 1, H, W]`, of any sides from 8 pixels on.

    A 3x3 convolution of width x 1, then 4x4 ones of stride 2 and width x 2, 4, 8. Back up: bilinear doubling, 3x3
    convolution, and the encoder's map of that size added; where a side was odd, to the size of that map. Then two more
    3x3 convolutions, and the last. Leaky ReLU 0.2 after each but the last. Published with spectral norm, on all but the
    first and last; here on all. 4,376,897 parameters for 3 channels and width 64.
    """

    mean = False

    def __init__(
        self, channels: int, *, width: int = 64, spectral_norm: bool = False, size: Size | int | None = None
    ) -> None:
        """
        Args:
            spectral_norm: on each convolution.
            size: of the training crops in pixels, to find out early that they are too small.

        Raises:
            ValueError: a side below 8.
        """
        super().__init__()
        if size is not None:
            check_smallest("unet", size, SMALLEST)
        widths = [width * 2**level for level in range(HALVINGS + 1)]
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(inner, 2 * inner, 4, stride=2, padding=1, bias=False) for inner in widths[:-1]
        )
        self.up = nn.ModuleList(nn.Conv2d(2 * inner, inner, 3, padding=1, bias=False) for inner in widths[-2::-1])
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        if spectral_norm:
            normalise(self)

    @property
    def lasts(self) -> list[nn.Conv2d]:
        """The one that gives the logits."""
        return [self.last]

    def see(self, x: Tensor, *, channels: int) -> list[Seen]:
        """As `Branching`; features of the encoder, then of the decoder."""
        features = [F.leaky_relu(self.first(x), 0.2)]
        for conv in self.down:
            features.append(F.leaky_relu(conv(features[-1]), 0.2))
        x = features[-1]
        for conv, skip in zip(self.up, features[-2::-1], strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            features.append(F.leaky_relu(conv(x), 0.2))
            x = features[-1] + skip
        for conv in self.mix:
            x = F.leaky_relu(conv(x), 0.2)
            features.append(x)
        return [Seen(self.last(x), x, tuple(features))]


def check_smallest(name: str, size: Size | int, smallest: int) -> None:
    """
    Raises:
        ValueError: crops of `size` pixels are too small for this discriminator; names the smallest size.
    """
    if Size.of(size).shorter < smallest:
        raise ValueError(
            f"--discriminator {name} needs pictures of at least {smallest} pixels a side, but --size is {size}: use a "
            "larger --size or --discriminator patchgan --patch 1"
        )
