"""Random conditions, to run a network where none are given: warm-up, checks, export. Imports no torch."""

from __future__ import annotations

import numpy as np

from translate.conditions import SEEDS, Arrays, Conditions


def drawn(conditions: Conditions, rng: np.random.Generator, count: int) -> Arrays:
    """Conditions of `count` pictures, by the names of the network's inputs, `[count, ...]` each; neighbours differ.

    Labels cycle through all classes, and no label where the model does not require one; texts are random tokens of any
    length.
    """
    arrays: Arrays = {}
    if conditions.labels:
        arrays["label"] = _labels(conditions, rng, count)
    if conditions.text:
        text = conditions.text
        tokens = rng.integers(0, text.vocabulary, (count, text.length), dtype=np.int64)
        lengths = rng.integers(1 if conditions.required else 0, text.length + 1, (count, 1))
        arrays["tokens"] = np.where(np.arange(text.length) < lengths, tokens, np.int64(text.pad))
    if conditions.z:
        arrays["z"] = rng.standard_normal((count, conditions.z)).astype(np.float32)
    if "noise" in conditions.seeds:
        arrays["seed"] = rng.integers(0, SEEDS, (count, 1), dtype=np.int64)
    return arrays


def _labels(conditions: Conditions, rng: np.random.Generator, count: int) -> np.ndarray:
    classes = len(conditions.labels)
    choices = np.eye(classes, dtype=np.float32)
    if not conditions.required:
        choices = np.vstack([choices, np.zeros((1, classes), np.float32)])
    chosen: np.ndarray = choices[(rng.integers(len(choices)) + np.arange(count)) % len(choices)]
    if conditions.several:
        chosen = np.maximum(chosen, rng.integers(0, 2, chosen.shape).astype(np.float32))
    return chosen
