"""Networks: tensors in, tensors out. Each has its own settings; independent of models and files."""

from functools import partial

from torch import nn

from translate.networks.augment import DiffAugment
from translate.networks.autoencoder import Autoencoder, AutoencoderSettings
from translate.networks.dcgan import DCGANGenerator, DCGANGeneratorSettings, DCGANSettings, dcgan
from translate.networks.discriminator import Discriminator, Scores, Shown
from translate.networks.encoders import ConditioningAugmentation, LabelEncoder, TextEncoder
from translate.networks.heads import PatchHeads
from translate.networks.multiscale import MultiScale, MultiScaleSettings
from translate.networks.network import Network
from translate.networks.patchgan import PatchGANSettings, patchgan
from translate.networks.pretrained import PretrainedTextEncoder, read_pretrained
from translate.networks.projected import Projected, ProjectedSettings
from translate.networks.resnet import ResNet, ResNetSettings
from translate.networks.segmenter import Segmenter, SegmenterSettings
from translate.networks.unet import UNet, UNetSettings
from translate.networks.unet_discriminator import UNetDiscriminator, UNetDiscriminatorSettings
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

NOISE_GENERATORS: Table[Network[nn.Module]] = Table(
    "generator of noise", {"dcgan": Network(DCGANGenerator, DCGANGeneratorSettings)}
)
"""All are called alike, `NOISE_GENERATORS[name](channels, size=..., z=..., code=..., ...)`, and take noise `[B, z]`."""

DISCRIMINATORS: Table[Network[nn.Module]] = Table(
    "discriminator",
    {
        "patchgan": Network(patchgan, PatchGANSettings),
        "multiscale": Network(MultiScale, MultiScaleSettings),
        "unet": Network(UNetDiscriminator, UNetDiscriminatorSettings),
        "segment": Network(Segmenter, SegmenterSettings),
        "projected": Network(Projected, ProjectedSettings),
        "autoencoder": Network(Autoencoder, AutoencoderSettings),
        "dcgan": Network(dcgan, DCGANSettings),
    },
)
"""All are called alike, `DISCRIMINATORS[name](channels, size=..., ...)`: a chain of layers that ends with a
convolution, or `Branching`. One that takes `spatial` is told how many of the channels, the first ones, are no picture;
one that takes `segments`, how many classes the label map has."""

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "NOISE_GENERATORS",
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
