"""A large picture through a network strip by strip, with the statistics of the whole. Imports torch only when used.

Only what lies between two norms is done strip by strip; what it puts out waits in a temporary file until its statistics
are known: see `translate.networks.stages`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from translate.card import Card
from translate.inference.cutting import Side

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from translate.networks.resnet import ResNet
    from translate.networks.stages import Stage

ALIKE = 1e-3  # by which stages and network may differ on a small picture; unlike networks differ by a tenth and more

Read = Callable[[int, int], "Tensor"]
"""Rows `start .. stop - 1` of a layer: `[1, C, stop - start, W]`."""


def find_stages(network: nn.Module, *, channels: int) -> ResNet | None:
    """The network of stages that `network` is, or that a model passes its picture through and does nothing else.

    Found out on a small picture of `channels` channels in [-1, 1], since a model of one's own may do anything. None:
    it is none.
    """
    import torch

    from translate.networks.resnet import ResNet
    from translate.networks.stages import run_stages

    for part in network.modules():
        if not isinstance(part, ResNet) or part.first.in_channels != channels:
            continue
        side = -(-32 // part.stride) * part.stride
        picture = torch.rand(1, channels, side, side + part.stride, generator=torch.Generator().manual_seed(0)) * 2 - 1
        picture = picture.to(part.first.weight.device)
        made, expected = run_stages(part.stages(), picture), network(picture)
        if made.shape == expected.shape and torch.allclose(made, expected, rtol=0, atol=ALIKE):
            return part
    return None


def translate_strips(network: ResNet, image: np.ndarray, card: Card, *, rows: int) -> np.ndarray:
    """`[H, W, Cs]` of the source's dtype -> `[H, W, Ct]` of the target's, `rows` rows of it at a time.

    Raises:
        MemoryError: the disk has no room for the layers.
    """
    import torch

    from translate.batch import normalize, quantize

    (height, width), stride = image.shape[:2], network.stride
    down, across = Side(height, stride), Side(width, stride)
    columns = across.inside(0, across.padded)
    device = network.first.weight.device
    target = card.target
    result = np.empty((height, width, target.channels), target.dtype)

    def read(start: int, stop: int) -> Tensor:
        raw = image[down.inside(start, stop)[:, None], columns]
        raw = raw.astype(np.int32) if raw.dtype == np.uint16 else raw  # few torch operations know uint16
        return normalize(torch.from_numpy(raw[None]).to(device), card.source)

    def write(start: int, values: Tensor) -> None:
        pixels = quantize(values[..., across.before : across.before + width], target)[0].cpu().numpy()
        first, last = max(down.before - start, 0), min(down.before + height - start, len(pixels))
        begin = start + first - down.before
        result[begin : begin + max(last - first, 0)] = pixels[first:last].astype(target.dtype)

    run_strips(network.stages(), read, write, height=down.padded, rows=-(-rows // stride) * stride)
    return result


def run_strips(
    stages: Sequence[Stage], read: Read, write: Callable[[int, Tensor], None], *, height: int, rows: int
) -> None:
    """A picture of `height` rows through all stages, `rows` of its rows at a time.

    Both are multiples of the network's stride. `write(start, values)` is given the result's rows in order.

    Raises:
        MemoryError: the disk has no room for the layers.
    """
    from translate.networks.stages import Statistics, as_affine

    with ExitStack() as files:
        layer, affine, carried = read, None, None
        former: list[Rows] = []
        for stage in stages:
            made, sums, kept = Rows(files), Statistics(), Rows(files) if stage.carries else None
            for start in range(0, height, rows):
                stop = min(start + rows, height)
                first = max(start - stage.halo, 0) // stage.down * stage.down
                last = min(-(-(stop + stage.halo) // stage.down) * stage.down, height)
                x = layer(first, last)
                if affine is not None:
                    factor, shift = (values.to(x.device, x.dtype)[:, None, None] for values in affine)
                    x = x * factor + shift
                if stage.joins:
                    assert carried is not None
                    x = carried.read(first, last) + x
                else:
                    x = stage.enter(x)
                top, count = ((n * stage.up) // stage.down for n in (start - first, stop - start))
                begin = start * stage.up // stage.down
                values = stage.work(x)[:, :, top : top + count]
                if stage.norm is None:
                    write(begin, values)
                    continue
                made.append(values, of=height * stage.up // stage.down)
                sums.add(made.as_kept(values))
                if kept is not None:
                    kept.append(x[:, :, top : top + count], of=height * stage.up // stage.down)
            for rows_before in former:
                rows_before.close()
            if carried is not None and not stage.keeps:
                carried.close()
                carried = None
            carried = kept or carried
            if stage.norm is not None:
                layer, affine, former = made.read, as_affine(stage.norm, sums), [made]
            height, rows = (n * stage.up // stage.down for n in (height, rows))


class Rows:
    """The rows of a layer in a temporary file without a name, gone with the process however it ends."""

    def __init__(self, files: ExitStack) -> None:
        self._file = files.enter_context(tempfile.TemporaryFile(prefix="translate-strips-"))  # noqa: SIM115
        self._like: torch.Tensor | None = None  # [C, W] of the dtype and on the device of all

    def as_kept(self, strip: Tensor) -> Tensor:
        """In the dtype that it is kept in: at least float32, whatever the convolutions' own is."""
        import torch

        return strip if strip.dtype == torch.float64 else strip.float()

    def append(self, strip: Tensor, *, of: int) -> None:
        """The next rows, `[1, C, H, W]`, of `of` in all.

        Raises:
            MemoryError: the disk has no room for all.
        """
        rows = self.as_kept(strip)[0].transpose(0, 1).contiguous()  # [H, C, W]: a row in one piece
        if self._like is None:
            self._like = rows[0].new_empty(rows.shape[1:])
            _check_room(rows[0].nbytes * of)
        self._file.write(rows.cpu().numpy().data)

    def read(self, start: int, stop: int) -> Tensor:
        """Rows `start .. stop - 1`: `[1, C, stop - start, W]`."""
        import torch

        assert self._like is not None
        rows = torch.empty(stop - start, *self._like.shape, dtype=self._like.dtype)
        self._file.seek(start * self._like.nbytes)
        count = self._file.readinto(rows.numpy().reshape(-1).view(np.uint8).data)
        assert count == rows.nbytes, "rows are read that were not written"
        return rows.to(self._like.device).transpose(0, 1).unsqueeze(0).contiguous()

    def close(self) -> None:
        """Give its room on the disk back."""
        self._file.close()


def _check_room(size: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise MemoryError(
            f"in strips the layers of this picture need {size / 1e9:.1f} GB more of temporary files, and {folder} has "
            f"{free / 1e9:.1f}: set TMPDIR to a folder on a larger disk"
        )
