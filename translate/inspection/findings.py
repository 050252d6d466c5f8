"""What is wrong with a set, or looks so: one finding a kind, with the files and what to do. Imports no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Literal

from translate.datasets.pairs import ROLES, Pair, Role, View, of_side
from translate.datasets.preparation.ignored import shown
from translate.inspection.looks import Look
from translate.inspection.near import near_duplicates
from translate.inspection.reading import Set, labelled

Severity = Literal["error", "warning", "note"]
SHAPE_RATIO = 1.1  # proportions of source and target further apart than this factor are other pictures
FEW_GRAY = 0.05  # share up to which gray pictures are exceptions in a set of colour

Kind = Literal[
    "unreadable",
    "unpaired",
    "copies",
    "near-copies",
    "both-sides",
    "duplicates",
    "contradictions",
    "near-duplicates",
    "many-targets",
    "exchanged",
    "strangers",
    "shifted",
    "unrelated",
    "proportions",
    "gray",
    "depth",
    "small-classes",
    "unlabelled",
]


@dataclass(frozen=True)
class Finding:
    """One thing that was found, and what to do about it."""

    kind: Kind
    severity: Severity
    message: str  # a line
    files: tuple[str, ...] = ()  # one entry for each case, with the reason or the partner
    examples: tuple[Pair, ...] = ()  # to be shown


def unusable(read: Set) -> Iterator[Finding]:
    """Files that training leaves out."""
    parts: dict[bool, list[str]] = {True: [], False: []}
    for problem in dict.fromkeys(read.prepared.problems):
        parts[problem in read.unpaired].append(f"{shown(problem.path, read.roots)}: {problem.reason}")
    if found := parts[False]:
        message = f"{_count(found, 'file')} cannot be used and would be left out: repair or remove {_them(found)}"
        yield Finding("unreadable", "error", message, tuple(found))
    if found := parts[True]:
        message = f"{_count(found, 'file')} without a partner, or named wrongly, would be left out"
        yield Finding("unpaired", "warning", message, tuple(found))


def repeated(read: Set) -> Iterator[Finding]:
    """Whole examples that are there twice, in one split or in two; and pictures on both sides without pairs."""
    noun = "pair" if read.kind == "pairs" else "picture"
    copies, twice = [], []
    for group in groups_of(read):
        places: dict[object, list[tuple[str, Pair]]] = defaultdict(list)
        for split, pair, looks in group:
            places[(*(look.digest for look in looks), pair.label, pair.text)].append((split, pair))
        for found in places.values():
            first: dict[str, Pair] = {}
            for split, pair in found:
                first.setdefault(split, pair)
            if "train" in first:
                copies += [(pair, first["train"]) for split, pair in found if split != "train"]
            twice += [(pair, first[split]) for split, pair in found if pair is not first[split]]
    if copies:
        message = (
            f"{_count(copies, f'{noun} of validation or test', f'{noun}s of validation or test')} "
            f"{'is' if len(copies) == 1 else 'are'} in training too, so that figures look better than they are: "
            "take them out of one"
        )
        yield _of_two(read, "copies", "error", message, copies)
    if twice:
        message = f"{_count(twice, noun)} there twice: keep one"
        yield _of_two(read, "duplicates", "warning", message, twice)
    if read.kind == "unpaired":
        sides: dict[object, dict[str, Pair]] = defaultdict(dict)
        for pair in read.given.get("train", ()):
            if seen := read.of(pair):
                sides[seen[-1].digest].setdefault("source" if pair.source else "target", pair)
        if both := [(found["source"], found["target"]) for found in sides.values() if len(found) == 2]:
            message = f"{_count(both, 'picture')} on both sides, as source and as target: keep one"
            yield _of_two(read, "both-sides", "warning", message, both)
    if read.kind in ("domains", "targets"):
        yield from _contradictions(read)


def _contradictions(read: Set) -> Iterator[Finding]:
    labels: dict[bytes, dict[str | None, Pair]] = defaultdict(dict)
    for pair in read.given.get("train", ()):
        if looks := read.of(pair):
            labels[looks[-1].digest].setdefault(pair.label, pair)
    several = [tuple(found.values())[:2] for found in labels.values() if len(found) > 1]
    if several:
        message = f"{_count(several, 'picture')} with more than one label: keep the right one"
        yield _of_two(read, "contradictions", "warning", message, [(one, other) for one, other in several])


def groups_of(read: Set) -> list[list[tuple[str, Pair, tuple[Look, ...]]]]:
    """What is compared with each other, with its split and looks: all examples, or without pairs those of a side."""
    every = [list(read.given.items())]
    if read.kind == "unpaired":
        every = [[(split, of_side(pairs, role)) for split, pairs in read.given.items()] for role in ROLES]
    return [
        [(split, pair, looks) for split, pairs in splits for pair in pairs if (looks := read.of(pair))]
        for splits in every
    ]


def nearly_repeated(read: Set) -> Iterator[Finding]:
    """The same of pictures that were saved again, at another size or quality."""
    noun = "pair" if read.kind == "pairs" else "picture"
    copies, within = [], []
    for whole in groups_of(read):
        once = {tuple(look.digest for look in looks): (split, pair, looks) for split, pair, looks in reversed(whole)}
        group = list(reversed(once.values()))
        for first, second in near_duplicates([looks for _, _, looks in group]):
            (one_split, one, _), (other_split, other, _) = group[first], group[second]
            if one_split == other_split:
                within.append((other, one))
            elif "train" in (one_split, other_split):
                copies.append((one, other) if other_split == "train" else (other, one))
    if copies:
        message = f"{_count(copies, noun)} of validation or test nearly the same as in training: take them out of one"
        yield _of_two(read, "near-copies", "warning", message, copies)
    if within:
        message = f"{_count(within, noun)} nearly the same as another, as if saved twice: keep the better"
        yield _of_two(read, "near-duplicates", "note", message, within)


def many_targets(read: Set) -> Iterator[Finding]:
    """Sources that should become several things."""
    if read.kind != "pairs" or "source" not in read.sides:
        return
    targets: dict[bytes, dict[bytes, Pair]] = defaultdict(dict)
    files: set[bytes] = set()
    pairs = [(pair, looks) for pair in read.given["train"] if (looks := read.of(pair)) and len(looks) == 2]
    for pair, (source, target) in pairs:
        targets[source.digest].setdefault(target.digest, pair)
        files.add(source.file)
    several = sorted((found for found in targets.values() if len(found) > 1), key=len, reverse=True)
    if several:
        of_files = f", in {len(files):,} distinct files" if len(files) != len(targets) else ""
        message = (
            f"one source has many targets: {len(targets):,} distinct sources of {len(pairs):,} pairs{of_files}, and "
            f"{len(several):,} of them have 2 to {len(several[0])} targets: the source alone cannot tell them apart; "
            "train with --condition text or label, or with bicyclegan"
        )
        first = [next(iter(found.values())) for found in several]
        named = [f"{read.names(pair)}: {len(found)} targets" for pair, found in zip(first, several, strict=True)]
        yield Finding("many-targets", "note", message, tuple(named), tuple(list(several[0].values())[:4]))


def exceptions(read: Set) -> Iterator[Finding]:
    """Pictures that are otherwise than the rest of their side: gray, of another depth, of other proportions."""
    gray: dict[str, Pair] = {}
    odd: dict[str, Pair] = {}
    for role in read.sides:
        looks = {view: look for (side, view), look in read.looks.items() if side == role}
        owners = owners_of(read, role)
        spec = read.prepared.specs[role]
        found = [view for view, look in looks.items() if look.bands == 1 or (read.kind == "pairs" and look.neutral)]
        if spec.kind == "image" and spec.channels == 3 and len(found) <= max(2, FEW_GRAY * len(looks)):
            gray |= {read.name(view): owners[view] for view in found}
        usual = Counter(look.dtype for look in looks.values()).most_common(1)[0][0]
        odd |= {
            f"{read.name(view)}: {look.dtype}, most are {usual}": owners[view]
            for view, look in looks.items()
            if look.dtype != usual
        }
    if gray:
        message = f"{_count(gray, 'gray picture')} where nearly all are in colour: take {_them(gray)} out"
        yield Finding("gray", "warning", message, tuple(gray), tuple(gray.values()))
    if odd:
        message = f"{_count(odd, 'picture')} of another depth than the others: convert {_them(odd)}"
        yield Finding("depth", "warning", message, tuple(odd), tuple(odd.values()))
    shapes = []
    for pair in [pair for pairs in read.splits.values() for pair in pairs] if read.kind == "pairs" else ():
        both = read.of(pair)
        if both and len(both) == 2:
            ratio = both[0].width * both[1].height / (both[0].height * both[1].width)
            if max(ratio, 1 / ratio) > SHAPE_RATIO:
                shapes.append((pair, f"{read.names(pair)}: source {both[0].size}, target {both[1].size}"))
    if shapes:
        message = f"{_count(shapes, 'pair')} whose source and target are of other proportions, as wrong partners are"
        pairs = tuple(pair for pair, _ in shapes)
        yield Finding("proportions", "warning", message, tuple(text for _, text in shapes), pairs)


def classes(read: Set) -> Iterator[Finding]:
    """Classes of one picture, and pictures without a label or caption where others have one."""
    pairs = labelled(read).get("train", ())
    labels = [pair.label for pair in pairs if pair.label]
    counts = Counter(part.strip() for label in labels for part in label.split(",") if part.strip())
    several = any("," in label for label in labels)  # then a picture may also have none
    single = [label for label, number in counts.items() if number == 1]
    if single and 2 * len(single) <= len(counts):
        parts = ((part.strip(), pair) for pair in pairs for part in (pair.label or "").split(","))
        owners = {label: pair for label, pair in parts if label in single}
        message = (
            f"{_count(single, 'class', 'classes')} with one picture, from which nothing general is learned: add more, "
            "or leave it out"
        )
        named = tuple(f"{label}: {read.names(owners[label])}" for label in sorted(owners))
        yield Finding("small-classes", "warning", message, named, tuple(owners.values()))
    for what, lacking in (
        ("label", [pair for pair in pairs if not pair.label] if labels and not several else []),
        ("caption", [pair for pair in pairs if not pair.text] if any(pair.text for pair in pairs) else []),
    ):
        if lacking:
            message = f"{_count(lacking, 'picture')} without a {what}, where others have one: give it"
            named = tuple(read.names(pair) for pair in lacking)
            yield Finding("unlabelled", "warning", message, named, tuple(lacking))


def owners_of(read: Set, role: Role) -> dict[View | None, Pair]:
    """The first example of each picture of a side."""
    owners: dict[View | None, Pair] = {}
    for pairs in read.splits.values():
        for pair in pairs:
            owners.setdefault(pair.source if role == "source" else pair.target, pair)
    return owners


def _them(things: Sized) -> str:
    return "it" if len(things) == 1 else "them"


def _of_two(read: Set, kind: Kind, severity: Severity, message: str, found: Sequence[tuple[Pair, Pair]]) -> Finding:
    files = tuple(f"{read.names(one)} = {read.names(other)}" for one, other in found)
    return Finding(kind, severity, message, files, tuple(pair for both in found for pair in both))


def _count(things: Sized, noun: str, plural: str | None = None) -> str:
    return f"{len(things):,} {noun if len(things) == 1 else plural or f'{noun}s'}"


def side_looks(read: Set, role: Role) -> list[Look]:
    """The looks of all pictures of a side."""
    return [look for (side, _), look in read.looks.items() if side == role]
