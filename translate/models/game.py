"""`Game`: the adversarial part of a method. A discriminator, an objective, and its stabilisers."""

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
"""Random numbers of a batch by name, `[B, ...]` each: see `translate.draws`."""


class Terms(NamedTuple):
    """One player's part of a game."""

    losses: Losses  # named, weighted scalars
    stats: Stats
    real: list[Scores]  # of real pictures, one entry a scale; empty if the generator's term does not need them
    fake: list[Scores]


class Game(nn.Module):
    """The losses of a GAN (Goodfellow 2014): `discriminator(real, fake)` for D, `generator(real, fake)` for G.

    The model chooses which pictures are real and fake, and the condition of each (`Shown`). Names of terms: `d` and
    `d_penalty` for D; `g_gan` and `g_features` for G; of figures: `d_real`, `d_fake`, `d_wrong`, mean logits.

    The discriminator's weights belong to the model: they are not in the state dict of the game.
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
            player: the one of the model that trains the discriminator.
            suffix: of the names of terms and figures, for a model with several games.
            weight: of the generator's adversarial term.
            together: real and fake pictures go through the discriminator in one pass; never with batch norm.
            pool: number of past fakes, of which some replace new ones for D (Shrivastava 2017); 0 for none.
            clip: bound of D's weights after each of its steps (WGAN, Arjovsky 2017), norms and biases apart.
            penalty: weight of the gradient penalty (WGAN-GP, Gulrajani 2017); 0 for none.
            interval: the penalty is computed in one of so many steps, and multiplied by this number.
            features: weight of G's feature matching, over all layers but the outermost (DiscoGAN, Kim 2017); 0 for
                none.
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
        """Random numbers of the game, for `Model.draws`: of augmentation, penalty and pool."""
        own: dict[str, Draw] = {}
        if self._held[0].augment is not None:
            own |= dict.fromkeys(("augment_real", "augment_fake", "augment_generator"), Draw("uniform", (NUMBERS,)))
        if self.penalty:
            own["mix"] = Draw("uniform", (1, 1, 1))
        if self.pool is not None:
            own |= {f"pool_{name}": draw for name, draw in self.pool.draws().items()}
        return {f"{self.name}.{name}": draw for name, draw in own.items()}

    def discriminator(self, real: Shown, fake: Shown, wrong: Shown | None = None, *, draws: Draws) -> Terms:
        """The discriminator's terms. No gradient reaches the generator.

        Args:
            wrong: real pictures with the condition of others, counted as fakes (GAN-CLS, Reed 2016).
            draws: of the batch, by the names of `draws()`.
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
        """The generator's terms. D scores real pictures only for a relativistic objective or feature matching."""
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
        """The gradient penalty, times `interval`; empty without one. Computed if `penalty_due`."""
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
        """Called after each optimiser step of a player: clips the discriminator's weights."""
        if player == self.player and self.clip is not None:
            for weight in self._held[0].parameters():
                if weight.dim() > 1:
                    weight.clamp_(-self.clip, self.clip)

    def _past(self, fake: Shown, draws: Draws) -> Tensor:
        assert self.pool is not None
        assert fake.spatial is None, "a pool keeps pictures without their conditions"
        assert fake.code is None, "a pool keeps pictures without their conditions"
        return self.pool(fake.image, **{name: draws[f"{self.name}.pool_{name}"] for name in self.pool.draws()})

    def _drawn(self, name: str, draws: Draws) -> Tensor | None:
        return draws.get(f"{self.name}.{name}")

    def _named(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"{name}{self.suffix}": value for name, value in terms.items()}


def _over_scales(cost: Callable[..., Tensor], *scores: Sequence[Scores]) -> Tensor:
    """The sum over the discriminator's scales (pix2pixHD, Wang 2018)."""
    return torch.stack([cost(*(s.logits for s in scale)) for scale in zip(*scores, strict=True)]).sum()


def _mean_logit(scores: Sequence[Scores]) -> Tensor:
    return _flat(scores).detach().mean()


def _flat(scores: Sequence[Scores]) -> Tensor:
    """`[B, N]` float32: each picture's logits at all scales."""
    return torch.cat([s.logits.float().flatten(1) for s in scores], 1)


def _alone(statistic: Tensor) -> Tensor:
    return statistic
