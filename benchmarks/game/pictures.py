"""On 16-pixel OpenMoji: DCGAN beside a VAE and a small PixelCNN, as to samples, bits and seconds a sample."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.game.likelihood import VAE, PixelCNN, fit, measured
from benchmarks.game.points import CPU
from benchmarks.game.work import Row, Work, rounded, save_small
from translate.batch import Batch
from translate.models.base import DataShape
from translate.models.dcgan import DCGAN, DCGANSettings
from translate.sizes import Size
from translate.training.ema import Average
from translate.training.loop import Step, make_optimizers

SIZE = 16
SHOWN, COLUMNS = 32, 16  # samples of each model on the sheet
ENLARGED, GAP = 2, 6  # times, and pixels between the models
STEPS = {"dcgan": 800, "vae": 800, "pixelcnn": 300}


def read(folder: Path) -> Tensor:
    """`[N, 3, 16, 16]` in [-1, 1]: every drawing of a folder, on white, reduced by area.

    Raises:
        ValueError: there are no PNG files.
    """
    found = []
    for path in sorted(folder.glob("*.png")):
        drawing = Image.open(path).convert("RGBA")
        white = Image.new("RGBA", drawing.size, "white")
        flat = Image.alpha_composite(white, drawing).convert("RGB")
        found.append(np.asarray(flat.resize((SIZE, SIZE), Image.Resampling.BOX)))
    if not found:
        raise ValueError(f"{folder} has no PNG files: give --pictures, a folder with train/B and val/B")
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1


def drawn(count: int, *, seed: int) -> Tensor:
    """The same of made-up pictures: a disc of any colour, size and place on white. For a clone without OpenMoji."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    pictures = np.full((count, SIZE, SIZE, 3), 255, np.uint8)
    for picture in pictures:
        x, y = rng.uniform(5, 11, 2)
        radius = rng.uniform(2, 6)
        picture[(across - x) ** 2 + (down - y) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_dcgan(pictures: Tensor, *, steps: int, width: int = 32, z: int = 64) -> Callable[[int], Tensor]:
    """The product's own DCGAN, at its published settings but for the width; its averaged weights, as a sampler."""
    settings = DCGANSettings.make({"width": width, "discriminator_width": width, "z": z})
    model = DCGAN(settings, DataShape(0, 3, Size(SIZE, SIZE)))
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU, pace=settings.pace)
    average = Average(model, decay=0.99)
    for number in range(steps):
        chosen = pictures[torch.randint(len(pictures), (settings.batch,))]
        step([Batch({"target": chosen}, draws={"z": torch.randn(settings.batch, z)})], number=number)
        average.update(model)
    final = average.model.eval()

    @torch.no_grad()
    def sample(count: int) -> Tensor:
        made: Tensor = final(z=torch.randn(count, z))
        return made

    return sample


def timed(sample: Callable[[int], Tensor]) -> tuple[Tensor, float]:
    """`SHOWN` samples, made together, and seconds of one core for each."""
    sample(2)
    begin = time.process_time()
    made = sample(SHOWN)
    return made, (time.process_time() - begin) / SHOWN


def sheet(groups: list[Tensor], path: Path) -> None:
    """Rows of pictures of each group, one group below the other."""
    tall = SHOWN // COLUMNS * SIZE * ENLARGED
    page = Image.new("RGB", (COLUMNS * SIZE * ENLARGED, len(groups) * (tall + GAP) - GAP), "black")
    for place, group in enumerate(groups):
        pixels = ((group.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        rows = [np.concatenate(list(row), 1) for row in pixels.reshape(-1, COLUMNS, SIZE, SIZE, 3)]
        part = Image.fromarray(np.concatenate(rows))
        page.paste(part.resize((page.width, tall), Image.Resampling.NEAREST), (0, place * (tall + GAP)))
    save_small(page, path)


def pictures(work: Work) -> list[Row]:
    """Train all three alike long, and show what each makes."""
    torch.manual_seed(work.seeds[0])
    if work.pictures is None:
        known, held = drawn(2048, seed=0), drawn(64, seed=1)
    else:
        known, held = read(work.pictures / "train" / "B"), read(work.pictures / "val" / "B")
    groups = [known[torch.randperm(len(known))[:SHOWN]]]
    rows: list[dict[str, Any]] = []

    def row(name: str, bits: str, made: Tensor, *, training: float, seconds: float) -> None:
        groups.append(made)
        rows.append(
            {
                "model": name,
                "bits per dimension, unseen": bits,
                "training, core s": round(training),
                "core ms a sample": rounded(1000 * seconds, 2),
            }
        )

    begin = time.process_time()
    sample = train_dcgan(known, steps=work.steps(STEPS["dcgan"]))
    training = time.process_time() - begin
    made, seconds = timed(sample)
    row("dcgan", "none: no density", made, training=training, seconds=seconds)
    baselines: dict[str, tuple[VAE | PixelCNN, str]] = {"vae": (VAE(), "at most "), "pixelcnn": (PixelCNN(), "")}
    for name, (model, bound) in baselines.items():
        begin = time.process_time()
        fit(model, known, steps=work.steps(STEPS[name]), batch=64 if name == "vae" else 32)
        training = time.process_time() - begin
        made, seconds = timed(model.sample)
        row(name, f"{bound}{measured(model, held):.2f}", made, training=training, seconds=seconds)
    sheet(groups, work.out / "pictures.png")
    return rows
