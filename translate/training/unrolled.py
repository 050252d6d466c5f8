"""Unrolled GAN (Metz et al. 2016): the generator is differentiated through steps that the discriminator would make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from translate.batch import Batch, Images, Losses, Stats
from translate.models import Model

State = Mapping[str, Any]
"""What an optimiser keeps of one weight, by its names in PyTorch; empty before its first step."""

Rule = Callable[[Tensor, Tensor, State, Mapping[str, Any]], tuple[Tensor, State]]
"""(weight, its gradient, state, options of its group) -> the change, and the state afterwards; without side effects."""


def _adam(weight: Tensor, gradient: Tensor, state: State, options: Mapping[str, Any]) -> tuple[Tensor, State]:
    beta1, beta2 = options["betas"]
    before = state.get("step", 0)
    step = (before.double() if isinstance(before, Tensor) else before) + 1  # PyTorch's arithmetic with it is in float64
    mean, square = (state.get(name, torch.zeros_like(weight)) for name in ("exp_avg", "exp_avg_sq"))
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient.square()
    deviation = _root(square / (1 - beta2**step)) + options["eps"]
    change = options["lr"] * (mean / (1 - beta1**step)) / deviation
    return change, {"step": step, "exp_avg": mean, "exp_avg_sq": square}


def _rmsprop(weight: Tensor, gradient: Tensor, state: State, options: Mapping[str, Any]) -> tuple[Tensor, State]:
    share = options["alpha"]
    square = share * state.get("square_avg", torch.zeros_like(weight)) + (1 - share) * gradient.square()
    return options["lr"] * gradient / (_root(square) + options["eps"]), {"square_avg": square}


def _sgd(weight: Tensor, gradient: Tensor, state: State, options: Mapping[str, Any]) -> tuple[Tensor, State]:
    if options["momentum"]:
        before = state.get("momentum_buffer")  # None at the first step, or as PyTorch may keep it
        gradient = gradient if before is None else options["momentum"] * before + gradient
    return options["lr"] * gradient, {"momentum_buffer": gradient}


RULES: dict[type[torch.optim.Optimizer], Rule] = {
    torch.optim.Adam: _adam,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.SGD: _sgd,
}
"""As `translate.training.loop.OPTIMIZERS` makes them: without AMSGrad, Nesterov's momentum or centring."""


def _root(squares: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0 rather than none: there are weights that no picture reaches."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


class Unrolled:
    """A player's objective after steps of the discriminators, on the same batch, with gradients through these steps.

    The steps are those that the optimisers would make next: their rule from their present state, their learning rate,
    weight decay, shortened gradients, clipped weights. Weights, buffers and optimisers of the discriminators stay as
    they are. What a game balances over many steps (BEGAN's k, ADA's p) stays put in these steps, and its pool is left
    out.
    """

    def __init__(
        self,
        model: Model,
        player: str,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        steps: int,
        across: Callable[[Tensor], Tensor],
        clip_gradients: float | None = None,
    ) -> None:
        """
        Args:
            player: whose objective it is.
            optimizers: of all players; those that are a game's `player` are looked ahead of.
            steps: of each discriminator's optimiser.
            across: the mean over all processes, with gradients.
            clip_gradients: the longest gradient of a discriminator.
        """
        self.model, self.player, self.steps, self.across = model, player, steps, across
        self.optimizers = {
            game.player: optimizers[game.player] for game in model.games if game.player in optimizers.keys() - {player}
        }
        self.clip_gradients = clip_gradients
        own = model.players[player]
        names = [name for other in self.optimizers for name in model.players[other] if name not in own]
        self.ahead = _Discriminators(model, names)
        # whether a weight is trained is asked now: in a player's turn those of the others seem frozen
        self.trained = {name: weight for name, weight in self.ahead.named_parameters() if weight.requires_grad}
        # by optimiser the names of its weights, the weights, and the options of their group
        self.places: dict[str, list[tuple[str, nn.Parameter, Mapping[str, Any]]]] = {}
        names_of = {id(weight): name for name, weight in self.trained.items()}
        for other, optimizer in self.optimizers.items():
            groups = optimizer.param_groups
            each = [(weight, group) for group in groups for weight in group["params"] if id(weight) in names_of]
            self.places[other] = [(names_of[id(weight)], weight, group) for weight, group in each]
        self.bounds = {
            names_of[id(weight)]: game.settings.clip
            for game in model.games
            if game.settings.penalty == "clip"
            for weight in game.network.parameters()
            if weight.dim() > 1 and id(weight) in names_of
        }

    def __call__(self, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """The objective of the player; scalars.

        Args:
            images: of this batch, with the graph to the player's weights.
        """
        weights = {name: weight.detach().clone().requires_grad_() for name, weight in self.trained.items()}
        buffers = {name: buffer.detach().clone() for name, buffer in self.ahead.named_buffers()}
        states: dict[str, State] = {
            name: self.optimizers[player].state.get(weight, {})
            for player, places in self.places.items()
            for name, weight, _ in places
        }
        for game in self.model.games:
            game.looking_ahead = True
        try:
            for _ in range(self.steps):
                for other in self.optimizers:
                    losses, _ = self._objective(other, weights, buffers, batch, images)
                    weights, states = self._stepped(other, losses, weights, states)
        finally:
            for game in self.model.games:
                game.looking_ahead = False
        return self._objective(self.player, weights, buffers, batch, images)

    def _objective(
        self, player: str, weights: Mapping[str, Tensor], buffers: dict[str, Tensor], batch: Batch, images: Images
    ) -> tuple[Losses, Stats]:
        """A player's objective with these weights and buffers of the discriminators; buffers go on from call to call.

        Each call has copies, so that none changes what the graph of another one needs.
        """
        kept = {name: buffer.clone() for name, buffer in buffers.items()}
        found: tuple[Losses, Stats] = functional_call(self.ahead, {**weights, **kept}, (player, batch, images))
        buffers.update(kept)
        return found

    def _stepped(
        self, player: str, losses: Losses, weights: Mapping[str, Tensor], states: Mapping[str, State]
    ) -> tuple[dict[str, Tensor], dict[str, State]]:
        """Weights and states after one step of a player's optimiser, as functions of `weights` and of the images."""
        optimizer, places = self.optimizers[player], self.places[player]
        rule = RULES[type(optimizer)]
        objective = torch.stack(list(losses.values())).sum()
        inputs = [weights[name] for name, *_ in places]
        gradients = torch.autograd.grad(objective, inputs, create_graph=True, allow_unused=True)
        reached = [(place, g) for place, g in zip(places, gradients, strict=True) if g is not None]
        weights, states = dict(weights), dict(states)
        for ((name, _, options), _), gradient in zip(reached, self._joined([g for _, g in reached]), strict=True):
            weight = weights[name]
            change, states[name] = rule(weight, gradient + options["weight_decay"] * weight, states[name], options)
            weights[name] = (weight - change).to(weight.dtype)
            if name in self.bounds:
                weights[name] = weights[name].clamp(-self.bounds[name], self.bounds[name])
        return weights, states

    def _joined(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The means of gradients over all processes, shortened as `--clip-gradients` asks."""
        joined = self.across(torch.cat([gradient.flatten() for gradient in gradients]))  # sent at once
        if self.clip_gradients is not None:
            joined = joined * (self.clip_gradients / (joined.norm() + 1e-6)).clamp(max=1)
        parts = joined.split([gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]


class _Discriminators(nn.Module):
    """Some submodules of a model, as a module whose call is an objective: what `functional_call` needs."""

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model = lambda: model  # hidden from nn.Module
        for name in names:
            self.add_module(name, model.get_submodule(name))

    def forward(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        return self.model().objective(player, batch, images)
