"""A discriminator whose logit follows from those of classes: n classes, and fake as one more (Salimans 2016)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from translate.networks.augment import DiffAugment
from translate.networks.discriminator import Discriminator, Scores, Seen, walk


class ClassDiscriminator(Discriminator):
    """The logit of a picture's being real is log Z, Z being the sum of exp(l_k) over its class logits l_1 .. l_n.

    That is the softmax over n + 1 classes with the last logit 0: D = Z / (Z + 1). Class logits of a network that judges
    patches are the mean over these. `Scores` has both, `logits` `[B, 1, 1, 1]` and `classes` `[B, n]`.
    """

    def __init__(self, network: nn.Sequential, *, classes: int, augment: DiffAugment | None = None) -> None:
        """
        Args:
            network: a chain of layers that ends with a convolution, in whose place one of `classes` channels comes.
        """
        last = network[-1]
        assert isinstance(last, nn.Conv2d), "a network that ends with a convolution"
        own = nn.Conv2d(
            last.in_channels,
            classes,
            last.kernel_size,  # type: ignore[arg-type]
            stride=last.stride,  # type: ignore[arg-type]
            padding=last.padding,  # type: ignore[arg-type]
            bias=last.bias is not None,
        )
        if parametrize.is_parametrized(last, "weight"):  # spectral norm, such as the other layers have
            for kind in last.parametrizations["weight"]:  # type: ignore[index]
                made: Any = type(kind)
                parametrize.register_parametrization(own, "weight", made(own.weight))
        network[-1] = own
        super().__init__(network, augment=augment)

    def classify(self, picture: Tensor) -> Tensor:
        """Class logits `[B, n]` of pictures `[B, C, H, W]`, which are not augmented."""
        return walk(self.network, picture).logits.float().mean((2, 3))  # type: ignore[arg-type]

    def _score(self, branch: int, seen: Seen, code: Tensor | None) -> Scores:
        classes = seen.logits.float().mean((2, 3))  # [B, n]
        return Scores(classes.logsumexp(1)[:, None, None, None], seen.features, classes)
