"""Conditions before the pictures are read: placeholders, pretrained text encoders, those of an earlier model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from translate.conditions import Conditions, DataNeeds, TextInput
from translate.datasets.preparation.conditions import Pretrained
from translate.inference.translator import read_card
from translate.models import Model
from translate.networks import pretrained as networks


def placeholder(data_needs: DataNeeds) -> Conditions:
    """Conditions of the right kinds, to build a model before its pictures are read.

    Raises:
        ValueError: the pretrained text encoder cannot be read.
    """
    text = None
    if data_needs.text and data_needs.encoder is not None:
        text = read_encoder(data_needs.encoder).as_input(data_needs.length)
    elif data_needs.text:
        text = TextInput(tokenizer="", length=data_needs.length, vocabulary=data_needs.vocabulary)
    labels = ("one", "other") if data_needs.label else ()
    named = {"classes": labels} if data_needs.classified else {"labels": labels}
    return Conditions(**named, text=text, z=data_needs.z, codes=data_needs.codes, required=data_needs.required)


@lru_cache(maxsize=1)
def _read(name: str) -> networks.Pretrained:
    return networks.read_pretrained(name)


def read_encoder(name: str) -> Pretrained:
    """Tokenizer and configuration of a pretrained text encoder, by its name or path.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        found = _read(name)
    except ValueError as error:
        raise ValueError(f"--text-encoder {name}: {error}") from None
    vocabulary = int(found.config.get("vocab_size") or 0)
    return Pretrained(found.tokenizer, found.pad, found.config, vocabulary, found.length)


def load_encoder(models: Iterable[Model], name: str) -> None:
    """Load the pretrained weights into the frozen encoders of new models."""
    state = _read(name).state
    for model in models:
        for module in model.modules():
            if isinstance(module, networks.PretrainedTextEncoder):
                module.load_frozen(state)


def earlier_conditions(path: Path) -> Conditions | None:
    """Conditions of the model that training starts from; None if it has none, or there is no model file yet."""
    try:
        return read_card(path).conditions or None
    except ValueError:  # reported when its weights are loaded
        return None
