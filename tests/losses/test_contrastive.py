import math

import pytest
import torch
from torch.nn import functional as F

from translate.losses import patch_nce


def vectors(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


def by_hand(query, key, temperature):
    """Loops over pictures and positions, in double precision."""
    terms = []
    for q, k in zip(query.double(), key.double(), strict=True):
        for i in range(len(q)):
            scores = [math.exp(float(q[i] @ k[j]) / temperature) for j in range(len(k))]
            terms.append(-math.log(scores[i] / sum(scores)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_it_is_the_cross_entropy_by_hand(temperature):
    torch.manual_seed(0)
    query, key = vectors(3, 6, 5), vectors(3, 6, 5)
    assert patch_nce(query, key, temperature=temperature).item() == pytest.approx(by_hand(query, key, temperature))


def test_it_is_the_published_way_to_write_it():
    """The positives in front, the diagonal of the negatives put out with -10, cross-entropy towards place 0."""
    torch.manual_seed(0)
    query, key = vectors(2, 8, 4), vectors(2, 8, 4)
    positive = (query * key).sum(2).reshape(16, 1)
    negative = query @ key.transpose(1, 2)
    negative = negative.masked_fill(torch.eye(8, dtype=torch.bool), -10).reshape(16, 8)
    logits = torch.cat([positive, negative], 1) / 0.07
    expected = F.cross_entropy(logits, torch.zeros(16, dtype=torch.long))
    torch.testing.assert_close(patch_nce(query, key), expected)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_patches_that_are_all_alike_cannot_be_told_apart(count):
    same = vectors(1, 1, 4).expand(2, count, 4)
    assert patch_nce(same, same).item() == pytest.approx(math.log(count), abs=1e-5)


def test_patches_at_right_angles_are_told_apart():
    query = torch.eye(4)[None]
    assert patch_nce(query, query).item() == pytest.approx(math.log(1 + 3 * math.exp(-1 / 0.07)), abs=1e-6)
    assert patch_nce(query, query.roll(1, 1)).item() == pytest.approx(1 / 0.07, rel=1e-4)


def test_other_pictures_are_no_negatives():
    query, key = vectors(2, 6, 4), vectors(2, 6, 4)
    alone = [patch_nce(query[i : i + 1], key[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(patch_nce(query, key), sum(alone) / 2)


def test_the_key_gets_no_gradient():
    query, key = (vectors(1, 4, 4).requires_grad_() for _ in range(2))
    patch_nce(query, key).backward()
    assert key.grad is None
    assert query.grad.abs().sum() > 0


def test_it_is_float32_under_autocast():
    torch.manual_seed(0)
    query, key = vectors(1, 32, 16), vectors(1, 32, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = patch_nce(query, key)
    assert torch.equal(loss, patch_nce(query, key))
