"""What hooks are told of bulk runs, batchers and the outbox: from the start to the end, by count, and no record."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from omeda_async import BatcherFull, BrandOptOut, ClientOptOut, LimitWaitExceeded, Outcome, RateLimit, Window
from omeda_async.events import (
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    CallEnded,
    CallStarted,
    Event,
    OutcomesReached,
    OutcomeUnclaimed,
    RetryPlanned,
    RunEnded,
    RunStarted,
)
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.outbox_help import outbox_on
from tests.bulk.sandboxed import manager_on

E = TypeVar("E", bound=Event)
QUEUE = "/webservices/rest/client/{client}/optoutfilterqueue/*"


def of(kind: type[E], told: Iterable[Event]) -> list[E]:
    """The events of one kind."""
    return [event for event in told if isinstance(event, kind)]


def reached(told: Iterable[Event]) -> Counter[str]:
    """The outcomes that were told, added up."""
    total: Counter[str] = Counter()
    for event in of(OutcomesReached, told):
        assert all(event.counts.values())
        total.update(event.counts)
    return total


def paired(told: Iterable[Event]) -> bool:
    """Whether all that has begun has ended, in its order: attempts inside calls, calls inside the run."""
    calls: set[Any] = set()
    attempts: set[Any] = set()
    for event in told:
        match event:
            case CallStarted():
                calls.add(event.call_id)
            case AttemptStarted():
                assert event.call_id in calls
                attempts.add(event.call_id)
            case AttemptEnded():
                attempts.remove(event.call_id)
            case CallEnded():
                assert event.call_id not in attempts
                calls.remove(event.call_id)
    return not calls and not attempts


def shown(told: Iterable[Event]) -> str:
    """All that somebody could read of events."""
    return " ".join(map(repr, told))


async def test_a_run_is_told_from_its_start_to_its_end() -> None:
    """With one id in all of it, and the path without the campaigns' ids."""
    told: list[Event] = []
    ids = [f"77001{number}" for number in range(6)]
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        sandbox.ocamba.seed_campaigns(ids[:5])
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, FaultPoint.BEFORE, "campaigns.cancel"))
        report = await manager.ocamba.campaigns.cancel_many([*ids, ids[0], ""])
    assert isinstance(told[0], RunStarted)
    assert isinstance(told[-1], RunEnded)
    (start,), (end,) = of(RunStarted, told), of(RunEnded, told)
    assert (start.provider, start.operation, start.kind) == ("ocamba", "campaigns.cancel_many", "bulk")
    assert (start.method, start.path) == ("POST", "/v1/hood/campaigns/{campaign_id}/cancel")
    assert {event.run_id for event in told} == {start.run_id}
    assert reached(told) == Counter({status.value: number for status, number in report.counts.items()}) == end.counts
    assert (end.total, end.requests, end.complete) == (8, report.requests, True)
    assert len(of(AttemptStarted, told)) == len(of(AttemptEnded, told)) == report.requests == 7
    assert len(of(RetryPlanned, told)) == 1
    assert paired(told)
    assert not any(one in shown(told) for one in ids)
    assert sandbox.ocamba_token not in shown(told)


async def test_two_runs_at_a_time_are_told_apart() -> None:
    """Each has its id, and no event is without one."""
    told: list[Event] = []
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        await asyncio.gather(*(asyncio.wait_for(_drained(manager, [one]), 30) for one in ("1", "2")))
    one, other = {event.run_id for event in told}
    for run_id in (one, other):
        assert reached(event for event in told if event.run_id == run_id) == {"done": 1}


async def _drained(manager: Any, ids: list[str]) -> Any:
    return await manager.ocamba.campaigns.cancel_many(ids)


async def test_a_run_that_is_cancelled_ends_what_it_has_begun() -> None:
    """The attempt in flight has ended with the cancellation; what is not certain is told as unknown."""
    told: list[Event] = []
    async with Sandbox(latency=60.0) as sandbox, manager_on(sandbox, hooks=[told.append], timeout=100.0) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        run = manager.ocamba.campaigns.cancel_many(["1", "2"], concurrency=1)
        task = asyncio.create_task(_awaited(run))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert paired(told)
    (attempt,) = of(AttemptEnded, told)
    assert (attempt.status, attempt.error) == (None, "CancelledError")
    (call,) = of(CallEnded, told)
    assert (call.outcome, call.error, call.attempts) == ("unknown", "CancelledError", 1)
    (end,) = of(RunEnded, told)
    assert reached(told) == end.counts == {"unknown": 1, "not_sent": 1}


async def _awaited(run: Any) -> Any:
    return await run


async def test_what_an_earlier_run_has_settled_is_told_as_reached(tmp_path: Path) -> None:
    """A resumed run tells all outcomes, and makes no call for those it knows."""
    told: list[Event] = []
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        for _ in range(2):
            await manager.ocamba.campaigns.cancel_many(["1", "2"], journal=tmp_path / "run.sqlite3")
    assert reached(told) == {"done": 4}
    assert len(of(CallStarted, told)) == 2


async def test_isolation_is_told_as_calls_of_the_run() -> None:
    """A refused request, and the smaller ones that follow: how many records each has is there, who they are is not."""
    told: list[Event] = []
    records = [ClientOptOut(f"private{number}@example.com") for number in range(3)]
    refused = BrandOptOut("other.private@example.com", brand_ids=["NOPE"])
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        await manager.omeda.opt_outs.submit_many([*records, refused])
    assert next(event.records for event in of(CallStarted, told)) == 4
    assert len(of(CallStarted, told)) >= 2
    assert {event.path for event in told} == {QUEUE}
    assert reached(told) == {"done": 3, "rejected": 1}
    assert paired(told)
    assert "private" not in shown(told)
    assert sandbox.client not in shown(told)


async def test_a_batcher_tells_who_shares_a_request() -> None:
    """Each ``add`` is a call to its caller; the request names them, and has their records."""
    told: list[Event] = []
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        async with manager.omeda.opt_outs.batcher() as batcher:
            assert told == []
            records = [ClientOptOut("private1@example.com"), ClientOptOut("private2@example.com"), ClientOptOut("no")]
            outcomes: list[Outcome] = await asyncio.gather(*map(batcher.add, records))
        await batcher.aclose()
    assert [outcome.status.value for outcome in outcomes] == ["done", "done", "rejected"]
    (start,), (end,) = of(RunStarted, told), of(RunEnded, told)
    assert (start.kind, end.kind, start.operation) == ("batcher", "batcher", "opt_outs.batcher")
    assert {event.run_id for event in told} == {start.run_id}
    adds = [event.call_id for event in of(CallStarted, told) if event.operation == "opt_outs.batcher"]
    (request,) = [event for event in of(CallStarted, told) if event.operation == "opt_outs.submit"]
    assert len(adds) == 3
    assert (request.records, set(request.made_for)) == (2, set(adds[:2]))
    ends = {event.call_id: event for event in of(CallEnded, told)}
    assert [ends[one].outcome for one in adds] == ["done", "done", "rejected"]
    assert reached(told) == end.counts == {"done": 2, "rejected": 1}
    assert (end.total, end.requests) == (3, 1)
    assert paired(told)
    assert "private" not in shown(told)


async def test_a_batcher_that_was_given_nothing_tells_nothing() -> None:
    """There was nothing to begin with."""
    told: list[Event] = []
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, hooks=[told.append]) as manager,
        manager.omeda.opt_outs.batcher(),
    ):
        pass
    assert told == []


async def test_the_wait_for_the_limiter_of_a_shared_request_is_told() -> None:
    """A batcher waits before it knows what a request will hold: its first attempt has waited all the same."""
    told: list[Event] = []
    limits = {"omeda": RateLimit(Window(1, 10.0), interactive_reserve=0)}
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, hooks=[told.append], limits=limits) as manager,
        manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher,
    ):
        await batcher.add(ClientOptOut("one@example.com"))
        await batcher.add(ClientOptOut("two@example.com"))
    first, second = of(AttemptStarted, told)
    assert first.waited < 0.1
    assert 9.0 < second.waited < 11.0
    assert [event.waited for event in of(AttemptEnded, told)] == [first.waited, second.waited]


async def test_every_way_out_of_a_batcher_is_told_as_an_outcome() -> None:
    """Refused for room or time, cancelled while it waited or was on its way, or still waiting at the end."""
    told: list[Event] = []
    limits = {"omeda": RateLimit(Window(1, 1000.0), interactive_reserve=0)}
    async with (
        Sandbox(latency=1.0) as sandbox,
        manager_on(sandbox, hooks=[told.append], limits=limits, timeout=100.0) as manager,
    ):
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, max_waiting=2)
        flying = asyncio.create_task(batcher.add(ClientOptOut("1@example.com")))
        await asyncio.sleep(0.5)
        flying.cancel()
        with pytest.raises(LimitWaitExceeded):
            await batcher.add(ClientOptOut("2@example.com"), max_wait=5.0)
        tasks = [asyncio.create_task(batcher.add(ClientOptOut(f"{number}@example.com"))) for number in (3, 4)]
        await asyncio.sleep(0)
        with pytest.raises(BatcherFull):
            await batcher.add(ClientOptOut("5@example.com"))
        tasks[0].cancel()
        await asyncio.sleep(2)
        batcher.stop()
        assert (await tasks[1]).status.value == "not_sent"
        await batcher.aclose()
    ends = [(event.outcome, event.error) for event in of(CallEnded, told) if event.operation == "opt_outs.batcher"]
    assert Counter(ends) == Counter(
        {
            ("unknown", "CancelledError"): 1,
            ("not_sent", "LimitWaitExceeded"): 1,
            ("not_sent", "BatcherFull"): 1,
            ("not_sent", "CancelledError"): 1,
            ("not_sent", "ClosedError"): 1,
        }
    )
    (end,) = of(RunEnded, told)
    assert reached(told) == end.counts == {"done": 1, "not_sent": 4}
    unclaimed = of(OutcomeUnclaimed, told)
    assert Counter(event.status for event in unclaimed) == {"done": 1, "not_sent": 1}
    assert {event.run_id for event in unclaimed} == {end.run_id}
    assert {event.path for event in unclaimed} == {QUEUE}


async def test_an_unclaimed_outcome_has_its_event_beside_the_line(caplog: pytest.LogCaptureFixture) -> None:
    """The line says more in words; its fields are those of the event."""
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher(max_delay=1.0) as batcher,
    ):
        task = asyncio.create_task(batcher.add(ClientOptOut("private@example.com")))
        await asyncio.sleep(0.5)
        task.cancel()
    line: Any
    (line,) = (record for record in caplog.records if "nobody awaits" in record.message)
    assert (line.event, line.status, line.operation) == ("OutcomeUnclaimed", "not_sent", "opt_outs.batcher")
    assert line.run_id is not None


async def test_a_breaker_is_told_with_the_batcher_it_is_of() -> None:
    """Its refusals are calls that were not sent."""
    told: list[Event] = []
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[told.append]) as manager:
        await sandbox.__aexit__(None, None, None)
        async with manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher:
            for number in range(3):
                await batcher.add(ClientOptOut(f"{number}@example.com"))
    changed = of(BreakerChanged, told)
    (start,) = of(RunStarted, told)
    assert (changed[0].state, changed[0].run_id, changed[0].path) == ("open", start.run_id, QUEUE)
    assert [event.error for event in of(CallEnded, told)][-1] == "ProviderUnavailable"
    assert reached(told).total() == 3


async def test_an_outbox_tells_what_it_delivers(tmp_path: Path) -> None:
    """From its opening to its end, by count; whoever puts makes no call."""
    told: list[Event] = []
    async with Sandbox() as sandbox, outbox_on(sandbox, tmp_path / "box.sqlite3", hooks=[told.append]) as box:
        tickets = [await box.put(ClientOptOut(f"private{number}@example.com")) for number in range(3)]
        for ticket in tickets:
            await box.outcome(ticket, timeout=30.0)
        await box.aclose()
    (start,), (end,) = of(RunStarted, told), of(RunEnded, told)
    assert (start.kind, start.operation, start.path) == ("outbox", "opt_outs.outbox", QUEUE)
    assert {event.run_id for event in told} == {start.run_id}
    assert reached(told) == end.counts == {"done": 3}
    assert end.requests == len(of(AttemptEnded, told))
    assert paired(told)
    assert "private" not in shown(told)
