"""How one would train on a set: method, size, fit and kind, as the flags of a command. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from translate.fields import flag
from translate.inspection.findings import Finding, side_looks
from translate.inspection.looks import COLOURS, Look
from translate.inspection.reading import Set, labelled
from translate.settings import DataSettings
from translate.sizes import Size

METHODS = {"pairs": "pix2pix", "unpaired": "cyclegan", "domains": "stargan", "targets": "dcgan"}
SIZES = (256, 128, 64, 32)
LARGEST = {"dcgan": 64, "stargan": 128}  # that a method was published with
ENLARGED = 1.15  # most that a picture is enlarged to reach a size
SQUARE = 1.15  # proportions that may be stretched to a square
ALIKE = 1.1  # proportions that may be stretched to each other
LONGEST = 3  # times that a crop is as long as wide at most
STEP = 32  # pixels of which the sides of a crop are multiples


@dataclass(frozen=True)
class Suggestion:
    """A training that suits a set."""

    model: str
    settings: dict[str, Any]  # of the pictures, beside those that were given
    reasons: tuple[str, ...]
    command: str


def suggestion_of(read: Set, findings: Sequence[Finding], given: DataSettings) -> Suggestion:
    """What suits the pictures that were read; settings that were `given` stay."""
    model, reasons, settings = METHODS[read.kind], [], dict[str, Any]()
    looks = [look for role in read.sides for look in side_looks(read, role)]
    reasons.append(f"method {model}: {_why(read)}")
    reasons.append(f"layout {read.layout}: as the folders are")
    ratios = sorted(look.width / look.height for look in looks)
    spread = ratios[int(0.95 * (len(ratios) - 1))] / ratios[int(0.05 * (len(ratios) - 1))]
    fit = "stretch" if spread <= ALIKE else "cover"
    size, why = _size(looks, most=LARGEST.get(model, SIZES[0]), square=model in LARGEST or fit == "cover")
    settings["size"] = size
    reasons.append(f"size {given.size}: as given" if "size" in given.model_fields_set else f"size {size}: {why}")
    settings["fit"] = fit
    how = "all have nearly the same proportions" if fit == "stretch" else "proportions differ, and would be distorted"
    reasons.append(f"fit {given.fit}: as given" if "fit" in given.model_fields_set else f"fit {fit}: {how}")
    for role in read.sides:
        count = _label_colours(side_looks(read, role))
        if (
            count
            and f"{role}_kind" not in given.model_fields_set
            and read.kind != "targets"
            and not (role == "target" and read.kind == "domains")
        ):
            settings[f"{role}_kind"] = "labels"
            reasons.append(f"{role} kind labels: {count} colours in all pictures together, as label maps have")
    if read.kind == "domains" and (twins := _twins(read)):
        source, target = (str(given.data / folder.name) if given.data else folder.name for folder in twins)
        same = f"the files of {twins[0].name} and {twins[1].name} have the same names"
        reasons.append(f"{same}: if these are pairs, inspect {shlex.join(['--source', source, '--target', target])}")
    if settings.get("target_kind") == "labels" and "source_kind" not in settings and read.kind == "pairs":
        reasons.append("if it is to be label maps to pictures: --direction BtoA, or exchange --source and --target")
    extra: list[str] = []
    if read.kind == "pairs":
        extra = _condition(read, findings, reasons)
    if read.kind == "pairs" and _enlarges(read):
        reasons.append("targets are larger than sources: srresnet --scale 2 or 4 learns to enlarge")
    settings = {name: value for name, value in settings.items() if name not in given.model_fields_set}
    return Suggestion(model, settings, tuple(reasons), _command(model, given, settings, extra))


def _why(read: Set) -> str:
    target = read.prepared.specs["target"]
    photos = target.kind == "image" and target.channels == 3 and target.dtype == "uint8"
    return {
        "pairs": "each source has its target" + ("; --recipe sharp gives sharper photos" if photos else ""),
        "unpaired": "two sides without pairs; fastcut takes a fraction of the time",
        "domains": "pictures of several domains",
        "targets": "pictures of one kind; pix2pix with --derive makes pairs of them",
    }[read.kind]


def _twins(read: Set) -> list[Path]:
    """The folders of two classes whose files have the same names, as those of pairs have; none if they have not."""
    stems: dict[Path, set[str]] = {}
    for pair in (pair for pairs in read.splits.values() for pair in pairs):
        for view in filter(None, (pair.source, pair.target)):
            stems.setdefault(view.path.parent, set()).add(view.path.stem)
    if len(stems) != 2:
        return []
    one, other = stems.values()
    return sorted(stems) if len(one & other) > max(len(one), len(other)) / 2 else []


def _size(looks: Sequence[Look], *, most: int, square: bool) -> tuple[Size, str]:
    height, width = (int(median(sides)) for sides in zip(*((look.height, look.width) for look in looks), strict=True))
    shorter = min(height, width)
    side = next((size for size in SIZES if size <= min(most, ENLARGED * shorter)), SIZES[-1])
    size, ratio = Size(side, side), max(height, width) / shorter
    if not square and SQUARE < ratio <= LONGEST:
        longer = max(STEP, round(side * ratio / STEP) * STEP)
        size = Size(side, longer) if width > height else Size(longer, side)
    return size, f"half of the pictures are at least {width}x{height}"


def _label_colours(looks: Sequence[Look]) -> int:
    """How many colours a side of label maps has; 0 for other pictures."""
    colours: set[int] = set()
    for look in looks:
        if look.colours is None:
            return 0
        colours.update(look.colours)
        if len(colours) > COLOURS:
            return 0
    return len(colours) if len(colours) > 1 else 0


def _condition(read: Set, findings: Sequence[Finding], reasons: list[str]) -> list[str]:
    several = any(finding.kind == "many-targets" for finding in findings)
    train = labelled(read).get("train", ())
    for name, noun, has in (
        ("text", "captions", any(pair.text for pair in train)),
        ("label", "labels", any(pair.label for pair in train)),
    ):
        if has:
            reasons.append(f"condition {name}: there are {noun}, which may tell targets of one source apart")
            return ["--condition", name]
    if several:
        reasons.append("one source has several targets: give labels or captions in a table, or use bicyclegan")
    return []


def _enlarges(read: Set) -> bool:
    pairs = [looks for pair in read.prepared.train if (looks := read.of(pair)) and len(looks) == 2]
    return bool(pairs) and all(one.width * 2 <= other.width for one, other in pairs)


def _command(model: str, given: DataSettings, settings: dict[str, Any], extra: list[str]) -> str:
    words = ["translate", "train", model]
    chosen = {name: getattr(given, name) for name in type(given).model_fields if name in given.model_fields_set}
    chosen.pop("strict", None)
    defaults = {name: field.default for name, field in DataSettings.model_fields.items()}
    for name, value in {**chosen, **settings}.items():
        if value == defaults[name]:
            continue
        if isinstance(value, bool):
            words.append(flag(name) if value else flag(f"no_{name}"))
        else:
            words += [flag(name), str(value)]
    return shlex.join([*words, *extra])
