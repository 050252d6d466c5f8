"""What is told about the pairs before training: counts first, then names with reasons, then what is odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from translate.datasets.files import walk
from translate.datasets.layouts import Found
from translate.datasets.pairs import Listing, Pair, Problem, View
from translate.datasets.scan import Scan
from translate.images import is_image_name

NAMED = 20  # files named one by one before "and N more"
NAMED_IN_LINE = 3
SHAPE_RATIO = 1.1  # aspect ratios further apart than this factor are doubtful


def counts(listing: Listing, problems: Sequence[Problem], *, roots: Sequence[Path], layout: str) -> list[str]:
    """How many pairs there are, and the files that cannot be used."""
    sizes = [f"{len(listing.train)} for training", f"{len(listing.val)} for validation"]
    if listing.test:
        sizes.append(f"{len(listing.test)} for testing")
    pairs = len(listing.train) + len(listing.val) + len(listing.test)
    lines = [f"{' and '.join(map(str, roots))} ({layout}): {_files(pairs, 'pair')}, {', '.join(sizes)}"]
    if problems:
        lines.append(f"{_files(len(problems))} cannot be used:")
        lines += _listed([_reason(problem, roots) for problem in problems])
    return lines


def left_lying(found: Found, problems: Iterable[Problem]) -> list[str]:
    """What lies in the folders and is neither used nor a problem: nothing is left out without a word."""
    listing = found.listing
    pairs = (*listing.train, *listing.val, *listing.test)
    known = {view.path for pair in pairs for view in (pair.source, pair.target) if view}
    known |= {*found.tables, *(problem.path for problem in problems)}
    rest = dict.fromkeys(path for root in found.roots for path in walk(root) if path not in known)
    ignored = [path for path in rest if is_image_name(path)]
    others = [path for path in rest if not is_image_name(path)]
    lines = []
    if ignored:
        lines.append(f"{_files(len(ignored), 'picture')} beside those of the layout, not used: {_some(ignored)}")
    if others:
        lines.append(f"{_files(len(others), 'other file')} skipped: {_some(others)}")
    return lines


def oddities(listing: Listing, seen: Scan) -> list[str]:
    """Pairs that can be used and yet are doubtful: other shapes, several pages, training pairs met again."""
    every = (*listing.train, *listing.val, *listing.test)
    lines = []
    shapes = [text for pair in every if (text := _other_shape(pair, seen))]
    if shapes:
        lines.append(
            f"{len(shapes)} of {len(every)} pairs have a source and a target of different shape, "
            "as mismatched files do; they are used all the same:"
        )
        lines += _listed(shapes)
    several = [
        view.path for role in ("source", "target") for view, facts in seen.of(every, role).items() if facts.frames > 1
    ]
    if several:
        several = list(dict.fromkeys(several))
        lines.append(f"{_files(len(several))} of several frames or pages, the first of which is used: {_some(several)}")
    trained = {_content(pair, seen) for pair in listing.train}
    for name, pairs in (("validation", listing.val), ("test", listing.test)):
        again = [pair.name for pair in pairs if _content(pair, seen) in trained]
        if again:
            lines.append(
                f"{len(again)} of {len(pairs)} {name} pairs are training pairs as well, "
                f"so the figures on them will look better than they are: {_in_line(again)}"
            )
    return lines


def nothing_usable(problems: Sequence[Problem], *, roots: Sequence[Path], looked_for: str) -> str:
    """The error for folders without a usable training pair."""
    where = " and ".join(map(str, roots))
    reasons = _in_line([_reason(problem, roots) for problem in problems], limit=5)
    found = f"{_files(len(problems))} that cannot be used: {reasons}" if problems else "no pairs at all"
    return f"{where}: nothing to train on. Looked for {looked_for}. Found {found}"


def refused(problems: Sequence[Problem], *, roots: Sequence[Path]) -> str:
    """The error of `--strict`."""
    reasons = _in_line([_reason(problem, roots) for problem in problems])
    return f"--strict: {_files(len(problems))} cannot be used: {reasons}"


def _reason(problem: Problem, roots: Iterable[Path]) -> str:
    shown = next((problem.path.relative_to(root) for root in roots if problem.path.is_relative_to(root)), problem.path)
    return f"{shown}: {problem.reason}"


def _other_shape(pair: Pair, seen: Scan) -> str | None:
    """Both sizes of a pair whose aspect ratios differ by more than rounding a shrunk side explains."""
    if pair.source is None:
        return None
    source, target = seen.facts["source", pair.source], seen.facts["target", pair.target]
    ratio = (source.width * target.height) / (source.height * target.width)
    if max(ratio, 1 / ratio) <= SHAPE_RATIO:
        return None
    return f"{pair.name}: source {source.width}x{source.height}, target {target.width}x{target.height}"


def _content(pair: Pair, seen: Scan) -> tuple[object, ...]:
    def of(view: View | None) -> object:
        return view and (seen.digests[view.path], view.half)

    return of(pair.source), of(pair.target), pair.label, pair.text


def _listed(texts: Sequence[str]) -> list[str]:
    """A line each, as many as are read."""
    more = [f"  and {len(texts) - NAMED} more"] if len(texts) > NAMED else []
    return [f"  {text}" for text in texts[:NAMED]] + more


def _in_line(texts: Sequence[str], *, limit: int = NAMED_IN_LINE) -> str:
    more = f"; and {len(texts) - limit} more" if len(texts) > limit else ""
    return "; ".join(texts[:limit]) + more


def _some(paths: Sequence[Path]) -> str:
    return _in_line([path.name for path in paths]).replace(";", ",")


def _files(number: int, noun: str = "file") -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
