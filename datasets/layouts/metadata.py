"""A table beside the pictures, as in Hugging Face's imagefolder: `metadata.csv`, `.tsv` or `.jsonl`.

A row is a pair: `file_name` is side A, `target_file_name` side B (not needed with `--derive`), both relative
to the table; `label`, `text` and `split` are optional. Tables of single pictures have no `target_file_name`. There is
one table for all, whose rows are split by that column or by the folder they name (`train/...`), or one in each of
`train/ val/ test/`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from translate.datasets.files import AnyForm
from translate.datasets.layouts.found import (
    Found,
    data_root,
    in_direction,
    kept_aside,
    listing,
    refuse_direction,
)
from translate.datasets.layouts.row_splits import RowSplits, split_of_cell
from translate.datasets.layouts.splits import SPLITS, read_otherwise, split_folders
from translate.datasets.pairs import Pair, Problem, View
from translate.datasets.table import Row, as_labels, as_text, attributes, rows
from translate.settings import DataSettings
from translate.tables import closest

LOOKED_FOR = "metadata.csv (.tsv, .jsonl) with file_name, target_file_name (not with --derive), label, text"

LOOKED_FOR_DOMAINS = "metadata.csv (.tsv, .jsonl) with file_name and label or text, without target_file_name"

TABLES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
COLUMNS = ("file_name", "target_file_name", "label", "text", "split")


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    return _missing(settings, needed=_needed(settings))


def missing_domains(settings: DataSettings) -> str | None:
    """Why this layout does not fit single pictures, or None.

    Raises:
        ValueError: it is a table of pairs.
    """
    reason = _missing(settings, needed=("file_name",))
    if reason is None:
        table = _tables(data_root(settings))["train"]
        columns = _columns(table)
        if "target_file_name" in columns:
            raise ValueError(
                f"{table}: holds pairs, and this model learns from single pictures: make a table without the column "
                "target_file_name, with a line for each picture"
            )
        if not {"label", "text"} & set(columns) and not settings.label_columns:
            return f"{table.relative_to(data_root(settings))} has neither a column label nor text"
    return reason


def _missing(settings: DataSettings, *, needed: tuple[str, ...]) -> str | None:
    root = data_root(settings)
    tables = _tables(root)
    if "train" not in tables:
        places = [f"{table.relative_to(root)}" for table in tables.values()]
        return f"{' and '.join(places)} but none for train/" if places else "no such file"
    try:
        columns = _columns(tables["train"])
    except ValueError as error:
        return str(error)
    absent = [name for name in needed if name not in columns]
    if absent:
        there = ", ".join(map(repr, columns)) or "nothing"
        return f"{tables['train'].relative_to(root)} has no column {absent[0]} (it has {there})"
    return None


def find(settings: DataSettings) -> Found:
    """Pairs of every table; a row that names no usable files is a problem.

    Raises:
        ValueError: as `find_domains`.
    """
    return _find(settings, domains=False)


def find_domains(settings: DataSettings) -> Found:
    """Single pictures of every table; a row that names no usable file is a problem.

    Raises:
        ValueError: a table is not UTF-8 text, or there are two tables for one folder.
    """
    return _find(settings, domains=True)


def _find(settings: DataSettings, *, domains: bool) -> Found:
    root = data_root(settings)
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    problems: list[Problem] = []
    unused: dict[str, None] = {}
    names = AnyForm()
    chosen = _label_columns(settings)
    if settings.label_columns and (not chosen or len(set(chosen)) < len(chosen)):
        raise ValueError(f"--label-columns {settings.label_columns}: give NAME,NAME,..., each once")
    lists = False
    used = {*COLUMNS, *chosen} - ({"label"} if chosen else set())
    tables = _tables(root)
    reread: list[str] = []
    for split, table in tables.items():
        lines: list[tuple[Row, Pair]] = []
        columns = _columns(table)
        for name in chosen:
            if name not in columns:
                raise ValueError(f"--label-columns: {table} has no column {name}{closest(name, columns)}")
        for row in rows(table):
            made = (
                _single(row, table, names, settings=settings)
                if domains
                else _pair(row, table, names, settings=settings)
            )
            if isinstance(made, Problem):
                problems.append(made)
            else:
                lines.append((row, made))
            cell = row.cells.get("label")
            lists = lists or (isinstance(cell, list) and len(cell) != 1)
            unused |= dict.fromkeys(name for name in row.cells if name and name not in used)
        divided, more, changes = _divided(lines, table, split=None if table.parent == root else split)
        for name, part in divided.items():
            pairs[name] += part
        problems += more
        reread += changes
    regrouped = bool(reread)
    found = listing({split: _unique(part) for split, part in pairs.items()}, problems)
    found = replace(found, several=bool(chosen) or lists)
    notes = (f"columns of the metadata that are not used: {', '.join(unused)}",) if unused else ()
    reread += read_otherwise({split: table.parent for split, table in tables.items() if table.parent != root})
    return Found(
        found,
        roots=(root,),
        tables=tuple(tables.values()),
        notes=notes + kept_aside(found),
        reread=tuple(dict.fromkeys(reread)),
        regrouped=regrouped,
    )


def _divided(
    rows: list[tuple[Row, Pair]], table: Path, *, split: str | None
) -> tuple[dict[str, list[Pair]], list[Problem], list[str]]:
    """The pairs of each split, lines whose split is not clear, and what the first version read otherwise.

    The column `split` decides, or else `split`, that of the table's folder, or else the folders of the files.

    Raises:
        ValueError: it is not clear which folders are splits.
    """
    column = any(row.cells.get("split") not in (None, "") for row, _ in rows)
    files = {name: [path for row, _ in rows if (path := _path(row.cells.get(name)))] for name in COLUMNS[:2]}
    by_folder = {name: RowSplits(table, paths, by_folder=not column) for name, paths in files.items()}
    pairs: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    problems: list[Problem] = []
    reread: list[str] = []
    for row, pair in rows:
        claims: dict[str, str] = {} if split is None else {f"the table lies in {table.parent.name}/": split}
        for name, splits in by_folder.items():
            path = _path(row.cells.get(name))
            if path and (found := splits.of(path)):
                claims.setdefault(f"{path} in {found}", found)
        before = split or _split_before(pair.name)
        if column:
            try:
                claims["its column split"] = split_of_cell(row.cells.get("split"))
            except ValueError as error:
                problems.append(Problem(table, f"line {row.line}: {error}"))
                continue
        if len(set(claims.values())) > 1:
            each = ", ".join(f"{place} ({found})" for place, found in claims.items())
            problems.append(Problem(table, f"line {row.line}: its split is not clear: {each}"))
            continue
        mine = next(iter(claims.values()), "train")
        if mine != before:
            reread.append("the column split is read" if column else "splits further down in the paths are read")
        first = _path(row.cells["file_name"])
        assert first is not None
        pairs[mine].append(replace(pair, folder=by_folder["file_name"].class_folder(first)))
    return pairs, problems, reread


def _split_before(name: str) -> str:
    """The split that the first version read from the path of a file."""
    first, *more = PurePosixPath(name).parts
    return {"val": "val", "validation": "val", "test": "test"}.get(first, "train") if more else "train"


def _needed(settings: DataSettings) -> tuple[str, ...]:
    return ("file_name",) if settings.derive else ("file_name", "target_file_name")


def _tables(root: Path) -> dict[str, Path]:
    """The table of each split; the one beside the split folders, for all of them, counts as `train`.

    Raises:
        ValueError: two tables could be meant.
    """
    tables = {split: table for split, folder in split_folders(root).items() if (table := _table(folder))}
    common = _table(root)
    if common and tables:
        raise ValueError(f"{root}: holds {common.name} and {next(iter(tables.values()))}: keep one table a picture")
    return {"train": common} if common else tables


def _table(folder: Path) -> Path | None:
    present = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(present) > 1:
        names = " and ".join(path.name for path in present)
        raise ValueError(f"{folder}: holds both {names}: keep one of them")
    return present[0] if present else None


def _columns(table: Path) -> list[str]:
    """Names of the columns: the header, or the keys of the first readable object."""
    row = next((row for row in rows(table) if row.cells), None)
    return list(row.cells) if row else []


def _pair(row: Row, table: Path, names: AnyForm, *, settings: DataSettings) -> Pair | Problem:
    """The pair of a row; its name is the row's `file_name`."""
    if row.error:
        return Problem(table, f"line {row.line}: {row.error}")
    try:
        label, text = _label_and_text(row, settings)
    except ValueError as error:
        return Problem(table, f"line {row.line}: {error}")
    a, b = (_file(row, name, table, names) for name in COLUMNS[:2])
    if isinstance(a, Problem):
        return a
    if isinstance(b, Problem):
        return b
    if a is None:
        return Problem(table, f"line {row.line}: no file_name")
    if b is None and not settings.derive:
        return Problem(table, f"line {row.line}: no target_file_name")
    source: View | None = None
    if b is None:
        refuse_direction(settings, instead=f"line {row.line} of {table} names one file only")
        target = a
    else:
        source, target = in_direction(a, b, settings=settings)
    return Pair(
        name=a.path.relative_to(table.parent).as_posix(),
        source=None if settings.derive else source,
        target=target,
        label=label,
        text=text,
    )


def _label_columns(settings: DataSettings) -> tuple[str, ...]:
    return tuple(name.strip() for name in (settings.label_columns or "").split(",") if name.strip())


def _label_and_text(row: Row, settings: DataSettings) -> tuple[str | None, str | None]:
    """Label and text of a row.

    Raises:
        ValueError: a cell of another type.
    """
    chosen = _label_columns(settings)
    label = attributes(row.cells, chosen) if chosen else as_labels(row.cells.get("label"))
    return label, as_text(row.cells.get("text"), name="text")


def _single(row: Row, table: Path, names: AnyForm, *, settings: DataSettings) -> Pair | Problem:
    """The one picture of a row."""
    if row.error:
        return Problem(table, f"line {row.line}: {row.error}")
    try:
        label, text = _label_and_text(row, settings)
    except ValueError as error:
        return Problem(table, f"line {row.line}: {error}")
    view = _file(row, "file_name", table, names)
    if isinstance(view, Problem):
        return view
    if view is None:
        return Problem(table, f"line {row.line}: no file_name")
    if row.cells.get("target_file_name"):
        return Problem(table, f"line {row.line}: a target_file_name, though these are single pictures")
    name = view.path.relative_to(table.parent).as_posix()
    return Pair(name=name, target=view, label=label, text=text)


def _file(row: Row, column: str, table: Path, names: AnyForm) -> View | Problem | None:
    """The file that a cell names, or None for an empty one."""
    try:
        name = as_text(row.cells.get(column), name=column)
    except ValueError as error:
        return Problem(table, f"line {row.line}: {error}")
    if name is None:
        return None
    # Other places would make the names of pairs, and with them the data's fingerprint, depend on the machine.
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or Path(inner).is_absolute() or ".." in inner.parts:
        return Problem(table, f"line {row.line}: {column} {name!r} is not a path below the table's folder")
    path = names.find(table.parent, Path(inner))
    if path is None:
        return Problem(table.parent / inner, f"no such file, though line {row.line} of {table.name} names it")
    return View(path)


def _path(cell: object) -> Path | None:
    """A file below the table as the cell names it; None for an empty one."""
    name = as_text(cell, name="file_name")
    return None if name is None else Path(name.replace("\\", "/"))


def _unique(pairs: list[Pair]) -> tuple[Pair, ...]:
    """Pairs with unique names: one source may have several targets, so the second use of a name gets `#2`."""
    seen: Counter[str] = Counter()
    result = []
    for pair in pairs:
        seen[pair.name] += 1
        result.append(pair if seen[pair.name] == 1 else replace(pair, name=f"{pair.name}#{seen[pair.name]}"))
    return tuple(result)
