"""The rooms of the data: who may import whom within `datasets/`, and the one door of the drawn houses."""

from __future__ import annotations

import pytest

from tests.test_structure import ROOT, imports, modules, part


@pytest.mark.slow
def test_the_drawn_houses_are_imported_from_their_package_alone() -> None:
    inner = {name for name in modules() if name.startswith("translate.houses.")}
    users = [path for name, path in modules().items() if part(name) != "houses"]
    users += [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    names = [(path, line, name) for path in users for line, name in imports(path)]
    assert any(name.startswith("translate.houses.") for _, _, name in names)
    wrong = [f"{path}:{line}" for path, line, name in names if name in inner or name.rpartition(".")[0] in inner]
    assert not wrong, f"import from translate.houses itself: {wrong}"


def test_the_rooms_of_datasets_import_one_way() -> None:
    rooms: dict[str, set[str]] = {"layouts": set(), "preparation": {"layouts"}, "examples": set()}
    doors = {"batches": {"prepare", "examples"}, "prepare": {"layouts", "preparation"}}
    doors["background"] = {"prepare", "preparation"}
    shared = {"pairs", "packed", "files", "table", "regions", "resizing", "derive"}
    wrong = []
    for module, path in modules().items():
        parts = module.split(".")
        if parts[:2] != ["translate", "datasets"] or len(parts) == 2:
            continue
        allowed = {parts[2]} | shared | {**rooms, **doors, **dict.fromkeys(shared, shared)}[parts[2]]
        names = [name.split(".") for _, name in imports(path)]
        wrong += [f"{module}: {'.'.join(n)}" for n in names if n[:2] == parts[:2] and n[2] not in allowed]
    assert not wrong
