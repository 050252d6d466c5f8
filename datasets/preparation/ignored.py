"""Files in the folders of a set that are not used; each is reported. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from translate.datasets.files import Tree, nfc
from translate.datasets.layouts.found import Found
from translate.datasets.pairs import Problem, View, as_folder, views
from translate.images import is_image_name

NAMED_IN_LINE = 3  # files named in one line
NAMED_FOLDERS = 12  # folders named in one line, with how many files are in each


def ignored(found: Found, trees: Sequence[Tree], problems: Iterable[Problem]) -> list[str]:
    """A line for each kind of file or folder that is neither used nor a problem; `trees` are those of the roots."""
    roots = found.roots
    rest = _rest(found, trees, problems)
    unused = [path for path in rest if is_image_name(path)]
    others = [path for path in rest if not is_image_name(path)]
    hidden = [path for tree in trees for path in tree.hidden_files]
    folders = [path for tree in trees for path in tree.hidden_folders]
    odd = [problem for tree in trees for problem in tree.odd]
    lines = []
    if unused:
        lines.append(
            f"{count(len(unused), 'picture')} beside those of the layout, not used: {by_folder(unused, roots)}"
        )
    if others:
        lines.append(f"{count(len(others), 'other file')} skipped: {by_folder(others, roots)}")
    if hidden:
        lines.append(f"{count(len(hidden), 'hidden file')} skipped: {by_folder(hidden, roots)}")
    for what, paths in (
        ("hidden folder{} skipped", folders),
        ("folder{} of thumbnails, or of a system, skipped", [path for tree in trees for path in tree.services]),
        ("folder{} of a training skipped, whose pages are not pictures to learn from",
         [path for tree in trees for path in tree.runs]),
        ("link{} to folders skipped that are found without, or lie above",
         [path for tree in trees for path in tree.again]),
    ):  # fmt: skip
        if paths:
            text = what.format("" if len(paths) == 1 else "s")
            named = ", ".join(f"{shown(path, roots)}/" for path in paths[:NAMED_FOLDERS])
            more = f", and {len(paths) - NAMED_FOLDERS} more" if len(paths) > NAMED_FOLDERS else ""
            lines.append(f"{len(paths)} {text}: {named}{more}")
    if odd:
        each = [f"{shown(problem.path, roots)} ({problem.reason})" for problem in odd]
        more = f"; and {len(each) - NAMED_FOLDERS} more" if len(each) > NAMED_FOLDERS else ""
        lines.append(f"{count(len(odd), 'odd entry', 'odd entries')} skipped: {'; '.join(each[:NAMED_FOLDERS])}{more}")
    return lines


def _rest(found: Found, trees: Sequence[Tree], problems: Iterable[Problem]) -> list[Path]:
    """Files of `trees` that are in no pair, no table and no problem."""
    known: defaultdict[str, set[str]] = defaultdict(set)  # names by folder: sets of millions of whole paths are large
    for part in (found.listing.train, found.listing.val, found.listing.test):
        for pair in part:
            for view in views(pair):
                known[view.folder].add(view.name)
    for path in (*found.tables, *(problem.path for problem in problems)):
        view = View(path)
        known[view.folder].add(view.name)
    rest: dict[Path, None] = {}
    for tree in trees:
        for below, names in tree.listed:
            folder = tree.root / below
            here = known[as_folder(folder)]
            rest |= dict.fromkeys(folder / name for name in names if name not in here)
    return list(rest)


def shown(path: Path, roots: Iterable[Path]) -> str:
    """`path` below the root that it lies in, of several roots with the root's own name."""
    roots = list(roots)
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None:
        return printable(str(path))
    if len(roots) == 1:
        return printable(path.relative_to(root).as_posix())
    if len({other.name for other in roots}) < len(roots):
        return printable(path.as_posix())
    return printable((Path(root.name) / path.relative_to(root)).as_posix())


def read_otherwise(found: Found, trees: Sequence[Tree], not_pairs: Sequence[Problem]) -> tuple[str, ...]:
    """Differences to how the first version read these folders, whose runs may have had other pictures."""
    names = (
        (_stem(pair.source.name), _stem(pair.target.name))
        for part in (found.listing.train, found.listing.val, found.listing.test)
        for pair in part
        if pair.source and pair.target and not (pair.source.name.isascii() and pair.target.name.isascii())
    )
    now = {
        "names in other Unicode forms pair": any(one != other and nfc(one) == nfc(other) for one, other in names),
        "folders of thumbnails are left out": any(tree.services for tree in trees),
        "folders of trainings are left out": any(tree.runs for tree in trees),
        "folders that are linked to are read once": any(tree.again for tree in trees),
        "files among pairs side by side that are none are left out": bool(not_pairs),
    }
    return tuple(text for text, so in now.items() if so)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def by_folder(paths: Sequence[Path], roots: Sequence[Path]) -> str:
    """A few of `paths` in words, with how many there are in each folder."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    texts = []
    for folder, files in folders.items():
        if folder in roots and len(roots) == 1:
            more = f" and {len(files) - NAMED_IN_LINE} more" if len(files) > NAMED_IN_LINE else ""
            texts.append(", ".join(printable(path.name) for path in files[:NAMED_IN_LINE]) + more)
        elif len(files) == 1:
            texts.append(shown(files[0], roots))
        else:
            texts.append(f"{len(files)} in {shown(folder, roots)}/, such as {printable(files[0].name)}")
    more = f"; and {len(texts) - NAMED_FOLDERS} more folders" if len(texts) > NAMED_FOLDERS else ""
    return "; ".join(texts[:NAMED_FOLDERS]) + more


def printable(name: str) -> str:
    """A file name as text: bytes that are no UTF-8 as their numbers."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def count(number: int, noun: str = "file", plural: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
