"""What a model answers to validation pictures: as at inference, and of whole ones in pieces where they are large."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import Batch, normalize, quantize
from translate.card import Card
from translate.devices import is_out_of_memory
from translate.evaluation.listening import Answer, Condition
from translate.inference.pieces import Told, fits, run_in_pieces
from translate.inference.torch_backend import TorchBackend
from translate.models import Model

Translate = Callable[[Batch], Tensor]
"""A way to answer the sources `[B, Cs, H, W]` of a batch, if it has any, with outputs `[B, Ct, H, W]`, in [-1, 1]."""


@dataclass(frozen=True)
class Whole:
    """That validation pictures are whole, one a batch, and may not fit on the device."""

    card: Card  # of the model that answers
    note: Callable[[Told], None]  # told of each that went in pieces


def as_translator(model: Model, whole: Whole | None = None) -> Translate:
    """`model.forward` as at inference (no dropout, no use of the batch), steered as each example is.

    The model stays in the mode that it is in.
    """
    names = [name for name in model.inputs if name != "image"]
    answer = as_answer(model, whole)
    return lambda batch: answer(batch.pictures.get("source"), {name: batch.condition[name] for name in names})


def as_answer(model: Model, whole: Whole | None = None) -> Answer:
    """`model.forward` as at inference, steered as one likes."""
    return _answer(model, model, whole)


def as_translator_back(model: Model, whole: Whole | None = None) -> Translate:
    """The same for the other way, from targets to sources."""
    answer = _answer(model, model.reverse(), whole and Whole(whole.card.turned(), whole.note))
    return lambda batch: answer(batch.target, {})


def _answer(model: Model, network: nn.Module, whole: Whole | None) -> Answer:
    run: Callable[..., Tensor] = network if whole is None else _InPieces(network, whole)

    def answer(image: Tensor | None, condition: Condition) -> Tensor:
        training = model.training
        model.eval()
        try:
            return run(**condition) if image is None else run(image, **condition)
        finally:
            model.train(training)

    return answer


class _InPieces:
    """A network in eval mode for one picture at a time, cut as conversion cuts it where it does not fit.

    What comes of pieces is rounded to the pixels that a file would have.
    """

    def __init__(self, network: nn.Module, whole: Whole) -> None:
        self._network, self._whole = network, whole
        self._device = next(network.parameters()).device
        self._backend = TorchBackend(whole.card, network, device=self._device, lent=True)

    def __call__(self, image: Tensor, **condition: Tensor) -> Tensor:
        """
        Raises:
            MemoryError: a picture does not fit in pieces either.
            NotFinite: the network gives values for a large picture that are no numbers.
        """
        assert len(image) == 1, "whole pictures go one by one"
        with _uncompiled(self._network):
            if fits(self._backend, *image.shape[-2:]):
                try:
                    return self._network(image, **condition)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
            return self._cut(image, condition)

    def _cut(self, image: Tensor, condition: Condition) -> Tensor:
        card = self._whole.card
        pixels = quantize(image, card.taken)[0].cpu().numpy().astype(card.taken.dtype)
        said = {name: values[0].cpu().numpy() for name, values in condition.items()}
        (made,) = run_in_pieces(
            self._backend, [pixels], [said], tile="auto", note=lambda _, told: self._whole.note(told)
        )
        if not isinstance(made, np.ndarray):
            raise made
        made = made.astype("int32") if made.dtype == "uint16" else made  # few torch operations know uint16
        return normalize(torch.from_numpy(made[None]).to(self._device), card.target)


def _uncompiled(network: nn.Module) -> AbstractContextManager[object]:
    """Within, what was compiled for training's one size runs as it is: each picture may have another."""
    if any(module._compiled_call_impl is not None for module in network.modules()):
        return torch.compiler.set_stance("force_eager")
    return nullcontext()
