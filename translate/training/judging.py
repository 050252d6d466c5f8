"""By what a run is judged: the features of which network, and which figure chooses the weights that are kept."""

from __future__ import annotations

from collections.abc import Callable

from translate.datasets.prepare import Prepared
from translate.evaluation.alarms import MIN_PICTURES
from translate.evaluation.base import NEEDS, Examples
from translate.evaluation.features import (
    SHORT_NAMES,
    TRAINS_ON_ALL,
    Features,
    judging_features,
    other_than,
    trained_on,
    without_features,
)
from translate.evaluation.measures import lacking
from translate.evaluation.sets import left_out
from translate.fields import flag
from translate.figures import AUTO, LAST, OF_FEATURES, in_words, plain
from translate.networks.backbone import packaged_file
from translate.training.job import Job, kept_figures
from translate.training.validation import examples_of, validation_sides

SET_PICTURES = 100
"""Validation pictures of each side that figures of sets are measured on during training, at most.

One takes 40 ms of a CPU core, for raw and averaged weights each. `translate evaluate` takes all.
"""

KID_PICTURES = 20
"""Validation pictures of each side from which on KID chooses the weights by itself: with fewer it is mostly noise."""


class Judging:
    """What outputs are judged by. The backbone is loaded when the first validation asks for it, which takes seconds.

    Attributes:
        reason: why there are no features, in words; None where there are.
    """

    def __init__(self, job: Job, data: Prepared) -> None:
        """
        Raises:
            ValueError: `--metric-features` names a network that cannot be had or does not fit the pictures.
        """
        self.job, self.data = job, data
        self._features: Features | None = None
        wanted = job.run.metric_features
        self.trained_on = trained_on(job.science)
        self._backbone = other_than(self.trained_on) if wanted == AUTO else wanted
        self.reason = self._why_none()
        if wanted not in (None, AUTO):
            if self.reason is not None:
                raise ValueError(f"--metric-features {wanted}: {self.reason}: leave it out")
            self.features()

    def _why_none(self) -> str | None:
        if self._backbone is None:
            return TRAINS_ON_ALL if self.job.run.metric_features == AUTO else "--metric-features none"
        if not self.data.val:
            return f"they need {NEEDS['pictures']}"
        if self.data.kind == "domains":
            return "in a set of many domains a source given back would be perfect"
        if (reason := without_features(self.data.target)) is not None:
            return reason
        try:
            if self.job.run.metric_features == AUTO:
                packaged_file(self._backbone)
        except ValueError as error:
            return str(error)
        return None

    def features(self) -> Features | None:
        """The features; None where there are none, for `reason`."""
        if self.reason is None and self._features is None:
            name = self.job.run.metric_features
            assert name is not None, "then there is a reason"
            with self.job.named():
                found = judging_features(self.data.target, name=name, trained_on=self.trained_on)
            if isinstance(found, Features):
                self._features = found
            else:
                self.reason = found
        return self._features

    def examples(self) -> Examples:
        """The validation examples, for measures. Loads the backbone."""
        return examples_of(self.data, features=self.features(), most=SET_PICTURES)

    @property
    def best(self) -> str:
        """The figure that chooses the weights, or `last`."""
        return self._usual()[0] if self.job.run.best == AUTO else self.job.run.best

    def _usual(self) -> tuple[str, str]:
        """The figure of `--best auto`, and what it is measured on or why it is none."""
        data = self.data
        if not data.val:
            return LAST, "there are no validation pictures"
        if data.val_paired:
            return ("l1" if self.reason else "perceptual"), f"on {_count(len(data.val), 'validation pair')}"
        if self.reason:
            return LAST, "there is no figure without true pairs and features"
        if (few := min(validation_sides(data))) < KID_PICTURES:
            return LAST, f"KID needs {KID_PICTURES} validation pictures, and there are {few}"
        return "kid", f"on {_count(min(few, SET_PICTURES), 'validation picture')}"

    def check(self) -> None:
        """
        Raises:
            ValueError: a figure is asked for that this run cannot have, or a flag that has no effect.
        """
        run, before = self.job.run, {} if self.job.resumed is None else self.job.resumed["settings"]
        for name, figure in [("best", run.best), *(("keep_best", figure) for figure in kept_figures(run))]:
            # a run of an earlier version may go by l1 without pairs
            if figure in (AUTO, LAST) or (name == "best" and figure == before.get("best") == "l1"):
                continue
            need = lacking(figure, examples_of(self.data))
            if need == NEEDS["features"]:
                need = f"{need}: {self.reason}" if self.reason else self._other_network(figure)
            if need is None and not self.data.val and self.job.resumed is None:  # earlier versions started such runs
                need = NEEDS["pictures"]
            if need is None and self.job.resumed is None and (few := self._too_few()).get(plain(figure)):
                need = f"more pictures: {few[plain(figure)]}"
            if need is not None:
                other = f", or give --best {LAST} for the newest weights" if name == "best" else ""
                raise ValueError(f"{flag(name)} {figure} needs {need}: leave it out{other}")
        if run.patience is not None and self.best == LAST:
            why = f" (--best auto: {self._usual()[1]})" if run.best == AUTO else ""
            raise ValueError(f"--patience {run.patience} needs a figure to go by, and there is none{why}: leave it out")

    def _too_few(self) -> dict[str, str]:
        """Figures that so few validation pictures never have, and why."""
        few = left_out(*validation_sides(self.data), features=0)
        if (count := max(validation_sides(self.data))) < MIN_PICTURES:
            few["drift"] = f"it takes {MIN_PICTURES} at least, and there are {count}"
        return few

    def _other_network(self, figure: str) -> str | None:
        """What a figure needs that names a network which is not the one of this run."""
        assert self._backbone is not None
        name = self._features.name if self._features else SHORT_NAMES.get(self._backbone, self._backbone)
        return None if figure in (plain(figure), f"{plain(figure)}_{name}") else f"--metric-features, which is {name}"

    def say(self, say: Callable[[str], None]) -> None:
        """Print what was decided: a line or two."""
        run = self.job.run
        if self.reason and run.metric_features is not None and self.data.val:
            say(f"no figures on the features of a pretrained network: {self.reason}")
        if run.best == AUTO:
            figure, why = self._usual()
            chosen = "the newest weights" if figure == LAST else f"the best by {self.described(figure)}"
            say(f"model.safetensors will be {chosen}: {why} (--best auto)")
        if not self.reason and max(validation_sides(self.data)) > SET_PICTURES:
            say(f"KID in training is of the first {SET_PICTURES} validation pictures; `translate evaluate` takes all")

    def described(self, figure: str) -> str:
        """A figure in words, with its network."""
        name = SHORT_NAMES.get(self._backbone or "", self._backbone)
        return in_words(f"{plain(figure)}_{name}" if plain(figure) in OF_FEATURES else figure)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
