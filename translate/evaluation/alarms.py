"""Checks run at each validation: mode collapse, colour drift, inverted brightness, saturation, grids.

The losses do not show these: a discriminator that loses to an inverted picture reports a balanced game. Statistics of
the outputs do. An alarm that healthy runs raise would soon be ignored, so the thresholds catch gross failures alone:
each lies well outside what real pictures, also blurred and gray ones, were measured to give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from translate.batch import Batch
from translate.evaluation.base import Alarm, Examples, Figures, Measure
from translate.evaluation.spectrum import PERIOD, Grids
from translate.evaluation.sums import MIN_VARIATION, Sums, axes, correlation, distance
from translate.figures import HEALTH

FIRST_CHECKED_STEP = 200
"""No alarm before this step: an untrained generator outputs gray or stripes."""

MIN_PICTURES = 4
"""No alarm and no comparison of sets with fewer pictures."""

MIN_DEPENDENCE = 0.1
"""A collapse has less than this: the share of the outputs' contrast that differs between pictures, over that of sources
or targets, whichever is less.

It is 0.7 to 1 of real pictures, blurred and gray ones too; 0.3 to 0.6 in a U-Net's first hundred steps, 0.15 in its
very first without a norm; at most 0.08 of collapsed generators, most often 0.
"""

MIN_VARIATION_RATIO = 0.2
"""Not a collapse if the outputs vary at least this much, relative to the targets."""

MAX_DRIFT = 3.0
"""Distance of the outputs' mean colour from the targets', in standard deviations of single targets.

Measured on photographs, label maps, maps and drawings: gray versions of the targets are 0.4 to 1.2 away, those of
the sources up to 1.1, flat gray about 1 from photographs (and 5 from drawings on white); photographs and drawings with
a tenth of the value range more red and blue, and as much less green, 3.2 to 5.
"""

DRIFT_FEW_PICTURES = 6
"""With few pictures the limit is higher: `MAX_DRIFT * (1 + DRIFT_FEW_PICTURES / pictures)`.

Measured 2,580 times with 4 to 30 real pictures as outputs and as many others of their kind as targets: none was beyond
it; the largest with 4 was 6.8.
"""

MIN_COLOUR_DEVIATION = 0.04
"""Least standard deviation for `MAX_DRIFT`, in [-1, 1]: targets of one colour, such as drawings on white, have next to
none.
"""

INVERTED = -0.5
"""Correlation of brightness, of the median picture, below which one is the negative of the other.

Unrelated pictures are within 0.2 of 0, facades and their label maps at -0.1.
"""

TASK_INVERTS = 1 / 3
"""Without pairs inverting counts as the task if the targets' tones are this much nearer to the sources' negatives than
to the sources (dark aerial photographs to bright maps: 0.2; horses to zebras: 0.5).
"""

MAX_SATURATED = 0.5
"""Share of the outputs' values at an end of the range; label maps and drawings are excepted, by their targets."""

MAX_GRID = 10.0
"""Power of a wave of 2, 4 or 8 pixels in the outputs, over that of waves beside it and over the same of the targets.

Real pictures of 32 to 256 pixels (photographs, label maps, maps, drawings) have up to 2 in sets of 20, and 4.4 of 4.
Transposed convolutions give up to 7 early in a good run, and 25 to 30 where nothing holds them to the target.
"""

GRID_FEW_PICTURES = 4
"""With few pictures the limit is higher: `MAX_GRID * (1 + GRID_FEW_PICTURES / pictures)`."""

VISIBLE_WAVE = 0.01
"""Amplitude of a wave that is looked at, in [-1, 1]: a level of 255 to either side."""


class HealthStatistics(Measure):
    """Statistics of the outputs beside those of sources and targets.

    It takes some milliseconds a picture, and some kilobytes in all. Pixels that are not valid count as mid-gray.
    """

    better = HEALTH
    apart = True
    both_ways = True

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._source, self._output, self._target = Sums(), Sums(), Sums()
        self._grids = {self._output: Grids(), self._target: Grids()}
        self._likeness: list[Tensor] = []  # [B] each: correlation of brightness, output with target or source

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        output, paired = outputs["output"], self.examples.paired
        compared = slice(None) if paired else slice(2)  # without pairs heights and widths may differ
        assert output.shape[compared] == batch.target.shape[compared], (output.shape, batch.target.shape)
        sides = {self._source: batch.pictures.get("source"), self._output: output, self._target: batch.target}
        thumbs: list[Tensor | None] = []
        for side, pictures in sides.items():
            if pictures is None:
                thumbs.append(None)
                continue
            pictures = pictures.float()
            if pictures.device.type == "mps":  # which pools to divisors of the size only, and has no float64
                pictures = pictures.cpu()
            if batch.valid is not None:
                step = batch.valid.shape[-1] // pictures.shape[-1]  # sources may be smaller
                pictures = torch.where(batch.valid.to(pictures.device)[..., ::step, ::step], pictures, 0.0)
            thumbs.append(side.add(pictures))
            if side in self._grids:
                self._grids[side].add(pictures)
        of_source, of_output, of_target = thumbs
        other = of_target if paired else of_source
        if of_output is not None and other is not None:
            self._likeness.append(correlation(of_output, other))

    def figures(self) -> Figures:
        output, target = self._output, self._target
        if not output.count:
            return {}
        values = {"saturated": output.saturated(), "saturated_targets": target.saturated()}
        likeness = torch.cat([*self._likeness, torch.empty(0, dtype=torch.float64)])
        if likeness.isfinite().sum() > output.count / 2:
            values["likeness"] = likeness.nanmedian().item()
        if output.count >= MIN_PICTURES:
            values["variation"] = output.variation() / max(target.variation(), MIN_VARIATION)
            values["dependence"] = output.own() / max(min(side.own() for side in self._true), MIN_VARIATION)
            values["drift"] = self._drift()[0]
            values |= {"grid": self._grid()[0]} if self._grids[self._output].count else {}
        return {name: round(value, 4) for name, value in values.items() if math.isfinite(value)}

    def alarms(self, *, step: int | None = None) -> list[Alarm]:
        if self._output.count < MIN_PICTURES or (step is not None and step < FIRST_CHECKED_STEP):
            return []
        figures = self.figures()
        found = (
            self._collapse(figures),
            self._inversion(figures),
            self._colours(figures),
            self._saturation(figures),
            self._checkerboard(figures),
        )
        return [alarm for alarm in found if alarm]

    @property
    def _true(self) -> list[Sums]:
        """The statistics of what is not made: targets, and sources where there are any."""
        return [side for side in (self._source, self._target) if side.count]

    def _collapse(self, figures: dict[str, float]) -> Alarm | None:
        if min(side.variation() for side in self._true) < MIN_VARIATION:
            return None  # the same picture over and over: so are right outputs
        if figures.get("variation", 1.0) >= MIN_VARIATION_RATIO or figures.get("dependence", 1.0) >= MIN_DEPENDENCE:
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
        limit = MAX_DRIFT * (1 + DRIFT_FEW_PICTURES / self._output.count)
        if figures.get("drift", 0.0) <= limit:
            return None
        _, what = self._drift()
        ours, theirs = (_as_text((side.mean() + 1) / 2) for side in (self._output, self._target))
        return Alarm(
            "colours",
            f"colours drift: the outputs' {what} is {figures['drift']:.1f} standard deviations from the targets' "
            f"(mean colour {ours}, that of the targets {theirs}, from 0 to 1). If the training targets look like "
            "these, start anew with a lower --lr"
            + (" and a larger --lambda-identity (or --lambda-l1, for pairs)" if self._source.count else ""),
        )

    def _inversion(self, figures: dict[str, float]) -> Alarm | None:
        """Certain for pairs. Without them a hint: inverting may be the task, which the tones show only in part."""
        if figures.get("likeness", 0.0) >= INVERTED:
            return None
        seen = f"bright and dark are exchanged (correlation {figures['likeness']:.2f})"
        do = "start anew with a larger --lambda-identity, a lower --lr, or another --seed, which often is enough"
        if self.examples.paired:
            return Alarm("inverted", f"outputs are like negatives of their targets: {seen}: {do}")
        tones, target = self._source.tones(), self._target.tones()
        if distance(tones.flip(0), target) < TASK_INVERTS * distance(tones, target):
            return None
        return Alarm("inverted", f"outputs look like negatives of the sources: {seen}. If this is not the task, {do}")

    def _saturation(self, figures: dict[str, float]) -> Alarm | None:
        ours, theirs = figures.get("saturated", 0.0), figures.get("saturated_targets", 0.0)
        if ours <= MAX_SATURATED or theirs >= ours / 2:
            return None
        return Alarm(
            "saturated",
            f"{ours:.0%} of the outputs' values are at an end of the value range, and {theirs:.0%} of the targets': "
            "there the generator hardly learns any more. Start anew with a lower --lr, or with a "
            "--target-range that fits the targets",
        )

    def _checkerboard(self, figures: dict[str, float]) -> Alarm | None:
        limit = MAX_GRID * (1 + GRID_FEW_PICTURES / self._output.count)
        if figures.get("grid", 0.0) <= limit:
            return None
        _, period = self._grid()
        return Alarm(
            "checkerboard",
            f"a grid of {period} pixels is in the outputs: its waves have {figures['grid']:.0f} times the power of "
            "those beside them. It comes from how the network enlarges, and often fades while the learning rate falls; "
            "if it stays, start anew with --upsample resize",
        )

    def _grid(self) -> tuple[float, int]:
        """The largest peak of the outputs' spectrum over the targets' at the same place, and its period in pixels."""
        output, target = self._grids[self._output], self._grids[self._target]
        peaks = output.peaks() / (target.peaks().clamp(min=1.0) if target.count else 1.0)
        peaks[output.amplitudes() < VISIBLE_WAVE] = 0.0
        down, across = divmod(int(peaks.argmax()), PERIOD)
        return peaks.max().item(), PERIOD // math.gcd(PERIOD, down, across)

    def _drift(self) -> tuple[float, str]:
        """The largest distance of the outputs' colour statistics from the targets', and which one it is.

        Colours between those of source and target have none: outputs may be on their way from one to the other. Less
        spread than the targets' is blur.
        """
        ours, theirs = self._output.colours(), self._target.colours()
        scale = theirs.std(0).clamp(min=MIN_COLOUR_DEVIATION)
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
