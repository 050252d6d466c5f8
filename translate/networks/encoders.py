"""Encoders of conditions: a label or a text -> a code `[B, width]`. They are trained with the model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.modulation import one_by_one

START = -4.0  # logarithm of the variance of the noise on a text's code, before anything is learned
QUERIES = 8  # learned queries that attend to a text


class LabelEncoder(nn.Module):
    """`[B, classes]` -> code `[B, width]`: a vector for each class, and one for no class at all.

    One label gives its vector, of variance 1 at the start; several their sum, over the root of their number so that the
    variance stays. Shares of labels give what lies between. The vectors are no linear layer, whose initial weights
    of 0.02 would make codes close to 0.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.classes = nn.Parameter(torch.randn(classes, width))
        self.none = nn.Parameter(torch.randn(width))

    def forward(self, label: Tensor) -> Tensor:
        """`label` `[B, classes]` float, 1 for each label of a picture, or shares of them; all 0: none."""
        return one_by_one(self._encode, label)

    def _encode(self, label: Tensor) -> Tensor:
        label = label.to(self.classes.dtype)
        count = label.square().sum(1, keepdim=True).clamp(min=1)
        return torch.where((label == 0).all(1, keepdim=True), self.none, label @ self.classes / count.sqrt())


class TextEncoder(nn.Module):
    """`[B, T]` numbers of tokens -> code `[B, width]`, about of variance 1. Small: learns from some hundred captions.

    Two residual blocks of convolutions of 3 over the tokens bind each word to its neighbours, so that "a blue door, a
    red roof" is not "a red door, a blue roof", and words that were never seen together are bound as well. Then several
    learned queries each gather what they attend to, and the code is a projection of all of that.

    No recurrence (Reed 2016), which is slow and exports badly, and no self-attention, which would need more captions to
    learn the same. A text without tokens gives a learned vector.
    """

    def __init__(self, vocabulary: int, *, length: int, pad: int, width: int, queries: int = QUERIES) -> None:
        """
        Args:
            vocabulary: how many tokens there are, the filling included.
            length: most tokens of a text.
            pad: the number that fills up a text, after its end.
        """
        super().__init__()
        self.pad = pad
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.1 * torch.randn(length, width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(
            torch.randn(queries, width) / width**0.5
        )  # products of variance 1 with normed words
        self.project = nn.Linear(queries * width, width)
        self.normed = nn.LayerNorm(width)
        self.none = nn.Parameter(torch.randn(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens` `[B, T]` int64, T up to `length`; beyond a text's end `pad`, of which any number gives the same."""
        assert tokens.shape[1] <= len(self.positions), "texts are cut at the encoder's length"
        return one_by_one(self._encode, tokens)

    def _encode(self, tokens: Tensor) -> Tensor:
        there = (tokens != self.pad)[..., None]  # [B, T, 1]
        x = self.words(tokens) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, there)
        x = self.norm(x)  # [B, T, D]
        scores = (x @ self.queries.t().to(x.dtype)).float().masked_fill(~there, -1e9)  # [B, T, Q]
        gathered = scores.softmax(1).to(x.dtype).transpose(1, 2) @ x  # [B, Q, D]
        code: Tensor = self.normed(self.project(gathered.flatten(1)))
        return torch.where(there.any(1), code, self.none.to(code.dtype))


class _Block(nn.Module):
    """`x` plus two convolutions of it over the tokens; what is beyond the end of a text is 0 for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = nn.Conv1d(width, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        inner = (self.norm(x) * there).transpose(1, 2)  # [B, D, T]
        inner = F.gelu(self.conv1(inner)) * there.transpose(1, 2)
        return x + self.conv2(inner).transpose(1, 2)


class Augmented(NamedTuple):
    """A code that was drawn, and what it was drawn from."""

    code: Tensor  # [B, width]
    mu: Tensor  # [B, width]
    logvar: Tensor  # [B, width], of each number by itself


class ConditioningAugmentation(nn.Module):
    """Draw a code near the encoded one, so that few captions cover the space between them (StackGAN, Zhang 2016).

    Departing from the paper, the mean is the code plus the output of the layer, and the noise starts at a standard
    deviation of 0.14, not 1. At first the code has little to do with small things in a picture, and noise as large as
    the code keeps that from being learned at all. `losses.kl_normal` keeps the distribution near the standard normal.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, code: Tensor, noise: Tensor | None = None) -> Augmented:
        """`code` and `noise` `[B, width]`, the latter standard normal. Without noise, as at inference, the mean."""
        change, logvar = one_by_one(self.linear, code).chunk(2, 1)
        mu = code + change
        logvar = logvar + START
        return Augmented(mu if noise is None else mu + (0.5 * logvar).exp() * noise, mu, logvar)
