"""InfoGAN (Chen 2016): codes in the noise that are found again in the picture, so that each stands for something."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from translate.batch import Losses
from translate.codes import MOST_CODES, Codes
from translate.losses import class_cost, gaussian_cost
from translate.networks.discriminator import Scores
from translate.settings import ModelSettings


def _sizes(value: object) -> object:
    """`10,10` as text, from whatever says so; None as it is.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if value is None or isinstance(value, bool) or not isinstance(value, str | int):
        return value
    text = "".join(str(value).split())
    if text.lower() == "none":
        return None
    sizes = text.split(",")
    if len(sizes) > MOST_CODES or not all(re.fullmatch(r"\d{1,4}", size) and 2 <= int(size) <= 1000 for size in sizes):
        raise ValueError("give how many values each code has, from 2 to 1000, with commas between, like 10 or 10,10")
    return text


class InfoSettings(ModelSettings):
    """Settings of InfoGAN's codes; without one it is off."""

    info_categorical: Annotated[
        str | None,
        BeforeValidator(_sizes),
        Field(
            description="values of each categorical code that the discriminator has to find again, such as 10 or 10,10 "
            "(InfoGAN)"
        ),
    ] = None
    info_continuous: int = Field(
        0, ge=0, le=MOST_CODES, description="continuous codes that the discriminator has to find again (InfoGAN)"
    )
    lambda_info: float = Field(
        1.0, ge=0, description="weight of the cross-entropy of categorical codes, for both players"
    )
    lambda_info_continuous: float = Field(
        0.1, ge=0, description="weight of the Gaussian log-likelihood of continuous codes, for both players"
    )

    @property
    def codes(self) -> Codes:
        """What lies in the noise."""
        return Codes.read(self.info_categorical, self.info_continuous)

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.info_categorical is None:
            found["lambda_info"] = "without --info-categorical"
        if not self.info_continuous:
            found["lambda_info_continuous"] = "without --info-continuous"
        return found


def numbers_read(codes: Codes) -> int:
    """Outputs of Q: a logit for each value of a categorical code, mean and log variance of each continuous one."""
    return sum(codes.categorical) + 2 * codes.continuous


def as_codes(z: Tensor, codes: Codes) -> Tensor:
    """`z` `[B, Z]`, all standard normal, as the generator takes it, `[B, Z]`: see `Codes`.

    A categorical code is 1 for its value and 0 for the others; a continuous one is uniform in [-1, 1], as published.
    """
    if not codes:
        return z
    *categorical, continuous, noise = z.split([*codes.categorical, codes.continuous, z.shape[1] - codes.numbers], 1)
    return torch.cat([*map(_chosen, categorical), torch.erf(continuous / math.sqrt(2)), noise], 1)


def _chosen(numbers: Tensor) -> Tensor:
    """1 where a row is largest, else 0: `[B, K]`."""
    places = torch.arange(numbers.shape[1], device=numbers.device)
    return (numbers.argmax(1, keepdim=True) == places).to(numbers.dtype)


def info_costs(scores: Sequence[Scores], z: Tensor, codes: Codes) -> Losses:
    """-E log Q(code | fake), unweighted: `info` of the categorical codes, `info_continuous` of the others.

    Sums over the codes, means over the batch and the branches of the discriminator, in nats.

    Args:
        scores: of fakes.
        z: that the fakes were made of, `[B, Z]`.
    """
    drawn = as_codes(z, codes)
    *labels, values, _ = drawn.split([*codes.categorical, codes.continuous, z.shape[1] - codes.numbers], 1)
    categorical, continuous = [], []
    for branch in scores:
        assert branch.read is not None, "a discriminator with a head that reads"
        *logits, mean, logvar = branch.read.split([*codes.categorical, codes.continuous, codes.continuous], 1)
        categorical += [class_cost(given, label) for given, label in zip(logits, labels, strict=True)]
        continuous.append(gaussian_cost(mean, logvar, values))
    found = {}
    if codes.categorical:
        found["info"] = torch.stack(categorical).sum() / len(scores)
    if codes.continuous:
        found["info_continuous"] = torch.stack(continuous).mean()
    return found
