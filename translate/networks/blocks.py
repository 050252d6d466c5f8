"""Pieces that several networks are built from: norms and weight initialisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.fields import OneOf
from translate.networks.minibatch import Minibatch
from translate.networks.padding import is_exporting
from translate.networks.passes import counted_later
from translate.networks.spectral import learned, settle
from translate.tables import Table

ADDED_UP = 1024  # numbers, one by one in float32
TOGETHER = 2**18  # numbers that are laid out anew for one call of a kernel: of more, that costs more than it saves


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose meaning at inference is explicit and never depends on who else is in the batch.

    With `per_image` each image is normalised by its own statistics, which is what a model trained at batch size 1 saw
    in every step; without it, by the running averages.
    """

    def __init__(self, channels: int, *, per_image: bool = False) -> None:
        super().__init__(channels)
        self.per_image = per_image

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            if not counted_later(self.num_batches_tracked):
                return super().forward(_plain(input))
            means = self.running_mean, self.running_var
            x, momentum = _plain(input), self.momentum or 0.0
            return F.batch_norm(x, *means, self.weight, self.bias, training=True, momentum=momentum, eps=self.eps)
        if not self.per_image:
            return super().forward(input)
        return image_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm2d(nn.InstanceNorm2d):
    """Each image by its own statistics, without learned scale and running statistics, as published."""

    def forward(self, input: Tensor) -> Tensor:
        return image_norm(input, eps=self.eps)


class GroupNorm(nn.GroupNorm):
    """Each image by the statistics of groups of its channels."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(_plain(input))


class ReferredNorm2d(nn.Module):
    """Base of the norms whose statistics are those of a fixed reference batch (Salimans 2016).

    `[B, C, H, W]` -> the same shape. In training the first `references` examples of a batch are the reference:
    `reference.Reference` puts them there. The examples behind them do not affect each other. In evaluation the
    statistics are constants, mean and variance of each channel over the reference: `reference.measure` finds them.
    """

    mean: Tensor  # [C], of the reference
    variance: Tensor  # [C], biased

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.references = 0  # examples of the reference; 0: the network has none, and the constants are used
        self.measuring = False  # the whole batch is the reference, and its statistics become the constants
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, input: Tensor) -> Tensor:
        if self.measuring:
            mean, variance = _moments_over(input, (0, 2, 3))
            self.mean.copy_(mean)
            self.variance.copy_(variance)
            return self._normed(input, mean, variance)
        if self.training and self.references:
            x = _plain(input)
            mean, variance = _moments_over(x[: self.references], (0, 2, 3))
            return self._in_training(x, mean, variance)
        return self._in_evaluation(input)

    def _in_training(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """The reference and the examples behind it; statistics `[C]` of the reference, with their graph."""
        raise NotImplementedError

    def _in_evaluation(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _normed(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """`x` by statistics `[C]` or `[B, C]`, then learned factor and shift; in float32 at least."""
        factor = (variance + self.eps).rsqrt() * self.weight
        return ((x - mean[..., None, None]) * factor[..., None, None] + self.bias[:, None, None]).to(x.dtype)


class ReferenceNorm2d(ReferredNorm2d):
    """Reference batch norm: every example by the statistics of the reference."""

    def _in_training(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return self._normed(x, mean, variance)

    def _in_evaluation(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.eps)


class VirtualNorm2d(ReferredNorm2d):
    """Virtual batch norm: the reference by its own statistics, an example by those that it and the reference have.

    Of N references and the example, 1 / (N + 1) each: of the means and of the mean squares, as published. Computed from
    variances, since a small difference of large squares would lose its digits. Without a reference it is instance norm.
    """

    def joined(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """In evaluation: an example's own statistics `[..., C]` -> those that it is normed by."""
        return self._joined(mean, variance, self.mean.to(mean), self.variance.to(variance))

    def _joined(self, mean: Tensor, variance: Tensor, others: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        share = 1 / (self.references + 1)
        apart = mean - others
        whole = (1 - share) * spread + share * variance + share * (1 - share) * apart.square()
        return others + share * apart, whole

    def _in_training(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        means, variances = self._joined(*_moments_over(x[self.references :], (2, 3)), mean, variance)
        reference = self._normed(x[: self.references], mean, variance)
        return torch.cat([reference, self._normed(x[self.references :], means, variances)])

    def _in_evaluation(self, x: Tensor) -> Tensor:
        if _is_channels_last(x):
            return _one_by_one(x, *self.joined(*_moments(x)), self.weight, self.bias, eps=self.eps)
        x = _plain(x)
        return self._normed(x, *self.joined(*_moments_over(x, (2, 3))))


def _moments_over(x: Tensor, sides: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of `[B, C, H, W]` over some sides, `[C]` or `[B, C]`; in float32 at least."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean(sides, keepdim=True)
    return mean.squeeze(sides), (x - mean).square().mean(sides)


MIXING: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, Minibatch)
"""Layers in which a picture depends on the rest of its batch while training."""


def mixes_batch(network: nn.Module) -> bool:
    """Whether a picture's output depends on the rest of its batch while training, so that passes must not be joined."""
    return any(isinstance(layer, MIXING) for layer in network.modules())


def has_batch_norm(network: nn.Module) -> bool:
    """Whether some layer norms pictures by statistics that they share with the rest of their batch while training."""
    return any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def constants(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Mean and variance `[C]` that a norm in eval mode uses for every picture; None if it has none."""
    if isinstance(norm, ReferenceNorm2d):
        return norm.mean, norm.variance
    if isinstance(norm, nn.BatchNorm2d) and not getattr(norm, "per_image", False):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.running_mean, norm.running_var
    return None


def twice_at_most(network: nn.Module) -> bool:
    """Whether there is a layer that PyTorch cannot differentiate three times."""
    return any(isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in network.modules())


def image_norm(x: Tensor, *, weight: Tensor | None = None, bias: Tensor | None = None, eps: float) -> Tensor:
    """`[B, C, H, W]`, each channel of each image with mean 0 and variance 1, then times `weight` plus `bias` `[C]`.

    What lies channels-last at inference on a CPU goes image by image through batch norm, whose kernels take that layout
    as it is. F.instance_norm has it copied there and back, and takes two to four times as long.
    """
    if not _is_channels_last(x):
        normed = F.instance_norm(x, weight=weight, bias=bias, eps=eps)
        return _PlainGradient.apply(normed) if normed.requires_grad else normed
    return _one_by_one(x, *_moments(x), weight, bias, eps=eps)


def _one_by_one(
    x: Tensor, means: Tensor, variances: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float
) -> Tensor:
    """Each image of `x`, which lies channels-last, by statistics `[B, C]` of its own."""
    weight, bias = (None if t is None else t.float() for t in (weight, bias))
    images = [
        F.batch_norm(image, mean, variance, weight, bias, eps=eps)
        for image, mean, variance in zip(x.split(1), means.unbind(), variances.unbind(), strict=True)
    ]
    return images[0] if len(images) == 1 else torch.cat(images)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances `[B, C]` float32 of `[B, C, H, W]` that lies channels-last, each image's own.

    The kernel adds up in float32, one by one: over a photo of some megapixels whole levels would be lost. So it gets a
    few rows at a time, and what it finds is put together in float64 (Chan, Golub, LeVeque 1979).
    """
    images, channels, height, width = x.shape
    rows = max(ADDED_UP // width, 1)
    if x.numel() <= TOGETHER:
        equal = height // rows * rows
        found = [_moments_of_strips(part, rows) for part in x.tensor_split([equal], 2) if part.numel()]
        mean, variance = (torch.cat(parts, 1) for parts in zip(*found, strict=True))  # [B, strips, C]
    else:
        as_float32 = _unread(channels)
        strips = [strip for image in x.split(1) for strip in image.split(rows, 2)]
        found = [torch.batch_norm_update_stats(strip, *as_float32, 0.0) for strip in strips]
        mean, variance = (torch.stack(parts).reshape(images, -1, channels) for parts in zip(*found, strict=True))
    if mean.shape[1] == 1:
        return mean[:, 0], variance[:, 0]
    shares = [min(rows, height - start) / height for start in range(0, height, rows)]
    share = torch.tensor(shares, dtype=torch.float64, device="cpu")[:, None]
    mean, variance = mean.double(), variance.double()
    whole = (mean * share).sum(1, keepdim=True)
    return whole[:, 0].float(), ((variance + (mean - whole).square()) * share).sum(1).float()


def _unread(channels: int) -> tuple[Tensor, Tensor]:
    """What the kernel is given for its type alone."""
    return (
        torch.zeros(channels, dtype=torch.float32, device="cpu"),
        torch.ones(channels, dtype=torch.float32, device="cpu"),
    )


def _moments_of_strips(x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Mean and variance `[B, strips, C]` float32 of every `rows` rows of `[B, C, H, W]`, or of all, if fewer.

    One call of the kernel, to which each strip of each image is a channel: it adds up the same numbers in the same
    order. Calls by the hundred take longer than the adding up, and each waits for Python's lock where threads share it.
    """
    images, channels, height, _ = x.shape
    strips = max(height // rows, 1)
    pixels = x.permute(0, 2, 3, 1).reshape(images * strips, -1, channels)
    apart = pixels.transpose(0, 1).reshape(-1, images * strips * channels, 1, 1)
    as_float32 = _unread(apart.shape[1])
    mean, variance = torch.batch_norm_update_stats(apart, *as_float32, 0.0)
    return mean.reshape(images, strips, channels), variance.reshape(images, strips, channels)


def _plain(x: Tensor) -> Tensor:
    """`x`, on a CPU laid out `[B, C, H, W]`.

    There the kernels of batch and group norm for other layouts add up in float32, one number by one: over half a
    million, values are off by 2e-4 of their spread, and gradients too. Group norm's also add up the pictures of a batch
    in an order that depends on how many they are.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling() or is_exporting():
        return x
    return x.contiguous()


class _PlainGradient(torch.autograd.Function):
    """Changes nothing, and lays out the gradient that comes back as `[B, C, H, W]`.

    PyTorch's gradient of F.instance_norm is wrong on a CPU where there is one image and the gradient arrives
    channels-last: of unit size, it is off by 5.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None: ...

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()


def _is_channels_last(x: Tensor) -> bool:
    """Whether this is inference on a CPU with the channels of a pixel side by side; never in float64."""
    if x.device.type != "cpu" or x.dtype == torch.float64:
        return False
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or is_exporting():
        return False
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _batch(channels: int, *, per_image: bool) -> nn.Module:
    return BatchNorm2d(channels, per_image=per_image)


def _instance(channels: int, *, per_image: bool) -> nn.Module:
    return InstanceNorm2d(channels)


def _group(channels: int, *, per_image: bool) -> nn.Module:
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if (channels % g == 0 and channels // g >= 2) or g == 1)
    return GroupNorm(groups, channels)


def _reference(channels: int, *, per_image: bool) -> nn.Module:
    return ReferenceNorm2d(channels)


def _virtual(channels: int, *, per_image: bool) -> nn.Module:
    return VirtualNorm2d(channels)


def _none(channels: int, *, per_image: bool) -> nn.Module:
    return nn.Identity()


NORMS: Table[Callable[..., nn.Module]] = Table(
    "norm",
    {
        "batch": _batch,
        "instance": _instance,
        "group": _group,
        "reference": _reference,
        "virtual": _virtual,
        "none": _none,
    },
)
"""How a layer is normalised: `NORMS[name](channels, per_image=...)`."""

REFERRED = ("reference", "virtual")
"""Norms that need a reference batch."""

Norm = Annotated[str, OneOf(NORMS), Field(description="norm of all networks")]


def needs_bias(norm: str) -> bool:
    """Whether a convolution before this norm keeps its bias: not where the norm has a learned shift of its own."""
    return norm in ("instance", "none")


def _normal(weight: Tensor, gain: float) -> None:
    nn.init.normal_(weight, 0.0, gain)


def _xavier(weight: Tensor, gain: float) -> None:
    nn.init.xavier_normal_(weight, gain)


INITS: Table[Callable[[Tensor, float], None]] = Table("initialisation", {"normal": _normal, "xavier": _xavier})
"""How the weights of convolutions and linear layers are drawn: `INITS[name](weight, gain)`."""


def init_weights(module: nn.Module, *, kind: str = "normal", gain: float = 0.02) -> None:
    """Start weights as published: biases 0, gains of norms ~ N(1, gain), and by `kind` those of convolutions.

    "normal": N(0, gain) (DCGAN, Radford 2015; pix2pix, CycleGAN); "xavier": Glorot 2010's normal, times gain (CUT).
    Frozen weights (without gradients) are pretrained and stay; those without memory have no values.
    """
    draw = INITS[kind]
    for layer in module.modules():
        drawn = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        own = [*layer.parameters(recurse=False), *([learned(layer)] if drawn else [])]
        if any(not parameter.requires_grad or parameter.is_meta for parameter in own):
            continue
        if drawn:
            draw(learned(layer), gain)
            settle(layer)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | ReferredNorm2d):
            nn.init.normal_(layer.weight, 1.0, gain)
        else:
            continue
        if isinstance(layer.bias, Tensor):
            nn.init.zeros_(layer.bias)
