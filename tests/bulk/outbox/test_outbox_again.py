"""An acknowledged opt-out is tried until it has an answer; outcomes are told until somebody has heard them."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

import attrs
import pytest

from omeda_async import BrandOptOut, ClientOptOut, Outcome, OutcomeStatus, _clock
from omeda_async._result import Result
from omeda_async.bulk.journal.interface import SETTLED
from omeda_async.bulk.outbox import delivery, place as place_of_outboxes
from omeda_async.bulk.outbox.again import Again, again
from omeda_async.bulk.outbox.outcomes import LETS_GO
from omeda_async.errors import AnswerLost, ClosedError, ConnectionFailed, OmedaAsyncError
from omeda_async.events import BreakerChanged
from omeda_async.outbox import read_status
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.outbox_help import Place, addresses, applied, client, crash, outbox_on, rows
from tests.bulk.sandboxed import manager_on


@pytest.fixture(autouse=True)
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look for news of other processes often: there are none, and hours go by."""
    monkeypatch.setattr(place_of_outboxes, "POLL", 20.0)


def result(status: OutcomeStatus, error: OmedaAsyncError | None = None) -> Result[Any]:
    return Result(known=status, error=error)


@pytest.mark.parametrize("status", sorted(SETTLED, key=str))
def test_an_answer_is_the_outcome(status: OutcomeStatus) -> None:
    """What the provider has said ends it, however it was said."""
    assert again(result(status), tries=3, age=5.0, give_up_after=None) is None


@pytest.mark.parametrize("status", [OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT])
def test_no_answer_is_none(status: OutcomeStatus) -> None:
    """It is tried again after 1, 2, 4 … 300 seconds, until it is given up where that is asked for."""
    failed = result(status, ConnectionFailed("no"))
    waits = [again(failed, tries=tries, age=1e9, give_up_after=None) for tries in (0, 1, 2, 8, 9, 10_000)]
    assert [one.seconds for one in waits if one] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    assert again(failed, tries=0, age=59.0, give_up_after=60.0) == Again(1.0, 1)
    assert again(failed, tries=0, age=60.0, give_up_after=60.0) is None


def test_what_was_not_its_turn_yet_counts_as_no_try() -> None:
    """Stopped by us before it was sent: it may go at once."""
    stopped = result(OutcomeStatus.NOT_SENT, ClosedError("stopped"))
    assert again(stopped, tries=2, age=5.0, give_up_after=None) == Again(0.0, 2)


async def test_a_provider_that_is_away_for_an_hour_costs_no_record(sandbox: Sandbox, place: Place) -> None:
    """They wait, the breaker tries one at a time, and all are done when it is back; none is told before."""
    asyncio.get_running_loop().set_debug(False)
    told, heard = list[Outcome](), list[Any]()
    fault = Fault(FaultKind.UNAVAILABLE, times=None)
    sandbox.fault(fault)
    async with outbox_on(sandbox, place, on_outcome=told.append, hooks=[heard.append]) as box:
        tickets = [await box.put(client(number), key=number) for number in range(5)]
        await asyncio.sleep(300)
        assert told == []
        status = await box.status()
        assert (status.waiting + status.under_way, status.counts) == (5, {})
        assert status.retrying
        assert status.oldest is not None
        assert status.under_way or (status.next_due is not None and status.next_due > status.oldest)
        assert status.causes[0].error == "ServerError"
        assert len(sandbox.requests) < 60
        sandbox.faults.clear()
        outcomes = [await box.outcome(ticket, timeout=600) for ticket in tickets]
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
    assert all(outcome.attempts > 1 for outcome in outcomes)
    assert applied(sandbox) == addresses(*range(5))
    assert sorted(outcome.key for outcome in told) == list(range(5))
    states = [event.state for event in heard if isinstance(event, BreakerChanged)]
    assert states[0] == "open"
    assert states[-1] == "closed"


async def test_one_record_that_breaks_the_server_does_not_hold_up_the_others(sandbox: Sandbox, place: Place) -> None:
    """It is tried again, later and later; what comes after it is delivered."""
    broken = Fault(FaultKind.INTERNAL_ERROR, match=lambda request: b"poison" in request.body, times=None)
    sandbox.fault(broken)
    async with outbox_on(sandbox, place) as box:
        poison = await box.put(ClientOptOut("poison@example.com"))
        tickets = [await box.put(client(number)) for number in range(3)]
        for number in range(3, 6):
            await asyncio.sleep(60)
            tickets.append(await box.put(client(number)))
        outcomes = [await box.outcome(ticket, timeout=600) for ticket in tickets]
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        sandbox.faults.clear()
        assert (await box.outcome(poison, timeout=1200)).status is OutcomeStatus.DONE


async def test_giving_up_is_an_outcome(sandbox: Sandbox, place: Place) -> None:
    """After the time that was set: failed, or unknown where it may have been applied, with the error."""
    told: list[Outcome] = []
    sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER, times=None))
    async with outbox_on(sandbox, place, give_up_after=30.0, on_outcome=told.append) as box:
        ticket = await box.put(client(1))
        outcome = await box.outcome(ticket, timeout=1000)
        assert outcome.status is OutcomeStatus.UNKNOWN
        assert isinstance(outcome.error, AnswerLost)
    assert [one.status for one in told] == [OutcomeStatus.UNKNOWN]


async def test_a_callback_that_fails_is_told_again_and_costs_no_other_outcome(
    sandbox: Sandbox, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute later, in this process; the failure is logged by its type alone."""
    told: list[Any] = []

    def callback(outcome: Outcome) -> None:
        told.append(outcome.key)
        if told.count(1) == 1 and outcome.key == 1:
            raise ValueError("private@example.com")

    async with outbox_on(sandbox, place, on_outcome=callback) as box:
        for number in range(3):
            await box.put(client(number), key=number)
        await asyncio.sleep(30)
        assert sorted(told) == [0, 1, 2]
        assert (await box.status()).untold == 1
        await asyncio.sleep(100)
        assert sorted(told) == [0, 1, 1, 2]
        assert (await box.status()).untold == 0
    assert "on_outcome failed: ValueError" in caplog.text
    assert "private" not in caplog.text


async def test_a_callback_that_is_awaited_is_told_one_after_the_other_and_noted_when_it_has_ended(
    sandbox: Sandbox, place: Place
) -> None:
    """A coroutine function may write to a database; closing waits for it."""
    told: list[Any] = []

    async def callback(outcome: Outcome) -> None:
        await asyncio.sleep(1)
        told.append(outcome.key)

    async with outbox_on(sandbox, place, on_outcome=callback) as box:
        tickets = [await box.put(client(number), key=number) for number in range(3)]
        for ticket in tickets:
            await box.outcome(ticket, timeout=600)
    assert sorted(told) == [0, 1, 2]
    assert read_status(place).untold == 0


async def test_an_outcome_that_nobody_was_told_before_a_crash_is_told_by_the_next(
    sandbox: Sandbox, place: Place
) -> None:
    """It is on disk with its key; once told it is not told again."""

    async def never(_: Outcome) -> None:
        await asyncio.sleep(1e6)

    async with manager_on(sandbox) as manager:
        box = await manager.omeda.opt_outs.outbox(place, on_outcome=never).__aenter__()
        await box.outcome(await box.put(client(1), key="user-1"), timeout=600)
        await crash(manager, box)
    assert read_status(place).untold == 1
    for times in (1, 0):
        told: list[Outcome] = []
        async with outbox_on(sandbox, place, on_outcome=told.append):
            await asyncio.sleep(60)
        assert [(outcome.key, outcome.status) for outcome in told] == [("user-1", OutcomeStatus.DONE)] * times


async def test_a_callback_that_never_ends_does_not_keep_the_outbox_from_closing(sandbox: Sandbox, place: Place) -> None:
    """It gets its time, and is told again by the next."""
    loop = asyncio.get_running_loop()

    async def never(_: Outcome) -> None:
        await asyncio.sleep(1e6)

    async with manager_on(sandbox) as manager, manager.omeda.opt_outs.outbox(place, on_outcome=never) as box:
        await box.outcome(await box.put(client(1)), timeout=600)
        began = loop.time()
        await box.aclose(timeout=5.0)
        assert loop.time() - began == pytest.approx(5.0, abs=0.5)
    assert read_status(place).untold == 1


async def test_a_callback_that_heeds_no_cancellation_does_not_keep_it_from_closing_either(
    sandbox: Sandbox, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the outbox nor the manager; it is left alone, and what it writes down later nobody reads."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    async def heedless(_: Outcome) -> None:
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await over.wait()

    try:
        async with manager_on(sandbox) as manager:
            box = manager.omeda.opt_outs.outbox(place, on_outcome=heedless)
            await box.__aenter__()
            await box.outcome(await box.put(client(1)), timeout=600)
            began = loop.time()
            await manager.aclose(timeout=5.0)
            assert loop.time() - began < 5.0 + LETS_GO + 0.5
        assert "on_outcome heeds no cancellation" in caplog.text
        assert read_status(place).untold == 1
    finally:
        over.set()
        await asyncio.sleep(0)


async def test_a_cancelled_close_waits_for_no_callback(sandbox: Sandbox, place: Place) -> None:
    """It is broken off, and told that outcome again by whoever opens the outbox next."""
    loop = asyncio.get_running_loop()

    async def slow(_: Outcome) -> None:
        await asyncio.sleep(1000)

    async with manager_on(sandbox) as manager:
        box = manager.omeda.opt_outs.outbox(place, on_outcome=slow)
        await box.__aenter__()
        await box.outcome(await box.put(client(1)), timeout=600)
        closing = asyncio.create_task(box.aclose(timeout=20.0))
        await asyncio.sleep(0.5)
        began = loop.time()
        closing.cancel()
        await asyncio.wait({closing})
        assert loop.time() - began < LETS_GO
    assert closing.cancelled()
    assert read_status(place).untold == 1


async def test_outcomes_are_removed_when_they_are_old_and_have_been_told(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before, and never what is under way; at any time by ``prune``."""
    monkeypatch.setattr(delivery, "PRUNE_EVERY", 20.0)

    def callback(outcome: Outcome) -> None:
        if outcome.key == "hears not":
            raise ValueError

    async with outbox_on(sandbox, place, retention=100.0, on_outcome=callback) as box:
        for key in ("a", "b", "hears not"):
            await box.outcome(await box.put(client(1), key=key), timeout=600)
        await asyncio.sleep(60)
        assert (await box.status()).total == 3
        await asyncio.sleep(90)
        assert rows(place, "SELECT key FROM entries") == [('"hears not"',)]
        await box.outcome(await box.put(client(1), key="c"), timeout=600)
        await asyncio.sleep(1)
        assert await box.prune(older_than=60.0) == 0
        assert await box.prune(older_than=0.5) == 1


async def test_no_address_is_in_a_log(sandbox: Sandbox, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens to a record."""
    caplog.set_level(logging.DEBUG)
    sandbox.fault(Fault(FaultKind.UNAVAILABLE, times=3))
    async with outbox_on(sandbox, place) as box:
        first = await box.put(ClientOptOut("private@example.com"), key="private@example.com")
        second = await box.put(BrandOptOut("private@example.com", brand_ids=["NOPE"]))
        for ticket in (first, second):
            outcome = await box.outcome(ticket, timeout=600)
            assert "private@" not in repr(outcome)
    assert "private@" not in caplog.text


async def test_what_is_due_in_a_hold_goes_when_that_ends(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says so, also to who only reads it: not that it is due now."""
    async with outbox_on(sandbox, place) as box:
        limiter, loop = box._sending.account.limiter, asyncio.get_running_loop()
        ends, view, acquire = loop.time() + 120.0, type(limiter).view, type(limiter).acquire

        async def held(given: Any, **options: Any) -> Any:
            await asyncio.sleep(max(0.0, ends - loop.time()))
            return await acquire(given, **options)

        left = lambda given: attrs.evolve(view(given), held_for=max(0.0, ends - loop.time()))  # noqa: E731 as short
        monkeypatch.setattr(type(limiter), "view", left)
        monkeypatch.setattr(type(limiter), "acquire", held)
        ticket = await box.put(client(1))
        await asyncio.sleep(20.0)
        status = await box.status()
        assert abs((status.next_due - _clock.utc_now()).total_seconds() - 100.0) < 5.0
        read = read_status(place).next_due
        assert read is not None
        assert abs((read - status.next_due).total_seconds()) < 5.0  # who only reads knows it, too
        assert (await box.outcome(ticket, timeout=200.0)).status is OutcomeStatus.DONE
        assert (await box.status()).next_due is None
        await asyncio.sleep(10.0)
        ticket = await box.put(client(2))
        read = read_status(place).next_due
        assert read is None or read <= _clock.utc_now() + timedelta(seconds=1)
        await box.outcome(ticket, timeout=200.0)


async def test_what_is_due_while_a_provider_is_away_goes_with_the_next_try(sandbox: Sandbox, place: Place) -> None:
    """Nothing goes before the breaker lets it."""
    sandbox.fault(Fault(FaultKind.UNAVAILABLE, times=None))
    async with outbox_on(sandbox, place) as box:
        await box.put(client(1))
        while (wait := box._delivery._breaker.wait(_clock.now())) < 10.0:  # noqa: ASYNC110 the clock is moved
            await asyncio.sleep(1.0)
        await box.put(client(2))
        status = await box.status()
        assert (status.next_due - _clock.utc_now()).total_seconds() > wait - 2.0
