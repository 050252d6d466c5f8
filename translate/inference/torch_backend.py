"""Model files of our own (`.safetensors`), run by PyTorch. Imports torch only when one is opened."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.card import Card
from translate.devices import bfloat16_trouble, is_out_of_memory, pick_device
from translate.images import ImageSpec
from translate.inference.backend import NO_CONDITIONS, Condition
from translate.inference.options import LoadSettings
from translate.inference.speed import choose
from translate.inference.strips import Strips, not_finite, tensors
from translate.outside import about, check_header, visible

if TYPE_CHECKING:
    import torch
    from torch import nn


def read_safetensors_card(path: Path) -> Card:
    """The description in a file's header. Reads no weights and imports no torch.

    Raises:
        ValueError: the file is missing, damaged, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path}: no such model file")
    try:
        check_header(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a complete safetensors file: {visible(error)[:300]}") from None
    return Card.from_metadata(metadata, path=path)


PACKED_BYTES_PER_PIXEL = 1000
"""Bytes of weights for each pixel of the only picture, from which it is quicker not to pack them, which takes 1 ms for
1 MB and as much memory as they (a U-Net and a ResNet of width 64, on one core of an EPYC)."""


def open_safetensors(path: Path, settings: LoadSettings, *, pixels: int | None = None) -> TorchBackend:
    """The model in a `.safetensors` file, on the device in `settings`; `pixels` as for `open_network`.

    Raises:
        ValueError: the file is not a whole model of ours, or the device cannot be used.
    """
    from translate.weights import CHECKSUM, load_file

    card = read_safetensors_card(path)

    checksums: list[str] = []

    def read() -> dict[str, torch.Tensor]:
        tensors, metadata = load_file(path)
        if Card.from_metadata(metadata, path=path) != card:
            raise ValueError(f"{path}: it was replaced by another model while it was read: load it again")
        checksums.append(metadata.get(CHECKSUM, ""))
        return tensors

    backend = open_network(path, card, read, settings, pixels=pixels)
    backend.checksum = checksums[0]
    return backend


def open_network(
    path: Path,
    card: Card,
    read: Callable[[], dict[str, torch.Tensor]],
    settings: LoadSettings,
    *,
    pixels: int | None = None,
) -> TorchBackend:
    """The network that a card describes with the weights that `read` gives, from the file at `path`.

    Args:
        pixels: of the only picture that it is opened for: weights are not packed where that takes longer than it saves.

    Raises:
        NotAllowed: the model class is in no table and the settings do not allow it.
        ValueError: they do not fit each other, or the device cannot be used.
    """
    if settings.backend not in (None, "torch"):
        raise ValueError(f"--backend {settings.backend} is for exported .onnx files: translate export {path} first")
    if settings.device.strip().lower().partition(":")[0] == "tensorrt" or settings.engines is not None:
        raise ValueError(
            f"--device tensorrt is for exported .onnx files, with --engines: translate export {path} first"
        )

    from translate.models import load_for_inference, model_class

    device = pick_device(settings.device)
    back = settings.direction is not None and settings.direction != card.direction
    with about(path):
        model_class(card.model, allow=settings.allow, file=path)
        turned = card.turned() if back else card
        card.check_tokenizer(path=path)
        network = load_for_inference(card, read(), allow=settings.allow)
    chosen = network.reverse() if back else network
    trouble = partial(bfloat16_trouble, device)
    precision, note = choose(settings.speed, settings.precision, target=turned.target, trouble=trouble)
    size = sum(tensor.numel() * tensor.element_size() for tensor in chosen.state_dict().values())
    pack = pixels is None or size < PACKED_BYTES_PER_PIXEL * pixels
    backend = TorchBackend(with_seeds(turned, chosen), chosen, device=device, precision=precision, pack=pack)
    backend.note = note
    return backend


def with_seeds(card: Card, network: nn.Module) -> Card:
    """`card` with what a seed draws in its network: noise planes, or dropout. Where there is a code it draws that."""
    from translate.networks.noise import draws_by_seed

    seeds = tuple(name for name in draws_by_seed(network) if name == "noise" or not card.conditions.z)
    return card.model_copy(update={"conditions": card.conditions.model_copy(update={"seeds": seeds})})


def _backend_again(
    card: Card, network: nn.Module, fast: nn.Module | None, device: str, precision: str, checksum: str
) -> TorchBackend:
    backend = TorchBackend(card, network, device=pick_device(device), precision=precision, fast=fast)
    backend.checksum = checksum
    return backend


_first_process: int | None = None  # the first to use PyTorch, of this process and those it was forked from


def check_fork(device: torch.device) -> None:
    """Check that PyTorch can run: a forked process has no GPU and none of the threads of the first process.

    Raises:
        ValueError: this process was forked from one that has used a network, and PyTorch would wait for ever.
    """
    global _first_process
    import torch

    if _first_process is None:
        _first_process = os.getpid()
    if _first_process != os.getpid() and (device.type != "cpu" or torch.get_num_threads() > 1):
        remedy = "call torch.set_num_threads(1) in this process first, or " if device.type == "cpu" else ""
        raise ValueError(
            f"this process was forked from one (process {_first_process}) that has used PyTorch, whose threads do not "
            f"come along: {remedy}load the model only after the fork (gunicorn: without preload), or start processes "
            "by spawn"
        )


class TorchBackend:
    """A network in eval mode: `[N, H, W, Cs]` pixels and their conditions in, `[N, H*s, W*s, Ct]` pixels out."""

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        *,
        device: torch.device,
        precision: str = "float32",
        fast: nn.Module | None = None,
        lent: bool = False,
        pack: bool = True,
    ) -> None:
        """
        Args:
            pack: False in float32 uses the network as it is, too, which is ready sooner and takes less memory.
            fast: the result of `accelerate` on the network, whose weights are then rounded to `precision` already.
            lent: use the network as it is and where it is, since it may be in training; eval mode is the caller's.
        """
        import torch

        from translate.networks.fast import accelerate
        from translate.weights import check_finite

        check_fork(device)
        self.card = card
        self.device = str(device)
        self.precision = precision
        self.checksum = ""  # of the weights, from their file
        self.note: str | None = None  # for the user who opened it
        self._torch_device = device
        self._dtype: torch.dtype = getattr(torch, precision)
        if lent:
            self._network = self._fast = network
            return
        self._network = network.to(device).eval().requires_grad_(False)
        if fast is not None:
            self._fast = fast.to(device)
            return
        if not pack and self._dtype == torch.float32:
            self._fast = self._network
            return
        self._fast = accelerate(self._network, dtype=self._dtype)  # before its weights are rounded
        if self._dtype != torch.float32:
            for layer in (*self._network.modules(), *self._fast.modules()):
                # Autocast would do this at each call, for up to half of the call's time in networks with many weights.
                if isinstance(layer, torch.nn.modules.conv._ConvNd | torch.nn.Linear):
                    layer.to(self._dtype)
            why = "they are beyond its range; use --precision float32"
            check_finite(self._network.state_dict(), name=f"--precision {precision}", why=why)

    @cached_property
    def weights(self) -> str:
        """Checksum of the weights: from their file, or else computed, in a second for 1 GB."""
        from translate.weights import checksum

        return self.checksum or checksum(dict(self._network.state_dict()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies hold all weights; they open where the same kind of device is available."""
        import torch

        whole = self._dtype == torch.float32
        parts = (self._network, None if whole else self._fast)
        if self._torch_device.type != "cpu":
            parts = copy.deepcopy(parts)
            for part in parts:
                if part is not None:
                    part.cpu()
        return _backend_again, (self.card, *parts, self.device, self.precision, self.checksum)

    @cached_property
    def strips(self) -> Strips:
        """Runs the same network in strips."""
        return Strips(self._network, self.card, device=self._torch_device, dtype=self._dtype)

    def exportable(self) -> nn.Module:
        """A copy of the network on the CPU, which takes a seed if it has noise planes.

        Raises:
            ValueError: it was loaded in another precision than float32, so that its weights are rounded.
        """
        import torch

        from translate.networks.convolution import fix_blocks
        from translate.networks.noise import Seeded

        if self._dtype != torch.float32:
            raise ValueError("a model is exported from its float32 weights: load it without precision")
        own = copy.deepcopy(self._network).cpu()
        fix_blocks(own)
        return Seeded(own).eval() if "noise" in self.card.conditions.seeds else own

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        if images.dtype == np.uint16:
            images = images.astype(np.int32)  # few torch operations know uint16, and none on MPS
        return self._run(images, condition, source=self.card.taken)

    def generate(self, condition: Condition) -> np.ndarray:
        return self._run(None, condition, source=None)

    @property
    def encodes(self) -> bool:
        """Whether the file holds an encoder, which reads the code off a picture."""
        return bool(getattr(self._network, "encoding", ()))

    def code_of(self, images: np.ndarray) -> np.ndarray:
        """`[N, H, W, Ct]` of the target's dtype -> codes `[N, Z]` float32."""
        import torch

        from translate.batch import normalize

        check_fork(self._torch_device)
        images = np.array(
            images, np.int32 if images.dtype == np.uint16 else images.dtype
        )  # writable, as torch wants it
        with torch.inference_mode():
            raw = torch.from_numpy(images).to(self._torch_device)
            with torch.autocast(self._torch_device.type, self._dtype, enabled=self._dtype != torch.float32):
                code: torch.Tensor = self._network.code_of(normalize(raw, self.card.target))  # type: ignore[operator]
            if not bool(code.isfinite().all()):
                raise not_finite(self._dtype)
            return code.float().cpu().numpy()

    def _run(self, images: np.ndarray | None, condition: Condition, *, source: ImageSpec | None) -> np.ndarray:
        import torch

        from translate.batch import all_finite, carry_missing, normalize, quantize
        from translate.networks.noise import run

        check_fork(self._torch_device)
        target = self.card.target
        try:
            with torch.inference_mode():
                raw: torch.Tensor | None = None
                given: tuple[torch.Tensor, ...] = ()
                if images is not None and source is not None:
                    raw = torch.from_numpy(np.ascontiguousarray(images)).to(self._torch_device)
                    given = (normalize(raw, source),)
                beside = tensors(condition, self._torch_device)
                with torch.autocast(self._torch_device.type, self._dtype, enabled=self._dtype != torch.float32):
                    values = run(self._fast, *given, **beside)
                finite = all_finite(values)
                pixels = quantize(values, target)
                if raw is not None and source is not None:
                    pixels = carry_missing(pixels, raw, source=source, target=target)
                if target.dtype == "uint8":
                    pixels = pixels.to(torch.uint8)  # a quarter of the bytes to copy back
                pixels = pixels.cpu()
                if not finite:  # read after the pixels, so that the device is waited for once
                    raise not_finite(self._dtype)
                return pixels.numpy().astype(target.dtype, copy=False)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises a plain one
            if not is_out_of_memory(error):
                raise
            message = str(error)
        if self._torch_device.type == "cuda":
            torch.cuda.empty_cache()  # frees the blocks of the failed pass for a smaller one
        raise MemoryError(message)
