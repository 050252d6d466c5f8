"""The heads that PatchNCE compares features through (CUT, Park 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class PatchHeads(nn.Module):
    """One small network a tap, Linear-ReLU-Linear and L2 normalisation, put to the features at chosen positions.

    Built up front from the generator's `feature_channels`, so that all parameters exist before the optimisers.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 256) -> None:
        """
        Args:
            channels: of each tap.
            width: of the hidden layer and of the result; 256 as published.
        """
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width)) for inputs in channels
        )

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Project the features of each tap at its positions.

        Args:
            features: for each tap `[B, C, H, W]`.
            positions: for each tap `[B, P]` int64, each `y * W + x`.

        Returns:
            For each tap `[B, P, width]` of length 1, in float32.
        """
        assert len(features) == len(positions) == len(self.heads), "one head and one set of positions for each tap"
        results: list[Tensor] = []
        for head, feature, places in zip(self.heads, features, positions, strict=True):
            index = places[:, None].expand(-1, feature.shape[1], -1)  # [B, C, P]
            picked = feature.flatten(2).gather(2, index).transpose(1, 2)  # [B, P, C]
            results.append(F.normalize(head(picked).float(), dim=2))
        return results
