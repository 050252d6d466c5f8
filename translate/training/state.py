"""Checks of a checkpoint before a run is resumed from it, and before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from translate.figures import PAIRED
from translate.models.game import CONDITIONS
from translate.outside import MAX_STEPS, reason

if TYPE_CHECKING:
    from translate.training.session import Session

MOMENTS = {
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "RMSprop": {"step", "square_avg"},
    "SGD": {"momentum_buffer"},  # none without momentum
}
"""State of each weight, by optimiser."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", arbitrary_types_allowed=True)


class _Interval(_Strict):
    count: int = Field(ge=0, le=MAX_STEPS)
    sums: dict[str, Tensor]


class _Optimizer(_Strict):
    state: dict[int, dict[str, Any]]


class _Record(_Strict):
    value: float = Field(allow_inf_nan=False)
    error: float = Field(ge=0, allow_inf_nan=False)
    step: int = Field(ge=0, le=MAX_STEPS)
    since: int = Field(ge=0, le=MAX_STEPS)


class _Kept(_Strict):
    figure: str = Field(max_length=200)
    value: float = Field(allow_inf_nan=False)
    error: float = Field(ge=0, allow_inf_nan=False)


class _Choice(_Strict):
    records: dict[str, _Record] = Field(max_length=1000)
    files: dict[str, _Kept] = Field(max_length=1000)


class _State(_Strict):
    step: int = Field(ge=0, le=MAX_STEPS)
    seen: int = Field(ge=0, le=MAX_STEPS)
    average: dict[str, Any] | None
    optimizers: dict[str, _Optimizer]
    scaler: dict[str, Any]
    meter: _Interval
    pools: list[dict[str, dict[str, Tensor]]] = Field(min_length=1)
    best: dict[str, float] | None
    choice: _Choice | None = None  # not in files of earlier versions


def check(state: Mapping[str, Any], session: Session) -> None:
    """Check that `session` can resume from `state`. Its networks check their own part when they load it.

    Raises:
        ValueError: it cannot; the message names the part.
    """
    try:
        found = TypeAdapter(_State).validate_python(dict(state), strict=True)
    except ValidationError as error:
        raise ValueError(reason(error)) from None
    if session.average is not None and found.average is None:
        raise ValueError("average is missing")
    for name, value in found.meter.sums.items():
        if value.numel() != 1:
            raise ValueError(f"meter.sums.{name} is no single number")
    for player, optimizer in session.optimizers.items():
        if player not in found.optimizers:
            raise ValueError(f"optimizers.{player} is missing")
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        _check_moments(found.optimizers[player].state, weights, player, MOMENTS[type(optimizer).__name__])
    _check_pools(found.pools, session)
    if found.best and (lost := sorted(PAIRED.keys() - found.best.keys())) and len(lost) < len(PAIRED):
        raise ValueError(f"best.{lost[0]} is missing")  # they are measured together


def _check_moments(
    state: Mapping[int, Mapping[str, Any]], weights: list[nn.Parameter], player: str, names: set[str]
) -> None:
    for index, kept in state.items():
        where = f"optimizers.{player}.state.{index}"
        if not 0 <= index < len(weights):
            raise ValueError(f"{where}: there are {len(weights)} weights")
        if kept.keys() != names:
            raise ValueError(f"{where} has not {', '.join(sorted(names))}")
        for name, value in kept.items():
            fits = isinstance(value, Tensor) and value.is_floating_point()
            if not fits or value.shape != (() if name == "step" else weights[index].shape):
                raise ValueError(f"{where}.{name} does not fit its weight")


def _check_pools(pools: list[dict[str, dict[str, Tensor]]], session: Session) -> None:
    """The pools of each process: `fake` and, of the same fakes, `fake.spatial` and more, before the game's suffix."""
    largest = max((game.pool.size for game in session.model.games if game.pool is not None), default=0)
    for kinds in pools:
        for player, kept in kinds.items():
            for name, fakes in kept.items():
                if not (len(fakes) <= largest and _fits(name, fakes, session)):
                    raise ValueError(f"pools.{player}.{name} holds no training pictures")
            for game in session.model.games:
                own = {len(fakes) for name, fakes in kept.items() if name in _pooled(game.suffix)}
                if game.player == player and len(own) > 1:
                    raise ValueError(f"pools.{player}.fake{game.suffix} has not as many fakes as what belongs to them")


def _pooled(suffix: str) -> list[str]:
    return [f"fake{suffix}", *(f"fake.{name}{suffix}" for name in CONDITIONS)]


def _fits(name: str, fakes: Tensor, session: Session) -> bool:
    """Whether this may be what a pool has kept under this name."""
    kind = name.removeprefix("fake.") if name.startswith("fake.") else "image"
    if kind.startswith("code"):
        return fakes.ndim == 2 and fakes.is_floating_point()
    sizes = {tuple(side // scale for side in session.size) for scale in (1, session.model.scale)}
    if kind.startswith("classes"):
        return fakes.ndim == 3 and tuple(fakes.shape[1:]) in sizes and fakes.dtype == torch.long
    return fakes.ndim == 4 and tuple(fakes.shape[2:]) in sizes and fakes.is_floating_point()
