"""Changes of a run's pictures since it was started, by name."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from translate.datasets.prepare import READING, Prepared
from translate.files import atomic
from translate.images import ImageSpec
from translate.outside import checked, visible
from translate.training.job import Job

MAX_COMPRESSION = 200  # size of a list of names and digests over its packed size, at most
MAX_NAMED = 10  # files of each kind of change in a message


@dataclass(frozen=True)
class Changes:
    """Names of examples, each with its part (train or val) before it."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    known: bool = True  # False: something has changed, and the run keeps no names, as those of earlier versions

    def __bool__(self) -> bool:
        return bool(self.gone or self.new or self.changed or not self.known)

    def touch(self, part: str) -> bool:
        """Whether there are any in `train` or `val`."""
        named = (*self.gone, *self.new, *self.changed)
        return not self.known or any(name.startswith(f"{part} ") for name in named)

    def describe(self) -> str:
        """In a line: counts and the first names."""
        if not self.known:
            return "this run keeps no list of them that would tell which"
        kinds = {"gone": self.gone, "new": self.new, "changed": self.changed}
        return "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names)

    def as_json(self, *, step: int) -> dict[str, Any]:
        """For the configuration: after which step, how many and the first names."""
        kinds = {"gone": self.gone, "new": self.new, "changed": self.changed}
        named = {kind: {"count": len(names), "first": names[:MAX_NAMED]} for kind, names in kinds.items() if names}
        return {"step": step, **(named if self.known else {"names": "not known"})}


def compare(before: Mapping[str, str], now: Mapping[str, str]) -> Changes:
    """What differs between two sets of examples: name -> digest of its contents."""
    return Changes(
        gone=tuple(sorted(before.keys() - now.keys())),
        new=tuple(sorted(now.keys() - before.keys())),
        changed=tuple(sorted(name for name in before.keys() & now.keys() if before[name] != now[name])),
    )


def write_contents(path: Path, contents: Mapping[str, str]) -> None:
    """Keep names and digests: about 20 bytes for each example.

    Raises:
        OSError: it could not be written.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(gzip.compress(json.dumps(dict(contents)).encode(), mtime=0))


def read_contents(path: Path) -> dict[str, str] | None:
    """What `write_contents` kept; None where there is none, as of a run of an earlier version, or it is damaged."""
    if not path.is_file():
        return None
    try:
        packed = path.read_bytes()
        most = MAX_COMPRESSION * len(packed) + 2**20
        with gzip.open(BytesIO(packed)) as file:
            text = file.read(most + 1)
        if len(text) > most:
            return None
        return checked(dict[str, str], text, values=len(text))
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def settled(
    job: Job, stored: Mapping[str, Any], data: Prepared, *, say: Callable[[str], object]
) -> tuple[Prepared, Changes]:
    """The pictures of a run that goes on, read as before, and what of them has changed, if that is accepted.

    Args:
        stored: the run's configuration.

    Raises:
        ValueError: something has changed without `--accept-changed-data`, or they are of another kind now.
    """
    path, changes, known = job.folder.path, Changes(), stored["data"]
    reread = data.reread if known.get("reading", 1) < READING else ()
    divided = known.get("held_out", data.held_out) != data.held_out or bool(reread and data.regrouped)
    if data.fingerprint != known["fingerprint"] or divided:
        before = read_contents(job.folder.pictures)
        changes = (compare(before, data.contents) if before is not None else None) or Changes(known=False)
    since = f", or rather, this version reads them otherwise ({'; '.join(reread)})" if changes and reread else ""
    now = data.specs
    specs = {side: ImageSpec.model_validate(stored[side]) for side in now}
    others = [
        f"{side} was {specs[side].describe()}, is {now[side].describe()}" for side in now if specs[side] != now[side]
    ]
    if not changes and not others:
        return data, changes
    what = "; ".join([*([changes.describe()] if changes else []), *others])
    if not job.run.accept_changed_data:
        raise ValueError(
            f"the pictures have changed since {path} was started{since}: {what}: restore them, go on with "
            f"--accept-changed-data, or start anew with --init-from {path}"
        )
    for side, spec in specs.items():
        if any(getattr(spec, name) != getattr(now[side], name) for name in ("channels", "kind", "dtype")):
            raise ValueError(
                f"--accept-changed-data: the pictures are of another kind now ({what}): start anew with --init-from "
                f"{path}"
            )
    say(f"WARNING: the pictures have changed since {path} was started{since}: {visible(what)}")
    say("WARNING: they are read as before, and the run goes on with them, since --accept-changed-data was given")
    return replace(data, source=specs.get("source"), target=specs["target"]), changes


def _some(names: tuple[str, ...]) -> str:
    more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
