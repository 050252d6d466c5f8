"""Outputs of a model for validation: as at inference, in pieces if a whole picture does not fit in memory."""

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
class ModelOutputs:
    """Functions from a batch to the outputs of a model, or of a baseline."""

    output: Translate  # from sources (or noise) with their own conditions
    back: Translate | None = None  # from targets to sources
    conditioned: Conditioned | None = None  # from sources (or noise) with any condition
    classes: Translate | None = None  # from targets to logits `[B, classes]`, where the model classifies


@dataclass(frozen=True)
class Whole:
    """Validation pictures are whole (`--fit none`), one a batch, and may not fit on the device."""

    card: Card  # of the model
    note: Callable[[PieceReport], None]  # called for each picture that was cut into pieces


def outputs_of(
    model: Model,
    whole: Whole | None = None,
    *,
    back: bool = False,
    conditioned: bool = False,
    classifier: Model | None = None,
) -> ModelOutputs:
    """`model.forward` in eval mode: no dropout, no statistics of the batch. The mode is restored after each call.

    Args:
        back: also from targets to sources; of a reversible model.
        conditioned: also with any condition.
        classifier: the model in training, which has the discriminator; used if it classifies.
    """
    names = [name for name in model.inputs if name != "image"]
    run = _in_eval_mode(model, model, whole)
    reverse = _in_eval_mode(model, model.reverse(), whole and Whole(whole.card.turned(), whole.note)) if back else None
    return ModelOutputs(
        lambda batch: run(batch.pictures.get("source"), {name: batch.condition[name] for name in names}),
        back=None if reverse is None else lambda batch: reverse(batch.target, {}),
        conditioned=run if conditioned else None,
        classes=_classes_of(classifier) if classifier is not None and classifier.classifies else None,
    )


def _classes_of(model: Model) -> Translate:
    def call(batch: Batch) -> Tensor:
        training = model.training
        model.eval()
        try:
            return model.classify(batch.target)
        finally:
            model.train(training)

    return call


def _in_eval_mode(model: Model, network: nn.Module, whole: Whole | None) -> Conditioned:
    run: Callable[..., Tensor] = network if whole is None else _InPieces(network, whole)

    def call(image: Tensor | None, condition: Condition) -> Tensor:
        training = model.training
        model.eval()
        try:
            return run(**condition) if image is None else run(image, **condition)
        finally:
            model.train(training)

    return call


class _InPieces:
    """A network for one picture at a time, cut into pieces as conversion does if it does not fit in memory.

    The result of pieces is rounded to pixel values, as in a file.
    """

    def __init__(self, network: nn.Module, whole: Whole) -> None:
        self._network, self._whole = network, whole
        self._device = next(network.parameters()).device
        self._backend = TorchBackend(whole.card, network, device=self._device, lent=True)

    def __call__(self, image: Tensor, **condition: Tensor) -> Tensor:
        """
        Raises:
            MemoryError: a picture does not fit in pieces either.
            NotFinite: the outputs for a large picture are not finite.
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
        given = {name: values[0].cpu().numpy() for name, values in condition.items()}
        (made,) = run_in_pieces(
            self._backend, [pixels], [given], tile="auto", on_piece=lambda _, report: self._whole.note(report)
        )
        if not isinstance(made, np.ndarray):
            raise made
        made = made.astype("int32") if made.dtype == "uint16" else made  # few torch operations know uint16
        return normalize(torch.from_numpy(made[None]).to(self._device), card.target)
