"""A text encoder in the format of transformers: tiny, random, and without a download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
TINY: dict[str, Any] = {"num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1, "hidden_size": 8}


def write_encoder(folder: Path, words: Sequence[str], *, length: int = 12) -> Path:
    """Fill `folder` with a BERT that knows these words, each a token after the four of `SPECIAL`."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    config = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=length, **TINY)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder
