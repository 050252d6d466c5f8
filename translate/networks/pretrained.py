"""Words become a code by an encoder that others have trained, of Hugging Face's transformers; it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from translate.networks.modulation import one_by_one
from translate.networks.padding import is_exporting
from translate.outside import brief, visible

REMEMBERED = 50_000  # texts; of 768 numbers each, 150 MB
LONGEST = 512  # tokens, of an encoder that names no bound
MOST_LAYERS, MOST = 1000, 10_000_000  # of a configuration's numbers
NO_PART = {"dtype", "torch_dtype", "auto_map", "attn_implementation", "quantization_config", "backbone"}
UNBOUNDED = 10**6  # tokenizers without a bound report 10^30


class Pretrained(NamedTuple):
    """All that an encoder is made of, and the tokenizer that belongs to it."""

    config: dict[str, Any]
    state: dict[str, Tensor]  # of `PretrainedTextEncoder.frozen`
    tokenizer: str  # of the library `tokenizers`, as its JSON
    pad: int  # number of the token that fills up
    length: int  # most tokens of a text


class PretrainedTextEncoder(nn.Module):
    """`[B, T]` numbers of tokens -> code `[B, width]`: a frozen encoder, and a projection that is trained.

    The frozen one is in eval mode always, runs in float32 and without gradients, and each text alone: so its result is
    the same whatever the batch, and is remembered. Training then encodes each caption once; what it costs after is to
    bring the tokens to the CPU.

    The last layer's vectors are averaged over the tokens of the text. Every encoder has these. The meaning of a
    phrase is in its words' vectors; a vector of the whole text ([CLS]) means little before it is fine-tuned (Reimers
    2019). A text without tokens gives a learned vector.
    """

    def __init__(self, config: Mapping[str, Any], *, pad: int, width: int) -> None:
        """
        Args:
            config: as `read_pretrained` gives it; the weights are random until they are loaded.
            pad: the number that fills up a text, after its end.

        Raises:
            ValueError: transformers is not installed, or does not know such an encoder.
        """
        super().__init__()
        self.pad = pad
        self.frozen = _build(config).requires_grad_(False).eval()
        for module in self.frozen.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer)  # into the file, also what transformers leaves out: positions
        self.project = nn.Linear(_hidden(self.frozen), width)
        self.normed = nn.LayerNorm(width)
        self.none = nn.Parameter(torch.randn(width))
        self._remembered = _Memory(REMEMBERED)

    def load_frozen(self, state: Mapping[str, Tensor]) -> None:
        """Give the frozen encoder its weights: after start weights were drawn, which would undo it otherwise."""
        self._remembered.clear()
        self.frozen.load_state_dict({**dict(self.frozen.named_buffers()), **state})

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens` `[B, T]` int64, filled up with `pad` after a text's end."""
        as_it_is = is_exporting() or tokens.is_meta
        with torch.no_grad(), nullcontext() if as_it_is else torch.autocast(tokens.device.type, enabled=False):
            pooled = self._pooled(tokens)
        code = one_by_one(lambda rows: self.normed(self.project(rows)), pooled)
        return torch.where((tokens != self.pad).any(1, keepdim=True), code, self.none.to(code.dtype))

    def train(self, mode: bool = True) -> PretrainedTextEncoder:
        """As every module, but that the frozen part stays in eval mode."""
        super().train(mode)
        self.frozen.eval()
        return self

    def _pooled(self, tokens: Tensor) -> Tensor:
        """`[B, hidden]`, by the frozen part."""
        if tokens.is_meta:  # memory is being counted: what a text takes is nothing beside a picture
            return self.project.weight.new_empty(len(tokens), self.project.in_features)
        if is_exporting() or torch.compiler.is_compiling():
            return self._average(tokens)
        rows = [tuple(row) for row in tokens.tolist()]
        return torch.stack([self._remembered(row, self._alone) for row in rows]).to(tokens.device)

    def _alone(self, row: tuple[int, ...]) -> Tensor:
        end = max((place for place, token in enumerate(row, 1) if token != self.pad), default=0)
        weight = self.project.weight
        if not end:
            return weight.new_zeros(self.project.in_features)
        return self._average(torch.tensor([row[:end]], device=weight.device))[0]

    def _average(self, tokens: Tensor) -> Tensor:
        there = tokens != self.pad
        out = self.frozen(input_ids=tokens, attention_mask=there.long()).last_hidden_state  # [B, T, hidden]
        kept = there[..., None].to(out.dtype)
        return (out * kept).sum(1) / kept.sum(1).clamp(min=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PretrainedTextEncoder:
        self._remembered.clear()  # another device or type
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._remembered.clear()
        super()._load_from_state_dict(*arguments)


class _Memory:
    """Results by what they are of; the oldest are forgotten. A copy starts empty."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.known: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, key: tuple[int, ...], make: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        known = self.known.get(key)
        if known is None:
            known = make(key)
            self.known[key] = known
            while len(self.known) > self.limit:
                try:
                    self.known.pop(next(iter(self.known)), None)
                except (RuntimeError, StopIteration):  # another thread is forgetting too
                    break
        return known

    def clear(self) -> None:
        self.known = {}

    def __reduce__(self) -> tuple[type[_Memory], tuple[int]]:
        return _Memory, (self.limit,)


def read_pretrained(name_or_path: str) -> Pretrained:
    """An encoder and its tokenizer, from a folder or by its name on the Hugging Face hub.

    Raises:
        ValueError: transformers is not installed; there is no such encoder, or it cannot be downloaded; its tokenizer
            is none of the library `tokenizers` ("fast"), or has nothing to fill texts up with.
    """
    transformers = _transformers()
    what = f'the text encoder "{name_or_path}"'
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
        model = transformers.AutoModel.from_pretrained(name_or_path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{what} cannot be read from that folder or the Hugging Face hub: {reason}") from error
    if not tokenizer.is_fast:
        raise ValueError(f"{what} has no fast tokenizer (tokenizer.json): choose one that has")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if pad is None:
        raise ValueError(f"{what} has a tokenizer without a token that fills up: choose one that has")
    part: Any = _text_part(model).float()
    config: Any = model.config if _is_decoded(model) else part.config
    named = getattr(config, "max_position_embeddings", None) or LONGEST
    length = min(tokenizer.model_max_length, named) if tokenizer.model_max_length < UNBOUNDED else named
    described = json.loads(json.dumps(config.to_dict(), default=str))
    state = {key: value.detach().clone() for key, value in part.state_dict().items()}
    return Pretrained(described, state, tokenizer.backend_tokenizer.to_str(), int(pad), int(length))


def _build(config: Mapping[str, Any]) -> nn.Module:
    transformers = _transformers()
    described = dict(config)
    kind = described.pop("model_type", None)
    for name in list(described):
        # dtypes of the file it came from: here all is float32; the others may name code or files to be fetched
        if name.startswith("_") or name in NO_PART:
            del described[name]
    _check_sizes(described)
    try:
        config = transformers.AutoConfig.for_model(kind, **described)
        model = transformers.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # a value of another type than it expects raises nearly anything
        reason = visible(" ".join(str(error).split()))[:300]
        named = visible(kind)[:100]
        raise ValueError(f'transformers does not know a text encoder of the kind "{named}": {reason}') from error
    return _text_part(model)


def _check_sizes(described: Mapping[str, Any], name: str = "encoder") -> None:
    """
    Raises:
        ValueError: a number of layers or of anything else that no encoder has.
    """
    for key, value in described.items():
        most = MOST_LAYERS if any(part in str(key) for part in ("layer", "depth", "block", "expert")) else MOST
        listed = value if isinstance(value, list) else [value]
        if any(isinstance(item, int) and abs(item) > most for item in listed) and "_eps" not in str(key):
            raise ValueError(f"{name}.{visible(key)[:100]} got {brief(value)}: at most {most:,}")
        if isinstance(value, Mapping):
            _check_sizes(value, f"{name}.{key}")


def _text_part(model: Any) -> nn.Module:
    """What reads text in it: not CLIP's pictures, nor a decoder."""
    part: nn.Module = getattr(model, "text_model", model)
    return model.get_encoder() if _is_decoded(model) else part


def _is_decoded(model: Any) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False))


def _hidden(part: Any) -> int:
    return int(part.config.hidden_size)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            'pretrained text encoders need the library transformers: pip install "translate-gan[text]"'
        ) from error
    return transformers
