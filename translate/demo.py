"""`translate demo`: trains pix2pix on drawn pictures, converts unseen ones, and draws a page of the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from translate.devices import pick_device
from translate.fields import Settings
from translate.files import free
from translate.recipes import SHARP

VAL, UNSEEN, SHOWN = 10, 50, 6  # pairs: to validate on, to convert at the end, on the page


class DemoSettings(Settings):
    """What the demo makes; the defaults take three to four minutes on two CPU cores."""

    out: Path | None = Field(
        None, description="folder to make (default: demo, or the first free of demo-2, demo-3, ...)"
    )
    size: int = Field(192, ge=32, description="side of the pictures, in pixels")
    crop: int = Field(96, ge=32, description="side of the pieces of them that are trained on, in pixels")
    pairs: int = Field(400, ge=2, description="house fronts to train on")
    steps: int = Field(1450, ge=1, description="optimisation steps")
    width: int = Field(32, ge=1, description="channels of the networks' first layers")
    recipe: str = Field(
        SHARP, description="recipe of the training: sharp (needs the extra `features`) or published, to compare"
    )
    seed: int = Field(0, ge=0, description="seed of the houses and of the training")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int = Field(1, ge=1, description="CPU threads: for pictures of this size more than one gain nothing")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="autocast type of the networks")


def run_demo(settings: DemoSettings, *, say: Callable[[str], None]) -> int:
    """Draw house fronts, train pix2pix on them, convert unseen ones, and name the page to look at."""
    from translate.houses import write_paired
    from translate.inference.translator import load
    from translate.pages.runs import REPORT
    from translate.training.job import new_job, rehearse
    from translate.training.run import fit

    side = min(settings.crop, settings.size)
    values = {
        "recipe": settings.recipe,
        "size": side,
        "fit": "none",  # crops of the pictures as they are drawn
        "padding": "reflect",  # crops rarely contain the picture's border, where zeros would leave a frame
        "lr": 5e-4,  # this and the next suit such a short training
        "dropout": 0.0,
        "width": settings.width,
        "discriminator_width": settings.width,
        "steps": settings.steps,
        "seed": settings.seed,
        "device": settings.device,
        "threads": settings.threads,
        "precision": settings.precision,
        "log_every": max(1, settings.steps // 60),
        "validate_every": -(-settings.steps // 6),
    }
    pick_device(settings.device)  # this and the next raise their errors before anything is drawn
    rehearse("pix2pix", values, size=side)
    begin = time.perf_counter()
    out = settings.out or free(Path("demo"))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out {out} is in use: choose another folder")
    say(f"drawing {settings.pairs} house fronts to learn from and {UNSEEN} to try it on, in {out / 'fronts'}")
    fronts = out / "fronts"
    write_paired(
        fronts,
        count_train=settings.pairs,
        count_val=VAL,
        count_test=UNSEEN,
        size=settings.size,
        seed=settings.seed,
        layout="folders",
    )

    run = fit(new_job("pix2pix", {**values, "data": fronts, "out": out / "run"}), say=say)
    if run.interrupted:
        return 128 + run.interrupted

    report = load(run.path).convert(fronts / "testA", out / "converted", progress=True)
    say(report.summary())
    page = out / "result.png"
    reached, blind = _result(out, page)
    say(
        f"on {UNSEEN} unseen fronts the output reaches {reached:.1f} dB PSNR, the mean training target {blind:.1f} dB: "
        f"{reached - blind:+.1f} dB, in {time.perf_counter() - begin:.0f} s"
    )
    say(f"look at {page}, and at {run.path / REPORT}: how it was trained")
    return 1 if report.failures else 0


def _psnr(output: np.ndarray, target: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((output / 255 - target / 255) ** 2)))


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)


def _result(out: Path, page: Path) -> tuple[float, float]:
    """Draw the page; returns the mean PSNR of the outputs and of the mean training target on the unseen fronts."""
    from matplotlib.figure import Figure

    from translate.evaluation.sheet import save_figure
    from translate.pages.charts import LOSSES, charts_of
    from translate.pages.plots import draw
    from translate.pages.report import named_baselines
    from translate.pages.runs import read_run

    folders = {
        "label map": out / "fronts" / "testA",
        "output": out / "converted",
        "target": out / "fronts" / "testB",
    }
    mean = np.mean([_pixels(path) for path in sorted((out / "fronts" / "trainB").iterdir())], axis=0)
    names = sorted(path.name for path in folders["target"].iterdir())
    targets = [_pixels(folders["target"] / name) for name in names]
    reached = [_psnr(_pixels(folders["output"] / name), t) for name, t in zip(names, targets, strict=True)]
    blind = [_psnr(mean, t) for t in targets]

    figure = Figure(figsize=(2.3 * SHOWN, 10.6), layout="constrained")
    pictures, curves = np.asarray(figure.subfigures(2, 1, height_ratios=(2, 1)))
    cells = np.asarray(pictures.subplots(len(folders), SHOWN))
    for row, (title, folder) in enumerate(folders.items()):
        for column, name in enumerate(names[:SHOWN]):
            cells[row, column].imshow(_pixels(folder / name).astype(np.uint8))
            cells[row, column].set(xticks=[], yticks=[])
        cells[row, 0].set_ylabel(title)
    run = read_run(out / "run")
    charts = charts_of(run.series, baselines=named_baselines(run.baselines))
    shown = [chart for chart in charts if chart.title == LOSSES or chart.figure == "psnr"]
    for place, chart in enumerate(shown, 1):
        draw(curves.add_subplot(1, len(shown), place), chart)
    save_figure(page, figure)
    return float(np.mean(reached)), float(np.mean(blind))
