"""Reading pairs and converting pictures as the published scripts do: Pillow, one picture after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Box = tuple[int, int, int, int]


def as_tensor(image: Image.Image) -> Tensor:
    """`[3, H, W]` float32 in [-1, 1]: to a tensor in [0, 1], then normalised."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255).sub_(torch.full((3, 1, 1), 0.5)).div_(torch.full((3, 1, 1), 0.5))


class Pairs(Dataset[dict[str, Tensor]]):
    """Side-by-side files: cut apart, both resized, cropped and mirrored alike."""

    def __init__(self, files: Sequence[Path], *, load: int = 286, crop: int = 256) -> None:
        self.files, self.load, self.crop = files, load, crop

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        both = Image.open(self.files[index]).convert("RGB")
        middle = both.width // 2
        left, top = (random.randint(0, self.load - self.crop) for _ in range(2))
        mirrored = random.random() > 0.5
        sides: dict[str, Box] = {"A": (0, 0, middle, both.height), "B": (middle, 0, both.width, both.height)}
        made = {}
        for name, box in sides.items():
            side = both.crop(box).resize((self.load, self.load), Image.Resampling.BICUBIC)
            side = side.crop((left, top, left + self.crop, top + self.crop))
            made[name] = as_tensor(side.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else side)
        return made


def loader(files: Sequence[Path], *, load: int = 286, crop: int = 256) -> DataLoader[dict[str, Tensor]]:
    """Batches of one pair, read in this process."""
    return DataLoader(Pairs(files, load=load, crop=crop), batch_size=1, shuffle=True)


def translate(network: nn.Module, image: Image.Image) -> Image.Image:
    """One picture through the network."""
    with torch.no_grad():
        fake = network(as_tensor(image)[None])
    levels = (np.transpose(fake[0].cpu().float().numpy(), (1, 2, 0)) + 1) / 2 * 255
    return Image.fromarray(levels.round().astype(np.uint8))


def convert(network: nn.Module, files: Sequence[Path], folder: Path) -> None:
    """Open, translate and save as PNG, file by file."""
    folder.mkdir(exist_ok=True)
    for file in files:
        translate(network, Image.open(file).convert("RGB")).save(folder / f"{file.stem}.png")
