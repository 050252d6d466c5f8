"""What some measures need beside the pictures: networks from files, a judge of the other direction, classes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.datasets.pairs import Pair
from translate.datasets.regions import read_view
from translate.evaluation.base import Examples, Judge
from translate.evaluation.choice import Choice
from translate.evaluation.features import Features, judging_features
from translate.evaluation.label_maps import palette_of
from translate.evaluation.lpips import Lpips
from translate.images import ImageSpec
from translate.inference.translator import load
from translate.networks.backbone import Backbone
from translate.networks.inception import Inception
from translate.settings import DataSettings
from translate.training.evaluate_settings import EvaluateSettings

MAPS = 60  # source label maps that the colours of classes are taken from


def features_for(
    spec: ImageSpec, settings: EvaluateSettings, choice: Choice, *, trained_on: Collection[str] = ()
) -> tuple[Features | None, str | None]:
    """What to judge pictures by, if anything needs it; and why there is nothing, in words.

    Args:
        spec: of the pictures.
        trained_on: the backbones on whose features the model was trained.

    Raises:
        ValueError: the network was named, and cannot be had or does not fit the pictures.
    """
    wanted = [name for name in ("memorised", "task") if getattr(settings, name) is not None]
    if not choice.on_features and not wanted:
        return None, None
    if settings.features is None:
        found: Features | str = "--features none"
    else:
        weights = settings.features_weights
        backbone = None if weights is None else Backbone(settings.features, weights)
        found = judging_features(spec, name=settings.features, trained_on=trained_on, backbone=backbone)
    if isinstance(found, Features):
        return found, None
    if wanted:
        raise ValueError(f"--{wanted[0]} needs a pretrained network to judge by ({found}): leave it out")
    return None, found


def with_networks(examples: Examples, settings: EvaluateSettings, choice: Choice) -> Examples:
    """Examples with the networks that were asked for, by their flags or by the names of their figures.

    Raises:
        ValueError: the weights of one cannot be had.
    """
    asked = choice.figures or frozenset()
    names = [name for name in asked if name.startswith("lpips")]
    if names or settings.lpips_weights is not None:
        networks = {"lpips_vgg": "vgg"}
        chosen: Any = {networks.get(name, "alex") for name in names} or {"alex"}
        if len(chosen) > 1:
            raise ValueError("--metrics lpips_alex,lpips_vgg: one of them at a time")
        with _named("--lpips-weights"):
            examples = replace(examples, lpips=Lpips(chosen.pop(), settings.lpips_weights))
    if "inception" in choice.measures and (choice.figures is not None or settings.inception_weights is not None):
        with _named("--inception-weights"):
            examples = replace(examples, inception=Inception(settings.inception_weights))
    return replace(examples, imagenet_classes=settings.class_numbers)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Within the block errors about weights name the flag of their file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def judge_for(
    settings: EvaluateSettings, *, source: ImageSpec, target: ImageSpec, pairs: Sequence[Pair], data: DataSettings
) -> Judge:
    """The judge of `--judge`: a model that makes label maps of outputs.

    Args:
        source, target: of the model that is evaluated.
        pairs: of its training, whose sources tell the colours of the classes where these are not known.

    Raises:
        ValueError: no such model, one that does not take such pictures, or sources that are no label maps.
    """
    assert settings.judge is not None
    judge = load(settings.judge, device=settings.device)
    takes = judge.card.taken
    if takes.channels != target.channels or takes.dtype != target.dtype or judge.card.scale != 1:
        raise ValueError(
            f"--judge {settings.judge}: takes pictures of {takes.describe()}, and outputs have {target.describe()}: "
            "give a model of the other direction, from targets to sources"
        )

    def label_maps(pixels: Tensor) -> Tensor:
        pictures = list(pixels.cpu().numpy().astype(target.dtype))
        return torch.stack([torch.from_numpy(np.asarray(made).astype(np.float32)) for made in judge(pictures)])

    if source.palette is not None:
        return Judge(label_maps, source.palette)
    views = (pair.source for pair in pairs if pair.source is not None)
    maps = (
        torch.from_numpy(read_view(view, source, max_pixels=data.max_pixels).astype(np.float32)[None])
        for view in islice(views, MAPS)
    )
    try:
        return Judge(label_maps, palette_of(maps))
    except ValueError as error:
        raise ValueError(f"--judge compares with the sources: {error}: leave it out") from None
