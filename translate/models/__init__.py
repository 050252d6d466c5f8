"""The table of models, and how one is built from its name or from a model file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from translate.allow import NotAllowed, is_class
from translate.card import Card
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.models.base import DataShape, Model
from translate.models.bicyclegan import BicycleGAN
from translate.models.cut import CUT, FastCUT
from translate.models.cyclegan import CycleGAN
from translate.models.dcgan import DCGAN
from translate.models.discogan import DiscoGAN
from translate.models.dualgan import DualGAN
from translate.models.pix2pix import Pix2Pix
from translate.models.srresnet import SRResNet
from translate.models.stargan import StarGAN
from translate.networks.reference import check_references, forget, references_of
from translate.outside import visible
from translate.settings import ModelSettings
from translate.sizes import Size
from translate.tables import Table

NOTHING = Conditions()

MODELS: Table[type[Model]] = Table(
    "model",
    {
        "pix2pix": Pix2Pix,
        "cyclegan": CycleGAN,
        "discogan": DiscoGAN,
        "dualgan": DualGAN,
        "cut": CUT,
        "fastcut": FastCUT,
        "stargan": StarGAN,
        "bicyclegan": BicycleGAN,
        "srresnet": SRResNet,
        "dcgan": DCGAN,
    },
)

__all__ = ["MODELS", "DataShape", "Model", "build", "load_for_inference", "model_class"]


def model_class(name: str, *, allow: str | None = None, file: object = "this model") -> type[Model]:
    """A model of the table; or, where it is the one that is allowed, a class as `package.module:Class`.

    Args:
        allow: a class that may be imported, which runs its module. Only the caller allows one, never a file.
        file: what the name was read from, for the error.

    Raises:
        NotAllowed: a class that is not `allow`. Nothing of it was imported.
        ValueError: no such model; lists the choices and the closest one.
    """
    if not is_class(name):
        return MODELS[name]
    if name != allow:
        raise NotAllowed(name, file=file)
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"no model {name}: {error} (modules of your own are looked for in the working folder and on PYTHONPATH)"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ValueError(f"{name} is not a subclass of translate.models.Model")
    return found


def build(
    model: str | type[Model],
    settings: ModelSettings,
    *,
    source: ImageSpec | None,
    target: ImageSpec,
    size: Size | int,
    conditions: Conditions = NOTHING,
) -> Model:
    """A freshly initialised model for these pictures and conditions.

    Args:
        model: a name of the table, or a class.
        source: None for a model that makes pictures of noise.
        size: of the target's training crops; a number is the side of a square.

    Raises:
        ValueError: settings that do not fit each other, the pictures or the networks.
    """
    inputs = 0 if source is None else source.network_channels
    palettes = [spec.palette for spec in (source, target) if spec is not None and spec.kind == "labels"]
    classes = len(palettes[0] or ()) if palettes else 0
    shape = DataShape(inputs, target.network_channels, Size.of(size), conditions, classes)
    cls: Any = MODELS[model] if isinstance(model, str) else model  # each takes settings of its own class
    built: Model = cls(settings, shape)
    check_references(built)
    return built


def load_for_inference(card: Card, tensors: Mapping[str, Tensor], *, allow: str | None = None) -> Model:
    """The model a card describes, with its deployed weights, in eval mode and without gradients.

    Raises:
        NotAllowed: its model is neither in the table nor `allow`.
        ValueError: the tensors do not fit the description.
    """
    cls = model_class(card.model, allow=allow)
    settings = cls.settings_class.make(card.settings)
    if (card.source is None) != (cls.data == "targets"):
        raise ValueError(f"{'no' if card.source is None else 'a'} source in the description, unlike {card.model}")
    with torch.device("meta"):  # no memory, no random numbers: every tensor comes from the file
        model = build(cls, settings, source=card.source, target=card.target, size=card.size, conditions=card.conditions)
    if card.scale != model.scale:
        raise ValueError(f"scale {card.scale} in the description, and {card.model} has {model.scale}")
    if card.reversible and not model.reversible:
        raise ValueError(f"reversible in the description, and {card.model} goes one way")
    there = {name.partition(".")[0] for name in tensors}
    lacking = [name for name in model.encoding if name not in there]  # in files of earlier versions
    model.encoding = tuple(name for name in model.encoding if name in there)
    needed = [name for name in model.deployed if name not in lacking]
    for name in [name for name, _ in model.named_children() if name not in needed]:
        delattr(model, name)
    forget(model)
    usual = torch.get_default_dtype()  # of the program, which may be another than that of model files
    expected = {name: _kind(t, usual=usual) for name, t in model.state_dict().items()}
    given = {name: _kind(t) for name, t in tensors.items()}
    wrong = [name for name in {**expected, **given} if expected.get(name) != given.get(name)]
    if wrong:
        is_, should = (kinds.get(wrong[0]) for kinds in (given, expected))
        first = f"{visible(wrong[0])} is {is_ or 'missing'}, and should be {should or 'absent'}"
        raise ValueError(f"the weights do not fit the description in {len(wrong)} tensors: {first}")
    model.load_state_dict(dict(tensors), assign=True)
    assert not any(buffer.is_meta for buffer in model.buffers()), "a buffer that inference needs has to be persistent"
    return model.eval().requires_grad_(False)


def _kind(tensor: Tensor, *, usual: torch.dtype = torch.float32) -> str:
    return f"{tuple(tensor.shape)}" + ("" if tensor.dtype == usual else f" {tensor.dtype}")


def deployed_state(model: Model) -> dict[str, Tensor]:
    """The tensors that a model file holds: those of the deployed submodules, without reference batches."""
    prefixes = tuple(f"{name}." for name in model.deployed)
    references = tuple(f"{name}." for name in references_of(model))
    state = model.state_dict()
    return {key: tensor for key, tensor in state.items() if key.startswith(prefixes) and not key.startswith(references)}
