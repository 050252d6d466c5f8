"""`translate inspect`: read a set, look for what is wrong with it, suggest a training. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.fields import flag, split
from translate.files import write_text
from translate.inspection import findings as checks
from translate.inspection.findings import Finding
from translate.inspection.judging import pair_findings
from translate.inspection.looks import look_at
from translate.inspection.options import ONLY_IN_STEPS, InspectedData, InspectSettings
from translate.inspection.page import contact_sheet, write_page, write_sheet
from translate.inspection.reading import Set, kind_of, read_set
from translate.inspection.suggesting import Suggestion, suggestion_of
from translate.inspection.summary import Inspection

if TYPE_CHECKING:
    from translate.inspection.trying import Trial

GRAVITY = ("error", "warning", "note")


def check_settings(settings: InspectSettings, data: InspectedData) -> None:
    """
    Raises:
        ValueError: a flag that has no effect beside the others.
    """
    settings.refuse_unused()
    data.refuse_unused()
    files = {name: path for name in ("json", "html", "sheet") if (path := getattr(settings, name)) is not None}
    for name, path in files.items():
        if path.is_dir():
            raise ValueError(f"{flag(name)} {path}: this is a folder; give the file to write")
    if data.val_crop:
        raise ValueError("--val-crop is for validation, and this command does not validate: leave it out")
    for name in ONLY_IN_STEPS if not settings.try_steps else ():
        if getattr(data, name) != type(data).model_fields[name].default:
            raise ValueError(f"{flag(name)} changes nothing with --try-steps 0: leave it out")


def inspect(data: str | Path | None = None, **settings: Any) -> Inspection:
    """Look through the pictures of a folder before training; see `translate inspect --help` for the settings.

    The result has `findings`, `text()` and `as_json()`.

    Raises:
        ValueError: a setting or the pictures are wrong.
        OSError: a file cannot be written.
    """
    given = settings if data is None else {**settings, "data": data}
    own, pictures = split(given, InspectSettings, InspectedData)
    if pictures.strict:
        raise ValueError("strict is the command's exit code: here look at `findings`")
    return look_through(pictures, own, say=lambda line: None)


def look_through(
    data: InspectedData, settings: InspectSettings, *, say: Callable[[str], None], progress: bool = False
) -> Inspection:
    """Everything that is found about the pictures of `data`; writes the files that `settings` name.

    Raises:
        ValueError: settings that contradict each other or the pictures, or no picture that can be used.
        OSError: a file cannot be written.
    """
    check_settings(settings, data)
    kind = kind_of(data) if settings.kind == "auto" else settings.kind
    if kind != "pairs" and "check_pairs" in settings.model_fields_set:
        raise ValueError(f"--check-pairs is for pairs, and these pictures are {kind}: leave it out")
    read = read_set(data, kind, say=say, progress=progress)
    every = [pair for pairs in read.splits.values() for pair in pairs]
    seen = look_at(every, read.prepared.specs, max_pixels=data.max_pixels, progress=progress)
    read = replace(read, looks=seen)
    remarks: list[str] = []
    found = sorted(_findings(read, settings, remarks, progress=progress), key=lambda f: GRAVITY.index(f.severity))
    suggestion = suggestion_of(read, found, data)
    trial = _tried(read, suggestion, settings, say=say)
    inspection = Inspection(read, tuple(found), tuple(remarks), suggestion, trial)
    page = contact_sheet(read) if settings.sheet or settings.html else None
    if settings.sheet and page is not None:
        write_sheet(settings.sheet, page)
    if settings.html:
        write_page(settings.html, inspection, page)
    if settings.json:
        write_text(settings.json, json.dumps(inspection.as_json(), indent=2) + "\n")
    return inspection


def _findings(read: Set, settings: InspectSettings, remarks: list[str], *, progress: bool) -> Iterator[Finding]:
    yield from checks.unusable(read)
    yield from checks.repeated(read)
    if settings.near_duplicates:
        yield from checks.nearly_repeated(read)
    yield from checks.many_targets(read)
    yield from checks.exceptions(read)
    yield from checks.classes(read)
    if settings.check_pairs:
        yield from pair_findings(read, remarks, progress=progress)


def _tried(
    read: Set, suggestion: Suggestion, settings: InspectSettings, *, say: Callable[[str], None]
) -> Trial | str | None:
    """The trial, or why it failed."""
    if not settings.try_steps:
        return None
    from translate.devices import is_out_of_memory, pick_device
    from translate.inspection.trying import try_steps

    pick_device(settings.device)  # raises now what is the user's to correct
    say(f"trying {suggestion.model}: {settings.try_steps} step{'s' if settings.try_steps > 1 else ''}")
    try:
        return try_steps(read, suggestion, steps=settings.try_steps, device=settings.device)
    except ValueError as error:
        return f"no step could be tried: {error}"
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return "no step could be tried: memory ran out: take a smaller --size"
