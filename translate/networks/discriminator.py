"""`Discriminator`: a wrapper around any discriminator network, with its inputs (`Shown`) and outputs (`Scores`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.augment import DiffAugment
from translate.networks.blocks import mixes_batch
from translate.networks.modulation import check_code
from translate.networks.reference import Reference
from translate.tables import Table

CODE_PLANES = 16  # channels that a code joined at the input becomes
READER_WIDTH = 128  # as published (InfoGAN)

JOINS: Table[int] = Table(
    "way for the discriminator to see a code", {"projection": 0, "concat": CODE_PLANES, "inner": 0}
)
"""How a discriminator sees a code -> channels that its network has to take for that, beside picture and condition."""


class Shown(NamedTuple):
    """Inputs of a discriminator: pictures with their condition."""

    image: Tensor  # [B, C, H, W] in [-1, 1]
    spatial: Tensor | None = None  # [B, C', H, W]: further channels, such as the source
    code: Tensor | None = None  # [B, D]: an encoded label or text
    augment: Tensor | None = None  # [B, 7 or more]: the random numbers of DiffAugment, where there is one
    classes: Tensor | None = None  # [B, H, W] int64: of the label map, for one that labels pixels; -1: not counted


class Scores(NamedTuple):
    """A discriminator's outputs for a batch, at one scale."""

    logits: Tensor  # [B, 1, H', W'], one for each patch
    features: tuple[Tensor, ...] = ()  # [B, C, H, W] after each leaky ReLU, from the outermost in; for feature matching
    classes: Tensor | None = None  # [B, K] logits of the auxiliary classifier, where there is one
    segments: Tensor | None = None  # [B, N + 1, H, W] logits of each pixel's class, the last: fake; OASIS alone
    read: Tensor | None = None  # [B, R] what is read off the picture, where there is such a head (InfoGAN's Q)

    @property
    def predicted(self) -> Tensor:
        """`classes` of a discriminator that has a classifier."""
        assert self.classes is not None, "this discriminator has no classifier"
        return self.classes


class Seen(NamedTuple):
    """A network's outputs for a batch, at one scale, before a code is used by projection."""

    logits: Tensor  # [B, 1, H', W']
    inner: Tensor  # [B, C, H'', W''], which the last convolution took
    features: tuple[Tensor, ...]  # as in `Scores`
    segments: Tensor | None = None  # as in `Scores`

    def split(self, parts: int) -> Iterator[Seen]:
        """As many equal parts of the batch."""
        columns = zip(*(t.chunk(parts) for t in (*self[:2], *self.features)), strict=True)
        segments = [None] * parts if self.segments is None else self.segments.chunk(parts)
        for (logits, inner, *features), labels in zip(columns, segments, strict=True):
            yield Seen(logits, inner, tuple(features), labels)


@runtime_checkable
class Branching(Protocol):
    """A discriminator network that is more than one chain of layers: of several scales, or with skips.

    `lasts`: of each branch the convolution that gives its logits. `mean`: costs are the branches' mean, not their sum.
    One may have `check()`, which loads what it needs beside its weights, and `segments`: the classes of the label map,
    if it labels pixels, and gives `Seen.segments`.
    `see`: `[B, C, H, W]`, of which the last `channels` are the picture and the others its spatial condition -> what
    each branch makes of it.
    """

    mean: bool

    @property
    def lasts(self) -> list[nn.Conv2d]: ...

    def see(self, x: Tensor, *, channels: int) -> list[Seen]: ...


def walk(layers: Iterable[nn.Module], x: Tensor) -> Seen:
    """What a chain of layers that ends with a convolution makes of `x` `[B, C, H, W]`."""
    features: list[Tensor] = []
    inner = x
    for layer in layers:
        inner, x = x, layer(x)
        if isinstance(layer, nn.LeakyReLU):
            features.append(x)  # costs nothing while training: the next layer keeps it for its gradient anyway
    return Seen(x, inner, tuple(features))


class Discriminator(nn.Module):
    """Joins a spatial condition to the picture as channels (Mirza 2014), augments both alike, and runs the network.

    A code `[B, code]` is used in one of three ways. "projection" (Miyato 2018): to the logit of each patch is added the
    inner product of a projected code and what the last convolution sees there: product by position, then averaged over
    the window of that convolution, which keeps patches apart and brings the product to the grid of the logits. Being
    linear, it is the last convolution with a kernel that the code adds to. Divided by the root of the channels, so that
    it starts below the logits and learns no faster than they do. "concat" (Mirza 2014): projected to some planes of one
    value each, in front of the other channels; these are not augmented. "inner" (Reed 2016; BiGAN, Donahue 2016): put
    beside what the last convolution takes, at every position; a 1x1 convolution of both is added to it (there it takes
    its place, which hides the picture while weights are small).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        augment: DiffAugment | None = None,
        join: str | None = None,
        code: int = 0,
        classes: int = 0,
        read: int = 0,
    ) -> None:
        """
        Args:
            network: a chain of layers, which ends with a convolution where there is a projection or classes, or
                `Branching`; takes `JOINS[join]` more channels.
            augment: what is done to all that the network sees, real or fake; for small data.
            join: how it sees a code; None: it sees none.
            code: numbers of the code that it sees.
            classes: of an auxiliary classifier (AC-GAN, Odena 2017), linear in the average of what the last
                convolution sees.
            read: numbers that a head reads off the picture (InfoGAN's Q, Chen 2016).

        Raises:
            ValueError: an unknown `join`.
        """
        super().__init__()
        assert (join is None) == (code == 0), "a code, and a way to see it"
        self.network = network
        self.augment = augment
        self.reference: Reference | None = None  # of the network's norms: spatial condition and picture, not augmented
        self.join = join
        self.code = code
        planes = JOINS[join] if join else 0
        self.planes = nn.Linear(code, planes) if planes else None
        heads: dict[str, list[nn.Module]] = {
            "projection": [nn.Linear(code, last.in_channels, bias=False) for last in self._lasts()]
            if join == "projection"
            else [],
            "inner": [_Inner(code, last.in_channels) for last in self._lasts()] if join == "inner" else [],
            "classifier": [nn.Linear(last.in_channels, classes) for last in self._lasts()] if classes else [],
            "reader": [_Reader(last, read) for last in self._lasts()] if read else [],
        }
        # a single branch's by the plain name: files of earlier versions have it so
        self.projection, self.inner, self.classifier, self.reader = (
            None if not each else each[0] if len(each) == 1 else nn.ModuleList(each) for each in heads.values()
        )

    def forward(self, *shown: Shown, together: bool = False) -> list[list[Scores]]:
        """For each batch its scores: a list, of one entry for each scale or branch of the discriminator; here one.

        With "projection" and "inner", batches that differ in their codes alone take one pass of the network.

        Args:
            together: batches of one size go through the network in one pass, which is faster, and exact where the
                norm keeps pictures apart (not batch norm).
        """
        views: list[Shown] = []  # those that the network has to see
        places: list[int] = []  # of each batch its view
        for one in shown:
            same = [i for i, view in enumerate(views) if self.planes is None and _alike(view, one)]
            places.append(same[0] if same else len(views))
            views += [] if same else [one]
        equal = len(views) > 1 and len({len(view.image) for view in views}) == 1
        seen = self._see_joined(views) if together and equal else [self._see(view) for view in views]
        return [
            [self._score(branch, each, one.code) for branch, each in enumerate(seen[place])]
            for place, one in zip(places, shown, strict=True)
        ]

    @property
    def mixes_batch(self) -> bool:
        """Whether a picture's logits depend on the rest of its batch, so that passes must not be joined."""
        return mixes_batch(self.network)

    def check(self) -> None:
        """Load what the network needs beside its weights, if anything.

        Raises:
            ValueError: something is missing. The message has what to install or give.
        """
        check = getattr(self.network, "check", None)
        if check is not None:
            check()

    @property
    def scale_weight(self) -> float:
        """What each branch's cost counts: 1, or its share where `network` wants their mean."""
        return 1 / len(self.network.lasts) if isinstance(self.network, Branching) and self.network.mean else 1.0

    def _see_joined(self, views: list[Shown]) -> list[list[Seen]]:
        """All of them in one pass."""
        dtype = views[0].image.dtype
        columns = zip(*(view._replace(image=view.image.to(dtype)) for view in views), strict=True)
        branches = self._see(Shown(*(_joined(column) for column in columns)))  # type: ignore[arg-type]
        return [list(each) for each in zip(*(branch.split(len(views)) for branch in branches), strict=True)]

    def _see(self, shown: Shown) -> list[Seen]:
        """The network's part, for which the code is needed only where it is joined at the input."""
        x = shown.image if shown.spatial is None else torch.cat([shown.spatial, shown.image], 1)
        if self.augment is not None:
            assert shown.augment is not None, "pictures come with the random numbers of their augmentation"
            x = self.augment(x, shown.augment, channels=shown.image.shape[1])
        if self.planes is not None:
            check_code(shown.code, self.code)
            planes = self.planes(shown.code)[..., None, None].expand(-1, -1, *x.shape[-2:])
            x = torch.cat([planes.to(x.dtype), x], 1)
        if self.reference is None or not self.training:
            return self._run(x, channels=shown.image.shape[1])
        whole = torch.cat([torch.cat(self.reference.inputs, 1).to(x), x])
        seen: list[Seen] = self.reference.drop(self._run(whole, channels=shown.image.shape[1]))
        return seen

    def _run(self, x: Tensor, *, channels: int) -> list[Seen]:
        if isinstance(self.network, Branching):
            return self.network.see(x, channels=channels)
        assert isinstance(self.network, nn.Sequential), "a chain of layers, or Branching"
        return [walk(self.network, x)]

    def run_reference(self, *inputs: Tensor) -> list[Seen]:
        """The network's pass of the reference alone, for `reference.measure`."""
        return self._run(torch.cat(inputs, 1), channels=inputs[-1].shape[1])

    def _score(self, branch: int, seen: Seen, code: Tensor | None) -> Scores:
        """Scores from the network's outputs and the code; with "concat" the code was already an input."""
        check_code(code, self.code)
        logits = seen.logits
        if self.projection is not None:
            vector = _of(self.projection, branch)(code)
            logits = logits + _product(self._lasts()[branch], seen.inner, vector).to(logits.dtype)
        if self.inner is not None:
            logits = self._lasts()[branch](_of(self.inner, branch)(seen.inner, code))
        classes = None if self.classifier is None else _of(self.classifier, branch)(seen.inner.mean((2, 3)))
        read = None if self.reader is None else _of(self.reader, branch)(seen.inner)
        return Scores(logits, seen.features, classes, seen.segments, read)

    def _lasts(self) -> list[nn.Conv2d]:
        """Of each branch the convolution that gives its logits."""
        if isinstance(self.network, Branching):
            return self.network.lasts
        last = self.network[-1] if isinstance(self.network, nn.Sequential) else None
        assert isinstance(last, nn.Conv2d), "a network that ends with a convolution"
        return [last]


class _Inner(nn.Module):
    """`[B, C, H, W]` and a code `[B, D]` -> `[B, C, H, W]`: the code, mapped to C numbers, beside each position."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.compress = nn.Linear(code, channels)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, inner: Tensor, code: Tensor) -> Tensor:
        vector = F.leaky_relu(self.compress(code), 0.2)[..., None, None].expand(-1, -1, *inner.shape[-2:])
        return inner + F.leaky_relu(self.mix(torch.cat([inner, vector.to(inner.dtype)], 1)), 0.2)


class _Reader(nn.Module):
    """`[B, C, H, W]`, as the last convolution takes it, -> `[B, numbers]`: a layer of `READER_WIDTH`, a linear one.

    The first has the window of the last convolution: a mean over places would not tell where something is.
    """

    def __init__(self, last: nn.Conv2d, numbers: int) -> None:
        super().__init__()
        assert not isinstance(last.padding, str), "a number of pixels"
        self.first = nn.Conv2d(
            last.in_channels, READER_WIDTH, _two(last.kernel_size), _two(last.stride), _two(last.padding)
        )
        self.last = nn.Linear(READER_WIDTH, numbers)

    def forward(self, inner: Tensor) -> Tensor:
        read: Tensor = self.last(F.leaky_relu(self.first(inner), 0.2).mean((2, 3)))
        return read


def _two(sides: tuple[int, ...]) -> tuple[int, int]:
    return sides[0], sides[1]


def _of(heads: nn.Module, branch: int) -> nn.Module:
    return heads[branch] if isinstance(heads, nn.ModuleList) else heads


def _product(last: nn.Conv2d, inner: Tensor, vector: Tensor) -> Tensor:
    """`inner` `[B, C, H'', W'']` and `vector` `[B, C]` -> `[B, 1, H', W']`."""
    product = (inner * vector[..., None, None]).sum(1, keepdim=True) / inner.shape[1] ** 0.5
    window, step, padding = (tuple(map(int, sides)) for sides in (last.kernel_size, last.stride, last.padding))
    return F.avg_pool2d(product, window, step, padding)


def _alike(one: Shown, other: Shown) -> bool:
    """Whether both are the same picture, but for the code."""
    return one.image is other.image and one.spatial is other.spatial and one.augment is other.augment


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    """The same of all batches, one after the other; None where they have none."""
    given = [part for part in parts if part is not None]
    assert len(given) in (0, len(parts)), "something that all batches have, or none"
    return torch.cat(given) if given else None
