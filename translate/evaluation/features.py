"""Features of pictures by which they are judged: of a pretrained network, computed once for pictures that stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from translate.images import ImageSpec
from translate.networks.backbone import PACKAGED, Backbone
from translate.settings import ModelSettings

SHORT_NAMES = {"tf_efficientnet_lite0": "lite0", "tf_efficientnet_lite1": "lite1"}
"""Names of backbones within those of figures, as in `kid_lite0`; others keep timm's."""

STRIDES = (4, 8, 16, 32)
"""Pixels for each position of the feature maps that are compared."""

ON_FEATURES = ("lambda_perceptual", "lambda_style", "lambda_content")
"""Fields of the weights of terms in the features of `features`."""

TRAINS_ON_ALL = f"the model trains on the features of all networks that there are to judge by ({', '.join(PACKAGED)})"

KEPT_BYTES = 2**28  # of the maps of real pictures that are kept from one validation to the next


class PooledFeatures(Protocol):
    """A network that gives one vector a picture."""

    name: str  # within the names of figures

    def pooled(self, pictures: Tensor, *, real: int | None = None) -> Tensor:
        """As `Features.pooled`."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingFeatures:
    """Pooled features of training pictures, by the network that judges: what a small classifier is fitted on."""

    source: Tensor | None  # [N, D]; None: outputs are made of noise
    target: Tensor  # [M, D]
    labels: Tensor | None = None  # [M, K]: of the targets, 1 for each label, as in a batch
    made: Tensor | None = None  # [N, D]: of outputs for the sources, where they are needed
    apart: bool = True  # none of the pictures is among those that are measured


class Features:
    """The features of one backbone, for measures.

    Those of real pictures are kept: a validation has the same targets each time. A new set of pictures needs a new
    object.
    """

    def __init__(self, backbone: Backbone) -> None:
        """
        Raises:
            ValueError: the backbone or its weights cannot be had, or it has no maps at `STRIDES`.
        """
        self.backbone = backbone
        self.name = SHORT_NAMES.get(backbone.name) or re.sub(r"\W+", "_", backbone.name)
        strides = backbone.strides()
        missing = [stride for stride in STRIDES if stride not in strides]
        if missing:
            raise ValueError(
                f"{backbone.name} has no feature map at a stride of {missing[0]} pixels, only {strides}: choose one of "
                f"{', '.join(PACKAGED)}"
            )
        self._depths = tuple(strides.index(stride) for stride in STRIDES)
        self._kept: dict[tuple[str, int, int], list[Tensor]] = {}  # by kind, first place and number
        self._bytes = 0

    def pooled(self, pictures: Tensor, *, real: int | None = None) -> Tensor:
        """One vector a picture, `[B, D]` float32 on the CPU, of pictures `[B, 1 or 3, H, W]` in [-1, 1] at 224 pixels.

        Args:
            real: the place of the first of them in the set, if they are the same at each validation.
        """
        return self._once("pooled", real, len(pictures), lambda: [self.backbone.pooled(pictures).float().cpu()])[0]

    def maps(self, pictures: Tensor, *, real: int | None = None) -> list[Tensor]:
        """Feature maps `[B, C, h, w]` at `STRIDES` of the same; `real` as for `pooled`."""
        return self._once("maps", real, len(pictures), lambda: self.backbone.features(pictures, depths=self._depths))

    def _once(self, kind: str, place: int | None, count: int, make: Callable[[], list[Tensor]]) -> list[Tensor]:
        if place is not None and (kind, place, count) in self._kept:
            return self._kept[kind, place, count]
        made = make()
        size = sum(tensor.nbytes for tensor in made)
        if place is not None and self._bytes + size <= KEPT_BYTES:
            self._kept[kind, place, count] = made
            self._bytes += size
        return made


def without_features(spec: ImageSpec) -> str | None:
    """Why pictures of this kind have no features, in words; None if they have."""
    channels = len(spec.palette[0]) if spec.kind == "labels" and spec.palette else spec.channels
    return None if channels in (1, 3) else f"pictures of {channels} channels are neither gray nor colour"


def judging_features(
    spec: ImageSpec, *, name: str = "auto", trained_on: Collection[str] = (), backbone: Backbone | None = None
) -> Features | str:
    """What to judge pictures by, or why there is nothing, in words.

    Args:
        spec: of the pictures.
        name: `auto` (EfficientNet-Lite0; Lite1 for a model that trains on Lite0's features) or a timm name.
        trained_on: the backbones whose features the model trains on.
        backbone: this one, whatever the name says.

    Raises:
        ValueError: the backbone was named, and cannot be had or does not fit the pictures.
    """
    asked = backbone is not None or name != "auto"
    chosen = name if name != "auto" else other_than(trained_on)
    if backbone is None and chosen is None:
        return TRAINS_ON_ALL
    wanted = backbone or Backbone(str(chosen))
    reason = without_features(spec)
    if reason is None:
        try:
            return Features(wanted)
        except ValueError as error:
            reason = str(error)
    if asked:
        raise ValueError(f"{wanted.name} cannot judge these pictures: {reason}")
    return reason


def other_than(trained_on: Collection[str]) -> str | None:
    """The packaged backbone to judge a model by that was trained on the features of these; None if on those of all."""
    return next((name for name in PACKAGED if name not in trained_on), None)


def trained_on(settings: ModelSettings) -> tuple[str, ...]:
    """The backbones on whose features a model of these settings is trained: by a term, or by its discriminator."""
    found = []
    if any(getattr(settings, name, 0) for name in ON_FEATURES):
        found.append(str(getattr(settings, "features", "")))
    if hasattr(settings, "d_backbone"):  # of a projected discriminator
        found.append(str(settings.d_backbone))
    return tuple(dict.fromkeys(found))
