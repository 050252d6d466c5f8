"""The fixed batch from which reference and virtual batch norm have their statistics (Salimans 2016).

In training it goes through the network in front of each batch, with the same weights and in the same pass; what the
network makes of it is dropped, and gradients reach the weights through its statistics, too. For inference its
statistics become constants of the norms, from one pass without dropout: a model file holds these, and no pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from translate.networks.blocks import ReferredNorm2d
from translate.networks.minibatch import Minibatch


class Reference(nn.Module):
    """The reference inputs of one network, in buffers: they are chosen once, and saved in checkpoints."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, count: int) -> None:
        """
        Args:
            shapes: of one example, for each input of the network in order; by names of a batch's tensors.
            count: examples.
        """
        super().__init__()
        self.names, self.count = tuple(shapes), count
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(count, *shape))

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """`[count, ...]` each."""
        return tuple(self.get_buffer(name) for name in self.names)

    def keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Choose the first examples of a batch of at least `count`."""
        for name, kept in zip(self.names, self.inputs, strict=True):
            kept.copy_(tensors[name][: self.count])

    def join(self, *inputs: Tensor | None) -> tuple[Tensor | None, ...]:
        """The inputs `[B, ...]` of the network -> `[count + B, ...]`; in evaluation as they are."""
        return _in_front(self.inputs, inputs) if self.training else inputs

    def drop(self, outputs: Any) -> Any:
        """What the network made of them, in nested tuples and lists -> that of the examples alone."""
        return tree_map_only(Tensor, lambda made: made[self.count :], outputs) if self.training else outputs


def _in_front(reference: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    joined: list[Tensor | None] = []
    for mine, given in zip_longest(reference, inputs):
        assert (mine is None) == (given is None), "a reference for each input, and no other"
        joined.append(None if given is None else torch.cat([mine.to(given), given]))
    return tuple(joined)


def needs_reference(network: nn.Module) -> bool:
    """Whether some norm has its statistics from a reference."""
    return any(isinstance(layer, ReferredNorm2d) for layer in network.modules())


def refer(network: nn.Module, owner: nn.Module, shapes: Mapping[str, tuple[int, ...]], *, count: int) -> None:
    """Give the norms of `network` a reference, as `owner.reference`: the network itself, or what runs it."""
    owner.reference = Reference(shapes, count=count)
    for layer in network.modules():
        if isinstance(layer, ReferredNorm2d | Minibatch):
            layer.references = count


def refer_calls(network: nn.Module, shapes: Mapping[str, tuple[int, ...]], *, count: int) -> None:
    """The same, such that each call of the network in training takes the reference along.

    Calls of its other methods do not: see `along`.

    Raises:
        ValueError: a chain of layers, which would call the reference as one of them.
    """
    if isinstance(network, nn.Sequential):
        raise ValueError(
            "a generator that is a torch.nn.Sequential cannot hold a reference batch: give it a forward of its own, or "
            "use another --norm"
        )
    refer(network, network, shapes, count=count)
    network.register_forward_pre_hook(_join)
    network.register_forward_hook(_drop)


def along(network: nn.Module, method: Callable[..., Any], *inputs: Tensor | None) -> Any:
    """What a method of the network makes of `inputs`; in training its reference, if it has one, goes along."""
    reference = getattr(network, "reference", None)
    return method(*inputs) if reference is None else reference.drop(method(*reference.join(*inputs)))


def _join(network: Any, inputs: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return inputs if network.reference is None else network.reference.join(*inputs)


def _drop(network: Any, inputs: tuple[Tensor | None, ...], outputs: Any) -> Any:
    return outputs if network.reference is None else network.reference.drop(outputs)


def check_references(model: nn.Module) -> None:
    """
    Raises:
        ValueError: a norm of the model needs a reference batch, and nobody has given its network one.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, ReferredNorm2d) and not layer.references:
            raise ValueError(
                f"--norm: {name.partition('.')[0]} of this model is a network without a reference batch, which "
                "reference and virtual norms need: use another --norm"
            )


def references_of(model: nn.Module) -> dict[str, Reference]:
    """The references in a model, by the names of their modules."""
    return {name: part for name, part in model.named_modules() if isinstance(part, Reference)}


def forget(model: nn.Module) -> None:
    """Take all references out of a model that will not be trained: its norms have their constants."""
    for name in references_of(model):
        owner, _, own = name.rpartition(".")
        setattr(model.get_submodule(owner), own, None)


@torch.no_grad()
def measure(model: nn.Module) -> None:
    """The norms' constants: the statistics of the reference, in one pass with the weights as they are now."""
    for name, reference in references_of(model).items():
        owner: Any = model.get_submodule(name.rpartition(".")[0])
        with _measuring(owner):
            run = getattr(owner, "run_reference", owner)
            run(*reference.inputs)


@contextmanager
def _measuring(owner: nn.Module) -> Iterator[None]:
    norms = [layer for layer in owner.modules() if isinstance(layer, ReferredNorm2d)]
    training = owner.training
    owner.eval()
    for norm in norms:
        norm.measuring = True
    try:
        yield
    finally:
        owner.train(training)
        for norm in norms:
            norm.measuring = False
