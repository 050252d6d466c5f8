"""Recipes beside each other on pairs of your own: trained alike, judged on pictures that no training saw.

    python -m benchmarks.recipes --data FOLDER --out FOLDER [--direction BtoA] [--rows "published; sharp"] [--seeds 0,1]

FOLDER has pairs in any layout, with a `val` part to judge by; `--hold-back N` takes the N side-by-side files of the
largest numbers away from training and judges by them, too. A row is a recipe and what is changed of it, with blanks
between: "sharp lambda_l1=10 batch=4".

The newest averaged weights of each run are judged, on 8-bit pictures as `convert` would write them: L1 and SSIM to the
target; KID (x 1000, with its standard error) of all outputs against all targets, on the features of EfficientNet-Lite0,
which `sharp` trains on, and of EfficientNet-Lite1, which nothing trains on; and the distance to the target in either's
features. The first row is the floor: as many real training targets instead of outputs.

Stop it whenever you like: runs go on where they were, and results are kept in `results.json`. `sheet-SEED.png` has the
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
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from benchmarks import command
from benchmarks.measure import machine, table
from translate.batch import Batch, normalize, quantize
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared, prepare
from translate.devices import pick_device
from translate.evaluation.kid import kid
from translate.evaluation.metrics import compare
from translate.evaluation.sheet import displayable, save_image, sheet
from translate.fields import Settings, flag
from translate.files import write_text
from translate.inference.translator import load
from translate.losses import perceptual
from translate.networks.backbone import Backbone
from translate.recipes import versioned
from translate.settings import DataSettings
from translate.training.folder import RunFolder
from translate.training.run import train

SHOWN, FEWEST = 12, 3  # pictures: on a sheet, and for a jackknife
BACKBONES = {"lite0": Backbone("tf_efficientnet_lite0"), "lite1": Backbone("tf_efficientnet_lite1")}
Figures = dict[str, float]


class Flags(Settings):
    """Recipes beside each other on pairs of your own, judged by features that no training used."""

    data: Path = Field(description="folder of pairs, in any layout, with a val part")
    out: Path = Field(description="folder for runs, results and sheets; one that is there is gone on with")
    rows: str = Field("published; sharp", description="recipes, with what is changed of each, and semicolons between")
    seeds: str = Field("0", description="seeds of the trainings, with commas between")
    direction: str = Field("AtoB", description="AtoB or BtoA, as in training")
    hold_back: int = Field(0, ge=0, description="files of the largest numbers that are judged by, and not trained on")
    model: str = Field("pix2pix", description="model of pairs that the recipes are for")
    size: int = Field(64, ge=16, description="side of the pictures, in pixels")
    width: int = Field(32, ge=1, description="channels of the first layer of both networks")
    steps: int = Field(5000, ge=1, description="optimisation steps of each run")
    precision: str = Field("bfloat16", description="autocast type of the networks")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads of the networks (default: torch's own choice)")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for row in self.each_row:
            settings_of(row)
        return self

    @field_validator("seeds")
    @classmethod
    def _numbers(cls, value: str) -> str:
        if not all(part.strip().isdecimal() for part in value.split(",")):
            raise ValueError("give numbers with commas between")
        return value

    @property
    def each_row(self) -> list[str]:
        """Rows in their plainest form."""
        return [" ".join(row.split()) for row in self.rows.split(";") if row.strip()]

    @property
    def each_seed(self) -> list[int]:
        """Seeds as numbers."""
        return [int(seed) for seed in self.seeds.split(",")]


def settings_of(row: str) -> dict[str, Any]:
    """`"sharp batch=4"` -> the settings of its training.

    Raises:
        ValueError: there is no such recipe, or a change is not NAME=VALUE.
    """
    recipe, *changes = row.split()
    wrong = [change for change in changes if "=" not in change]
    if wrong:
        raise ValueError(f"--rows: {wrong[0]} is no change of a setting, such as lambda_l1=10")
    changed = dict(change.split("=", 1) for change in changes)
    return {"recipe": versioned(recipe), **{name.replace("-", "_"): value for name, value in changed.items()}}


def pictures(flags: Flags) -> Path:
    """The folder to train on: as given, or one of links with the held-back files in its `val`.

    Raises:
        ValueError: `--hold-back` takes more than there is.
    """
    if not flags.hold_back:
        return flags.data
    folder = flags.out / "pictures"
    files = sorted((p for p in (flags.data / "train").glob("*") if p.is_file()), key=_number)
    if flags.hold_back >= len(files):
        raise ValueError(f"--hold-back {flags.hold_back}: {flags.data / 'train'} has {len(files)} files")
    kept, held = files[: -flags.hold_back], files[-flags.hold_back :]
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


def trained(flags: Flags, data: Path, row: str, seed: int) -> Path:
    """The finished run of a row: made, gone on with, or there already.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    path = flags.out / "runs" / f"{re.sub(r'[^a-zA-Z0-9.=,-]+', '_', row)}-seed-{seed}"
    folder = RunFolder(path)
    if folder.config.is_file():
        if folder.checkpoint_steps()[-1:] == [folder.read_config()["settings"]["steps"]]:
            return path
        run = train(resume=path)
    else:
        run = train(flags.model, data=data, out=path, seed=seed, **shared(flags) | settings_of(row))
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


def judged_pairs(flags: Flags, data: Path) -> tuple[Prepared, list[Batch], list[Batch]]:
    """The pairs to judge by, and as many from training, one by one and as they are."""
    settings = DataSettings.make({"data": data, "direction": flags.direction, "size": flags.size})
    prepared = prepare(settings, say=lambda _: None)
    if len(prepared.val) < FEWEST:
        raise ValueError(f"--data {data}: {len(prepared.val)} pairs to judge by are too few: give --hold-back")

    def each(pairs: Prepared) -> Iterator[Batch]:
        for raw in ordered_batches(make_dataset(pairs, settings=settings, part="val", seed=0), batch=1):
            yield raw.to(torch.device("cpu"), {"source": prepared.specs["source"], "target": prepared.target})

    stride = max(1, len(prepared.train) // len(prepared.val))  # not the first ones, which may be all of one kind
    known = replace(prepared, val=prepared.train[::stride][: len(prepared.val)])
    return prepared, list(each(prepared)), list(each(known))


def judge(outputs: Tensor, targets: Tensor, *, pairs: bool = True) -> Figures:
    """All figures of outputs `[N, C, H, W]` in [-1, 1]; those of pairs only where picture i belongs to target i."""
    figures: Figures = {}
    if pairs:
        figures |= {name: float(value.mean()) for name, value in compare(outputs, targets).items()}
    for name, backbone in BACKBONES.items():
        made, real = (torch.cat([backbone.pooled(x) for x in side.split(16)]) for side in (outputs, targets))
        found = kid(made, real)
        figures |= {f"kid_{name}": 1000 * found.value, f"kid_{name}_error": 1000 * found.error}
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
    data = pictures(flags)
    flags.out.mkdir(parents=True, exist_ok=True)
    write_text(flags.out / "settings.json", settings)
    prepared, held, known = judged_pairs(flags, data)
    spec = prepared.target
    targets = torch.cat([batch.target for batch in held])
    store = flags.out / "results.json"
    results: dict[str, Figures] = json.loads(store.read_text()) if store.is_file() else {}
    if "floor" not in results and len(known) >= FEWEST:
        results["floor"] = judge(torch.cat([batch.target for batch in known]), targets, pairs=False)
    for seed in flags.each_seed:
        drawn: dict[str, Tensor] = {}
        for row in flags.each_row:
            with torch.enable_grad():
                run = trained(flags, data, row, seed)
            translator = load(run, device=flags.device)
            pixels = [np.asarray(x) for x in translator([sources(batch, prepared) for batch in held])]
            drawn[row] = normalize(torch.from_numpy(np.stack(pixels)), spec)
            name = f"{row}, seed {seed}"
            if name not in results:
                results[name] = judge(drawn[row], targets) | {"pairs_per_second": speed(run)}
                write_text(store, json.dumps(results, indent=1) + "\n")
        save_page(flags.out / f"sheet-{seed}.png", held, drawn, prepared)
    size = f"{flags.size} px, width {flags.width}, {flags.steps} steps, {flags.precision}"
    print(
        f"{flags.data.name} {flags.direction}: {len(held)} unseen pairs; {size}; {machine(pick_device(flags.device))}\n"
    )
    rows = [[name, *cells(figures)] for name, figures in results.items()]
    print(table(rows, titles=["training", *TITLES]))


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
        changed = [key for key in kept if before.get(key) != kept[key]]
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
    save_image(path, sheet(rows, titles=["source", *(row.split()[0] for row in drawn), "target"]))


TITLES = ["L1", "PSNR", "SSIM", "KID Lite0", "KID Lite1", "perceptual Lite0", "perceptual Lite1", "pairs/s"]


def cells(figures: Figures) -> list[str]:
    """A row of the table."""

    def of(name: str, digits: int) -> str:
        return f"{figures[name]:.{digits}f}" if name in figures else ""

    kids = [f"{figures[f'kid_{b}']:.1f} ± {figures[f'kid_{b}_error']:.1f}" for b in BACKBONES]
    return [
        *(of("l1", 4), of("psnr", 2), of("ssim", 3), *kids),
        *(of(f"perceptual_{b}", 3) for b in BACKBONES),
        of("pairs_per_second", 1),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.recipes", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
