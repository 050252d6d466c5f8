"""The outputs of a model for validation: as at inference, and in pieces where whole pictures do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import Batch, normalize, quantize
from translate.card import Card
from translate.devices import is_out_of_memory
from translate.inference.pieces import PieceReport, fits, run_in_pieces
from translate.inference.torch_backend import TorchBackend
from translate.models import Model

Condition = Mapping[str, Tensor]
"""By the names of the model's inputs, `[B, ...]` each."""

Translate = Callable[[Batch], Tensor]
"""Batch -> outputs `[B, C, H, W]` in [-1, 1]."""

Conditioned = Callable[[Tensor | None, Condition], Tensor]
"""Pictures `[B, Cs, H, W]`, or None of noise, and a condition of each -> outputs `[B, Ct, H, W]` in [-1, 1]."""


@dataclass(frozen=True)
class Answers:
    """The outputs that a model, or a simpler answer in its place, can be asked for."""

    output: Translate  # from the sources, if there are any, with their own conditions
    back: Translate | None = None  # from the targets, of the way back
    conditioned: Conditioned | None = None  # from the sources, with any condition


@dataclass(frozen=True)
class Whole:
    """That validation pictures are whole, one a batch, and may not fit on the device."""

    card: Card  # of the model that answers
    note: Callable[[PieceReport], None]  # called for each that went in pieces


def answers_of(model: Model, whole: Whole | None = None, *, back: bool = False, conditioned: bool = False) -> Answers:
    """`model.forward` as at inference: no dropout, no statistics of the batch. It stays in the mode that it is in.

    Args:
        back: also from targets to sources, of a model that is reversible.
        conditioned: also with any condition.
    """
    names = [name for name in model.inputs if name != "image"]
    answer = _answer(model, model, whole)
    turned = _answer(model, model.reverse(), whole and Whole(whole.card.turned(), whole.note)) if back else None
    return Answers(
        lambda batch: answer(batch.pictures.get("source"), {name: batch.condition[name] for name in names}),
        back=None if turned is None else lambda batch: turned(batch.target, {}),
        conditioned=answer if conditioned else None,
    )


def _answer(model: Model, network: nn.Module, whole: Whole | None) -> Conditioned:
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
            self._backend, [pixels], [said], tile="auto", on_piece=lambda _, told: self._whole.note(told)
        )
        if not isinstance(made, np.ndarray):
            raise made
        made = made.astype("int32") if made.dtype == "uint16" else made  # few torch operations know uint16
        return normalize(torch.from_numpy(made[None]).to(self._device), card.target)
