"""One wrapper around every discriminator, so that what is done to its input is written once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.augment import DiffAugment
from translate.networks.modulation import check_code
from translate.tables import Table

CODE_PLANES = 16  # channels that a code joined at the input becomes

JOINS: Table[int] = Table("way for the discriminator to see a code", {"projection": 0, "concat": CODE_PLANES})
"""How a discriminator sees a code -> channels that its network has to take for that, beside picture and condition."""


class Scores(NamedTuple):
    """What a discriminator says of a batch."""

    logits: Tensor  # [B, 1, H', W'], one for each patch
    features: tuple[Tensor, ...] = ()  # [B, C, H, W] after each leaky ReLU, from the outermost in; for feature matching
    classes: Tensor | None = None  # [B, K] logits of the auxiliary classifier, where there is one


class Seen(NamedTuple):
    """What a discriminator's network made of a batch; what it says of that may depend on a code still."""

    logits: Tensor  # [B, 1, H', W']
    inner: Tensor  # [B, C, H'', W''], which the last convolution took
    features: tuple[Tensor, ...]

    def split(self, parts: int) -> Iterator[Seen]:
        """As many equal parts of the batch."""
        for logits, inner, *features in zip(*(t.chunk(parts) for t in (*self[:2], *self.features)), strict=True):
            yield Seen(logits, inner, tuple(features))


class Critic(nn.Module):
    """Joins a spatial condition to the picture as channels (Mirza 2014), augments both alike, and runs the network.

    A code `[B, code]` it sees in one of two ways. "projection" (Miyato 2018): to the logit of each patch is added the
    inner product of a projected code and what the last convolution sees there: product by position, then averaged over
    the window of that convolution, which keeps patches apart and brings the product to the grid of the logits. Being
    linear, it is the last convolution with a kernel that the code adds to. Divided by the root of the channels, so that
    it starts below the logits and learns no faster than they do. "concat" (Mirza 2014; Reed 2016): projected to some
    planes of one value each, in front of the other channels; these are not augmented.
    """

    def __init__(
        self,
        network: nn.Sequential,
        *,
        augment: DiffAugment | None = None,
        join: str | None = None,
        code: int = 0,
        classes: int = 0,
    ) -> None:
        """
        Args:
            network: ends with a convolution where there is a projection or classes; takes `JOINS[join]` more channels.
            augment: what is done to all that the network sees, real or fake, drawn anew each time; for small data.
            join: how it sees a code; None: it sees none.
            code: numbers of the code that it sees.
            classes: of an auxiliary classifier (AC-GAN, Odena 2017), linear in the average of what the last
                convolution sees.

        Raises:
            ValueError: an unknown `join`.
        """
        super().__init__()
        assert (join is None) == (code == 0), "a code, and a way to see it"
        self.network = network
        self.augment = augment
        self.join = join
        self.code = code
        planes = JOINS[join] if join else 0
        self.planes = nn.Linear(code, planes) if planes else None
        self.projection = nn.Linear(code, self._last().in_channels, bias=False) if join and not planes else None
        self.classifier = nn.Linear(self._last().in_channels, classes) if classes else None

    def forward(self, image: Tensor, *, condition: Tensor | None = None, code: Tensor | None = None) -> Scores:
        """`image` and `condition` are `[B, C, H, W]` in [-1, 1], of one size; the condition's channels come first."""
        return self.score(self.see(image, condition=condition, code=code), code)

    def see(self, image: Tensor, *, condition: Tensor | None = None, code: Tensor | None = None) -> Seen:
        """The network's part of `forward`, for which the code is needed only where it is joined at the input."""
        x = image if condition is None else torch.cat([condition, image], 1)
        if self.augment is not None:
            x = self.augment(x, channels=image.shape[1])
        if self.planes is not None:
            check_code(code, self.code)
            planes = self.planes(code)[..., None, None].expand(-1, -1, *x.shape[-2:])
            x = torch.cat([planes.to(x.dtype), x], 1)
        features: list[Tensor] = []
        inner = x
        for layer in self.network:
            inner, x = x, layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)  # costs nothing while training: the next layer keeps it for its gradient anyway
        return Seen(x, inner, tuple(features))

    def score(self, seen: Seen, code: Tensor | None = None) -> Scores:
        """What it says of what it has seen, together with a code; with "projection" another one costs next to nothing.

        With "concat" it has to be the code that was seen.
        """
        check_code(code, self.code)
        logits = seen.logits
        if self.projection is not None:
            logits = logits + self._product(seen.inner, self.projection(code)).to(logits.dtype)
        classes = None if self.classifier is None else self.classifier(seen.inner.mean((2, 3)))
        return Scores(logits, seen.features, classes)

    def both(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: Tensor | None = None,
        code: Tensor | None = None,
        together: bool,
    ) -> tuple[Scores, Scores]:
        """Scores of as many real as fake pictures of the same condition and code.

        Args:
            together: in one pass, which is faster, and exact where the norm keeps pictures apart (not batch norm).
        """
        of_real, of_fake = self._see_all([real, fake], condition, [code, code], together=together)
        return self.score(of_real, code), self.score(of_fake, code)

    def matching(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: Tensor | None = None,
        code: Tensor,
        wrong: Tensor,
        together: bool,
    ) -> tuple[Scores, Scores, Scores]:
        """Scores of real pictures with their code, real ones with a wrong code, and fakes with theirs (Reed 2016).

        With "projection" the network sees the real pictures once for both codes.

        Args:
            code: `[B, code]`, that real and fake belong to.
            wrong: `[B, code]`, those of other pictures.
            together: as in `both`.
        """
        if self.planes is None:
            of_real, of_fake = self._see_all([real, fake], condition, [code, code], together=together)
            return self.score(of_real, code), self.score(of_real, wrong), self.score(of_fake, code)
        codes = [code, wrong, code]
        seen = self._see_all([real, real, fake], condition, [*codes], together=together)
        return self.score(seen[0], code), self.score(seen[1], wrong), self.score(seen[2], code)

    def _see_all(
        self, images: list[Tensor], condition: Tensor | None, codes: list[Tensor | None], *, together: bool
    ) -> list[Seen]:
        """Each of the batches, all of the same condition."""
        count = len(images)
        if not together:
            return [self.see(x, condition=condition, code=code) for x, code in zip(images, codes, strict=True)]
        joined = torch.cat([x.to(images[0].dtype) for x in images])
        given = [code for code in codes if code is not None]
        assert len(given) in (0, count), "a code for all or for none"
        condition = None if condition is None else torch.cat([condition] * count)
        return list(self.see(joined, condition=condition, code=torch.cat(given) if given else None).split(count))

    def _product(self, inner: Tensor, vector: Tensor) -> Tensor:
        """`inner` `[B, C, H'', W'']` and `vector` `[B, C]` -> `[B, 1, H', W']`."""
        last = self._last()
        product = (inner * vector[..., None, None]).sum(1, keepdim=True) / inner.shape[1] ** 0.5
        window, step, padding = (tuple(map(int, sides)) for sides in (last.kernel_size, last.stride, last.padding))
        return F.avg_pool2d(product, window, step, padding)

    def _last(self) -> nn.Conv2d:
        last = self.network[-1]
        assert isinstance(last, nn.Conv2d), "a network that ends with a convolution"
        return last
