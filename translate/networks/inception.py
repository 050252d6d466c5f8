"""The Inception-v3 of FID and KID: the network of TensorFlow's port of 2015, with whose features these are defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.backbone import as_colour, read_weights

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
"""Where its weights can be had, 95 MB; the last part of the name is the beginning of the file's SHA-256."""

SIDE = 299  # pixels of the pictures that it takes
CLASSES = 1008
COUNTER = "num_batches_tracked"  # tensors that older files lack, and that nothing here needs

LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "avgpool"),
)


class Inception:
    """Pooled features by which FID (Heusel 2017) and KID (Binkowski 2018) are meant where no network is named.

    Args:
        weights: the file of `URL`, .pth or .safetensors. None: it is fetched once, which needs a network, and checked.

    Raises:
        ValueError: the weights cannot be had, or are those of something else.
    """

    name = "inception"

    def __init__(self, weights: Path | None = None) -> None:
        state = _fetched() if weights is None else read_weights(weights, named=str(weights))
        self._network = _network()
        shapes, given = ({k: tuple(v.shape) for k, v in s.items()} for s in (self._network.state_dict(), state))
        missing = [key for key, shape in shapes.items() if given.get(key) != shape and not key.endswith(COUNTER)]
        if missing or given.keys() - shapes.keys():
            odd = [*missing, *(given.keys() - shapes.keys())][0]
            raise ValueError(
                f"{weights} has not the weights of FID's Inception-v3 ({URL}): {odd} is {given.get(odd, 'missing')} "
                f"and should be {shapes.get(odd, 'absent')}"
            )
        counters = {key: torch.zeros((), dtype=torch.int64) for key in shapes if key.endswith(COUNTER)}
        self._network.load_state_dict({**counters, **state}, assign=True)
        self._network.eval().requires_grad_(False)

    def pooled(self, pictures: Tensor, *, real: int | None = None) -> Tensor:
        """One vector a picture, `[B, 2048]` float32 on the CPU, of pictures `[B, 1 or 3, H, W]` in [-1, 1].

        Pictures are rounded to 8 bits, as in files. `real` is as for `Features.pooled`; nothing is kept.
        """
        pixels = ((as_colour(pictures).float() + 1) * 127.5).round().clamp(0, 255)
        x = (resized(pixels, SIDE) - 128) / 128
        network = self._network.to(x.device)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            for layer in LAYERS:
                x = getattr(network, layer)(x)
        return x.flatten(1).cpu()


def resized(pixels: Tensor, side: int) -> Tensor:
    """`[B, C, side, side]` by the bilinear interpolation of TensorFlow 1: pixel i is at i * size / side."""
    for dim in (2, 3):
        size = pixels.shape[dim]
        place = torch.arange(side, device=pixels.device, dtype=torch.float32) * (size / side)
        first = place.floor().long().clamp(max=size - 1)
        share = (place - first).view(-1, 1) if dim == 2 else place - first
        here, beside = (pixels.index_select(dim, x) for x in (first, (first + 1).clamp(max=size - 1)))
        pixels = here + (beside - here) * share
    return pixels


def _network() -> Any:
    """torchvision's Inception-v3 with the pooling of the other, without weights."""
    from torchvision.models import inception

    class MaxPooled(inception.InceptionE):
        """The last block, whose pooling is of maxima."""

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
            parts = [
                self.branch1x1(x),
                *(part(first) for part in (self.branch3x3_2a, self.branch3x3_2b)),
                *(part(second) for part in (self.branch3x3dbl_3a, self.branch3x3dbl_3b)),
                self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1)),
            ]
            return torch.cat(parts, 1)

    with torch.device("meta"):
        network: Any = inception.Inception3(
            num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False
        )
        network.Mixed_7c = MaxPooled(2048)
    for name in LAYERS:
        block = getattr(network, name)
        if isinstance(block, inception.InceptionA | inception.InceptionC) or name == "Mixed_7b":
            block.register_module("branch_pool", _WithoutBorder(block.branch_pool))
    return network


class _WithoutBorder(nn.Module):
    """A layer after a mean of 3 x 3 in which the zeros beyond the border counted: here they do not."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        # its own tensors keep their names in files
        self.conv, self.bn = layer.conv, layer.bn

    def forward(self, x: Tensor) -> Tensor:
        inside = F.avg_pool2d(torch.ones_like(x[:1, :1]), 3, stride=1, padding=1)
        return F.relu(self.bn(self.conv(x / inside)))


def _fetched() -> Any:
    try:
        return torch.hub.load_state_dict_from_url(
            URL, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except Exception as error:  # of the network, of the disk, or of a file that is another
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the weights of Inception-v3 cannot be had ({reason}): give {URL} as a file") from error
