"""The report on the pictures before training: counts, files that cannot be used and why, then oddities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from translate.datasets.pairs import ROLES, Listing, Pair, Problem, Role, View, of_side, views
from translate.datasets.preparation.ignored import NAMED_IN_LINE, count, shown
from translate.datasets.preparation.scan import Scan
from translate.settings import DataKind

NAMED = 20  # files named one by one before "and N more"
SHAPE_RATIO = 1.1  # aspect ratios further apart than this factor are reported


def counts(
    listing: Listing,
    problems: Sequence[Problem],
    *,
    roots: Sequence[Path],
    layout: str,
    kind: DataKind = "pairs",
) -> list[str]:
    """How many pairs, or pictures of each side, or pictures in all there are, and the files that cannot be used."""
    number = (lambda pairs: str(len(pairs))) if kind != "unpaired" else _by_side
    sizes = [f"{number(listing.train)} for training", f"{number(listing.val)} for validation"]
    if listing.test:
        sizes.append(f"{number(listing.test)} for testing")
    if kind != "unpaired":
        sizes = [count(len(listing.every), "pair" if kind == "pairs" else "picture"), *sizes]
    lines = [f"{' and '.join(map(str, roots))} ({layout}{'' if kind == 'pairs' else ', no pairs'}): {', '.join(sizes)}"]
    if problems:
        lines.append(f"{count(len(problems))} cannot be used:")
        lines += _listed([_reason(problem, roots) for problem in problems])
    return lines


def _by_side(pairs: Sequence[Pair]) -> str:
    """Pictures of each side, or pairs, in words."""
    whole = [pair for pair in pairs if pair.source and pair.target]
    if whole:
        return count(len(whole), "true pair")
    if not pairs:
        return "none"
    return " and ".join(count(len(of_side(pairs, role)), role) for role in ROLES)


def other_proportions(sizes: Mapping[Path, str], roots: Sequence[Path]) -> list[str]:
    """Side-by-side files whose proportions differ from those of most, by path with their sizes."""
    if not sizes:
        return []
    line = f"{count(len(sizes))} of other proportions than most side-by-side files; they are cut in the middle as well:"
    return [line, *_listed([f"{shown(path, roots)}: {size}" for path, size in sizes.items()])]


def oddities(listing: Listing, seen: Scan, *, kind: DataKind = "pairs") -> list[str]:
    """Oddities of usable pictures: sides of other shapes, several pages, validation pictures that are trained on."""
    every = listing.every
    lines = []
    whole = [pair for pair in every if kind == "pairs" or (pair.source and pair.target)]
    shapes = _other_shapes(whole, seen)
    if shapes:
        lines.append(
            f"{len(shapes)} of {len(whole)} pairs have a source and a target of different shape, "
            "as mismatched files do; they are used all the same:"
        )
        lines += _listed(shapes)
    sides = [seen.of(every, role) for role in ROLES]
    several = [side.views[i].path for side in sides for i in np.flatnonzero(side.column("frames") > 1).tolist()]
    if several:
        several = list(dict.fromkeys(several))
        lines.append(f"{count(len(several))} of several frames or pages, the first of which is used: {_some(several)}")
    if kind in ("domains", "targets"):
        return lines + _labelled_twice(listing, seen) + _pairs_again(listing, seen, noun="picture")
    return lines + (_pairs_again(listing, seen) if kind == "pairs" else _pictures_again(listing, seen))


def _labelled_twice(listing: Listing, seen: Scan) -> list[str]:
    """Training pictures that are there under several labels."""
    labels: dict[object, set[str | None]] = {}
    names: dict[object, str] = {}
    for pair in listing.train:
        content = _content(pair, seen)[1]
        labels.setdefault(content, set()).add(pair.label)
        names.setdefault(content, pair.name)
    twice = [names[content] for content, found in labels.items() if len(found) > 1]
    return [f"{count(len(twice), 'picture')} under more than one label: {_in_line(twice)}"] if twice else []


def _pairs_again(listing: Listing, seen: Scan, *, noun: str = "pair") -> list[str]:
    """Validation and test pairs that are trained on."""
    lines = []
    others = {_content(pair, seen) for pair in (*listing.val, *listing.test)}
    trained = {content for pair in listing.train if (content := _content(pair, seen)) in others} if others else set()
    for name, pairs in (("validation", listing.val), ("test", listing.test)):
        again = [pair.name for pair in pairs if _content(pair, seen) in trained]
        if again:
            lines.append(
                f"{len(again)} of {len(pairs)} {name} {noun}s are training {noun}s as well, "
                f"so the figures on them will look better than they are: {_in_line(again)}"
            )
    return lines


def _pictures_again(listing: Listing, seen: Scan) -> list[str]:
    """Without pairs: pictures on both sides, sides of a single picture, and validation pictures that are trained on."""
    lines = []
    trained = {role: _pictures(listing.train, role, seen) for role in ROLES}
    both = [name for content, name in trained["source"].items() if content in trained["target"]]
    if both:
        lines.append(f"{count(len(both), 'picture')} on both sides, as source and as target: {_in_line(both)}")
    for role in ROLES:
        if len(of_side(listing.train, role)) == 1:
            lines.append(f"there is a single {role} to train on, so the model will know no other")
            trained[role] = {}  # that it is validated on, too, is a line of the division
    for name, pairs in (("validation", listing.val), ("test", listing.test)):
        for role in ROLES:
            again = [text for content, text in _pictures(pairs, role, seen).items() if content in trained[role]]
            if again:
                lines.append(
                    f"{len(again)} of {len(of_side(pairs, role))} {name} {role}s are trained on, too: {_in_line(again)}"
                )
    return lines


def _pictures(pairs: Iterable[Pair], role: Role, seen: Scan) -> dict[object, str]:
    """Contents of the pictures of a side, and a name for each."""
    alone = of_side(pairs, role)
    return {(seen.digest(role, view), view.half): pair.name for pair in alone for view in views(pair)}


def unchecked(pictures: int) -> str:
    """That so many were not decoded."""
    return (
        f"{pictures:,} plain pictures are of files that are whole by their headers and ends; their contents are "
        "decoded while training goes on (before it with --strict)"
    )


def nothing_usable(
    problems: Sequence[Problem], *, roots: Sequence[Path], looked_for: str, lacking: Sequence[Role] = ROLES
) -> str:
    """The error for folders without a usable training pair, or without a picture of one side."""
    where = " and ".join(map(str, roots))
    reasons = _in_line([_reason(problem, roots) for problem in problems], limit=5)
    found = f"{count(len(problems))} that cannot be used: {reasons}" if problems else "no pairs at all"
    side = f", no usable {lacking[0]} pictures" if len(lacking) == 1 else ""
    return f"{where}: nothing to train on{side}. Looked for {looked_for}. Found {found}"


def refused(problems: Sequence[Problem], *, roots: Sequence[Path]) -> str:
    """The error of `--strict`."""
    reasons = _in_line([_reason(problem, roots) for problem in problems])
    return f"--strict: {count(len(problems))} cannot be used: {reasons}"


def _reason(problem: Problem, roots: Iterable[Path]) -> str:
    return f"{shown(problem.path, roots)}: {problem.reason}"


def _other_shapes(pairs: Sequence[Pair], seen: Scan) -> list[str]:
    """Both sizes of the pairs whose aspect ratios differ by more than rounding a shrunk side explains."""
    pairs = [pair for pair in pairs if pair.source and pair.target]
    source, target = (seen.each([view for pair in pairs if (view := getattr(pair, role))], role) for role in ROLES)
    sw, sh, tw, th = (side.column(name).astype(float) for side in (source, target) for name in ("width", "height"))
    ratio = (sw * th) / (sh * tw)
    return [
        f"{pairs[i].name}: source {sw[i]:.0f}x{sh[i]:.0f}, target {tw[i]:.0f}x{th[i]:.0f}"
        for i in np.flatnonzero(np.maximum(ratio, 1 / ratio) > SHAPE_RATIO)
    ]


def _content(pair: Pair, seen: Scan) -> tuple[object, ...]:
    def of(role: Role, view: View | None) -> object:
        return view and (seen.digest(role, view), view.half)

    return of("source", pair.source), of("target", pair.target), pair.label, pair.text


def _listed(texts: Sequence[str]) -> list[str]:
    """A line each, as many as are read."""
    more = [f"  and {len(texts) - NAMED} more"] if len(texts) > NAMED else []
    return [f"  {text}" for text in texts[:NAMED]] + more


def _in_line(texts: Sequence[str], *, limit: int = NAMED_IN_LINE) -> str:
    more = f"; and {len(texts) - limit} more" if len(texts) > limit else ""
    return "; ".join(texts[:limit]) + more


def _some(paths: Sequence[Path]) -> str:
    return _in_line([path.name for path in paths]).replace(";", ",")
