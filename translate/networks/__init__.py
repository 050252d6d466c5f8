"""Networks: tensors in, tensors out. They know nothing of settings, models or files."""

from collections.abc import Callable
from functools import partial

from torch import nn

from translate.networks.augment import DiffAugment
from translate.networks.critic import Critic, Scores
from translate.networks.dcgan import DCGANGenerator, dcgan
from translate.networks.encoders import ConditioningAugmentation, LabelEncoder, TextEncoder
from translate.networks.heads import PatchHeads
from translate.networks.patchgan import patchgan
from translate.networks.pretrained import PretrainedTextEncoder, read_pretrained
from translate.networks.resnet import ResNet
from translate.networks.unet import UNet
from translate.tables import Table

GENERATORS: Table[Callable[..., nn.Module]] = Table(
    "generator",
    {
        "unet": UNet,
        "resnet": ResNet,
        "encoder-decoder": partial(UNet, skips=False),  # DiscoGAN (Kim 2017); pix2pix's ablation
    },
)
"""All are called alike, `GENERATORS[name](source_channels, target_channels, size=..., ...)`, and offer `forward`,
`encode`, `forward_with_features`, `stages` and `feature_channels`. With `code=D` all of these take a code `[B, D]`."""

DISCRIMINATORS: Table[Callable[..., nn.Sequential]] = Table("discriminator", {"patchgan": patchgan, "dcgan": dcgan})
"""All are called alike: `DISCRIMINATORS[name](channels, width=..., patch=..., norm=..., downsample=..., size=...)`."""

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "ConditioningAugmentation",
    "Critic",
    "DCGANGenerator",
    "DiffAugment",
    "LabelEncoder",
    "PatchHeads",
    "PretrainedTextEncoder",
    "ResNet",
    "Scores",
    "TextEncoder",
    "UNet",
    "dcgan",
    "patchgan",
    "read_pretrained",
]
