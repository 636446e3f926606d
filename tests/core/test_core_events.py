"""Whether anybody hears an event: one made for nobody only costs time."""

import logging

import pytest

from omeda_async import events
from omeda_async.events import LOGGED_ONLY, Event, is_heard, log_event
from tests.core.scripted import CAMPAIGN_CANCEL, account


def _own(_event: Event) -> None:
    """Take notice of nothing."""


@pytest.mark.parametrize(
    ("hooks", "level", "heard"),
    [
        ((), logging.DEBUG, False),
        (LOGGED_ONLY, logging.INFO, False),
        (LOGGED_ONLY, logging.DEBUG, True),
        ((_own,), logging.CRITICAL, True),
        ((log_event, _own), logging.CRITICAL, True),
    ],
    ids=["no hooks", "the logger alone", "the logger at DEBUG", "an own hook", "both"],
)
def test_an_event_is_heard_by_an_own_hook_or_by_a_logger_that_listens(
    hooks: tuple[events.Hook, ...], level: int, heard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The logger counts only where its level lets such an event through."""
    with caplog.at_level(level, "omeda_async"):
        assert is_heard(hooks) is heard


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
