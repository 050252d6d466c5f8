"""Settings of the game between the two networks: the discriminator, the objective, and what keeps both in balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from translate.fields import OneOf, flag
from translate.losses import OBJECTIVES
from translate.losses.adversarial import DIVERGENCES, Objective
from translate.networks import DISCRIMINATORS
from translate.networks.augment import DiffAugment
from translate.networks.blocks import REFERRED
from translate.pace import Pace
from translate.settings import ModelSettings

GRADIENT_PENALTIES = ("gp", "r1", "r1r2")


def that_give(kind: str) -> list[str]:
    """Names of the discriminators that give "logits", an "energy", or "labels" of pixels and so a cost of their own."""
    return [name for name, network in DISCRIMINATORS.items() if getattr(network.settings, "gives", "logits") == kind]


def _known(policy: str | None) -> str | None:
    """
    Raises:
        ValueError: an augmentation that there is none of.
    """
    if policy is not None:
        DiffAugment(policy)
    return policy


class GameSettings(ModelSettings):
    """One discriminator and its objective, for all games of a model. A method lists the defaults it was published with.

    `docs/game.md` has when to use which.
    """

    parts: ClassVar[Mapping[str, Any]] = {"discriminator": DISCRIMINATORS}
    critic_penalty: ClassVar[str] = "gp"  # what `--objective wasserstein` comes with, unless another is given

    discriminator: Annotated[str, OneOf(DISCRIMINATORS)] = Field(
        "patchgan",
        description="discriminator network, of patches at one or several scales (patchgan, multiscale), of pixels "
        "(unet), of a label map's classes (segment), on pretrained features (projected), or of whole pictures (dcgan; "
        "autoencoder: default with --objective ebgan and began)",
    )
    objective: Annotated[str, OneOf(OBJECTIVES)] = Field("lsgan", description="the game: see docs/game.md for which")
    generator_cost: Literal["published", "non-saturating"] = Field(
        "published",
        description="cost of the generator: the objective's own, or the one that does not fall flat where the "
        f"discriminator wins (minimax, {', '.join(DIVERGENCES)})",
    )
    lambda_gan: float = Field(1.0, ge=0, description="weight of the adversarial term of the generator")
    lambda_features: float = Field(
        0.0, ge=0, description="weight of the discriminator's features of fakes being like those of real pictures"
    )
    feature_matching: Literal["mean", "layers", "last"] = Field(
        "mean",
        description="those features: the batch's mean, squared difference (DiscoGAN); of each fake and its own "
        "target, at every layer (pix2pixHD; pairs only, weight 10); or the batch's mean at the layer before the logits "
        "(Salimans 2016)",
    )
    margin: float = Field(
        0.1,
        gt=0,
        description="energy up to which fakes are pushed (--objective ebgan), as a mean over a picture's values; the "
        "paper's 20 at 64 pixels, the length of the error of all of them, is 0.03",
    )
    lambda_pull_away: float = Field(
        0.1, ge=0, description="weight that keeps the codes of different fakes apart (--objective ebgan)"
    )
    diversity: float = Field(
        0.5, gt=0, le=1, description="energy of fakes over that of real pictures, as balanced (--objective began)"
    )

    lambda_labelmix: float = Field(
        10.0,
        ge=0,
        description="weight of the discriminator being alike for real and fake mixed along the label map's borders "
        "(--discriminator segment)",
    )

    penalty: Literal["none", "clip", "gp", "r1", "r1r2"] = Field(
        "none",
        description="what bounds the discriminator: its weights clipped, or the gradient of its score penalised, "
        "between real and fake (gp), at real pictures (r1), or at both (r1r2) (default with --objective wasserstein: "
        "gp)",
    )
    penalty_every: int = Field(
        1, ge=1, le=10_000, description="steps for one of which the gradient penalty is computed, and counts as often"
    )
    lambda_gp: float = Field(10.0, ge=0, description="weight of the gradient penalty (--penalty gp)")
    r1_gamma: float = Field(
        10.0, gt=0, description="gamma of --penalty r1 and r1r2: half of it times the squared gradient"
    )
    clip: float = Field(0.01, gt=0, description="bound of the weights to both sides of 0 (--penalty clip)")

    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="what the target of real pictures falls short of 1; that of fakes stays 0 (0.1 as published)",
    )
    instance_noise: float = Field(
        0.0,
        ge=0,
        le=2,
        description="deviation of the noise on pictures that the discriminator sees; it falls to 0 by the end of "
        "training",
    )
    augment: Annotated[
        str | None,
        AfterValidator(_known),
        Field(
            description="what the discriminator sees is changed by color,translation,cutout or some of these "
            "(DiffAugment): for small data"
        ),
    ] = None
    ada: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="make each change of --augment with a probability that is adapted: up while the mean sign of the "
        "logits of real pictures is above this (ADA; 0.6 as published)",
    )
    ada_speed: float = Field(
        500.0, ge=1, le=1e6, description="thousand pictures in which that probability goes from 0 to 1 at the fastest"
    )
    pool: int = Field(
        0,
        ge=0,
        le=100_000,
        description="past fakes of each side, some of which replace new ones for the discriminator",
    )

    reference_batch: int = Field(
        16,
        ge=2,
        le=4096,
        description="first training examples, from which reference and virtual norms have their statistics; each pass "
        "of a network in training takes them along",
    )

    lr_d: float | None = Field(None, gt=0, description="learning rate of the discriminator (default: as --lr)")
    d_steps: int = Field(
        1, ge=1, le=1000, description="steps of the discriminator an iteration, each on other pictures"
    )
    g_steps: int = Field(1, ge=1, le=1000, description="steps of the generator an iteration, each on other pictures")
    fresh_batch: bool = Field(False, description="the generator's step is on other pictures than the discriminator's")
    simultaneous: bool = Field(
        False, description="all players step at once, from the same weights, rather than one after the other"
    )
    unroll: int = Field(
        0, ge=0, le=100, description="steps of the discriminator that the generator looks ahead (unrolled GAN)"
    )

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """A critic is kept Lipschitz, an energy needs an autoencoder, and some discriminators have spectral norm."""
        usual = cls.model_fields["objective"].default
        objective = OBJECTIVES.get(str(values.get("objective", usual)))
        if objective is None:
            return super().implied(values)  # refused with the fields
        found = super().implied(values) | {"penalty": cls.critic_penalty if objective.critic else "none"}
        found |= {"discriminator": that_give("energy")[0]} if objective.energy else {}
        known = found | dict(values)
        chosen = known.get("discriminator", cls.model_fields["discriminator"].default)
        if chosen in that_give("energy"):
            found["energy_distance"] = "l1" if "k" in objective.takes else "l2"
        if chosen in DISCRIMINATORS:
            found |= getattr(DISCRIMINATORS[chosen].settings, "implies", {})
        return found | cls._norm_apart(known)

    @classmethod
    def _norm_apart(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """A gradient penalty is of each picture's own score: a norm of the discriminator that keeps pictures apart."""
        chosen = str(values.get("discriminator", cls.model_fields["discriminator"].default))
        parts = [part for part in cls.alternatives() if part.choice == "discriminator" and chosen in part.names]
        fields = parts[0].settings.model_fields if parts else {}
        penalty = values.get("penalty", cls.model_fields["penalty"].default)
        if penalty not in GRADIENT_PENALTIES or "discriminator_norm" not in fields:
            return {}
        shared = fields["discriminator_norm"].default is None and values.get("norm", fields["norm"].default) == "batch"
        return {"discriminator_norm": "instance"} if shared else {}

    @field_validator("label_smoothing", mode="before")
    @classmethod
    def _one_sided(cls, value: object) -> object:
        if isinstance(value, list | tuple) or (isinstance(value, str) and "," in value):
            raise ValueError(
                "only the target of real pictures is smoothed: one for fakes of b > 0 would add b p_model to the best "
                "discriminator's numerator, and so draw it towards fakes: give one number"
            )
        return value

    @model_validator(mode="after")
    def _game(self) -> Self:
        objective = OBJECTIVES[self.objective]
        energetic = self.discriminator in that_give("energy")
        if objective.energy != energetic and not self.labels_pixels:
            raise ValueError(
                f"--objective {self.objective} is about the energy of an autoencoder, and --discriminator "
                f"{self.discriminator} gives logits: use --discriminator {' or '.join(that_give('energy'))}"
                if objective.energy
                else f"--discriminator {self.discriminator} gives an energy, and --objective {self.objective} is about "
                "logits: use ebgan or began"
            )
        bounded = self.penalty != "none" or getattr(self, "spectral_norm", False)
        if objective.critic and not bounded and not self.labels_pixels:
            raise ValueError(
                f"--objective {self.objective} needs a bounded discriminator: use --penalty gp, clip, r1 or r1r2, or "
                "--spectral-norm"
            )
        if self.labels_pixels:
            for name, why in (
                ("augment", "the label map would not be moved along"),
                ("pool", "past fakes are kept without their label maps"),
            ):
                if getattr(self, name):
                    raise ValueError(
                        f"{flag(name)} {getattr(self, name)} does not go with --discriminator {self.discriminator}: "
                        f"{why}: leave it out, or use another --discriminator"
                    )
        if self.generator_cost == "non-saturating" and objective.non_saturating is None:
            able = ", ".join(name for name, other in OBJECTIVES.items() if other.non_saturating is not None)
            raise ValueError(
                f"--generator-cost non-saturating: --objective {self.objective} has one cost for the generator: leave "
                f"it out, or use {able}"
            )
        if self.label_smoothing and "smoothing" not in objective.takes:
            able = ", ".join(name for name, other in OBJECTIVES.items() if "smoothing" in other.takes)
            raise ValueError(
                f"--label-smoothing: --objective {self.objective} has no targets that could be smoothed: leave it out, "
                f"or use {able}"
            )
        if self.ada is not None:
            self._check_ada(objective)
        if self.unroll and self.simultaneous:
            raise ValueError(
                "--unroll lets the generator look ahead of the discriminator, and with --simultaneous neither knows of "
                "the other's step: give one of the two"
            )
        return self

    def _check_ada(self, objective: Objective) -> None:
        if self.augment is None:
            raise ValueError(
                "--ada steers how often the changes of --augment are made: give --augment color,translation,cutout, or "
                "leave --ada out"
            )
        if self.labels_pixels:
            raise ValueError(
                f"--ada goes by the logits of real pictures, and --discriminator {self.discriminator} labels pixels: "
                "leave it out"
            )
        if objective.critic or objective.energy or objective.pairs:
            able = [n for n, o in OBJECTIVES.items() if not (o.critic or o.energy or o.pairs)]
            raise ValueError(
                f"--ada goes by the sign of logits, and --objective {self.objective} has no value between real and "
                f"fake that the sign could tell: leave it out, or use {', '.join(able)}"
            )

    def unused(self) -> dict[str, str]:
        found = super().unused()
        objective = OBJECTIVES[self.objective]
        if self.labels_pixels:
            why = f"with --discriminator {self.discriminator}, whose cost is its own"
            found |= dict.fromkeys(("objective", "generator_cost", "label_smoothing"), why)
        else:
            found["lambda_labelmix"] = f"without --discriminator {' or '.join(that_give('labels'))}"
        norms = {getattr(self, name, None) for name in ("norm", "discriminator_norm")}
        if not norms.intersection(REFERRED):
            found["reference_batch"] = f"without --norm {' or '.join(REFERRED)}"
        if not self.lambda_features:
            found["feature_matching"] = "without --lambda-features"
        if "margin" not in objective.takes:
            found |= dict.fromkeys(("margin", "lambda_pull_away"), f"with --objective {self.objective}")
        if "k" not in objective.takes:
            found["diversity"] = f"with --objective {self.objective}"
        if self.ada is None:
            found["ada_speed"] = "without --ada"
        if self.penalty not in GRADIENT_PENALTIES:
            found["penalty_every"] = f"with --penalty {self.penalty}"
        for name, penalties in (("lambda_gp", ("gp",)), ("r1_gamma", ("r1", "r1r2")), ("clip", ("clip",))):
            if self.penalty not in penalties:
                found[name] = f"with --penalty {self.penalty}"
        return found

    @property
    def labels_pixels(self) -> bool:
        """Whether the discriminator labels pixels (OASIS), so that no objective is read."""
        return self.discriminator in that_give("labels")

    @property
    def pace(self) -> Pace:
        return Pace(
            {"discriminator": self.d_steps, "generator": self.g_steps},
            fresh=self.fresh_batch,
            simultaneous=self.simultaneous,
            unroll=self.unroll,
        )

    @property
    def rates(self) -> dict[str, float]:
        return {} if self.lr_d is None else {"discriminator": self.lr_d}
