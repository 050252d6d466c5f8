"""Packed pairs are the pairs, in less memory."""

import pickle
from pathlib import Path

import pytest

from translate.datasets.packed import PackedPairs, Texts, packed
from translate.datasets.pairs import Pair, View

PAIRS = (
    Pair("a", source=View(Path("A/a.png")), target=View(Path("B/a.jpg"))),
    Pair("é\n中", target=View(Path("x.png"))),
    Pair("b.png", source=View(Path("/c/b.png"), "left"), target=View(Path("/c/b.png"), "right"), label="l", text=""),
    Pair("", source=View(Path("A/\udcff.png")), text="t", folder="f"),
)


def test_packed_pairs_equal_the_pairs_and_travel_between_processes():
    found = PackedPairs(PAIRS)
    for same in (found, pickle.loads(pickle.dumps(found)), packed(found)):
        assert same == PAIRS
        assert [pair.folder for pair in same] == [None, None, None, "f"]  # which is no part of equality
        assert same[1:3] == PAIRS[1:3]
        assert same[-1] == PAIRS[-1]
        assert list(same.names) == [pair.name for pair in PAIRS]
    assert found != PAIRS[:3]
    assert found != (*PAIRS[:3], PAIRS[0])
    with pytest.raises(IndexError):
        found[4]
    assert PackedPairs(()) == ()


def test_a_pair_takes_a_tenth_of_what_its_objects_take():
    pairs = [Pair(f"{i:07d}.jpg", target=View(f"/some/where/train/{i:07d}.jpg")) for i in range(1000)]
    assert len(pickle.dumps(PackedPairs(pairs))) < 40 * len(pairs)


def test_texts_are_a_sequence():
    texts = Texts(["", "é", "c"])
    assert (list(texts), texts[-1], texts[:2], len(texts)) == (["", "é", "c"], "c", ("", "é"), 3)
    assert list(Texts([])) == []


def test_a_view_is_the_file_however_it_was_named():
    view = View(Path("a/b/c.png"), "left")
    assert view == View.of("a/b", "c.png", "left") == pickle.loads(pickle.dumps(view))
    assert (view.path, view.file, view.half) == (Path("a/b/c.png"), "a/b/c.png", "left")
    assert View(Path("c.png")) == View.of("", "c.png")
    assert View(Path("c.png")).path == Path("c.png")
