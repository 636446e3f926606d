"""What is told of single calls, and whether anybody hears it: an event made for nobody only costs time."""

import asyncio
import logging
from typing import Any

import attrs
import pytest

from omeda_async import ClientOptOut, InvalidRecord, LimitWaitExceeded, RateLimit, Window
from omeda_async._single import call
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
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel
from tests.core.scripted import ALL, CAMPAIGN_CANCEL, OPT_OUTS, TRANSACTION_CANCEL, Case, account, campaign, lost, never

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


def _last(told: list[Event], number: int) -> list[Any]:
    return [(type(event).__name__, getattr(event, "counts", None)) for event in told[-number:]]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.operation.name)
async def test_the_events_of_a_call_say_whose_they_are_and_no_id(case: Case) -> None:
    """One call id, the method and the template of the path in each; what it was asked with in none."""
    told: list[Event] = []
    owner, _ = account(case.done, hooks=(told.append,))
    await case.run(owner)
    assert [type(event) for event in told] == STORY
    assert len({event.call_id for event in told}) == 1
    assert {(event.run_id, event.method, event.path) for event in told} == {
        (None, case.operation.method, case.operation.path)
    }
    shown = " ".join(map(repr, told))
    assert not any(one in shown for one in ("FOO", "1000248", "15d0", "a@b.example", "app-id-1234", "omailuser1"))


async def test_calls_are_told_apart() -> None:
    """Each has an id of its own, so have those at the same time."""
    told: list[Event] = []
    owner, _ = account(*[CAMPAIGN_CANCEL.done] * 3, hooks=(told.append,))
    await asyncio.gather(*(CAMPAIGN_CANCEL.run(owner) for _ in range(3)))
    assert len({event.call_id for event in told}) == 3


async def test_the_read_of_a_lost_answer_names_the_call_that_it_is_made_for() -> None:
    """It is a call of its own, of no record."""
    told: list[Event] = []
    owner, _ = account(lost(), campaign("canceled"), hooks=(told.append,))
    await CAMPAIGN_CANCEL.run(owner)
    asked, read = (event for event in told if isinstance(event, CallStarted))
    assert (asked.records, asked.made_for) == (1, ())
    assert (read.operation, read.records, read.made_for) == ("campaigns.get", 0, (asked.call_id,))
    assert _last(told, 2) == [("CallEnded", None), ("OutcomesReached", {"already_done": 1})]


async def test_the_outcome_of_one_request_counts_for_all_its_records() -> None:
    """All opt-outs of a request are processed, or none."""
    told: list[Event] = []
    owner, _ = account(OPT_OUTS.done, hooks=(told.append,))
    params = attrs.evolve(OPT_OUTS.params, opt_outs=[*OPT_OUTS.params.opt_outs, ClientOptOut("c@d.example")])
    await call(owner, OPT_OUTS.operation, params)
    assert _last(told, 1) == [("OutcomesReached", {"done": 2})]


async def test_a_read_has_no_outcome() -> None:
    """There is no record that anything could become of."""
    told: list[Event] = []
    owner, _ = account(campaign("Sent"), hooks=(told.append,))
    await call(owner, ocamba.GET, ocamba.GetCampaign(campaign_id="1000248"))
    assert [type(event) for event in told] == STORY[:-1]


async def test_what_cannot_be_sent_is_told_as_rejected() -> None:
    """A call that made no attempt is one all the same."""
    told: list[Event] = []
    owner, _ = account(hooks=(told.append,))
    with pytest.raises(InvalidRecord):
        await call(owner, ocamba.CANCEL, CampaignCancel(""))
    assert [type(event) for event in told] == [CallStarted, CallEnded, OutcomesReached]
    assert isinstance(told[1], CallEnded)
    assert (told[1].outcome, told[1].error, told[1].attempts) == ("rejected", "InvalidRecord", 0)
    assert _last(told, 1) == [("OutcomesReached", {"rejected": 1})]


async def test_what_the_limiter_refuses_is_told_as_not_sent() -> None:
    """With the error's class, by which it can be counted."""
    told: list[Event] = []
    limit = RateLimit(Window(1, 100.0), interactive_reserve=0)
    owner, _ = account(CAMPAIGN_CANCEL.done, hooks=(told.append,), rate_limit=limit)
    await CAMPAIGN_CANCEL.run(owner)
    with pytest.raises(LimitWaitExceeded):
        await call(owner, CAMPAIGN_CANCEL.operation, CAMPAIGN_CANCEL.params, max_wait=1.0)
    ended = told[-2]
    assert isinstance(ended, CallEnded)
    assert (ended.outcome, ended.error) == ("not_sent", "LimitWaitExceeded")


@pytest.mark.parametrize(("seconds", "outcome"), [(0.5, "unknown"), (0.0, "not_sent")])
async def test_a_call_that_is_cancelled_is_told_with_what_is_certain(seconds: float, outcome: str) -> None:
    """In flight it may have been carried out; before that it was not."""
    told: list[Event] = []
    owner, _ = account(never, hooks=(told.append,), rate_limit=RateLimit(Window(1, 100.0), interactive_reserve=0))
    if not seconds:
        await owner.limiter.acquire()
    task = asyncio.create_task(call(owner, TRANSACTION_CANCEL.operation, TRANSACTION_CANCEL.params))
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = told[-2]
    assert isinstance(ended, CallEnded)
    assert (ended.outcome, ended.error) == (outcome, "CancelledError")
    attempts = [event for event in told if isinstance(event, AttemptEnded)]
    assert [(event.status, event.error) for event in attempts] == [(None, "CancelledError")] * (seconds > 0)
    assert _last(told, 1) == [("OutcomesReached", {outcome: 1})]


async def test_an_attempt_tells_where_it_goes_and_how_long_it_waited() -> None:
    """Its end says so again, with what came of it."""
    told: list[Event] = []
    limit = RateLimit(Window(1, 10.0), interactive_reserve=0)
    owner, _ = account(*[CAMPAIGN_CANCEL.done] * 2, hooks=(told.append,), rate_limit=limit)
    for _ in range(2):
        await CAMPAIGN_CANCEL.run(owner)
    started = [event for event in told if isinstance(event, AttemptStarted)]
    ended = [event for event in told if isinstance(event, AttemptEnded)]
    assert {event.base_url for event in started} | {event.base_url for event in ended} == {owner.url}
    assert [event.waited for event in started] == [event.waited for event in ended]
    assert started[1].waited == pytest.approx(10.0, abs=0.5)
    assert [(event.attempt, event.status, event.error) for event in ended] == [(1, 204, None)] * 2
