"""LPIPS: a distance of pictures with weights learned from people's judgements (Zhang 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from translate.networks.backbone import as_colour, read_weights

BackboneName = Literal["alex", "vgg"]

URLS: dict[BackboneName, str] = {
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
"""torchvision's ImageNet weights; the last part of a name is the beginning of the file's SHA-256."""

MIN_SIDE = 32  # pixels that the shorter side is enlarged to where it has fewer: AlexNet halves it five times


class Lpips:
    """LPIPS on AlexNet or VGG-16. torchmetrics has the learned weights; those of the backbone come from elsewhere.

    Args:
        name: "alex", as most papers report it, or "vgg".
        weights: torchvision's weights of the backbone, .pth or .safetensors. None: they are fetched once, which needs a
            network, and checked.

    Raises:
        ValueError: the weights cannot be had, or are those of something else.
    """

    def __init__(self, name: BackboneName = "alex", weights: Path | None = None) -> None:
        # here, as it takes seconds to import
        from torchmetrics.functional.image.lpips import _LPIPS

        self.name: str = name
        with torch.random.fork_rng(devices=[]):
            self._network: Any = _LPIPS(net=name, pnet_rand=True)
        self._fill(_fetched(name) if weights is None else read_weights(weights, named=str(weights)), weights)

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """`[B]`, 0 for equal pictures, of two `[B, 1 or 3, H, W]` in [-1, 1]."""
        network = self._network.to(output.device)
        sides = [as_colour(x.float()) for x in (output, target)]
        shorter = min(output.shape[-2:])
        if shorter < MIN_SIDE:
            size = [round(side * MIN_SIDE / shorter) for side in output.shape[-2:]]
            sides = [torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False) for x in sides]
        with torch.no_grad():
            distance: Tensor = network(*sides)
        return distance.flatten()

    def _fill(self, state: Any, file: Path | None) -> None:
        """Give the backbone its weights, which torchvision calls `features.N.weight`."""
        where = self._network.net
        expected: dict[str, Tensor] = where.state_dict()
        # slice2.3.weight is features.3.weight
        given = {key: state.get(f"features.{key.partition('.')[2]}") for key in expected}
        wrong = [key for key, value in given.items() if value is None or value.shape != expected[key].shape]
        if wrong:
            raise ValueError(
                f"{file} has not torchvision's weights of {self.name}: features.{wrong[0].partition('.')[2]} is "
                "missing or of another shape"
            )
        where.load_state_dict(given)


def _fetched(name: BackboneName) -> Any:
    try:
        return torch.hub.load_state_dict_from_url(
            URLS[name], map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except Exception as error:  # of the network, of the disk, or of a file that is another
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the weights of LPIPS ({name}) cannot be had ({reason}): give {URLS[name]} as a file"
        ) from error
