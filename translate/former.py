"""Settings by the names and meanings that they had in earlier versions. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError


def former_run_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a run by the names of today: `compile` was a switch, and `step` a number, now `init_step`.

    Raises:
        ValueError: an old and a new name together, with different meanings.
    """
    found = {name: value for name, value in values.items() if name != "compile"}
    step = found.get("step")
    if step is None or isinstance(step, int) or str(step).isdecimal():
        found.pop("step", None)
        if step is not None and found.setdefault("init_step", step) != step:
            raise ValueError(f"--step {step} is an old name of --init-step, which is given too: leave --step out")
    try:
        compiled = TypeAdapter(bool).validate_python(values.get("compile") or False)
    except ValidationError:
        raise ValueError(f"--compile got {values['compile']}: it is true or false; write --step compile") from None
    if compiled and found.setdefault("step", "compile") != "compile":
        raise ValueError(f"--compile means --step compile, and --step {found['step']} is given: leave one out")
    return found
