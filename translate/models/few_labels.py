"""Few labels: a discriminator that also tells classes, on a folder of which a part is labelled (Salimans 2016).

Its logit is the log-sum-exp of its class logits. Labelled pictures add their cross-entropy, the others none; and the
generator, which has no label, makes pictures whose features are like those of real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from pydantic import Field, model_validator
from torch import nn

from translate.batch import Batch, Losses, Stats
from translate.conditions import Conditions, DataNeeds
from translate.fields import flag
from translate.losses.few_labels import labelled_cost
from translate.models.game import Game, Terms
from translate.networks.class_discriminator import ClassDiscriminator
from translate.networks.discriminator import Discriminator
from translate.settings import ModelSettings

CROSS_ENTROPY = ("vanilla", "minimax", "maximum-likelihood", "softplus")  # objectives in which D is a probability
TRUE = (True, 1, "True", "true", "1", "yes", "on")  # as flags are given


class FewLabelsSettings(ModelSettings):
    """Settings of the semi-supervised game; with it the generator matches features alone, as published."""

    semi_supervised: bool = Field(
        False,
        description="the discriminator also learns to tell the classes of those pictures that have a label: class "
        "folders, beside them a folder `unlabelled`, or a table whose column `label` is partly empty",
    )
    lambda_labels: float = Field(
        1.0, ge=0, description="weight of the labelled pictures' cross-entropy (--semi-supervised)"
    )

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The published cost of the generator: the features before the logits, and nothing else."""
        usual = {"lambda_gan": 0.0, "lambda_features": 1.0, "feature_matching": "last"}
        return super().implied(values) | (usual if values.get("semi_supervised") in TRUE else {})

    def unused(self) -> dict[str, str]:
        alone = {} if self.semi_supervised else {"lambda_labels": "without --semi-supervised"}
        return super().unused() | alone

    @property
    def data_needs(self) -> DataNeeds:
        needs: DataNeeds = super().data_needs  # type: ignore[misc]
        return replace(needs, label=True, classified=True, required=False) if self.semi_supervised else needs

    @model_validator(mode="after")
    def _semi_supervised(self) -> Self:
        if not self.semi_supervised:
            return self
        if getattr(self, "condition", "none") != "none":
            raise ValueError(
                "--semi-supervised: the discriminator finds the labels itself, and the generator has none: leave out "
                "--condition"
            )
        objective = getattr(self, "objective", "vanilla")
        if objective not in CROSS_ENTROPY:
            raise ValueError(
                f"--semi-supervised: the discriminator gives probabilities of classes, which --objective {objective} "
                f"has none of: use {', '.join(CROSS_ENTROPY)}"
            )
        for name in ("invert", "info_categorical", "info_continuous"):
            if getattr(self, name, None):
                raise ValueError(f"--semi-supervised: its discriminator sees pictures alone: leave out {flag(name)}")
        return self


def class_discriminator(plain: Discriminator, conditions: Conditions, *, named: str) -> ClassDiscriminator:
    """A discriminator of the classes of `conditions`, made of the network of `plain`.

    Args:
        named: the choice of `--discriminator`.

    Raises:
        ValueError: the network is more than a chain of layers, or pictures have several labels.
    """
    if not isinstance(plain.network, nn.Sequential) or not isinstance(plain.network[-1], nn.Conv2d):
        raise ValueError(
            f"--discriminator {named} does not end with one layer, in whose place classes could come: use dcgan or "
            "patchgan with --semi-supervised"
        )
    if conditions.several:
        raise ValueError("--semi-supervised takes pictures for one class each, and these have several labels")
    return ClassDiscriminator(plain.network, classes=len(conditions.classes), augment=plain.augment)


def label_terms(terms: Terms, batch: Batch, game: Game, settings: FewLabelsSettings) -> tuple[Losses, Stats]:
    """The discriminator's further term, `d_labels`, and its figures.

    `d_labelled` is the share of pictures that have a label, `d_misclassified` of those that have one and are taken for
    another class: the second over the first is the error on training pictures.
    """
    found = labelled_cost(terms.real[0].predicted, batch.condition["label"], across=game.across)
    stats = {"d_labelled": found.share.detach(), "d_misclassified": found.wrong.detach()}
    return {"d_labels": settings.lambda_labels * found.cost}, stats
