"""Every measure of a trained model, on validation or test pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from translate.allow import OwnClass
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.pairs import Pair
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.base import Figures
from translate.evaluation.measures import described
from translate.inference.pieces import PieceReport
from translate.inference.translator import model_file, read_card
from translate.models import load_for_inference, model_class
from translate.outside import about
from translate.settings import DataSettings
from translate.training.folder import RunFolder
from translate.training.job import PATHS, as_before
from translate.training.outputs import Whole, outputs_of
from translate.training.validation import Measures, examples_of, validate
from translate.weights import load_tensors


class EvaluateSettings(OwnClass):
    """Pictures to evaluate on, and where to run."""

    split: Literal["val", "test"] = Field(
        "val",
        description="pictures to evaluate on: those of validation (as in training, held out if need be), or of testing",
    )
    batch_size: int = Field(
        4, ge=1, description="pictures in one pass of the network; of whole ones (--fit none) it is 1"
    )
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`."""

    count: int  # pictures
    figures: Figures  # of the measures that are not `apart`, as l1, psnr, ssim; empty without true pairs
    measures: Measures

    def describe(self) -> str:
        """The figures, as lines of text."""
        apart = [measure.describe() for measure in self.measures.values() if measure.apart]
        return "\n".join([f"{self.count} pictures", *filter(None, [described(self.figures), *apart])])


def evaluation_data(path: str | Path, given: Mapping[str, object]) -> DataSettings:
    """Data settings: those of the training of the model at `path`, with what is `given` in their place.

    A run folder has the paths of its pictures; a model file has none.

    Raises:
        ValueError: no such model, an unknown setting, or a wrong value.
    """
    fields = DataSettings.model_fields
    card = read_card(path)
    run = as_before(card.run)
    trained = {name: value for name, value in run.items() if name in fields and value is not None}
    folder = RunFolder(Path(path))
    if folder.config.is_file() and not given.keys() & {"data", "source", "target"}:
        stored = folder.read_config()["settings"]
        trained |= {name: stored[name] for name in PATHS if stored.get(name) is not None}
    with about(path):
        return DataSettings.make({**trained, "cache": "none", **given}).for_scale(card.scale)


def evaluate(
    path: str | Path, data: DataSettings, settings: EvaluateSettings, *, say: Callable[[str], None]
) -> Evaluation:
    """Evaluate the model at `path`, a run folder or `.safetensors` file.

    Raises:
        NotAllowed: its model is a class that the settings do not allow.
        ValueError: no such model, or no pictures to evaluate it on.
    """
    file = model_file(path)
    card = read_card(file)
    if file.suffix != ".safetensors":
        raise ValueError(f"{file}: give the run folder or .safetensors file that it was exported from")
    if data.val_whole and settings.batch_size > 1 and "batch_size" in settings.model_fields_set:
        raise ValueError(
            f"--batch-size {settings.batch_size}: whole pictures (--fit none) go one by one: leave it out, or give "
            "--val-crop"
        )
    if card.source is None:
        raise ValueError(
            f"{file}: makes pictures of noise, so that there are no true pairs to evaluate it on: look at its samples"
        )
    cls = model_class(card.model, allow=settings.allow, file=file)
    card.check_tokenizer(path=file)
    with about(file):
        science = cls.settings_class.make(card.settings)
    with about(file):
        prepared = prepare(
            data,
            kind=cls.data,
            data_needs=cls.data_needs(science),
            scale=card.scale,
            conditions=card.conditions,
            say=say,
        )
    prepared = replace(prepared, source=card.source, target=card.target, val=_evaluated(prepared, settings.split))
    device = pick_device(settings.device)
    with about(file):
        model = load_for_inference(card, load_tensors(file), allow=settings.allow).to(device)
    dataset = make_dataset(prepared, settings=data, part="val", seed=int(card.run.get("seed") or 0))
    batches = (
        raw.to(device, {"source": card.source, "target": card.target})
        for raw in ordered_batches(dataset, batch=1 if data.val_whole else settings.batch_size)
    )
    pieces: list[PieceReport] = []
    whole = Whole(card, pieces.append) if data.val_whole else None
    found = validate(
        {"model": outputs_of(model, whole, conditioned=bool(card.conditions))},
        batches,
        examples=examples_of(replace(prepared, conditions=card.conditions)),
    )
    if inexact := [report for report in pieces if not report.exact]:
        say(f"a picture that does not fit in memory was {inexact[0].text}")
    return Evaluation(count=len(dataset), figures=found.figures()["model"], measures=found.measures["model"])


def _evaluated(prepared: Prepared, split: str) -> tuple[Pair, ...]:
    """The pairs to evaluate on.

    Raises:
        ValueError: there are none.
    """
    pairs = prepared.val if split == "val" else prepared.test
    if not pairs:
        raise ValueError(f"there are no pictures to evaluate on: no {split} folder, and none held out for it")
    return pairs
