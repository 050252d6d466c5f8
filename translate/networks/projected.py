"""The projected discriminator (Sauer 2021): small ones on the mixed features of a frozen, pretrained network."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.fields import resumable
from translate.networks.backbone import CLASSIFIER_SIDE, Backbone, as_colour, feature_maps
from translate.networks.blocks import NORMS
from translate.networks.discriminator import Seen, walk
from translate.networks.patchgan import WidthSettings
from translate.networks.spectral import spectral_norm
from translate.sizes import Size

DEPTHS = 4  # feature maps that are looked at
LAST = 4  # positions of the shorter side of each map of logits
SMALLEST_SIDE = 64


class ProjectedSettings(WidthSettings):
    """A discriminator on pretrained features. Its norms are its own."""

    codes = ("projection", "inner", "auxiliary")

    d_backbone: str = Field(
        "tf_efficientnet_lite0",
        description="pretrained network on whose features the discriminator works, by timm's name; of the default the "
        "extra `features` brings the weights",
    )
    d_backbone_weights: Path | None = Field(
        None,
        description="file with its weights, .safetensors or .pth (default: the package's, or timm's download)",
        **resumable(),
    )
    d_backbone_size: int = Field(
        CLASSIFIER_SIDE,
        ge=SMALLEST_SIDE,
        le=4096,
        description="pixels of the shorter side to which smaller pictures are enlarged for it; fewer take less time",
    )


class Projected(nn.Module):
    """One small discriminator on each of four depths of features; costs are the mean over them.

    The features of a frozen network are mixed by random convolutions that are never trained, but saved: 1x1 across the
    channels of each depth, to width x 1, 2, 4, 8; then 3x3 from the coarsest to the finest, where each result, at the
    size of the next finer map, is added to that one. Weights are Kaiming's. Each mixed map is doubled, and goes through
    4x4 convolutions of stride 2 with spectral norm, batch norm and leaky ReLU 0.2 down to 4 to 7 positions, and a
    last one that leaves a map of logits of 4 positions a side (2 at the smallest `d_backbone_size`). The published
    objective is the hinge.

    Of pairs the mixed features of both pictures are joined in front of the small discriminators. The backbone takes
    gray or colour pictures, in float32; it is never trained and in no state dict, and gradients go through it.
    """

    mean = True

    def __init__(
        self,
        channels: int,
        *,
        spatial: int = 0,
        width: int = 64,
        d_backbone: str = "tf_efficientnet_lite0",
        d_backbone_weights: Path | None = None,
        d_backbone_size: int = CLASSIFIER_SIDE,
        size: Size | int | None = None,
    ) -> None:
        """
        Args:
            channels: of picture and spatial condition together.
            spatial: channels of the spatial condition, which is a picture, too; 0 without one.
            width: channels of the finest mixed map; 64 as published.
            d_backbone, d_backbone_weights: see `Backbone`. The weights are loaded when they are first used.
            d_backbone_size: pixels of the shorter side that smaller pictures are enlarged to.
            size: of the training crops, in pixels; decides the depth of the small discriminators.

        Raises:
            ValueError: pictures that are neither gray nor colour, or a backbone that timm does not have.
        """
        super().__init__()
        _check_channels(channels - spatial, spatial)
        maps = feature_maps(d_backbone)
        self.backbone = Backbone(d_backbone, d_backbone_weights, flag="--d-backbone-weights")
        self.depths = _chosen([stride for _, stride in maps])
        self.side = d_backbone_size
        sides = 1 if not spatial else 2
        inner = [width * 2**level for level in range(DEPTHS)]
        mixed = [max(wide // 2, width) for wide in inner]
        for level, depth in enumerate(self.depths):
            self._random(f"across_channels_{level}", inner[level], maps[depth][0], 1)
            self._random(f"across_scales_{level}", mixed[level], inner[level], 3)
        shorter = max(d_backbone_size, d_backbone_size if size is None else Size.of(size).shorter)
        self.heads = nn.ModuleList(
            _head(sides * mixed[level], [min(wide, 8 * width) for wide in inner[level:]], 2 * -(-shorter // stride))
            for level, stride in enumerate(maps[depth][1] for depth in self.depths)
        )

    @property
    def lasts(self) -> list[nn.Conv2d]:
        """Of each depth, from the finest to the coarsest."""
        return [head[-1] for head in self.heads]  # type: ignore[index]

    def check(self) -> None:
        """Load the backbone.

        Raises:
            ValueError: it or its weights cannot be had.
        """
        self.backbone.check()

    def see(self, x: Tensor, *, channels: int) -> list[Seen]:
        """As `Branching`."""
        pictures = [part for part in (x[:, :-channels], x[:, -channels:]) if part.shape[1]]
        mixed = self.mixed(torch.cat([as_colour(picture) for picture in pictures]))
        joined = [torch.cat(each.chunk(len(pictures)), 1) for each in mixed]
        return [walk(head, each) for head, each in zip(self.heads, joined, strict=True)]  # type: ignore[arg-type]

    def mixed(self, pictures: Tensor) -> list[Tensor]:
        """The mixed features `[B, C, h, w]` of pictures `[B, 1 or 3, H, W]`, from fine to coarse."""
        features = self.backbone.features(pictures, depths=self.depths, min_side=self.side)
        made: list[Tensor] = []
        coarser: Tensor | None = None
        for level in reversed(range(DEPTHS)):
            here = F.conv2d(features[level], self._weight("across_channels", level, features[level]))
            here = here if coarser is None else here + _resized(coarser, here.shape[-2:]).to(here.dtype)
            coarser = F.conv2d(here, self._weight("across_scales", level, here), padding=1)
            made.insert(0, _resized(coarser, [2 * side for side in here.shape[-2:]]))
        return made

    def _random(self, name: str, outputs: int, inputs: int, kernel: int) -> None:
        """Weights that are saved, and are no parameters: nothing initialises, clips or trains them."""
        weight = torch.empty(outputs, inputs, kernel, kernel)
        self.register_buffer(name, nn.init.kaiming_normal_(weight))

    def _weight(self, name: str, level: int, like: Tensor) -> Tensor:
        return self.get_buffer(f"{name}_{level}").to(like.dtype)


def _head(inputs: int, widths: list[int], side: int) -> nn.Sequential:
    """The small discriminator of maps whose shorter side has `side` positions; the last of `widths` goes on."""
    layers: list[nn.Module] = []
    count = 0
    while side // 2 >= LAST or not layers:
        outputs = widths[min(count, len(widths) - 1)]
        layers += [
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
            NORMS["batch"](outputs, per_image=False),
            nn.LeakyReLU(0.2),
        ]
        inputs, side, count = outputs, side // 2, count + 1
    layers.append(nn.Conv2d(inputs, 1, max(side - LAST + 1, 1), bias=False))
    head = nn.Sequential(*layers)
    spectral_norm(head)
    return head


def _chosen(strides: list[int]) -> tuple[int, ...]:
    """The places of four feature maps: the coarsest of as many strides, or evenly spaced where all have one stride.

    Raises:
        ValueError: there are fewer than four.
    """
    if len(strides) < DEPTHS:
        raise ValueError(f"--d-backbone: features of {DEPTHS} depths are needed, and it has {len(strides)}")
    if strides[0] == strides[-1]:
        return tuple((len(strides) * (level + 1)) // DEPTHS - 1 for level in range(DEPTHS))
    return tuple(range(len(strides) - DEPTHS, len(strides)))


def _check_channels(picture: int, spatial: int) -> None:
    """
    Raises:
        ValueError: pictures that have no features; names what to change.
    """
    for name, channels, change in (
        ("what it would see has", picture, "use another --discriminator"),
        ("the source has", spatial, "use --discriminator-sees picture, or another --discriminator"),
    ):
        if channels not in (0, 1, 3):  # 0: there is none
            raise ValueError(
                f"--discriminator projected looks at gray (1) or colour (3) pictures, and {name} {channels} channels: "
                f"{change}"
            )


def _resized(x: Tensor, size: list[int] | torch.Size) -> Tensor:
    return x if x.shape[-2:] == torch.Size(size) else F.interpolate(x, list(size), mode="bilinear", align_corners=False)
