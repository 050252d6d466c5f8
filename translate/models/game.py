"""The adversarial half of a method, written once: a discriminator, an objective, and what keeps the two stable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from translate.batch import Losses, Stats
from translate.draws import Draw
from translate.losses import Objective, feature_matching, gradient_penalty, matching_aware
from translate.models.pool import Pool
from translate.networks.augment import NUMBERS
from translate.networks.discriminator import Discriminator, Scores, Shown

Draws = Mapping[str, Tensor]
"""The small random numbers of a batch, by name, `[B, ...]` each: see `translate.draws`."""


class Terms(NamedTuple):
    """One player's part of a game."""

    losses: Losses  # named, weighted scalars
    stats: Stats
    real: list[Scores]  # of real pictures, one entry a scale; empty where the player did not need them
    fake: list[Scores]


class Game(nn.Module):
    """Who plays it is the model's: which pictures are real or fake, and what condition each carries.

    Holds the discriminator without owning it: its weights are those of the model's submodule.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        objective: Objective,
        *,
        player: str = "discriminator",
        suffix: str = "",
        weight: float = 1.0,
        together: bool = True,
        pool: int = 0,
        clip: float | None = None,
        penalty: float = 0.0,
        interval: int = 1,
        features: float = 0.0,
    ) -> None:
        """
        Args:
            player: of the model, that trains the discriminator.
            suffix: to the names of terms and figures, where a model plays several games.
            weight: of the generator's adversarial term.
            together: real and fake pictures go through the discriminator in one pass; not with batch norm.
            pool: past fakes that the discriminator meets among new ones (Shrivastava 2017).
            clip: bound of the discriminator's weights after each of its steps (Arjovsky 2017); not of norms and biases.
            penalty: weight of the gradient penalty (WGAN-GP, Gulrajani 2017); 0 for none.
            interval: the penalty is computed every so many steps, and counts as often.
            features: weight of feature matching for the generator, of all layers but the outermost (DiscoGAN, Kim
                2017); 0 for none.
        """
        super().__init__()
        self.player, self.suffix = player, suffix
        self.name = f"game{suffix}"  # of its random numbers and of its pool
        self.objective = objective
        self.weight, self.together, self.clip = weight, together, clip
        self.penalty, self.interval, self.features = penalty, interval, features
        self.pool = Pool(pool) if pool else None
        self.penalty_due = True  # in this step; set by the training loop
        self.across: Callable[[Tensor], Tensor] = _alone  # the mean of a statistic over all processes
        self._held = (discriminator,)  # in a tuple, or it would be registered a second time

    def draws(self) -> dict[str, Draw]:
        """What the game needs of random numbers, under its name."""
        own: dict[str, Draw] = {}
        if self._held[0].augment is not None:
            own |= dict.fromkeys(("augment_real", "augment_fake", "augment_generator"), Draw("uniform", (NUMBERS,)))
        if self.penalty:
            own["mix"] = Draw("uniform", (1, 1, 1))
        if self.pool is not None:
            own |= {f"pool_{name}": draw for name, draw in self.pool.draws().items()}
        return {f"{self.name}.{name}": draw for name, draw in own.items()}

    def discriminator(self, real: Shown, fake: Shown, wrong: Shown | None = None, *, draws: Draws) -> Terms:
        """The discriminator's terms. No gradient goes to the fakes.

        Args:
            wrong: real pictures with the condition of others, which are no better than fakes (GAN-CLS, Reed 2016).
            draws: of the batch, as `draws` names them.
        """
        past = fake.image.detach() if self.pool is None else self._past(fake, draws)
        real = real._replace(augment=self._drawn("augment_real", draws))
        fake = fake._replace(image=past, augment=self._drawn("augment_fake", draws))
        shown = [real, fake] if wrong is None else [real, wrong._replace(augment=real.augment), fake]
        scores = self._held[0](*shown, together=self.together)
        on_real, on_fake = scores[0], scores[-1]
        losses, stats = {}, {"d_real": _mean_logit(on_real)}
        if wrong is None:
            losses["d"] = _over_scales(self.objective.discriminator, on_real, on_fake)
        else:
            stats["d_wrong"] = _mean_logit(scores[1])
            cost = lambda right, other, fakes: matching_aware(self.objective, right=right, wrong=other, fake=fakes)  # noqa: E731
            losses["d"] = _over_scales(cost, *scores)
        stats["d_fake"] = _mean_logit(on_fake)
        if self.penalty_due:
            losses |= self.penalties(real, fake, draws=draws)
        return Terms(self._named(losses), self._named(stats), on_real, on_fake)

    def generator(self, real: Shown, fake: Shown, *, draws: Draws) -> Terms:
        """The generator's terms; real pictures are looked at only where one of these needs it."""
        fake = fake._replace(augment=self._drawn("augment_generator", draws))
        on_real: list[Scores] = []
        if self.objective.pairs or self.features:
            real = real._replace(augment=self._drawn("augment_real", draws))
            on_real, on_fake = self._held[0](real, fake, together=self.together)
        else:
            (on_fake,) = self._held[0](fake)
        cost = (
            _over_scales(self.objective.generator, on_real, on_fake)
            if on_real
            else _over_scales(lambda logits: self.objective.generator(None, logits), on_fake)
        )
        losses = {"g_gan": self.weight * cost}
        if self.features:
            distances = [
                feature_matching(r.features[1:], f.features[1:], across=self.across)
                for r, f in zip(on_real, on_fake, strict=True)
            ]
            losses["g_features"] = self.features * torch.stack(distances).sum()
        return Terms(self._named(losses), {}, on_real, on_fake)

    def penalties(self, real: Shown, fake: Shown, *, draws: Draws) -> Losses:
        """What holds the discriminator back, beside its objective; due every `interval` steps."""
        if not self.penalty:
            return {}
        mix = self._drawn("mix", draws)
        assert mix is not None
        cost = gradient_penalty(
            lambda mixed: _flat(self._held[0](real._replace(image=mixed))[0]),
            real.image,
            fake.image,
            eps=mix.to(real.image),
            weight=self.penalty,
        )
        return {"d_penalty": self.interval * cost}

    @torch.no_grad()
    def after_step(self, player: str) -> None:
        """What changes by itself once a player has made its step."""
        if player == self.player and self.clip is not None:
            for weight in self._held[0].parameters():
                if weight.dim() > 1:
                    weight.clamp_(-self.clip, self.clip)

    def _past(self, fake: Shown, draws: Draws) -> Tensor:
        assert self.pool is not None
        assert fake.spatial is None, "a pool keeps pictures without what they were made of"
        assert fake.code is None, "a pool keeps pictures without what they were made of"
        return self.pool(fake.image, **{name: draws[f"{self.name}.pool_{name}"] for name in self.pool.draws()})

    def _drawn(self, name: str, draws: Draws) -> Tensor | None:
        return draws.get(f"{self.name}.{name}") if f"{self.name}.{name}" in self.draws() else None

    def _named(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"{name}{self.suffix}": value for name, value in terms.items()}


def _over_scales(cost: Callable[..., Tensor], *scores: Sequence[Scores]) -> Tensor:
    """The sum over the discriminator's scales, as pix2pixHD has it (Wang 2018)."""
    return torch.stack([cost(*(s.logits for s in scale)) for scale in zip(*scores, strict=True)]).sum()


def _mean_logit(scores: Sequence[Scores]) -> Tensor:
    return _flat(scores).detach().mean()


def _flat(scores: Sequence[Scores]) -> Tensor:
    """`[B, N]` float32: each picture's logits at all scales."""
    return torch.cat([s.logits.float().flatten(1) for s in scores], 1)


def _alone(statistic: Tensor) -> Tensor:
    return statistic
