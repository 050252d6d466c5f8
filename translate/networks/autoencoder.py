"""The autoencoder as discriminator (EBGAN, Zhao 2017; BEGAN, Berthelot 2017): its error is the picture's energy."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.discriminator import Seen
from translate.networks.patchgan import SpectralSettings
from translate.networks.spectral import spectral_norm as normalise
from translate.networks.unet_discriminator import check_smallest
from translate.sizes import Size

INNERMOST = 4  # positions that the shorter side of the code has at least
SMALLEST = 2 * INNERMOST
PUBLISHED_SIZE = 64


class AutoencoderSettings(SpectralSettings):
    """An autoencoder whose error is the energy. It has no norm but, if asked, the spectral one."""

    gives = "energy"
    code_uses = ("concat",)  # an energy is no logit, to which a projection could be added

    energy_distance: Literal["l2", "l1"] = Field(
        "l2",
        description="energy of a picture: mean squared (l2) or absolute (l1) error of its reconstruction (default with "
        "--objective began: l1)",
    )


class Autoencoder(nn.Module):
    """`[B, channels, H, W]` -> the energy `[B, 1, 1, 1]`, 0 or more: the mean error over a picture's values.

    Of pairs the picture alone is reconstructed, from both. 4x4 convolutions of stride 2 and width x 1, 2, 4, 8, 8 and
    so on, while 4 positions are left; back by nearest doubling and 3x3 convolutions, with no skips. Leaky ReLU 0.2
    after each but the last. No norm (EBGAN has batch norm, BEGAN none), and no code of a few numbers as BEGAN's.
    `Seen.features` are the encoder's maps; the last is the code.
    """

    mean = False

    def __init__(
        self,
        channels: int,
        *,
        spatial: int = 0,
        width: int = 64,
        energy_distance: str = "l2",
        spectral_norm: bool = False,
        size: Size | int | None = None,
    ) -> None:
        """
        Args:
            spatial: how many of the channels, the first ones, are no picture.
            energy_distance: "l2", the mean squared error, or "l1", the mean absolute one.
            spectral_norm: on each convolution.
            size: of the training crops in pixels; decides the depth. 64 by default.

        Raises:
            ValueError: a side below 8.
        """
        super().__init__()
        size = Size.of(PUBLISHED_SIZE if size is None else size)
        check_smallest("autoencoder", size, SMALLEST)
        self.distance = energy_distance
        count = (size.shorter // INNERMOST).bit_length() - 1
        widths = [width * min(2**level, 8) for level in range(count)]
        inputs = [channels, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in zip(inputs, widths, strict=True)
        )
        outputs = [*widths[-2::-1], width]
        self.up = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(widths[::-1], outputs, strict=True)
        )
        self.last = nn.Conv2d(width, channels - spatial, 3, padding=1)
        if spectral_norm:
            normalise(self)

    @property
    def lasts(self) -> list[nn.Conv2d]:
        """The one that gives the reconstruction."""
        return [self.last]

    def see(self, x: Tensor, *, channels: int) -> list[Seen]:
        """As `Branching`; features are the encoder's, the code last."""
        made, inner, features = self.reconstruct(x)
        wide = torch.promote_types(x.dtype, torch.float32)
        error = made.to(wide) - x[:, -channels:].to(wide)
        error = error.square() if self.distance == "l2" else error.abs()
        return [Seen(error.mean((1, 2, 3))[:, None, None, None], inner, tuple(features))]

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The picture again, what its last convolution took, and the encoder's maps."""
        sizes, features = [], []
        for conv in self.down:
            sizes.append(x.shape[-2:])
            x = F.leaky_relu(conv(x), 0.2)
            features.append(x)
        for conv in self.up:
            x = F.leaky_relu(conv(F.interpolate(x, sizes.pop(), mode="nearest")), 0.2)
        return self.last(x), x, features
