"""Fixtures for runs in which something happens on the way."""

import pytest

from translate.training.session import Session


@pytest.fixture
def after_step(monkeypatch):
    """Call something with the session when a certain step has been made for the first time."""

    def install(step, action):
        plain, waiting = Session.advance, [action]

        def advance(session, batches):
            plain(session, batches)
            if session.done == step and waiting:
                waiting.pop()(session)

        monkeypatch.setattr(Session, "advance", advance)

    return install
