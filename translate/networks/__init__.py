"""Networks: tensors in, tensors out. Each has its own settings; independent of models and files."""

from functools import partial

from torch import nn

from translate.networks.augment import DiffAugment
from translate.networks.dcgan import DCGANGenerator, DCGANSettings, dcgan
from translate.networks.discriminator import Discriminator, Scores, Shown
from translate.networks.encoders import ConditioningAugmentation, LabelEncoder, TextEncoder
from translate.networks.heads import PatchHeads
from translate.networks.network import Network
from translate.networks.patchgan import PatchGANSettings, patchgan
from translate.networks.pretrained import PretrainedTextEncoder, read_pretrained
from translate.networks.resnet import ResNet, ResNetSettings
from translate.networks.unet import UNet, UNetSettings
from translate.tables import Table

GENERATORS: Table[Network[nn.Module]] = Table(
    "generator",
    {
        "unet": Network(UNet, UNetSettings),
        "resnet": Network(ResNet, ResNetSettings),
        "encoder-decoder": Network(partial(UNet, skips=False), UNetSettings),  # DiscoGAN (Kim 2017); pix2pix's ablation
    },
)
"""All are called alike, `GENERATORS[name](source_channels, target_channels, size=..., ...)`, with the arguments that
their settings give. One that takes `code=D` is conditioned on a code `[B, D]`, which `forward` takes after the
picture. For optional parts of a generator see `network`."""

DISCRIMINATORS: Table[Network[nn.Sequential]] = Table(
    "discriminator", {"patchgan": Network(patchgan, PatchGANSettings), "dcgan": Network(dcgan, DCGANSettings)}
)
"""All are called alike, `DISCRIMINATORS[name](channels, size=..., ...)`, and end with a convolution."""

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "ConditioningAugmentation",
    "DCGANGenerator",
    "DiffAugment",
    "Discriminator",
    "LabelEncoder",
    "Network",
    "PatchHeads",
    "PretrainedTextEncoder",
    "ResNet",
    "Scores",
    "Shown",
    "TextEncoder",
    "UNet",
    "dcgan",
    "patchgan",
    "read_pretrained",
]
