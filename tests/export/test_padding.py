"""Padding in an exported graph: exactly what it is here, at every small size and at some others."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from translate.export.session import open_session
from translate.networks.padding import mirror_pad, pad_to_multiple


class Padded(nn.Module):
    """What is padded to a stride, what is cropped back from it, and what is mirrored for a 7x7 convolution."""

    def __init__(self, stride: int, least: int) -> None:
        super().__init__()
        self.stride, self.least = stride, least

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = image.shape[-2:]
        padded, (top, left) = pad_to_multiple(image, self.stride, least=self.least)
        return padded, padded[..., top : top + height, left : left + width], mirror_pad(image, 3)


@pytest.mark.parametrize(("stride", "least"), [(2, 2), pytest.param(8, 1, marks=pytest.mark.slow)])
def test_padding_is_the_same_in_a_graph(stride: int, least: int, tmp_path: Path) -> None:
    padding = Padded(stride, least).eval()
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.onnx.export(
        padding, (torch.zeros(2, 1, 45, 38),), dynamic_shapes={"image": axes}, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(tmp_path / "out.onnx")
    session = open_session(tmp_path / "out.onnx", device="cpu").session
    for height, width in itertools.product((*range(1, 10), 16, 33), repeat=2):
        image = torch.rand(1, 1, height, width)
        expected = padding(image)
        assert torch.equal(expected[1], image)
        for made, wanted in zip(session.run(None, {"image": image.numpy()}), expected, strict=True):
            assert made.shape == wanted.shape, (height, width)
            assert torch.equal(torch.from_numpy(made), wanted), (height, width)
