"""What training looks out for at each validation: collapse, colours that run away or turn over, saturation.

A GAN's losses do not tell these: a discriminator that loses to an inverted picture reports a healthy game. The pictures
do, by a few sums over a validation. The alarms speak up for gross failures alone: one that is raised by a healthy run
is soon read by nobody. Hence every threshold lies well outside what real pictures, blurred and gray ones included,
were measured to give; what it was is said beside each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.training.tally import SAMENESS, Tally, axes, correlation, distance

EARLY = 200
"""Steps before which nothing is told: an untrained generator gives gray or stripes, and nothing has gone wrong."""

FEW = 4
"""Pictures below which nothing is told: how much do pictures differ among themselves?"""

DEPENDENCE = 0.1
"""Least part of the outputs' contrast that is not the same in all pictures, over that of sources or targets.

It is 0.7 to 1 of real pictures, blurred and gray ones too; 0.3 to 0.6 in a U-Net's first hundred steps, 0.15 in its
very first without a norm; at most 0.08 of collapsed generators, most often 0.
"""

VARIATION = 0.2
"""What goes from output to output, over that from target to target, above which there is no collapse in any case."""

DRIFT = 3.0
"""Distance of the outputs' mean colour from the targets', in standard deviations of single targets.

Measured on photographs, label maps, maps and drawings: gray versions of the targets are 0.4 to 1.2 away, those of
the sources up to 1.1, flat gray about 1 from photographs (and 5 from drawings on white); photographs and drawings with
a tenth of the value range more red and blue, and as much less green, 3.2 to 5.
"""

DRIFT_OF_FEW = 6
"""The limit is `DRIFT * (1 + DRIFT_OF_FEW / pictures)`.

2,580 times 4 to 30 real pictures stood in for the outputs, and as many others of their kind were the targets: never
were they beyond it; with 4, the farthest were 6.8 away.
"""

COLOUR_FLOOR = 0.04
"""Least such deviation: targets of one colour, such as drawings on white, would otherwise allow for nothing."""

INVERTED = -0.5
"""Correlation of brightness, of the median picture, below which one is the negative of the other.

Pictures that have nothing to do with each other are within 0.2 of 0, facades and their label maps at -0.1.
"""

TASK_INVERTS = 1 / 3
"""Without pairs: the targets' tones are so much nearer to the negatives of the sources than to the sources that
inverting seems to be the task (dark aerial photographs to bright maps: 0.2; horses to zebras: 0.5).
"""


@dataclass(frozen=True)
class Alarm:
    """Something that looks wrong. `message` is one line: what is seen, with numbers, and what to do about it."""

    name: str
    message: str


class Watch:
    """Statistics of the outputs of one validation beside those of its sources and targets.

    It takes some milliseconds a picture, and some kilobytes in all.
    """

    def __init__(self, *, paired: bool = False, step: int | None = None) -> None:
        """
        Args:
            paired: source i and target i belong together, so that outputs can be held against their own target.
            step: optimisation steps made; before `EARLY` no alarm is raised. None: many.
        """
        self.paired, self.step = paired, step
        self._source, self._output, self._target = Tally(), Tally(), Tally()
        self._likeness: list[Tensor] = []  # [B] each: correlation of brightness, output with target or source

    @torch.no_grad()
    def add(self, *, source: Tensor | None, output: Tensor, target: Tensor, valid: Tensor | None = None) -> None:
        """Take in a batch.

        Args:
            source: `[B, Cs, H, W]` in [-1, 1]; None, in every batch, where outputs are made of noise.
            output, target: `[B, Ct, H, W]` in [-1, 1]; without pairs their heights and widths may differ.
            valid: `[B, 1, H, W]` bool; other pixels count as mid-gray on all sides.
        """
        compared = slice(None) if self.paired else slice(2)
        assert output.shape[compared] == target.shape[compared], (output.shape, target.shape)
        sides = {self._source: source, self._output: output, self._target: target}
        thumbs: list[Tensor | None] = []
        for side, pictures in sides.items():
            if pictures is None:
                thumbs.append(None)
                continue
            pictures = pictures.float()
            if pictures.device.type == "mps":  # which pools to divisors of the size only, and has no float64
                pictures = pictures.cpu()
            pictures = pictures if valid is None else torch.where(valid.to(pictures.device), pictures, 0.0)
            thumbs.append(side.add(pictures))
        of_source, of_output, of_target = thumbs
        other = of_target if self.paired else of_source
        if of_output is not None and other is not None:
            self._likeness.append(correlation(of_output, other))

    def figures(self) -> dict[str, float]:
        """What was measured, for the journal; a figure that the pictures do not allow for is left out."""
        output, target = self._output, self._target
        if not output.count:
            return {}
        values = {"saturated": output.saturated(), "saturated_targets": target.saturated()}
        likeness = torch.cat([*self._likeness, torch.empty(0, dtype=torch.float64)])
        if likeness.isfinite().sum() > output.count / 2:
            values["likeness"] = likeness.nanmedian().item()
        if output.count >= FEW:
            values["variation"] = output.variation() / max(target.variation(), SAMENESS)
            values["dependence"] = output.own() / max(min(side.own() for side in self._true), SAMENESS)
            values["drift"] = self._drift()[0]
        return {name: round(value, 4) for name, value in values.items() if math.isfinite(value)}

    def alarms(self) -> list[Alarm]:
        """What looks wrong, the gravest first; empty for a run that looks healthy."""
        if self._output.count < FEW or (self.step is not None and self.step < EARLY):
            return []
        figures = self.figures()
        found = (self._collapse(figures), self._inversion(figures), self._colours(figures), self._saturation(figures))
        return [alarm for alarm in found if alarm]

    @property
    def _true(self) -> list[Tally]:
        """The statistics of what is not made: targets, and sources where there are any."""
        return [side for side in (self._source, self._target) if side.count]

    def _collapse(self, figures: dict[str, float]) -> Alarm | None:
        if min(side.variation() for side in self._true) < SAMENESS:
            return None  # one picture over and over: nothing else is to be expected
        if figures.get("variation", 1.0) >= VARIATION or figures.get("dependence", 1.0) >= DEPENDENCE:
            return None
        if not self._source.count:
            return Alarm(
                "collapse",
                f"outputs hardly differ from one to another any more: {self._output.own():.1%} of their contrast does, "
                f"of the targets' {self._target.own():.0%}. The generator has collapsed, and rarely recovers: start "
                "anew, or with --init-from of earlier weights, with a lower --lr; with few pictures also with "
                "--augment color,translation,cutout",
            )
        return Alarm(
            "collapse",
            f"outputs hardly depend on the source any more: {self._output.own():.1%} of their contrast differs from "
            f"one to another, of the targets' {self._target.own():.0%}. The generator has collapsed, and rarely "
            "recovers: start anew, or with --init-from of earlier weights, with a lower --lr and more weight on what "
            "ties the output to the source (--lambda-l1, --lambda-cycle or --lambda-nce); with few pictures also with "
            "--augment color,translation,cutout",
        )

    def _colours(self, figures: dict[str, float]) -> Alarm | None:
        limit = DRIFT * (1 + DRIFT_OF_FEW / self._output.count)
        if figures.get("drift", 0.0) <= limit:
            return None
        _, what = self._drift()
        ours, theirs = (_as_text((side.mean() + 1) / 2) for side in (self._output, self._target))
        return Alarm(
            "colours",
            f"colours run away: the outputs' {what} is {figures['drift']:.1f} standard deviations from the targets' "
            f"(mean colour {ours}, that of the targets {theirs}, from 0 to 1). If the training targets look like "
            "these, start anew with a lower --lr"
            + (" and a larger --lambda-identity (or --lambda-l1, for pairs)" if self._source.count else ""),
        )

    def _inversion(self, figures: dict[str, float]) -> Alarm | None:
        """Certain for pairs. Without them it is a hint: inverting may be the task, as the tones on both sides tell at
        best in part.
        """
        if figures.get("likeness", 0.0) >= INVERTED:
            return None
        seen = f"bright and dark change places (correlation {figures['likeness']:.2f})"
        do = "start anew with a larger --lambda-identity, a lower --lr, or another --seed, which often is enough"
        if self.paired:
            return Alarm("inverted", f"outputs are like negatives of their targets: {seen}: {do}")
        tones, target = self._source.tones(), self._target.tones()
        if distance(tones.flip(0), target) < TASK_INVERTS * distance(tones, target):
            return None
        return Alarm("inverted", f"outputs look like negatives of the sources: {seen}. If this is not the task, {do}")

    def _saturation(self, figures: dict[str, float]) -> Alarm | None:
        """Label maps and drawings are extreme by nature, hence the comparison."""
        ours, theirs = figures.get("saturated", 0.0), figures.get("saturated_targets", 0.0)
        if ours <= 0.5 or theirs >= ours / 2:
            return None
        return Alarm(
            "saturated",
            f"{ours:.0%} of the outputs' values are at an end of the value range, and {theirs:.0%} of the targets': "
            "out there the generator learns next to nothing more. Start anew with a lower --lr, or with a "
            "--target-range that fits the targets",
        )

    def _drift(self) -> tuple[float, str]:
        """The largest distance of the outputs' colour statistics from the targets', and which one it is.

        What lies between source and target is no running away: outputs may be on their way from the one to the other.
        Less spread than the targets have is mere blur.
        """
        ours, theirs = self._output.colours(), self._target.colours()
        scale = theirs.std(0).clamp(min=COLOUR_FLOOR)
        theirs = theirs.mean(0)
        alike = self._source.count and self._source.channels == self._target.channels
        start = self._source.colours().mean(0) if alike else theirs
        low, high = torch.minimum(start, theirs), torch.maximum(start, theirs)
        names = axes(self._target.channels)
        low[len(names) :] = 0
        excess = ours.mean(0) - ours.mean(0).clamp(low, high)
        distances = excess.abs() / scale
        worst = int(distances.argmax())
        return distances[worst].item(), f"{'spread of ' if worst >= len(names) else ''}{names[worst % len(names)]}"


def _as_text(values: Tensor) -> str:
    return "(" + ", ".join(f"{v:.2f}" for v in values[:4].tolist()) + (", ..." if len(values) > 4 else "") + ")"
