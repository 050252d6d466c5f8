"""`Game`: the adversarial part of a method. A discriminator, an objective, and its stabilisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from translate.batch import Batch, Losses, Stats
from translate.draws import Draw
from translate.losses import (
    OBJECTIVES,
    all_fake,
    feature_matching,
    gradient_penalty,
    label_mask,
    label_mix,
    layer_matching,
    matching_aware,
    pull_away,
    true_classes,
    zero_centred,
)
from translate.losses.penalties import at_least_float32
from translate.models.ada import Adaptive
from translate.models.game_settings import GRADIENT_PENALTIES, GameSettings
from translate.models.pool import Pool
from translate.networks.augment import NUMBERS
from translate.networks.blocks import has_batch_norm
from translate.networks.discriminator import Discriminator, Scores, Shown

Draws = Mapping[str, Tensor]
"""Random numbers of a batch by name, `[B, ...]` each: see `translate.draws`."""

BALANCE_RATE = 0.001  # of BEGAN's k
CONDITIONS = ("spatial", "code", "classes")  # fields of `Shown` that belong to a picture; a pool keeps them with it


class Terms(NamedTuple):
    """One player's part of a game."""

    losses: Losses  # named, weighted scalars
    stats: Stats
    real: list[Scores]  # of real pictures, one entry a scale; empty if the generator's term does not need them
    fake: list[Scores]
    past: Tensor | None = None  # [B] bool: fakes of earlier batches, out of the pool, scored in place of this batch's


class Game(nn.Module):
    """The losses of a GAN (Goodfellow 2014): `discriminator(real, fake)` for D, `generator(real, fake)` for G.

    The model chooses which pictures are real and fake, and the condition of each (`Shown`). Names of terms: `d` and
    `d_penalty` for D; `g_gan`, `g_features` and `g_pull_away` for G; of figures: `d_real`, `d_fake`, `d_wrong`, mean
    logits. A discriminator that labels pixels has costs of its own in place of the objective (OASIS).

    The discriminator's weights belong to the model: they are not in the state dict of the game. What it keeps itself
    are buffers, equal in all processes; it changes them in `after_step` alone.
    """

    noise_left: Tensor  # share of the instance noise, from 1 at the start of training to 0 at its end
    k: Tensor  # BEGAN's balance, in [0, 1]

    def __init__(
        self,
        discriminator: Discriminator,
        settings: GameSettings,
        *,
        player: str = "discriminator",
        suffix: str = "",
        together: bool | None = None,
    ) -> None:
        """
        Args:
            player: the one of the model that trains the discriminator.
            suffix: of the names of terms and figures, for a model with several games.
            together: real and fake pictures go through the discriminator in one pass; by default where its norm keeps
                pictures apart.

        Raises:
            ValueError: a gradient penalty, which is of each picture's own score, and batch norm over several.
        """
        super().__init__()
        self.settings, self.player, self.suffix = settings, player, suffix
        if self.penalised and settings.batch > 1 and has_batch_norm(discriminator):
            own = (
                "--discriminator-norm instance" if hasattr(settings, "discriminator_norm") else "another discriminator"
            )
            raise ValueError(
                f"--penalty {settings.penalty} is about each picture's own score, and in --discriminator "
                f"{settings.discriminator} batch norm mixes the {settings.batch} pictures of a batch: use {own}, or "
                "--batch 1"
            )
        self.name = f"game{suffix}"  # of its random numbers and of its pool
        self.objective = OBJECTIVES[settings.objective]
        self.segments = getattr(discriminator.network, "segments", 0)  # of one that labels pixels: their classes
        self.together = not discriminator.mixes_batch if together is None else together
        self.pool = Pool(settings.pool) if settings.pool else None
        self.ada = None if settings.ada is None else Adaptive(settings, centre=self.objective.undecided)
        self.penalty_due = True  # in this step; set by `before_step`
        self.looking_ahead = False  # the discriminator's steps are unrolled: gradients reach the fakes through them
        self.across: Callable[[Tensor], Tensor] = _alone  # the mean of a statistic over all processes
        self._held = (discriminator,)  # in a tuple, or it would be registered a second time
        if settings.instance_noise:
            self.register_buffer("noise_left", torch.ones(()), persistent=False)
        if "k" in self.objective.takes:
            self.register_buffer("k", torch.zeros(()))

    @property
    def network(self) -> Discriminator:
        """The discriminator, whose weights are the model's."""
        return self._held[0]

    @property
    def penalised(self) -> bool:
        """Whether there is a gradient penalty."""
        return self.settings.penalty in GRADIENT_PENALTIES

    def check(self) -> None:
        """See `Model.check`."""
        self.network.check()

    def draws(self) -> dict[str, Draw]:
        """Random numbers of the game, for `Model.draws`: of augmentation, penalty and pool."""
        own: dict[str, Draw] = {}
        if self.network.augment is not None:
            own |= dict.fromkeys(("augment_real", "augment_fake", "augment_generator"), Draw("uniform", (NUMBERS,)))
        if self.ada is not None:
            own |= dict.fromkeys(("ada_real", "ada_fake", "ada_generator"), self.ada.draw)
        if self.settings.penalty == "gp" and self.settings.lambda_gp:
            own["mix"] = Draw("uniform", (1, 1, 1))
        if self.segments and self.settings.lambda_labelmix:
            own["labelmix"] = Draw("uniform", (self.segments,))
        if self.pool is not None:
            own |= {f"pool_{name}": draw for name, draw in self.pool.draws().items()}
        return {f"{self.name}.{name}": draw for name, draw in own.items()}

    def labels(self, batch: Batch) -> Tensor | None:
        """The batch's classes for `Shown`, -1 where a pixel does not count; None where the discriminator needs none."""
        if not self.segments:
            return None
        assert batch.classes is not None, "that there are label maps was checked before any picture was read"
        return batch.classes if batch.valid is None else torch.where(batch.valid[:, 0], batch.classes, -1)

    def discriminator(self, real: Shown, fake: Shown, wrong: Shown | None = None, *, draws: Draws) -> Terms:
        """The discriminator's terms. No gradient reaches the generator, unless the step is unrolled.

        Args:
            wrong: real pictures with the condition of others, counted as fakes (GAN-CLS, Reed 2016).
            draws: of the batch, by the names of `draws()`.
        """
        past = None
        if not self.looking_ahead:
            fake, past = self._among_past(fake._replace(image=fake.image.detach()), draws)
        clean, real = real, self._noisy(real)._replace(augment=self._augmentation("real", draws))
        fake = self._noisy(fake)._replace(augment=self._augmentation("fake", draws))
        shown = [real, fake]
        if wrong is not None:
            wrong = real._replace(code=wrong.code) if wrong.image is clean.image else self._noisy(wrong)
            shown.insert(1, wrong._replace(augment=real.augment))
        scores = self.network(*shown, together=self.together)
        on_real, on_fake = scores[0], scores[-1]
        cost = partial(self.objective.discriminator, **self._numbers())
        losses: Losses = {}
        stats = {"d_real": _mean_logit(on_real), "d_fake": _mean_logit(on_fake)}
        if self.segments:
            losses |= self._segmenting(real, fake, on_real, on_fake, draws)
        elif wrong is None:
            losses["d"] = self._over_scales(cost, on_real, on_fake)
        else:
            stats["d_wrong"] = _mean_logit(scores[1])
            losses["d"] = self._over_scales(
                lambda right, other, fakes: matching_aware(cost, right=right, wrong=other, fake=fakes), *scores
            )
        if "k" in self.objective.takes:
            balance = self.settings.diversity * stats["d_real"] - stats["d_fake"]
            stats |= {"d_k": self.k.clone(), "d_convergence": stats["d_real"] + balance.abs()}
        if self.ada is not None:
            stats |= self.ada.statistics([scale.logits for scale in on_real])
        if self.penalty_due:
            losses |= self.penalties(real, fake, draws=draws)
        return Terms(self._named(losses), self._named(stats), on_real, on_fake, past)

    def generator(self, real: Shown, fake: Shown, *, draws: Draws, swapped: bool = False) -> Terms:
        """The generator's terms. D scores real pictures only for a relativistic objective or feature matching, or where
        its steps are unrolled in a zero-sum game: what it then says of real ones depends on the generator, too.

        Args:
            swapped: real ones have to be taken for fakes as well: an encoder made their code (BiGAN).
        """
        settings = self.settings
        fake = self._noisy(fake)._replace(augment=self._augmentation("generator", draws))
        on_real: list[Scores] = []
        zero_sum = settings.generator_cost == "published" and not swapped
        of_real = self.objective.of_real if settings.unroll and zero_sum else None
        if self.objective.pairs or settings.lambda_features or swapped or of_real is not None:
            real = self._noisy(real)._replace(augment=self._augmentation("real", draws))
            on_real, on_fake = self.network(real, fake, together=self.together)
        else:
            (on_fake,) = self.network(fake)
        cost = self.objective.generator
        if settings.generator_cost == "non-saturating":
            assert self.objective.non_saturating is not None, "the settings were checked"
            cost = self.objective.non_saturating
        if swapped and not self.objective.pairs:
            cost = partial(_of_both, cost, middle=self.objective.middle)
        if self.segments:
            assert fake.classes is not None
            losses = {"g_gan": settings.lambda_gan * true_classes(_segments(on_fake), fake.classes)}
        elif on_real:
            losses = {"g_gan": settings.lambda_gan * self._over_scales(cost, on_real, on_fake)}
        else:
            losses = {"g_gan": settings.lambda_gan * self._over_scales(partial(cost, None), on_fake)}
        if of_real is not None:
            losses["g_gan"] = losses["g_gan"] + settings.lambda_gan * self._over_scales(of_real, on_real)
        if settings.lambda_features:
            losses["g_features"] = settings.lambda_features * self._matching(on_real, on_fake)
        if "margin" in self.objective.takes and settings.lambda_pull_away:
            losses["g_pull_away"] = settings.lambda_pull_away * pull_away(on_fake[0].features[-1])
        return Terms(self._named(losses), {}, on_real, on_fake)

    def penalties(self, real: Shown, fake: Shown, *, draws: Draws) -> Losses:
        """The gradient penalty, times `penalty_every`; empty without one. Computed if `penalty_due`.

        On all that D sees, source and picture together. A patch discriminator's score is the mean over its patches.
        Between real and fake, D has the code and the augmentation of the real ones.
        Gradients go to the fakes only if D's steps are unrolled.
        """
        settings, own, through = self.settings, {}, self.looking_ahead
        if settings.penalty == "gp" and settings.lambda_gp:
            mix = self._drawn("mix", draws)
            assert mix is not None
            own["d_penalty"] = gradient_penalty(
                self._score(real),
                _pictures(real),
                _pictures(fake),
                eps=mix,
                weight=settings.lambda_gp,
                through=through,
            )
        elif settings.penalty in ("r1", "r1r2"):
            sides = [real] if settings.penalty == "r1" else [real, fake]
            each = [
                zero_centred(self._score(side), _pictures(side), gamma=settings.r1_gamma, through=through)
                for side in sides
            ]
            own["d_penalty"] = torch.stack(each).sum()
        return {name: settings.penalty_every * cost for name, cost in own.items()}

    def before_step(self, number: int, progress: float) -> None:
        """Called before each iteration.

        Args:
            number: of the iteration, from 0.
            progress: share of the training that is done, in [0, 1].
        """
        self.penalty_due = number % self.settings.penalty_every == 0
        if self.settings.instance_noise:
            self.noise_left.fill_(1 - progress)

    @torch.no_grad()
    def after_step(self, player: str, stats: Stats, *, pictures: int = 1) -> None:
        """Called after each optimiser step of a player: clips D's weights, and moves what is balanced.

        Args:
            stats: of that step, as the objective of the player gave them: detached scalars.
            pictures: of that step, in all processes.
        """
        if player != self.player:
            return
        if self.settings.penalty == "clip":
            for weight in self.network.parameters():
                if weight.dim() > 1:  # norms and biases apart
                    weight.clamp_(-self.settings.clip, self.settings.clip)
        if "k" in self.objective.takes:
            real, fake = (self.across(stats[f"{name}{self.suffix}"].float()) for name in ("d_real", "d_fake"))
            self.k.add_(BALANCE_RATE * (self.settings.diversity * real - fake)).clamp_(0, 1)
        if self.ada is not None:
            self.ada.update(self.across(stats[f"{self.ada.SIGN}{self.suffix}"].float()), pictures=pictures)

    def _segmenting(
        self, real: Shown, fake: Shown, on_real: Sequence[Scores], on_fake: Sequence[Scores], draws: Draws
    ) -> Losses:
        """D's terms where it labels pixels (OASIS, Sushko 2021), in place of the objective's; LabelMix's apart."""
        classes = real.classes
        assert classes is not None, "pictures come with their label map"
        of_real, of_fake = _segments(on_real), _segments(on_fake)
        losses = {"d": true_classes(of_real, classes) + all_fake(of_fake, classes)}
        numbers = self._drawn("labelmix", draws)
        if numbers is not None:
            mask = label_mask(classes, numbers)
            mixed = real._replace(image=torch.where(mask, real.image, fake.image.to(real.image.dtype)))
            (on_mixed,) = self.network(mixed)
            term = label_mix(_segments(on_mixed), of_real, of_fake, mask=mask, classes=classes)
            losses["d_labelmix"] = self.settings.lambda_labelmix * term
        return losses

    def _numbers(self) -> dict[str, Tensor | float]:
        """The numbers that the objective's cost of D takes."""
        settings = self.settings
        known = {"smoothing": settings.label_smoothing, "margin": settings.margin, "k": getattr(self, "k", 0.0)}
        return {name: known[name] for name in self.objective.takes}

    def _matching(self, on_real: list[Scores], on_fake: list[Scores]) -> Tensor:
        """The distance of D's features, over its scales."""
        if self.settings.feature_matching == "layers":
            distances = [layer_matching(r.features, f.features) for r, f in zip(on_real, on_fake, strict=True)]
            return torch.stack(distances).mean()
        # of all layers but the outermost (DiscoGAN), where there are several, or of the last alone (Salimans 2016)
        first = -1 if self.settings.feature_matching == "last" else 1
        distances = [
            feature_matching(r.features[first:] or r.features, f.features[first:] or f.features, across=self.across)
            for r, f in zip(on_real, on_fake, strict=True)
        ]
        return torch.stack(distances).sum()

    def _over_scales(self, cost: Callable[..., Tensor], *scores: Sequence[Scores]) -> Tensor:
        """The sum over the discriminator's scales (pix2pixHD, Wang 2018), or their mean where its network says so."""
        costs = [cost(*(s.logits for s in scale)) for scale in zip(*scores, strict=True)]
        return self.network.scale_weight * torch.stack(costs).sum()

    def _score(self, like: Shown) -> Callable[[Sequence[Tensor]], Tensor]:
        """The score `[B]` of what D sees, with the code and augmentation of `like`."""

        def score(seen: Sequence[Tensor]) -> Tensor:
            *spatial, image = seen
            code = None if like.code is None else at_least_float32(like.code)
            (scores,) = self.network(like._replace(image=image, spatial=spatial[0] if spatial else None, code=code))
            means = [at_least_float32(scale.logits).flatten(1).mean(1) for scale in scores]
            return self.network.scale_weight * torch.stack(means).sum(0)

        return score

    def _noisy(self, shown: Shown) -> Shown:
        """With instance noise on the picture (Sonderby 2017)."""
        if not self.settings.instance_noise:
            return shown
        noise = torch.randn_like(shown.image) * (self.settings.instance_noise * self.noise_left)
        return shown._replace(image=shown.image + noise)

    def _among_past(self, fake: Shown, draws: Draws) -> tuple[Shown, Tensor | None]:
        """Some fakes exchanged for past ones with their conditions, and which: see `Terms.past`. All without a pool."""
        if self.pool is None:
            return fake, None
        belongings = {name: value for name in ("image", *CONDITIONS) if (value := getattr(fake, name)) is not None}
        given, past = self.pool(belongings, **{name: draws[f"{self.name}.pool_{name}"] for name in self.pool.draws()})
        return fake._replace(**given), past

    def _augmentation(self, side: str, draws: Draws) -> Tensor | None:
        """The numbers of `Shown.augment`: "real" and "fake" in D's step, "generator" for fakes in G's."""
        numbers = self._drawn(f"augment_{side}", draws)
        if numbers is None or self.ada is None:
            return numbers
        return self.ada.gated(numbers, draws[f"{self.name}.ada_{side}"])

    def _drawn(self, name: str, draws: Draws) -> Tensor | None:
        return draws.get(f"{self.name}.{name}")

    def _named(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"{name}{self.suffix}": value for name, value in terms.items()}


def _of_both(
    cost: Callable[[Tensor | None, Tensor], Tensor], real: Tensor, fake: Tensor, *, middle: float | None
) -> Tensor:
    """The generator's cost of fakes, and that of real ones, which should be taken for fakes."""
    assert middle is not None, "the settings were checked"
    return cost(None, fake) + cost(None, 2 * middle - real)


def _pictures(shown: Shown) -> list[Tensor]:
    """All that D sees but codes: the spatial condition, if any, and the picture."""
    return [shown.image] if shown.spatial is None else [shown.spatial, shown.image]


def _segments(scores: Sequence[Scores]) -> Tensor:
    """The logits `[B, N + 1, H, W]` of the one branch of a discriminator that labels pixels."""
    (only,) = scores
    assert only.segments is not None
    return only.segments


def _mean_logit(scores: Sequence[Scores]) -> Tensor:
    """Of all scales, patches and pictures."""
    return torch.cat([s.logits.float().flatten(1) for s in scores], 1).detach().mean()


def _alone(statistic: Tensor) -> Tensor:
    return statistic
