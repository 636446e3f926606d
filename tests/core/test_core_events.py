"""Whether anybody hears an event: one made for nobody only costs time."""

import logging

import pytest

from omeda_async.events import (
    LOGGED_ONLY,
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    OutcomesReached,
    log_event,
)
from tests.core.scripted import CAMPAIGN_CANCEL, account

STORY = [CallStarted, AttemptStarted, AttemptEnded, CallEnded, OutcomesReached]
"""Of a single call that one attempt is enough for."""


async def test_an_event_is_told_to_every_hook_whatever_the_log_shows(caplog: pytest.LogCaptureFixture) -> None:
    """What the logger lets through counts for the logger alone."""
    for hooks in ((), LOGGED_ONLY, (log_event,)):
        told: list[Event] = []
        owner, _ = account(CAMPAIGN_CANCEL.done, hooks=(*hooks, told.append))
        with caplog.at_level(logging.CRITICAL, "omeda_async"):
            await CAMPAIGN_CANCEL.run(owner)
        assert [type(event) for event in told] == STORY


async def test_an_attempt_is_logged_at_debug_and_not_above(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out for speed is what nobody would have seen."""
    counts: list[int] = []
    for level in (logging.DEBUG, logging.INFO):
        caplog.clear()
        owner, _ = account(CAMPAIGN_CANCEL.done, hooks=LOGGED_ONLY)
        with caplog.at_level(level, "omeda_async"):
            await CAMPAIGN_CANCEL.run(owner)
        counts.append(caplog.text.count("AttemptEnded"))
    assert counts == [1, 0]
