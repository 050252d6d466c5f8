"""The shape of the code base, kept by walking its syntax trees: who may import whom, and more."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LONGEST_FILE = 400
LINKED = ("datasets", "export")  # folders at the top level that are imported as parts of the package

MAY_IMPORT: dict[str, set[str]] = {
    # Knows nothing of the rest.
    "version": set(),
    "outside": set(),
    "tables": {"outside"},
    "sizes": {"outside"},
    "files": set(),
    "borrowed": set(),
    "locks": {"outside"},
    "memory": set(),
    "signals": set(),
    "tuning": set(),
    "console": {"outside"},
    "devices": {"tables"},
    "images": {"borrowed", "files", "outside", "tables"},
    "houses": {"files", "images", "outside", "tables"},
    "recipes": {"tables"},
    "config": {"files", "outside", "fields", "settings"},
    "foreign_flags": {"outside", "tables"},
    "fields": {"foreign_flags", "outside"},
    "figures": {"tables"},
    "former": set(),
    "pace": set(),
    "settings": {"fields", "figures", "former", "images", "outside", "pace", "recipes", "sizes", "tables"},
    "codes": {"outside"},
    "conditions": {"codes", "outside", "tables"},
    "allow": {"fields", "settings"},
    "card": {"conditions", "console", "images", "outside", "recipes", "fields", "settings", "sizes", "version"},
    "batch": {"images"},
    "draws": set(),
    "weights": {"devices", "files", "outside"},
    # Tensors in, tensors out: of settings the base alone, no models, no files, no pictures.
    "networks": {"borrowed", "fields", "outside", "sizes", "tables"},
    "losses": {"tables"},
    # One method a file; the pictures come from elsewhere.
    "models": {
        *("conditions", "draws", "networks", "losses", "fields", "settings", "sizes", "card", "batch", "images"),
        *("codes", "pace", "tables", "version", "allow", "outside"),
    },
    "datasets": {
        *("conditions", "draws", "fields", "settings", "sizes", "batch", "images", "files", "tables", "console"),
        *("borrowed", "memory", "outside"),
    },
    # The work.
    "export": {
        *(
            "borrowed",
            "conditions",
            "outside",
            "datasets",
            "fields",
            "settings",
            "card",
            "batch",
            "images",
            "files",
            "tables",
        ),
    },
    "inference": {
        *("allow", "borrowed", "sizes", "export", "datasets", "models"),
        *("codes", "networks"),
        "conditions",
        "fields",
        "settings",
        "card",
        "batch",
        "images",
        "files",
        "tables",
        "devices",
        "weights",
        "locks",
        "memory",
        "outside",
        "console",
        "version",
    },
    "evaluation": {
        "console",
        "outside",
        "conditions",
        "figures",
        "losses",
        "networks",
        "datasets",
        "models",
        "fields",
        "settings",
        "card",
        "batch",
        "images",
        "files",
        "tables",
        "devices",
    },
    "pages": {
        *("outside", "allow", "files", "fields", "figures", "recipes", "settings", "card", "models", "inference"),
        *("console", "version"),
    },
    "training": {
        *("pages", "draws", "evaluation", "figures", "inference", "datasets", "models", "networks", "losses", "pace"),
        *(
            "conditions",
            "fields",
            "settings",
            "recipes",
            "card",
            "batch",
            "images",
            "files",
            "tables",
            "devices",
            "weights",
        ),
        *("allow", "borrowed", "outside", "locks", "sizes", "version", "console"),
    },
    "importing": {
        *("training", "locks", "sizes", "models", "networks", "fields", "settings", "card", "images", "files"),
        *("devices", "allow", "outside", "weights"),
    },
    "inspection": {
        *("conditions", "console", "datasets", "devices", "fields", "files", "images", "outside", "settings", "sizes"),
        *("training", "version"),
    },
    "demo": {
        *(
            "pages",
            "training",
            "evaluation",
            "inference",
            "houses",
            "recipes",
            "fields",
            "settings",
            "images",
            "files",
            "devices",
        ),
        "outside",
    },
    # The doors: the package itself, which loads its names when they are used, and the command.
    "translate": {"training", "inference", "inspection", "version"},
    "help": {"console", "fields", "settings", "sizes"},
    "arguments": {"help", "fields", "settings"},
    "command_settings": {
        *("allow", "demo", "importing", "pages", "training", "inference", "inspection", "export", "models"),
        *("fields", "settings"),
    },
    "command_table": {
        *("allow", "arguments", "command_settings", "datasets", "fields", "help", "models", "recipes", "tables"),
    },
    "command_help": {"allow", "arguments", "command_table", "console", "fields", "help", "recipes"},
    "errors": {"allow", "outside", "export", "training"},
    "cli_pages": {"allow", "arguments", "console", "inference", "pages", "training"},
    "cli_inspect": {"arguments", "console", "fields", "inspection"},
    "cli": {
        *("cli_inspect", "cli_pages", "command_help", "command_settings", "command_table", "pages", "allow", "errors"),
        *("demo", "importing", "training", "inference", "export", "datasets", "models"),
        *("config", "signals", "tuning", "fields", "settings", "recipes", "help", "arguments", "tables", "version"),
        "console",
    },
    "__main__": {"cli"},
}
"""Part of the package -> the parts it may import, besides itself. A new part needs a line here."""

TORCH_FREE = (
    "translate",
    "cli",
    "cli_pages",
    "pages",
    "errors",
    "help",
    "arguments",
    "command_help",
    "command_settings",
    "command_table",
    "demo",
    "fields",
    "settings",
    "figures",
    "sizes",
    "allow",
    "recipes",
    "foreign_flags",
    "config",
    "conditions",
    "card",
    "version",
    "outside",
    "tables",
    "files",
    "borrowed",
    "locks",
    "cli_inspect",
    "console",
    "images",
    "houses",
    "inference",
)
"""Parts that start in a fraction of a second, and where torch is absent."""

ONLY_IN = {
    "albumentations": "datasets/examples/transforms.py",  # the last MIT release: one file to replace one day
    "kornia": "translate/networks/augment.py",  # slow to import, and needed by few
    "timm": "translate/networks/backbone.py",  # the same
}
MAY_PRINT = ("cli", "cli_pages", "errors")


@cache
def modules() -> dict[str, Path]:
    """Every module of the library, by the name it is imported under."""
    found = {}
    for folder, package in (("translate", "translate"), *((name, f"translate.{name}") for name in LINKED)):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if folder == "translate" and inside.parts[0] in LINKED:
                continue  # the link to another folder, which Python 3.13 and later follow
            parts = inside.with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


def part(module: str) -> str:
    """The table's line for a name: `translate.images.spec` -> `images`, `translate.load` -> `translate`."""
    package, *rest = module.split(".")
    return rest[0] if rest and (rest[0] in MAY_IMPORT or module in modules()) else package


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, wherever in the file it does so."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name, not relative to the file"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def each(names: tuple[str, ...] | None = None) -> pytest.MarkDecorator:
    """Parametrise over the modules, so that a new file is tested by existing."""
    chosen = [name for name in modules() if names is None or part(name) in names]
    return pytest.mark.parametrize("module", chosen)


def test_the_table_has_no_circle() -> None:
    order = graphlib.TopologicalSorter(MAY_IMPORT)
    assert set(order.static_order()) == set(MAY_IMPORT)


@pytest.mark.parametrize("package", ["translate.inference", "translate.export"])
def test_the_files_of_a_part_import_each_other_one_way(package: str) -> None:
    inside = {name: path for name, path in modules().items() if name.startswith(f"{package}.")}
    graph = {
        name: {other for _, line in imports(path) for other in inside if f"{line}.".startswith(f"{other}.")}
        for name, path in inside.items()
    }
    order = graphlib.TopologicalSorter(graph)
    assert set(order.static_order()) == set(inside)


@each()
def test_imports_go_one_way(module: str) -> None:
    here = part(module)
    assert here in MAY_IMPORT, f"{module}: a new part of the package needs a line in MAY_IMPORT"
    allowed = MAY_IMPORT[here] | {here}
    names = list(imports(modules()[module]))
    wrong = [
        f"line {line} imports {n}" for line, n in names if n.split(".")[0] == "translate" and part(n) not in allowed
    ]
    assert not wrong, f"{module} ({here}) may import {sorted(allowed)}: {'; '.join(wrong)}"
    top_level = [f"line {line}" for line, name in names if name.split(".")[0] == "datasets"]
    assert not top_level, f"{module}: `datasets` is Hugging Face's, ours is `translate.datasets`: {top_level}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_some_libraries_are_imported_in_one_file_only(library: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in modules().values()
        if any(name.split(".")[0] == library for _, name in imports(path))
    }
    assert users <= {ONLY_IN[library]}


def test_what_needs_no_torch_imports_where_torch_is_absent() -> None:
    names = [name for name in modules() if part(name) in TORCH_FREE and not name.endswith("__main__")]
    script = (
        "import importlib, sys, traceback\n"
        "sys.modules['torch'] = None\n"  # what makes `import torch` raise ImportError
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError: traceback.print_exc(); print(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def import_names() -> set[str]:
    """What the declared dependencies are imported as."""
    special = {"pillow": "PIL", "opencv-python-headless": "cv2", "pytest-xdist": "xdist"}
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]
    names = ["".join(c if c.isalnum() or c in "-_" else " " for c in line).split()[0] for line in declared]
    return {special.get(name, name.replace("-", "_")) for name in names}


@each()
def test_no_file_is_named_after_what_it_imports(module: str) -> None:
    path = modules()[module]
    foreign = {name.split(".")[0] for _, name in imports(path)} - {"translate"}
    assert path.stem not in import_names() | foreign


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, path in modules().items()
        if part(name) not in MAY_PRINT
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


@each()
def test_what_is_public_has_a_docstring(module: str) -> None:
    body = tree(modules()[module])
    if not body.body:
        return  # an empty __init__.py
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in body.body if isinstance(node, kinds) and not node.name.startswith("_")]
    public = [node for node in public if "overload" not in map(ast.unparse, node.decorator_list)]
    bare = [f"{node.name} (line {node.lineno})" for node in public if not ast.get_docstring(node)]
    bare += [] if ast.get_docstring(body) else ["the file"]
    assert not bare, f"{module}: without a docstring: {', '.join(bare)}"


@pytest.mark.parametrize("folder", ["translate", *LINKED, "tests", "benchmarks", ".ci"])
def test_files_are_short_and_finished(folder: str) -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > LONGEST_FILE:
            wrong.append(f"{path.relative_to(ROOT)}: {len(lines)} lines, more than {LONGEST_FILE}: split it")
        for number, line in enumerate(lines, 1):
            if any(mark in line for mark in marks):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_every_package_is_declared() -> None:
    """They are listed by hand, since no finder of setuptools follows the mapping of the top-level folders."""
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages
    missing = {name.rpartition(".")[0] for name in modules()} - packages - {""}
    assert not missing, f"without an __init__.py: {sorted(missing)}"


@pytest.mark.parametrize("folder", LINKED)
def test_top_level_folders_are_linked_into_the_package(folder: str) -> None:
    link = ROOT / "translate" / folder
    if not link.is_symlink():
        pytest.skip("this clone was made without symbolic links (Windows): the package-dir mapping serves alone")
    assert link.resolve() == ROOT / folder
