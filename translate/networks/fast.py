"""The same network, faster at inference: norms folded into convolutions, weights packed for the CPU.

What takes the time of a plain pass on a CPU is not only arithmetic. oneDNN, which computes PyTorch's convolutions
there, brings the weights of each into an order of its own at every call: of a U-Net's transposed convolutions that is
most of the time. Packing does it once. And oneDNN is fastest with the channels of a pixel side by side (channels last),
as packed convolutions give them to each other.
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from translate.networks.blocks import ReferenceNorm2d, constants
from translate.networks.convolution import SIDE, SameConv, in_blocks
from translate.networks.deep import DownConv
from translate.networks.network import Foldable
from translate.networks.padding import mirror_pad

TRIED_ON = ("x86_64", "amd64")  # processors on which packed weights were found to be faster
PACKED_OPERATIONS = (  # of torch.ops.mkldnn; its compiler puts them into what it makes
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
)


def accelerate(network: nn.Module, *, dtype: torch.dtype) -> nn.Module:
    """A network that computes the same, sharing what it leaves as it is; `network` does not change.

    Norms whose statistics are constants disappear in the convolutions before them, which is exact. On a CPU
    convolutions are packed, for `dtype`; elsewhere the layers keep their type.

    Args:
        network: in eval mode. What is not `Foldable` in it stays as it is.
        dtype: that convolutions compute in.
    """
    tensors = (*network.parameters(), *network.buffers())
    fast = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for part in list(fast.modules()):
        if isinstance(part, Foldable):
            _fold_norms(part, part.norm_after)
            if can_pack(part, dtype):
                _pack(part, dtype)
    return fast


def can_pack(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether this PyTorch, on this processor, computes convolutions from packed weights of this type."""
    if any(tensor.device.type != "cpu" for tensor in network.parameters()) or not torch.backends.mkldnn.is_available():
        return False
    operations = torch.ops.mkldnn
    if platform.machine().lower() not in TRIED_ON or not all(hasattr(operations, name) for name in PACKED_OPERATIONS):
        return False
    if dtype == torch.bfloat16:
        return bool(operations._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _fold_norms(network: nn.Module, norm_after: Mapping[str, str]) -> None:
    for part in network.modules():
        for conv_name, norm_name in norm_after.items():
            conv, norm = getattr(part, conv_name, None), getattr(part, norm_name, None)
            conv = conv[-1] if isinstance(conv, nn.Sequential) else conv  # after what resizes
            if not isinstance(norm, nn.BatchNorm2d | ReferenceNorm2d) or (held := constants(norm)) is None:
                continue
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert not norm.training
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                *held,
                norm.eps,
                norm.weight,
                norm.bias,
                transpose=isinstance(conv, nn.ConvTranspose2d),
            )
            setattr(part, norm_name, nn.Identity())


def _pack(network: nn.Module, dtype: torch.dtype) -> None:
    for part in network.modules():
        for name, layer in part.named_children():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                setattr(part, name, PackedConv(layer, dtype))


class PackedConv(nn.Module):
    """A convolution or transposed convolution whose weights are in oneDNN's memory layout. No gradients.

    Takes and gives what the layer does, in `dtype`; what it gives is channels-last.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype) -> None:
        """`dtype`: one that `can_pack` allows."""
        super().__init__()
        self.dtype = dtype
        self.mirrored = _mirrored(layer)
        self._by_blocks: list[SameConv] = []  # the layer if it does; in a list: its weights are none of this
        if isinstance(layer, SameConv) and layer.goes_by_blocks(device=layer.weight.device):
            self._by_blocks = [layer]
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        stride = list(layer.stride)
        if self._by_blocks:
            (weight, bias), stride = in_blocks(weight, bias), [SIDE, SIDE]
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        operations, padding = torch.ops.mkldnn, [list(map(int, layer.padding))]
        steps = [stride, list(layer.dilation), layer.groups]
        if isinstance(layer, nn.ConvTranspose2d):
            padding.append(list(layer.output_padding))
            packed = operations._reorder_convolution_transpose_weight(weight, *padding, *steps)
            self._convolve = operations._convolution_transpose_pointwise
        else:
            packed = operations._reorder_convolution_weight(weight, *padding, *steps)
            self._convolve = operations._convolution_pointwise
        self._arguments = (packed, bias, *padding, *steps, "none", [], "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain layer, which is packed again: the memory layout is oneDNN's own."""
        if self._by_blocks:
            return PackedConv, (self._by_blocks[0], self.dtype)
        packed, bias, padding, *steps = self._arguments[:-3]
        weight = packed.to_dense()
        transposed = len(steps) == 4
        if transposed:
            weight = weight.transpose(0, 1).contiguous()
        return _packed_again, (transposed, weight, bias, padding, steps, self.mirrored, self.dtype)

    def forward(self, input: Tensor) -> Tensor:
        input = input.to(self.dtype)
        if self.mirrored:
            input = mirror_pad(input, self.mirrored)
        return self._by_blocks[0].by_blocks(input, self._packed) if self._by_blocks else self._packed(input)

    def _packed(self, input: Tensor) -> Tensor:
        made: Tensor = self._convolve(input, *self._arguments)
        return made


def _packed_again(
    transposed: bool,
    weight: Tensor,
    bias: Tensor | None,
    padding: list[int],
    steps: list[Any],
    mirrored: int,
    dtype: torch.dtype,
) -> PackedConv:
    kind: Any = nn.ConvTranspose2d if transposed else nn.Conv2d
    out_first = (weight.shape[1], weight.shape[0]) if transposed else weight.shape[:2]
    *extra, stride, dilation, groups = steps
    assert groups == 1, "as all of ours"
    options = {"output_padding": extra[0]} if transposed else {}
    layer = kind(
        *reversed(out_first),
        weight.shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=bias is not None,
        **options,
        device="meta",
    )
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    made = PackedConv(layer, dtype)
    made.mirrored = mirrored
    return made


def _mirrored(layer: nn.Module) -> int:
    """Pixels that the layer mirrors at each border."""
    if not isinstance(layer, SameConv | DownConv) or not layer.mirrored:
        return 0
    return layer.kernel_size[0] // 2 if isinstance(layer, SameConv) else 1
