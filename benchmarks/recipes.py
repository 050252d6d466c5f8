"""Trainings beside each other on pictures of your own: judged on pictures that no training saw.

    python -m benchmarks.recipes --data FOLDER --out FOLDER [--direction BtoA] [--rows "published; sharp"] [--seeds 0,1]

FOLDER has pictures in any layout, with a `test` or `val` part to judge by; `--hold-back N` takes the N side-by-side
files of the largest numbers away from training and judges by them, too. A row is a recipe and what is changed of it,
with blanks between: "sharp lambda_l1=10 batch=4"; `pairs=50` trains on so many of the side-by-side files. A row may
have a name: "hinge: published objective=hinge"; and seeds of its own: "hinge [0,1,2]: published objective=hinge".
`--rows` may be a file with a row in each line; what follows a # is a remark.

The newest averaged weights of each run are judged, on 8-bit pictures as `convert` would write them: L1 and SSIM to the
target; KID (x 1000, with its standard error) of all outputs against all targets, on the features of EfficientNet-Lite0,
which `sharp` trains on, and of EfficientNet-Lite1, which nothing trains on; the distance to the target in either's
features; and the share of outputs that either takes for the ImageNet class that it takes their target for, or for one
of `--imagenet-classes`. Without pairs KID and that share are what there is. The first row is the floor: as many real
training targets instead of outputs. Of two rows one is called better where each of its seeds beats each of the other's.

Stop it whenever you like: runs go on where they were, and results are kept in `results.json`; of what is measured the
run may be thrown away. `sheet-SEED.png` has the
first twelve pictures of each row.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmarks import command
from benchmarks.measure import machine, table
from benchmarks.rows import Figures, Row, verdicts
from translate.batch import Batch, normalize, quantize
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.pairs import of_side
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.kid import kid
from translate.evaluation.metrics import compare
from translate.evaluation.sheet import displayable, save_image, sheet
from translate.fields import Settings, flag
from translate.files import write_text
from translate.inference.translator import load
from translate.losses import perceptual
from translate.models import MODELS
from translate.networks.backbone import Backbone, imagenet_numbers
from translate.settings import DataSettings
from translate.training.folder import RunFolder
from translate.training.job import rehearse
from translate.training.run import train

SHOWN, FEWEST = 12, 3  # pictures: on a sheet, and for a jackknife
BACKBONES = {"lite0": Backbone("tf_efficientnet_lite0"), "lite1": Backbone("tf_efficientnet_lite1")}


class Flags(Settings):
    """Recipes beside each other on pairs of your own, judged by features that no training used."""

    data: Path = Field(description="folder of pairs, in any layout, with a val part")
    out: Path = Field(description="folder for runs, results and sheets; one that is there is gone on with")
    rows: str = Field(
        "published; sharp", description="recipes, with what is changed of each, and semicolons between; or a file"
    )
    seeds: command.Numbers = Field("0", description="seeds of the trainings, with commas between")
    direction: str = Field("AtoB", description="AtoB or BtoA, as in training")
    hold_back: int = Field(0, ge=0, description="files of the largest numbers that are judged by, and not trained on")
    model: str = Field("pix2pix", description="model that the recipes are for, of pairs or without")
    imagenet_classes: str | None = Field(None, description="ImageNet classes that good outputs belong to, as zebra")
    size: int = Field(64, ge=16, description="side of the pictures, in pixels")
    width: int = Field(32, ge=1, description="channels of the first layer of both networks")
    steps: int = Field(5000, ge=1, description="optimisation steps of each run")
    precision: str = Field("bfloat16", description="autocast type of the networks")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads of the networks (default: torch's own choice)")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for row in self.each_row:
            row.settings()
        if MODELS[self.model].data not in ("pairs", "unpaired"):
            raise ValueError(f"--model {self.model} translates no pictures of one kind into another")
        if self.imagenet_classes is not None:
            imagenet_numbers(self.imagenet_classes)
        return self

    @property
    def each_row(self) -> list[Row]:
        """The rows, in order."""
        path = Path(self.rows)
        text = path.read_text(encoding="utf-8") if path.suffix == ".txt" and path.is_file() else self.rows
        rowed = ";".join(line.partition("#")[0] for line in text.splitlines()).split(";")
        rows = [Row.read(" ".join(row.split())) for row in rowed if row.strip()]
        names = [row.name for row in rows]
        if len(set(names)) < len(names):
            raise ValueError(f"--rows has two rows of the name {max(names, key=names.count)}")
        return rows

    @property
    def paired(self) -> bool:
        """Whether an output has a target of its own."""
        return MODELS[self.model].data == "pairs"

    @property
    def each_run(self) -> list[tuple[int, Row]]:
        """Seeds and rows, in the order of the trainings."""
        usual = command.numbers(self.seeds)
        every = sorted({seed for row in self.each_row for seed in row.seeds or usual})
        return [(seed, row) for seed in every for row in self.each_row if seed in (row.seeds or usual)]


def pictures(flags: Flags, *, count: int = 0) -> Path:
    """The folder to train on: as given, or one of links with the held-back files in its `val`.

    Args:
        count: files that stay for training, as evenly spaced as can be; 0 for all.

    Raises:
        ValueError: `--hold-back` or `pairs=` take more than there is.
    """
    if not flags.hold_back and not count:
        return flags.data
    folder = flags.out / f"pictures{f'-{count}' if count else ''}"
    files = sorted((p for p in (flags.data / "train").glob("*") if p.is_file()), key=_number)
    if flags.hold_back >= len(files):
        raise ValueError(f"--hold-back {flags.hold_back}: {flags.data / 'train'} has {len(files)} files")
    kept, held = files[: len(files) - flags.hold_back], files[len(files) - flags.hold_back :]
    if count > len(kept):
        raise ValueError(f"--rows: pairs={count}, and {flags.data / 'train'} has {len(kept)} files to train on")
    kept = [kept[i * len(kept) // count] for i in range(count)] if count else kept
    validation = sorted(p for p in (flags.data / "val").glob("*") if p.is_file())
    for part, members in (("train", kept), ("val", [*validation, *held])):
        for path in members:
            link = folder / part / (f"train-{path.name}" if path in held else path.name)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(path.resolve())
    return folder


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)


def run_of(flags: Flags, row: Row, seed: int) -> Path:
    """The run folder of a training."""
    return flags.out / "runs" / f"{re.sub(r'[^a-zA-Z0-9.=,-]+', '_', row.name)}-seed-{seed}"


def trained(flags: Flags, row: Row, seed: int) -> Path:
    """The finished run of a row: made, gone on with, or there already.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    path = run_of(flags, row, seed)
    settings = row.settings()
    data = pictures(flags, count=int(settings.pop("pairs", 0)))
    folder = RunFolder(path)
    if folder.config.is_file():
        if folder.checkpoint_steps()[-1:] == [folder.read_config()["settings"]["steps"]]:
            return path
        run = train(resume=path)
    else:
        run = train(flags.model, data=data, out=path, seed=seed, **shared(flags) | settings)
    if run.interrupted:
        raise KeyboardInterrupt(f"stopped: the same command goes on with {path}")
    return path


def shared(flags: Flags) -> dict[str, Any]:
    """What all rows are trained with, unless one changes it."""
    return {
        "direction": flags.direction,
        "size": flags.size,
        "width": flags.width,
        "discriminator_width": flags.width,
        "steps": flags.steps,
        "precision": flags.precision,
        "device": flags.device,
        "threads": flags.threads,
        "best": "last",
        "validate_every": flags.steps,
        "checkpoint_every": max(1, flags.steps // 5),
        "keep": 1,
        "tensorboard": False,
    }


def judged_examples(flags: Flags) -> tuple[Prepared, list[Batch], list[Batch]]:
    """The examples to judge by, and as many targets from training, one by one and as they are."""
    data = pictures(flags)
    settings = DataSettings.make({"data": data, "direction": flags.direction, "size": flags.size})
    prepared = prepare(settings, kind=MODELS[flags.model].data, say=lambda _: None)
    prepared = replace(prepared, val=prepared.test or prepared.val)
    if len(prepared.val) < FEWEST:
        raise ValueError(f"--data {data}: {len(prepared.val)} pictures to judge by are too few: give --hold-back")

    def each(pairs: Prepared) -> Iterator[Batch]:
        for raw in ordered_batches(make_dataset(pairs, settings=settings, part="val", seed=0), batch=1):
            yield raw.to(torch.device("cpu"), {"source": prepared.specs["source"], "target": prepared.target})

    kept, held, targets = (
        ([], list(prepared.val), list(prepared.train))
        if flags.paired
        else (of_side(prepared.val, "source"), of_side(prepared.val, "target"), of_side(prepared.train, "target"))
    )
    stride = max(1, len(targets) // len(held))  # not the first ones, which may be all of one kind
    known = [*kept, *targets[::stride][: len(held)]]
    return prepared, list(each(prepared)), list(each(replace(prepared, val=tuple(known))))


def judge(outputs: Tensor, targets: Tensor, *, classes: tuple[int, ...] = (), pairs: bool = True) -> Figures:
    """All figures of outputs `[N, C, H, W]` in [-1, 1]; those of pairs only where picture i belongs to target i."""
    figures: Figures = {}
    if pairs:
        figures |= {name: float(value.mean()) for name, value in compare(outputs, targets).items()}
    for name, backbone in BACKBONES.items():
        made, real = (torch.cat([backbone.pooled(x) for x in side.split(16)]) for side in (outputs, targets))
        found = kid(made, real)
        figures |= {f"kid_{name}": 1000 * found.value, f"kid_{name}_error": 1000 * found.error}
        if classes or pairs:
            taken, own = (torch.cat([backbone.logits(x).argmax(1) for x in x.split(16)]) for x in (outputs, targets))
            right = torch.isin(taken, torch.tensor(classes)) if classes else taken == own
            figures[f"class_{name}"] = float(right.float().mean())
        if pairs:
            both = zip(outputs.split(16), targets.split(16), strict=True)
            parts = [len(o) * float(perceptual(backbone.features(o), backbone.features(t))) for o, t in both]
            figures[f"perceptual_{name}"] = sum(parts) / len(outputs)
    return figures


@torch.no_grad()
def benchmark(flags: Flags) -> None:
    """Train what is not trained yet, judge, and print the table.

    Raises:
        ValueError: no such recipe, setting or folder, too few pairs, or a backbone that is not installed.
    """
    for backbone in BACKBONES.values():
        backbone.check()
    settings = _as_before(flags)
    for row in flags.each_row:  # hours before its turn
        try:
            rehearse(flags.model, {k: v for k, v in row.settings().items() if k != "pairs"}, size=flags.size)
        except ValueError as error:
            raise ValueError(f"--rows: {row.name}: {error}") from None
    prepared, held, known = judged_examples(flags)  # or an error, before anything is written
    flags.out.mkdir(parents=True, exist_ok=True)
    write_text(flags.out / "settings.json", settings)
    classes = imagenet_numbers(flags.imagenet_classes) if flags.imagenet_classes else ()
    spec = prepared.target
    targets = torch.cat([batch.target for batch in held])
    store = flags.out / "results.json"
    results: dict[str, Figures] = json.loads(store.read_text()) if store.is_file() else {}
    if "floor" not in results and len(known) >= FEWEST:
        results["floor"] = judge(torch.cat([batch.target for batch in known]), targets, classes=classes, pairs=False)
    drawn: dict[int, dict[str, Tensor]] = {}
    for seed, row in flags.each_run:
        name = f"{row.name}, seed {seed}"
        if name in results and not run_of(flags, row, seed).is_dir():
            continue  # measured, and then thrown away
        with torch.enable_grad():
            run = trained(flags, row, seed)
        translator = load(run, device=flags.device)
        pixels = [np.asarray(x) for x in translator([sources(batch, prepared) for batch in held])]
        made = drawn.setdefault(seed, {})[row.name] = normalize(torch.from_numpy(np.stack(pixels)), spec)
        if name not in results:
            found = judge(made, targets, classes=classes, pairs=flags.paired)
            results[name] = found | {"pairs_per_second": speed(run)}
            write_text(store, json.dumps(results, indent=1) + "\n")
        save_page(flags.out / f"sheet-{seed}.png", held, drawn[seed], prepared)
    judged = f"{flags.data.name} {flags.direction}: {len(held)} unseen {'pairs' if flags.paired else 'pictures'}"
    size = f"{flags.size} px, width {flags.width}, {flags.steps} steps, {flags.precision}"
    print(f"{judged}; {size}; {machine(pick_device(flags.device))}\n")
    rows = [[name, *cells(figures)] for name, figures in results.items()]
    print(table(rows, titles=["training", *TITLES]))
    for line in verdicts(results):
        print(line)


def _as_before(flags: Flags) -> str:
    """What the results in `--out` belong to, as JSON.

    Raises:
        ValueError: the results in `--out` are those of other settings.
    """
    kept = {k: v for k, v in flags.as_json().items() if k not in ("rows", "seeds", "out", "device", "threads")}
    kept["data"] = str(flags.data.resolve())
    store = flags.out / "settings.json"
    if store.is_file():
        before = json.loads(store.read_text())
        changed = [key for key in kept if before.get(key, Flags.model_fields[key].default) != kept[key]]
        if changed:
            key = changed[0]
            raise ValueError(f"--out {flags.out} has results of {flag(key)} {before.get(key)}: choose another folder")
    return json.dumps(kept, indent=1) + "\n"


def sources(batch: Batch, prepared: Prepared) -> np.ndarray:
    """Source pixels of a single example, as a file would have them."""
    raw = quantize(batch.source, prepared.specs["source"])[0].numpy()
    return raw.astype(prepared.specs["source"].dtype if prepared.specs["source"].kind == "image" else np.uint8)


def speed(run: Path) -> float:
    """Median pairs a second of a run, from its journal."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return statistics.median(r["examples_per_second"] for r in records if "examples_per_second" in r)


def save_page(path: Path, held: Sequence[Batch], drawn: dict[str, Tensor], prepared: Prepared) -> None:
    """The first pictures of each row beside source and target."""

    def shown(values: Tensor, spec: Any) -> np.ndarray:
        return displayable(quantize(values, spec)[0].numpy(), spec)

    rows = [
        [
            shown(batch.source, prepared.source),
            *(shown(outputs[i : i + 1], prepared.target) for outputs in drawn.values()),
            shown(batch.target, prepared.target),
        ]
        for i, batch in enumerate(held[:SHOWN])
    ]
    save_image(path, sheet(rows, titles=["source", *drawn, "target"]))


TITLES = [
    *("L1", "PSNR", "SSIM", "KID Lite0", "KID Lite1", "perceptual Lite0", "perceptual Lite1", "class Lite0"),
    *("class Lite1", "pairs/s"),
]


def cells(figures: Figures) -> list[str]:
    """A row of the table."""

    def of(name: str, digits: int) -> str:
        return f"{figures[name]:.{digits}f}" if name in figures else ""

    kids = [f"{figures[f'kid_{b}']:.1f} ± {figures[f'kid_{b}_error']:.1f}" for b in BACKBONES]
    return [
        *(of("l1", 4), of("psnr", 2), of("ssim", 3), *kids),
        *(of(f"perceptual_{b}", 3) for b in BACKBONES),
        *(of(f"class_{b}", 2) for b in BACKBONES),
        of("pairs_per_second", 1),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.recipes", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
