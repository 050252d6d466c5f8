"""Which training pairs are held out for validation where there is no folder for it. Imports no torch.

Two pairs are near-duplicates if both their sources and their targets look alike: the same picture saved
again, or the next frame of a film. A chain of them stays on one side, since a model validated on what it was
trained on looks better than it is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from translate.datasets.resizing import without_opencv
from translate.images import Picture
from translate.images.picture import full_scale

HASH_SIDE = 8  # the hash has one bit for each of 8 x 8 places
NEAR_BITS = 3  # most bits of 64 in which alike pictures differ; JPEG at quality 20 and half the size stay within
NEAR_COLOUR = 8  # most levels of 255 by which their mean colours differ
NEIGHBOURS = 200  # pairs that each is compared with in a band; limits the work where thousands share one

BITS_SET = np.array([bin(value).count("1") for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Looks:
    """A fingerprint of how a picture looks, to compare it with others."""

    bits: int  # 64 bits: where it gets brighter from left to right
    colour: tuple[int, int, int]  # mean red, green and blue, 0 to 255


@dataclass(frozen=True)
class Holdout:
    """Indices of the pairs on either side, in their order, and how near-duplicates were treated."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    together: int  # pairs that have near-duplicates
    divided: bool  # all pairs are near-duplicates of one another, so that they are on both sides after all


def _areas(pixels: np.ndarray) -> np.ndarray:
    """`[H, W]` or `[H, W, C]` in so many areas as the hash has, each the mean of its own."""
    size = (HASH_SIDE + 1, HASH_SIDE)
    try:
        import cv2
    except ImportError:
        small = without_opencv(np.atleast_3d(pixels), HASH_SIDE, HASH_SIDE + 1, "AREA")
        return small if pixels.ndim == 3 else small[..., 0]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def looks(picture: Picture, *, background: tuple[int, int, int]) -> Looks:
    """The difference hash and mean colour of any picture, its alpha laid on `background`."""
    bands = picture.pixels[..., :3]
    small = _areas(bands)
    small = small.reshape(HASH_SIDE, HASH_SIDE + 1, bands.shape[-1]).astype(np.float32)
    full = full_scale(picture.pixels)
    if picture.alpha is not None:
        # Averages of colour times alpha, not of colour: what a transparent pixel hides must not count.
        alpha = picture.alpha.astype(np.float32) / full
        seen = _areas(alpha[..., None] * bands)
        cover = _areas(alpha)[..., None]
        behind = np.array(background[: bands.shape[-1]], np.float32) * (full / 255)
        small = seen.reshape(small.shape) + (1 - cover) * behind
    # `np.mean` and others are written out: what they do besides takes longer than these few values.
    count = np.float32(bands.shape[-1])
    gray = np.add.reduce(small, -1) / count  # [8, 9]
    # Grain must not become bits in flat places; the scale is the picture's own spread, for 12 bits in 16.
    grain = max(0.02 * float(gray.max() - gray.min()), 0.0 if full == 1 else 1.0)
    rising = gray[:, 1:] - gray[:, :-1] > grain
    mean = np.add.reduce(small, (0, 1)) / np.float32(HASH_SIDE * (HASH_SIDE + 1)) * np.float32(255 / full)
    colour = [round(min(max(value, 0.0), 255.0)) for value in mean.tolist()]
    red, green, blue = (colour[i % len(colour)] for i in range(3))
    return Looks(bits=int.from_bytes(np.packbits(rising).tobytes(), "big"), colour=(red, green, blue))


def arrays(looks: Sequence[tuple[Looks, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes uint64 `[N, sides]` and mean colours uint8 `[N, sides, 3]` of as many sides of each."""
    bits = np.array([[side.bits for side in sides] for sides in looks], np.uint64)
    return bits, np.array([[side.colour for side in sides] for sides in looks], np.uint8)


def hold_out(names: Sequence[str], bits: np.ndarray, colour: np.ndarray, *, fraction: float) -> Holdout:
    """Divides pairs, given as unique names and the looks of their sides; near-duplicates stay on one side.

    About `fraction` of them are held out, at least one where there are two, none where it is 0. The hashes of
    the names decide, so neither the order of the pairs nor the place of their folder matters.

    Args:
        bits, colour: as `arrays` gives them.
    """
    wanted = min(max(1, round(fraction * len(names))), len(names) - 1) if fraction else 0
    if wanted < 1:
        return Holdout(train=tuple(range(len(names))), val=(), together=0, divided=False)
    digests = bytearray()
    for name in names:
        digests += hashlib.sha256(name.encode()).digest()
    draw = np.frombuffer(digests, ">u8").reshape(-1, 4)
    order = np.lexsort(draw.T[::-1])  # places of the names, in order of their hashes
    group = _groups(bits, colour)
    sizes = np.bincount(group)
    together = int(sizes[sizes > 1].sum())
    divided = len(sizes) == 1
    if divided:
        val = order[:wanted]
    else:
        _, firsts = np.unique(group[order], return_index=True)
        drawn = np.argsort(firsts)  # groups in order of their first name
        val = np.flatnonzero(np.isin(group, _filling(drawn, sizes, wanted)))
    held = np.zeros(len(names), bool)
    held[val] = True
    train, kept = np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()
    return Holdout(train=tuple(train), val=tuple(kept), together=together, divided=divided)


def _filling(drawn: np.ndarray, sizes: np.ndarray, wanted: int) -> list[int]:
    """The first of the groups `drawn` that fit into so many places; the smallest if none does: better too many."""
    chosen: list[int] = []
    left = wanted
    for group, size in zip(drawn.tolist(), sizes[drawn].tolist(), strict=True):
        if size <= left:
            chosen.append(group)
            left -= size
        if not left:
            break
    return chosen or [int(drawn[np.argmin(sizes[drawn])])]


def near_duplicates(bits: np.ndarray, colour: np.ndarray) -> list[list[int]]:
    """Indices of pairs in groups, so that near-duplicates, and theirs in turn, are in the same one.

    Two pictures within `NEAR_BITS` bits agree in at least one of `NEAR_BITS + 1` bands of the hash, so only
    pairs that share a band on every side are compared: 100,000 pairs take seconds. Where more than
    `NEIGHBOURS` share one, each is compared with the nearest in sorted order only.

    Args:
        bits, colour: as `arrays` gives them.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(_groups(bits, colour).tolist()):
        members.setdefault(group, []).append(index)
    return list(members.values())


def _groups(bits: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The group `[N]` of each pair, by numbers from 0 on."""
    # Exact duplicates are compared once: a thousand flat masks cost nothing.
    columns = [*bits.T, *colour.reshape(len(bits), -1).T]
    order, new = np.lexsort(columns[::-1]), np.zeros(len(bits), bool)
    new[:1] = True
    for column in columns:
        values = column[order]
        new[1:] |= values[1:] != values[:-1]
    first, member = order[new], np.empty(len(bits), np.int64)
    member[order] = np.cumsum(new) - 1
    bits, colour = bits[first], colour[first].astype(np.int64)
    group = np.arange(len(first))  # [unique], the group of each
    for choice in itertools.product(range(NEAR_BITS + 1), repeat=bits.shape[1]):
        group = _join(group, bits, colour, _band(bits, choice))
    return np.unique(group[member], return_inverse=True)[1]


def _band(bits: np.ndarray, choice: tuple[int, ...]) -> np.ndarray:
    """One number `[N]` for the chosen 16-bit band of each side's hash."""
    width = 64 // (NEAR_BITS + 1)
    key = np.zeros(len(bits), np.uint64)
    for side, band in enumerate(choice):
        part = (bits[:, side] >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        key = (key << np.uint64(width)) | part
    return key


def _join(group: np.ndarray, bits: np.ndarray, colour: np.ndarray, key: np.ndarray) -> np.ndarray:
    """`group` `[N]` after joining the groups of all that have one `key` and are alike on every side."""
    order = np.lexsort((*bits.T, key))
    key = key[order]
    for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
        same = key[step:] == key[:-step]
        if not same.any():
            break
        one, other = order[:-step][same], order[step:][same]
        apart = group[one] != group[other]  # most of a crowded band is joined after a few steps
        one, other = one[apart], other[apart]
        differing = np.bitwise_xor(bits[one], bits[other]).view(np.uint8).reshape(len(one), bits.shape[1], 8)
        near = (BITS_SET[differing].sum(-1) <= NEAR_BITS).all(-1)
        near &= (np.abs(colour[one] - colour[other]) <= NEAR_COLOUR).all((1, 2))
        if near.any():
            group = _union(group, group[one[near]].tolist(), group[other[near]].tolist())
    return group


def _union(group: np.ndarray, ones: list[int], others: list[int]) -> np.ndarray:
    """`group` with `ones[i]` and `others[i]` made one, named by the lowest of each."""
    parent: dict[int, int] = {}

    def root(name: int) -> int:
        while (above := parent.get(name, name)) != name:
            parent[name] = parent.get(above, above)  # path halving: later look-ups are shorter
            name = above
        return name

    for one, other in zip(ones, others, strict=True):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    table = np.arange(len(group))
    for name in parent:
        table[name] = root(name)
    return table[group]
