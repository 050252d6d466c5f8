"""The multi-scale discriminator of pix2pixHD (Wang 2018): PatchGANs that see a picture at several scales."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.discriminator import Seen, walk
from translate.networks.patchgan import STRIDED_LAYERS, PatchGANSettings, patchgan, smallest_size
from translate.sizes import Size


class MultiScaleSettings(PatchGANSettings):
    """PatchGANs at several scales."""

    scales: int = Field(
        3, ge=1, le=4, description="scales at which the discriminator sees a picture, each half of the last"
    )


class MultiScale(nn.Module):
    """A PatchGAN at each of the scales 1, 1/2, 1/4 and so on; costs are summed over them, as published.

    `[B, channels, H, W]` -> a map of logits a scale; all that it sees is halved by average pooling of 3x3 and stride 2,
    to sides rounded up; what lies outside the picture does not count. 8,306,115 parameters for 6 channels, width 64,
    patch 70 and batch norm, at three scales.
    """

    mean = False

    def __init__(
        self,
        channels: int,
        *,
        scales: int = 3,
        width: int = 64,
        patch: int = 70,
        norm: str = "batch",
        downsample: str = "strided",
        spectral_norm: bool = False,
        minibatch: str = "none",
        size: Size | int | None = None,
    ) -> None:
        """
        Args:
            scales: how many.
            size: of the training crops in pixels, to find out early that they are too small. See `patchgan` for others.

        Raises:
            ValueError: a patch size that is not in `STRIDED_LAYERS`, or one that does not fit `size` at each scale.
        """
        super().__init__()
        if size is not None:
            check_size(size, patch=patch, scales=scales)
        chosen = {"width": width, "patch": patch, "norm": norm, "downsample": downsample, "minibatch": minibatch}
        self.scales = nn.ModuleList(
            patchgan(channels, spectral_norm=spectral_norm, **chosen)  # type: ignore[arg-type]
            for _ in range(scales)
        )

    @property
    def lasts(self) -> list[nn.Conv2d]:
        """Of each scale, from the finest to the coarsest."""
        return [scale[-1] for scale in self.scales]  # type: ignore[index]

    def see(self, x: Tensor, *, channels: int) -> list[Seen]:
        """As `Branching`."""
        seen = []
        for level, scale in enumerate(self.scales):
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if level else x
            seen.append(walk(scale, x))  # type: ignore[arg-type]
        return seen


def check_size(size: Size | int, *, patch: int, scales: int) -> None:
    """
    Raises:
        ValueError: at the coarsest scale a picture of `size` pixels has no patch; names the smallest size that has.
    """
    smallest = (smallest_size(patch) - 1) * 2 ** (scales - 1) + 1  # halved sides are rounded up
    if Size.of(size).shorter < smallest:
        raise ValueError(
            f"--scales {scales} with --patch {patch} needs pictures of at least {smallest} pixels a side, but --size "
            f"is {size}: use a larger --size, fewer --scales or a smaller --patch ({', '.join(STRIDED_LAYERS)})"
        )
