"""Two folders of pictures beside each other: outputs, and what they should be. No model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from translate.datasets.batches import Examples as Dataset
from translate.datasets.batches import make_dataset
from translate.datasets.examples import Example, Key
from translate.datasets.files import pair_by_stem, relative, require_folder
from translate.datasets.pairs import ROLES, Pair, Problem, of_side
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.base import Examples, Need
from translate.evaluation.choice import Choice
from translate.evaluation.result import Evaluation
from translate.evaluation.sheet import save_image
from translate.fields import flag
from translate.outside import some
from translate.settings import DataSettings
from translate.training.evaluate_columns import Columns
from translate.training.evaluate_extras import features_for, with_networks
from translate.training.evaluate_set import GROUP, Pictures, extremes, measured
from translate.training.evaluate_settings import EvaluateSettings
from translate.training.outputs import ModelOutputs, Translate


def folder_data(settings: EvaluateSettings, given: Mapping[str, object]) -> DataSettings:
    """How two folders are read: whole pictures, unless a size is given; outputs as targets are.

    Raises:
        ValueError: a folder is missing, or a wrong value.
    """
    for name in ("outputs", "targets", "sources"):
        if (path := getattr(settings, name)) is not None:
            require_folder(path, flag=flag(name))
    fit = {"fit": "stretch" if "size" in given else "none"}
    alike = {
        name.replace("target_", "source_"): value
        for name, value in given.items()
        if name.startswith("target_") and name != "target_ignore"
    }
    folders = {"source": settings.outputs, "target": settings.targets, "val_fraction": 0}
    return DataSettings.make({**fit, **alike, **given, **folders})


def evaluate_folders(
    data: DataSettings, settings: EvaluateSettings, choice: Choice, *, say: Callable[[str], None]
) -> Evaluation:
    """Measure the outputs of one folder by the targets of another.

    Raises:
        ValueError: files without partners, that cannot be read or whose sizes differ, or a figure that they do not
            allow for.
    """
    unpaired = settings.unpaired
    prepared = _read(data, flag("outputs"), unpaired=unpaired, say=say)
    datasets = {"made": make_dataset(prepared, settings=data, part="val", seed=0)}
    if settings.sources is not None:
        if data.target_kind == "labels":
            raise ValueError("--sources are measured as if they were outputs, and those are label maps: leave it out")
        of_sources = _read(data.replace(source=settings.sources), flag("sources"), unpaired=unpaired, say=say)
        numbers = [len(of_side(read.val, "source")) for read in (prepared, of_sources)]
        if numbers[0] != numbers[1]:
            raise ValueError(
                f"--sources {settings.sources} has {numbers[1]} pictures, and there are {numbers[0]} outputs"
            )
        datasets["source"] = make_dataset(of_sources, settings=data, part="val", seed=0)
    target = prepared.target
    features, reason = features_for(target, settings, choice)
    device = pick_device(settings.device)
    made = target.model_copy(update={"ignore": None})  # what is left out is the target's choice
    specs = {"made": made, "target": target, **({"source": made} if "source" in datasets else {})}
    sides = {role: len(of_side(prepared.val, role)) for role in ROLES}
    shown = of_side(prepared.val, "source") if unpaired else prepared.val
    examples = Examples(
        source=None,
        target=target,
        paired=not unpaired,
        sources=sides["source"] if unpaired else None,
        targets=sides["target"] if unpaired else None,
        features=features,
    )
    pictures = Pictures(
        _Beside(datasets),
        batch=1 if data.val_whole else settings.batch_size,
        to_batch=lambda raw: raw.to(device, specs),
        examples=with_networks(examples, settings, choice),
        names=tuple(pair.name for pair in shown),
        columns=_columns(settings, shown),
    )
    outputs = ModelOutputs(lambda batch: batch.pictures["made"])
    without: dict[Need, str] = {} if reason is None else {"features": reason}
    if unpaired:
        without["pairs"] = "--unpaired takes two sets"
    baselines: dict[str, Translate] = {"source": lambda batch: batch.source} if "source" in datasets else {}
    found, _ = measured(outputs, pictures, choice, settings, baselines=lambda: baselines, without=without)
    if settings.sheet is not None:
        save_image(settings.sheet, extremes(found, outputs, pictures, specs))
    return found


def _columns(settings: EvaluateSettings, pairs: Sequence[Pair]) -> dict[str, tuple[str, ...]]:
    if settings.group_by is None:
        return {}
    tables = [] if settings.table is None else [settings.table]
    return {GROUP: Columns(settings.group_by, tables=tables, flag="--group-by").of(pairs)}


def _read(data: DataSettings, named: str, *, unpaired: bool, say: Callable[[str], None]) -> Prepared:
    """The pictures of the two folders of `data`, all to be measured on, the outputs as the targets are.

    Raises:
        ValueError: a file has no partner, or cannot be used.
    """
    assert data.source is not None
    assert data.target is not None
    if not unpaired:
        _, alone = pair_by_stem(data.source, data.target, otherwise="two sets without partners are for --unpaired")
        _refuse(alone, data, f"{named} and --targets go together by name")
    lines: list[str] = []
    prepared = prepare(data, kind="unpaired" if unpaired else "pairs", say=lines.append)
    _refuse(prepared.problems, data, f"{named} and --targets are measured whole")
    for line in lines[1:]:  # the first is about a training
        if not line.startswith(("no validation", "source:")):
            say(line)
    return replace(prepared, source=prepared.target, train=(), val=prepared.train, val_paired=not unpaired)


def _refuse(problems: tuple[Problem, ...], data: DataSettings, rule: str) -> None:
    """
    Raises:
        ValueError: there are any.
    """
    if problems:
        named = [f"{_shown(problem.path, data)}: {problem.reason}" for problem in problems]
        raise ValueError(f"{rule}, and {len(problems)} file{'s' if len(problems) > 1 else ''} cannot: {some(named)}")


def _shown(path: Path, data: DataSettings) -> str:
    """A path with the folder that was given."""
    for folder in (data.source, data.target):
        if folder is not None and path.is_relative_to(folder):
            return f"{folder}/{relative(path, folder)}"
    return str(path)


class _Beside:
    """Outputs, targets and, where there are any, sources, of datasets that have outputs or sources beside targets."""

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self._datasets = datasets

    def __len__(self) -> int:
        return len(self._datasets["made"])

    def __getitem__(self, key: Key) -> Example:
        """
        Raises:
            ImageError: a file that cannot be read.
        """
        examples = {name: dataset[key] for name, dataset in self._datasets.items()}
        pictures = {name: example.source for name, example in examples.items()}
        return Example({**pictures, "target": examples["made"].target}, examples["made"].name)

    def with_cache(self, **_: object) -> _Beside:
        return self
