"""The result of an inspection: numbers of the set, findings, suggestion; as text and as JSON. Imports no torch."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from translate.datasets.pairs import ROLES, of_side
from translate.inspection.findings import Finding, side_looks
from translate.inspection.looks import Look
from translate.inspection.reading import Set, labelled
from translate.inspection.suggesting import Suggestion
from translate.outside import visible
from translate.version import __version__

if TYPE_CHECKING:
    from translate.inspection.trying import Trial

FORMAT = 1  # of the JSON file
NAMED = 3  # files that a finding names
SHOWN = 6  # sizes, classes and the like that are listed
NOUNS = {"pairs": "pairs", "unpaired": "pictures of two sides, without pairs", "domains": "pictures of several domains"}


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found about a set."""

    read: Set = field(repr=False)  # of thousands of pictures
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]  # what was not looked at, and why
    suggestion: Suggestion
    trial: Trial | str | None = None  # a text: why there is none

    def __str__(self) -> str:
        return self.text()

    def text(self, *, every: bool = False) -> str:
        """For the terminal; `every`: with all files of all findings."""
        read = self.read
        lines = [
            f"{' and '.join(map(str, read.roots))}: {NOUNS.get(read.kind, 'pictures of one kind')} ({read.layout})"
        ]
        lines += [f"  {name}: {value}" for name, value in facts(read)]
        lines += ["", *finding_lines(self.findings, every=every)]
        lines += [f"  {remark}" for remark in self.remarks]
        lines += ["", "suggested:", f"  {self.suggestion.command}"]
        lines += [f"  {reason}" for reason in self.suggestion.reasons]
        if self.trial is not None:
            lines.append(f"  {self.trial if isinstance(self.trial, str) else self.trial.describe()}")
        return "\n".join(map(visible, lines))

    def as_json(self) -> dict[str, Any]:
        """Plain values of everything; see docs/data.md."""
        read, trial = self.read, self.trial
        return {
            "format": FORMAT,
            "version": __version__,
            "folders": [str(root) for root in read.roots],
            "kind": read.kind,
            "layout": read.layout,
            "held_out": read.held_out,
            "splits": {split: _counted(read, split) for split in read.splits},
            "sides": {role: _side(side_looks(read, role)) for role in read.sides},
            "classes": classes(read),
            "captions": _captions(read),
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "message": finding.message,
                    "count": len(finding.files),
                    "files": list(finding.files),
                }
                for finding in self.findings
            ],
            "not_looked_at": list(self.remarks),
            "suggestion": {
                "model": self.suggestion.model,
                "command": self.suggestion.command,
                "argv": shlex.split(self.suggestion.command),
                "reasons": list(self.suggestion.reasons),
            },
            "trial": {"failed": trial} if isinstance(trial, str) else trial and trial.as_json(),
            "training_report": list(read.lines),
        }


def finding_lines(findings: Sequence[Finding], *, every: bool = False) -> list[str]:
    """Each finding with its first files, the gravest first."""
    if not findings:
        return ["found: nothing to correct"]
    lines = [f"found: {len(findings)} thing{'s' if len(findings) > 1 else ''} to look at"]
    for finding in findings:
        lines.append(f"  {finding.severity}: {finding.message}")
        shown = finding.files if every else finding.files[:NAMED]
        lines += [f"      {name}" for name in shown]
        if rest := len(finding.files) - len(shown):
            lines.append(f"      and {rest:,} more (--all)")
    return lines


def facts(read: Set) -> list[tuple[str, str]]:
    """What there is, as names and texts."""
    found = []
    for split in read.splits:
        counts = _counted(read, split)
        text = " and ".join(
            f"{number:,} {noun if number != 1 else noun.removesuffix('s')}" for noun, number in counts.items()
        )
        found.append((split, text + (" (held out of training)" if split == "val" and read.held_out else "")))
    for role in read.sides:
        found.append((f"{role}s" if len(read.sides) > 1 else "pictures", _described(_side(side_looks(read, role)))))
    if read.settings.derive:
        found.append(("sources", f"made of the targets by --derive {read.settings.derive}"))
    if counts := classes(read):
        first = ", ".join(f"{label} {number:,}" for label, number in list(counts.items())[:SHOWN])
        more = f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
        found.append(("classes", f"{len(counts):,}: {first}{more}"))
    if captions := _captions(read):
        found.append(("captions", f"{captions['pictures']:,} pictures, {captions['distinct']:,} distinct captions"))
    return found


def classes(read: Set) -> dict[str, int]:
    """Training pictures of each class, the most first."""
    parts = (part.strip() for pair in labelled(read).get("train", ()) for part in (pair.label or "").split(","))
    return dict(Counter(part for part in parts if part).most_common())


def _captions(read: Set) -> dict[str, int]:
    texts = [pair.text for pairs in read.splits.values() for pair in pairs if pair.text]
    return {"pictures": len(texts), "distinct": len(set(texts))} if texts else {}


def _counted(read: Set, split: str) -> dict[str, int]:
    pairs = read.splits[split]
    if read.kind == "unpaired":
        return {f"{role}s": len(of_side(pairs, role)) for role in ROLES}
    return {"pairs" if read.kind == "pairs" else "pictures": len(pairs)}


def _side(looks: Sequence[Look]) -> dict[str, Any]:
    if not looks:
        return {}
    sizes = Counter(look.size for look in looks)
    return {
        "files": len(looks),
        "sizes": dict(sizes.most_common(100)),
        "distinct_sizes": len(sizes),
        "width": _spread([look.width for look in looks]),
        "height": _spread([look.height for look in looks]),
        "channels": {str(bands): number for bands, number in Counter(look.bands for look in looks).most_common()},
        "depths": dict(Counter(look.dtype for look in looks).most_common()),
        "formats": dict(Counter(look.format for look in looks).most_common()),
        "transparent": sum(look.alpha for look in looks),
        "gray": sum(look.neutral for look in looks if look.bands <= 3),  # more have no colours to be without
        "values": [min(look.low for look in looks), max(look.high for look in looks)],
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def _described(side: dict[str, Any]) -> str:
    if not side:
        return "none that can be read"
    depths = {"uint8": "8 bits", "uint16": "16 bits", "float32": "float"}
    if side["distinct_sizes"] == 1:
        size = f"all {next(iter(side['sizes']))}"
    else:
        width, height = side["width"], side["height"]
        size = (
            f"{side['distinct_sizes']:,} sizes from {width['min']}x{height['min']} to {width['max']}x{height['max']}, "
            f"half at least {width['median']:g}x{height['median']:g}"
        )
    bands = _listed({f"{bands} channel{'s' if bands != '1' else ''}": n for bands, n in side["channels"].items()})
    low, high = side["values"]
    parts = [size, bands, _listed({depths[name]: n for name, n in side["depths"].items()}), _listed(side["formats"])]
    parts.append(f"values {low:g} to {high:g}")
    if side["transparent"]:
        parts.append(f"{side['transparent']:,} transparent in places")
    if side["gray"] and set(side["channels"]) != {"1"}:
        gray = "all" if side["gray"] == side["files"] else format(side["gray"], ",")
        parts.append(f"{gray} gray (of one channel or stored as colour)")
    return "; ".join(parts)


def _listed(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{number:,} of {name}" for name, number in counts.items())
