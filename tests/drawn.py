"""The random numbers of a step, as the loader gives them, for batches that a test has made itself."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from translate.batch import Batch
from translate.draws import draw_all
from translate.models import Model
from translate.models.game import Game


def drawn(model: Model | Game, count: int, *, first: int = 0) -> dict[str, Tensor]:
    """Those of `count` examples of seed 0, from number `first` on."""
    draws = model.draws()
    examples = [draw_all(draws, seed=0, epoch=0, index=first + i) for i in range(count)]
    return {name: torch.from_numpy(np.stack([numbers[name] for numbers in examples])) for name in draws}


def with_draws(batch: Batch, model: Model, *, first: int = 0) -> Batch:
    """The batch with what this model needs."""
    return replace(batch, draws=drawn(model, len(batch), first=first))
