"""Networks: tensors in, tensors out. They know nothing of settings, models or files."""

from collections.abc import Callable

from torch import nn

from translate.networks.critic import Critic, Scores
from translate.networks.patchgan import patchgan
from translate.networks.unet import UNet
from translate.tables import Table

GENERATORS: Table[Callable[..., nn.Module]] = Table("generator", {"unet": UNet})
DISCRIMINATORS: Table[Callable[..., nn.Module]] = Table("discriminator", {"patchgan": patchgan})

__all__ = ["DISCRIMINATORS", "GENERATORS", "Critic", "Scores", "UNet", "patchgan"]
