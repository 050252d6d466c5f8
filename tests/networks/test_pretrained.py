"""A frozen encoder of transformers, tiny and random: each text once, whatever the company, and never trained."""

import copy
import sys

import pytest
import torch

from tests.pretrained import SPECIAL, TINY, write_encoder
from translate.networks.blocks import init_weights
from translate.networks.footprint import peak_bytes
from translate.networks.pretrained import PretrainedTextEncoder, _Memory, read_pretrained

transformers = pytest.importorskip("transformers")

WORDS = ("a", "blue", "red", "door", "roof")
TEXTS = torch.tensor([[2, 4, 5, 7, 3, 0], [2, 4, 6, 8, 4, 3], [0, 0, 0, 0, 0, 0]])


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path, WORDS)


@pytest.fixture
def encoder(folder):
    read = read_pretrained(str(folder))
    made = PretrainedTextEncoder(read.config, pad=read.pad, width=5)
    made.load_frozen(read.state)
    return made


def calls(encoder):
    """What goes through the frozen part, from now on."""
    seen = []
    encoder.frozen.register_forward_pre_hook(
        lambda part, args, kwargs: seen.append(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    return seen


def test_all_of_it_is_read(folder):
    from tokenizers import Tokenizer

    read = read_pretrained(str(folder))
    assert (read.config["model_type"], read.pad, read.length) == ("bert", 0, 12)
    assert Tokenizer.from_str(read.tokenizer).encode("a red door").ids == [4, 6, 7]
    theirs = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert read.state.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in read.state.items())


def test_it_is_the_mean_of_the_words_projected(folder, encoder):
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    made = encoder(TEXTS)
    for index, end in ((0, 5), (1, 6)):
        pooled = theirs(TEXTS[index : index + 1, :end]).last_hidden_state[0].mean(0)
        torch.testing.assert_close(made[index], encoder.normed(encoder.project(pooled)))
    assert torch.equal(made[2], encoder.none)


def test_each_text_is_encoded_once_and_alone(encoder):
    seen = calls(encoder)
    with torch.inference_mode():
        encoder(TEXTS)
    first = encoder(TEXTS.flip(0))
    assert seen == [[[2, 4, 5, 7, 3]], [[2, 4, 6, 8, 4, 3]]]
    first.sum().backward()
    assert torch.equal(copy.deepcopy(encoder)(TEXTS), first.flip(0))
    assert len(seen) == 4  # by the copy, whose hooks are the same
    encoder.load_state_dict(encoder.state_dict())
    encoder(TEXTS)
    assert len(seen) == 6


def test_only_what_is_its_own_is_trained(encoder):
    before = {key: value.clone() for key, value in encoder.frozen.state_dict().items()}
    init_weights(encoder.train())
    assert not any(part.training for part in encoder.frozen.modules())
    encoder(TEXTS).square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in encoder.frozen.parameters())
    assert encoder.project.weight.grad.abs().sum() > 0
    assert all(torch.equal(value, before[key]) for key, value in encoder.frozen.state_dict().items())
    assert not any("remembered" in key for key in encoder.state_dict())


def test_a_traced_one_computes_the_same(encoder):
    program = torch.export.export(encoder.eval(), (TEXTS,), strict=False)
    torch.testing.assert_close(program.module()(TEXTS), encoder(TEXTS), rtol=1e-4, atol=1e-5)


def test_memory_is_counted_without_reading_words(encoder):
    class Conditioned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, image, *, tokens):
            return image * self.encoder(tokens).mean()

    assert peak_bytes(Conditioned(), channels=3, height=8, width=8, inputs={"tokens": TEXTS[:1]}) >= 3 * 64 * 4


def test_the_oldest_are_forgotten():
    memory, made = _Memory(2), []

    def make(key):
        made.append(key)
        return torch.zeros(1)

    for key in (1, 2, 1, 3, 1):
        memory((key,), make)
    assert made == [(1,), (2,), (3,), (1,)]


@pytest.mark.parametrize("kind", ["bert", "t5", "clip", "llama"])
def test_its_state_is_all_of_it(kind):
    """Also what transformers computes anew and saves nowhere: numbers of places, frequencies of rotations."""
    sizes = {"num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9}
    if kind == "t5":
        sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 9}
    elif kind == "clip":
        sizes |= {"bos_token_id": 2, "eos_token_id": 3}
    name = "clip_text_model" if kind == "clip" else kind
    sizes |= {} if kind == "t5" else {"hidden_size": 8, "intermediate_size": 16, "max_position_embeddings": 12}
    config = transformers.AutoConfig.for_model(name, pad_token_id=0, **sizes).to_dict()
    encoder = PretrainedTextEncoder(config, pad=0, width=5).eval()
    with torch.device("meta"):
        loaded = PretrainedTextEncoder(config, pad=0, width=5).eval()
    loaded.load_state_dict(encoder.state_dict(), assign=True)
    assert not any(value.is_meta for value in (*loaded.parameters(), *loaded.buffers()))
    assert torch.equal(loaded(TEXTS), encoder(TEXTS))


@pytest.mark.parametrize("kind", ["t5", "clip"])
def test_only_the_part_that_reads_is_taken(folder, kind):
    """T5 without its decoder, CLIP without its pictures."""
    if kind == "t5":
        config = transformers.T5Config(
            d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=len(SPECIAL + WORDS)
        )
    else:
        text = {
            **TINY,
            "vocab_size": len(SPECIAL + WORDS),
            "max_position_embeddings": 12,
            "bos_token_id": 2,
            "eos_token_id": 3,
        }
        config = transformers.CLIPConfig(text_config=text, vision_config={**TINY, "image_size": 4, "patch_size": 2})
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    read = read_pretrained(str(folder))
    encoder = PretrainedTextEncoder(read.config, pad=read.pad, width=5)
    encoder.load_frozen(read.state)
    assert not any("decoder" in key or "vision" in key for key in read.state)
    assert encoder(TEXTS).isfinite().all()
    assert read.length == (12 if kind == "clip" else 512)


def test_what_cannot_be_read_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in (str(tmp_path), str(tmp_path / "nothing")):
        with pytest.raises(ValueError, match="cannot be read from that folder or the Hugging Face hub") as caught:
            read_pretrained(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match='kind "nothing"'):
        PretrainedTextEncoder({"model_type": "nothing"}, pad=0, width=4)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r'pip install "translate-gan\[text\]"'):
        read_pretrained("anything")


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 10**9},
        {"vocab_size": 10**12},
        {"hidden_size": "wide"},
        {"hidden_size": -1},
        {"layers": {"num_layers": 10**6}},
        {"model_type": "os:system"},
        {"model_type": None},
    ],
)
def test_a_configuration_from_a_file_is_refused_before_it_takes_memory(folder, change):
    config = read_pretrained(str(folder)).config | change
    with torch.device("meta"), pytest.raises(ValueError, match=r"encoder\.|does not know") as caught:
        PretrainedTextEncoder(config, pad=0, width=4)
    assert "\n" not in str(caught.value)


def test_a_configuration_from_a_file_names_no_code(folder):
    """What `trust_remote_code` would run, and kernels that are fetched."""
    more = {"auto_map": {"AutoModel": "someone/else--modeling.Evil"}, "_attn_implementation": "someone/kernels"}
    config = read_pretrained(str(folder)).config | more | {"attn_implementation": "someone/kernels"}
    made = PretrainedTextEncoder(config, pad=0, width=4)
    assert not hasattr(made.frozen.config, "auto_map")
    assert "someone" not in str(made.frozen.config._attn_implementation)
