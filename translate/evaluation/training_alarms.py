"""Alarms of the training itself: from its losses, its gradients, the time it waits, and what needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from translate.evaluation.alarms import FIRST_CHECKED_STEP, MIN_PICTURES
from translate.evaluation.base import Alarm, Figures
from translate.figures import PERCEPTUAL, among

TIES = {"vanilla": 0.6931, "lsgan": 0.25}
"""The discriminator's loss where it cannot tell real from generated. A critic's has no such value."""

SURE = {"vanilla": (3.0, -3.0), "lsgan": (0.9, 0.1)}
"""Mean scores of real and generated pictures beyond which they are separated: 95 % sure, and within a tenth."""

WON_LOSS = 0.15
"""Share of its loss at a tie below which a discriminator has won. Healthy ones stay above a quarter."""

WON_STEPS = 200
"""Steps over which this is so in the median line of the journal; three lines at least."""

GRADIENT_LINES = 3
"""Lines of the journal in which a gradient has to be odd; those before them, at least five, say what is usual."""

GONE = 1e-4
"""Share of its usual norm below which a gradient is gone."""

EXPLODING = 100.0
"""Times its usual norm from which on a gradient explodes. Healthy runs stay within ten."""

SLOW_SECONDS = 10.0
"""Seconds of training over which waiting is measured, at least."""

MAX_WAITING = 0.5
"""Share of the time in which the device waits for pictures."""


def journal_alarms(lines: Sequence[Mapping[str, Any]], *, objective: str | None) -> list[Alarm]:
    """Alarms that the journal's lines with losses give rise to, oldest first; `objective`: the games', if any."""
    if not lines or lines[-1]["step"] < FIRST_CHECKED_STEP:
        return []
    suffixes = [name.removeprefix("d_real") for name in lines[-1]["losses"] if name.startswith("d_real")]
    found = [_discriminator_won(lines, objective or "", suffix) for suffix in suffixes]
    found += [_gradient(lines, player) for player in lines[-1].get("gradients", {})]
    return list({alarm.name: alarm for alarm in reversed(found) if alarm}.values())


def _discriminator_won(lines: Sequence[Mapping[str, Any]], objective: str, suffix: str) -> Alarm | None:
    """It is sure of real and generated pictures alike, and the generator's loss has gone on growing."""
    names = [f"{name}{suffix}" for name in ("d", "d_real", "d_fake", "g_gan")]
    lines = [line for line in lines if all(name in line["losses"] for name in names)]
    if objective not in TIES or not lines:
        return None
    last = [line["losses"] for line in lines if line["step"] > lines[-1]["step"] - WON_STEPS]
    last = last if len(last) > 2 else [line["losses"] for line in lines[-3:]]
    d, real, fake, g = names
    usual = {name: median(x[name] for x in last) for name in names}  # single lines may be odd
    high, low = SURE[objective]
    sure = usual[d] < WON_LOSS * TIES[objective] and usual[real] > high and usual[fake] < low
    if len(last) < 3 or not sure:
        return None
    half = len(last) // 2
    if fmean(x[g] for x in last[-half:]) <= fmean(x[g] for x in last[:half]) and objective != "lsgan":
        return None  # a loss of lsgan has an upper end
    return Alarm(
        "discriminator won",
        f"the discriminator has won: its loss is {usual[d]:.3f} ({TIES[objective]:.2f} at a tie), its scores are "
        f"{usual[real]:.1f} for real and {usual[fake]:.1f} for generated pictures, and the generator's loss has "
        f"come to {last[-1][g]:.2f}: it learns little from such a game. More pictures help most; else start anew with "
        "--augment color,translation,cutout, a smaller --discriminator-width or --patch",
    )


def _gradient(lines: Sequence[Mapping[str, Any]], player: str) -> Alarm | None:
    norms = [float(line["gradients"][player]) for line in lines if player in line.get("gradients", {})]
    before, last = norms[:-GRADIENT_LINES], norms[-GRADIENT_LINES:]
    if len(before) < 5:
        return None
    usual = median(before)
    if max(last) <= GONE * usual:
        return Alarm(
            "gradient gone",
            f"the {player}'s gradient is gone: its norm is {last[-1]:.2g}, and was {usual:.2g}, so that it learns "
            "nothing any more. Start anew, or with --init-from of earlier weights, with a lower --lr",
        )
    if min(last) > EXPLODING * usual:
        return Alarm(
            "gradient exploding",
            f"the {player}'s gradient explodes: its norm is {last[-1]:.2g}, and was {usual:.2g}. Start anew, or with "
            "--init-from of earlier weights, with a lower --lr or another --norm",
        )
    return None


def waiting_alarm(waited: float, seconds: float, *, workers: int) -> Alarm | None:
    """The device waits for pictures: `waited` of `seconds` of training."""
    if seconds < SLOW_SECONDS or waited <= MAX_WAITING * seconds:
        return None
    return Alarm(
        "slow loader",
        f"reading pictures takes {waited / seconds:.0%} of the time, and the networks wait for it. Go on with "
        f"--resume and --cache memory or disk (with --fit stretch), or more --workers (there are {workers})",
    )


def worse_than_source(figures: Figures, source: Figures, *, pictures: int) -> Alarm | None:
    """Outputs that are further from their targets than the sources themselves, by all of PSNR and perceptual distance.

    Args:
        figures: of the outputs.
        source: of the sources, given back (enlarged where outputs are larger).
    """
    distance = among(source.keys() & figures.keys(), next(iter(PERCEPTUAL)))
    worse = [figures["psnr"] < source["psnr"]] if {"psnr"} <= source.keys() & figures.keys() else []
    worse += [figures[distance] > source[distance]] if distance else []
    if pictures < MIN_PICTURES or not worse or not all(worse):
        return None
    seen = [f"PSNR {figures['psnr']:.2f} dB where they reach {source['psnr']:.2f}"] if "psnr" in source else []
    seen += [f"perceptual distance {figures[distance]:.4f} where they have {source[distance]:.4f}"] if distance else []
    return Alarm(
        "worse than source",
        f"outputs are worse than the sources themselves: {', '.join(seen)}. Early in training this is usual; if it "
        "stays so, look at the samples and the pairs, and start anew with a larger --lambda-l1 or --generator resnet",
    )
