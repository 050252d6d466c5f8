"""A tokenizer learned from the training captions. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable

from translate.borrowed import environment

FILLING = "the filling"
"""Name of number 0. It holds a space, which a byte-level alphabet writes as another letter: no text can become it."""

_parallel = environment("TOKENIZERS_PARALLELISM")
"""After the use of its threads the library complains in every reading process that is forked."""

MIN_FREQUENCY = 2  # pieces of words that occur less often are not merged, and stay smaller pieces


def learn_tokenizer(texts: Iterable[str], *, vocabulary: int) -> str:
    """A byte-level BPE of `texts` as the JSON of the library `tokenizers`; the same for the same texts.

    Letters are lower-cased, compatible forms (NFKC) and runs of white space made one. Every text of any script has
    numbers, since what was never seen is spelled in bytes; none of them is 0, which fills up.

    Args:
        vocabulary: most numbers that there are; the bytes alone are 257 with the filling.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[FILLING],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with _parallel("false"):
        made.train_from_iterator(texts, trainer)
    # As a special token it would be found in a text that holds its name.
    described = json.loads(made.to_str())
    described["added_tokens"] = []
    return json.dumps(described, ensure_ascii=False)
