"""A large picture through a network strip by strip, with the statistics of the whole. Imports torch only when used.

The layers between two norms run strip by strip; their output is kept in a temporary file until its statistics are
known: see `translate.networks.stages`.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from translate.card import Card, Footprint
from translate.devices import is_out_of_memory
from translate.export.sample_conditions import drawn
from translate.images import carry_missing
from translate.inference.backend import NO_CONDITIONS, Condition, NotFinite, together
from translate.inference.tiles import Side

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from translate.networks.network import Staged
    from translate.networks.stages import Stage

PROBE_SIDE = 256  # pixels, of the picture whose memory is measured
MAX_DIFFERENCE = 1e-3  # of stages and network on a small picture; different networks differ by 0.1 or more

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

Read = Callable[[int, int], "Tensor"]
"""Rows `start .. stop - 1` of a layer: `[1, C, stop - start, W]`."""


class Strips:
    """Runs a network in strips, for pictures that do not fit in one pass."""

    def __init__(self, network: nn.Module, card: Card, *, device: torch.device, dtype: torch.dtype) -> None:
        """`dtype`: of autocast; float32 is without autocast."""
        self._network = network
        self._card = card
        self._device = device
        self._dtype = dtype

    @cached_property
    def footprint(self) -> Footprint:
        """Stride, receptive field and memory of the network."""
        from translate.networks.footprint import peak_bytes, sees_statistics
        from translate.networks.network import Local

        found = [part for part in self._network.modules() if isinstance(part, Local)]
        known = {"stride": max(g.stride for g in found), "radius": max(g.radius for g in found)} if found else {}
        stride = known.get("stride", 1)
        side = -(-PROBE_SIDE // stride) * stride
        try:
            most = peak_bytes(
                self._network,
                channels=self._card.taken.network_channels,
                height=side,
                width=side,
                inputs=self._example(),
            )
        except (NotImplementedError, RuntimeError):  # a custom network may read values, which meta tensors do not have
            most = None
        return Footprint(
            **known,
            statistics=sees_statistics(self._network),
            pixel_bytes=None if most is None else most / side**2,
        )

    @cached_property
    def stages(self) -> Staged | None:
        """The part of the network that can run in stages and gives the same output as the whole network; else None.

        Tested on a small picture, since a custom model may do anything. A conditional network needs a method
        `code(**condition)`, `[1, D]`: the code that it passes to that part.
        """
        import torch

        from translate.networks.network import Staged
        from translate.networks.stages import run_stages

        channels = self._card.taken.network_channels
        generator = torch.Generator("cpu").manual_seed(0)
        with self._running():
            for part in self._network.modules():
                if not isinstance(part, Staged) or part.source_channels != channels:
                    continue
                side = -(-32 // part.stride) * part.stride  # and a stride more: a single value has no variance
                shape = (1, channels, side, side + part.stride)
                picture = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu") * 2 - 1
                picture = picture.to(self._device)
                example = self._example()
                if example and not hasattr(self._network, "code"):
                    return None
                made = run_stages(self._cut(part, example), picture)
                expected = self._network(picture, **example)
                if made.shape == expected.shape and torch.allclose(made, expected, rtol=0, atol=MAX_DIFFERENCE):
                    return part
        return None

    def __call__(self, image: np.ndarray, condition: Condition = NO_CONDITIONS, *, rows: int) -> np.ndarray:
        """`[H, W, Cs]` of the source's dtype -> `[H*s, W*s, Ct]` of the target's, about `rows` rows of it at a time.

        `condition`: of this picture, as `Conditions.encode` returns it.

        Raises:
            MemoryError: a strip does not fit on the device, or the layers on the disk.
            NotFinite: the output holds NaN or infinity.
        """
        import torch

        assert self.stages is not None
        try:
            with self._running():
                stages = self._cut(self.stages, tensors(together([condition]), self._device))
                stride = self.stages.stride
                return _translate(
                    stages, image, self._card, stride=stride, device=self._device, dtype=self._dtype, rows=rows
                )
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            message = f"no room is left for temporary files in {tempfile.gettempdir()}"
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            message = str(error)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        raise MemoryError(message)

    def _cut(self, part: Staged, condition: dict[str, Tensor]) -> list[Stage]:
        """The stages of `part` for a condition `[1, ...]`; its code is computed once for all strips."""
        if not condition:
            return part.stages()
        make_code: Callable[..., Tensor] = self._network.code  # type: ignore[assignment]
        return part.stages(make_code(**condition))

    def _example(self) -> dict[str, Tensor]:
        """An example condition for one picture."""
        example = drawn(self._card.conditions, np.random.default_rng(0), 1)
        example.pop("seed", None)  # which no network takes itself
        return tensors(example, self._device)

    @contextmanager
    def _running(self) -> Iterator[None]:
        import torch

        reduced = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=self._dtype, enabled=reduced):
            yield


def tensors(condition: Condition, device: torch.device) -> dict[str, Tensor]:
    """A condition as tensors on `device`, by the names of the network's inputs."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in condition.items()}


def not_finite(dtype: torch.dtype) -> NotFinite:
    """The error for a network that ran in `dtype`."""
    kind = str(dtype).removeprefix("torch.")
    advice = "use --precision float32"
    if kind == "float32":
        advice = "the model diverged in training, or its file is damaged: use earlier weights (--step N)"
    return NotFinite(f"the network gives values that are not finite (NaN or infinity) in {kind}: {advice}")


def _translate(
    stages: Sequence[Stage],
    image: np.ndarray,
    card: Card,
    *,
    stride: int,
    device: torch.device,
    dtype: torch.dtype,
    rows: int,
) -> np.ndarray:
    import torch

    from translate.batch import all_finite, normalize, quantize

    height, width = image.shape[:2]
    down, across = Side(height, stride), Side(width, stride)
    columns = across.inside(0, across.padded)
    target, scale = card.target, card.scale
    result = np.empty((height * scale, width * scale, target.channels), target.dtype)

    exactly = partial(torch.autocast, device.type, enabled=False)  # squared colour distances need float32

    def read(start: int, stop: int) -> Tensor:
        raw = image[down.inside(start, stop)[:, None], columns]
        raw = raw.astype(np.int32) if raw.dtype == np.uint16 else raw  # few torch operations know uint16
        with exactly():
            return normalize(torch.from_numpy(raw[None]).to(device), card.taken)

    def write(start: int, values: Tensor) -> None:
        if not all_finite(values):
            raise not_finite(dtype)
        with exactly():
            inside = values[..., across.before * scale : (across.before + width) * scale]
            pixels = quantize(inside, target)[0].cpu().numpy()
        kept = down.kept(start // scale, (start + len(pixels)) // scale)
        own, place = (slice(part.start * scale, part.stop * scale) for part in kept)
        result[place] = pixels[own].astype(target.dtype)

    run_strips(stages, read, write, height=down.padded, rows=rows)
    return carry_missing(result, image, source=card.taken, target=target)


def run_strips(
    stages: Sequence[Stage], read: Read, write: Callable[[int, Tensor], None], *, height: int, rows: int
) -> None:
    """A picture of `height` rows, a multiple of the network's stride, through all stages, about `rows` at a time.

    `write(start, values)` is called with the result's rows in order.

    Raises:
        MemoryError: the layers do not fit on the disk.
    """
    from translate.networks.stages import Statistics, as_affine

    with ExitStack() as files:
        layer, affine, former = read, None, None
        carried: list[Rows] = []
        length = height  # of the stage's input
        for stage in stages:
            made, sums = Rows(files), Statistics()
            joined = carried.pop() if stage.joins else None
            kept = Rows(files) if stage.carries else None
            step = max(-(-rows * length // height // stage.down), 1) * stage.down
            longer = length * stage.up // stage.down
            for start in range(0, length, step):
                stop = min(start + step, length)
                first = max(start - stage.halo, 0) // stage.down * stage.down
                last = min(-(-(stop + stage.halo) // stage.down) * stage.down, length)
                x = layer(first, last)
                if affine is not None:
                    factor, shift = (values.to(x.dtype).to(x.device)[:, None, None] for values in affine)
                    x = x.mul_(factor).add_(shift)
                x = stage.joins(joined.read(first, last), x) if stage.joins and joined else stage.enter(x)
                if kept is not None:
                    kept.append(_part(x, start - first, stop - start, by=(1, stage.before)), of=length // stage.before)
                x = _part(stage.work(x), start - first, stop - start, by=(stage.up, stage.down))
                if stage.norm is None:
                    write(start * stage.up // stage.down, x)
                else:
                    sums.add(made.append(x, of=longer))
            for done in (former, joined):
                if done is not None:
                    done.close()
            if kept is not None:
                carried.append(kept)
            if stage.norm is not None:
                layer, affine, former = made.read, as_affine(stage.norm, sums), made
            length = longer


def _part(x: Tensor, start: int, count: int, *, by: tuple[int, int]) -> Tensor:
    """Rows of a layer whose height is `by[0] / by[1]` times that of the layer that `start` and `count` refer to."""
    start, count = (number * by[0] // by[1] for number in (start, count))
    return x[:, :, start : start + count]


class Rows:
    """The rows of a layer in an unnamed temporary file, which is removed however the process ends."""

    def __init__(self, files: ExitStack) -> None:
        self._file = files.enter_context(tempfile.TemporaryFile(prefix="translate-strips-"))  # noqa: SIM115
        self._like: torch.Tensor | None = None  # [C, W] of the dtype and on the device of all

    def append(self, strip: Tensor, *, of: int) -> Tensor:
        """Append the next rows, `[1, C, H, W]`, of `of` in total. Returns them as stored: in float32 at least.

        Raises:
            MemoryError: all rows together do not fit on the disk.
        """
        import torch

        strip = strip if strip.dtype == torch.float64 else strip.float()
        rows = strip[0].transpose(0, 1).contiguous()  # [H, C, W]: a row in one piece
        if self._like is None:
            self._like = rows[0].new_empty(rows.shape[1:])
            _check_room(rows[0].nbytes * of)
        self._file.write(rows.cpu().numpy().data)
        return strip

    def read(self, start: int, stop: int) -> Tensor:
        """Rows `start .. stop - 1`: `[1, C, stop - start, W]`."""
        import torch

        assert self._like is not None
        rows = torch.empty(stop - start, *self._like.shape, dtype=self._like.dtype, device="cpu")
        self._file.seek(start * self._like.nbytes)
        count = self._file.readinto(rows.numpy().reshape(-1).view(np.uint8).data)
        assert count == rows.nbytes, "rows are read that were not written"
        return rows.to(self._like.device).transpose(0, 1).unsqueeze(0).contiguous()

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def _check_room(size: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise MemoryError(
            f"in strips the layers of this picture need {size / 1e9:.1f} GB more of temporary files, and {folder} has "
            f"{free / 1e9:.1f}: set TMPDIR to a folder on a larger disk"
        )
