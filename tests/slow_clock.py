"""A clock that only training and its validations move."""

from __future__ import annotations

import pytest

from translate.training import recorder, validator
from translate.training.session import Session


def set_clock(patch: pytest.MonkeyPatch, *, step: float, validation: float) -> None:
    """By the recorder's clock a step and a validation take so many seconds each, and nothing else any."""
    now = [0.0]
    plain, validate = Session.advance, validator.validate

    def advance(session, batches):
        plain(session, batches)
        now[0] += step

    def slow(*args, **kwargs):
        now[0] += validation
        return validate(*args, **kwargs)

    patch.setattr(recorder.time, "perf_counter", lambda: now[0])
    patch.setattr(Session, "advance", advance)
    patch.setattr(validator, "validate", slow)
