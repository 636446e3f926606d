"""What stops a run from the inside: a hook, a deadline, the input, a cause that meets every record, the manager."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest

from omeda_async import BulkRun, ClosedError, OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.errors import AuthenticationFailed
from tests.bulk.bulk_fakes import (
    FakeAccount,
    FakeWork,
    Watched,
    WatchedAsync,
    adds_up,
    collect,
    consistent,
    positions,
    run_of,
    statuses,
)

DONE, UNKNOWN, NOT_SENT = OutcomeStatus.DONE, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT


async def test_stop_lets_the_iteration_go_on_to_what_remains() -> None:
    """``run.stop()`` from inside the loop: all outcomes still come, and nothing new is sent."""
    work = FakeWork()
    run = run_of(work, list(range(100)))
    outcomes = []
    async for outcome in run:
        outcomes.append(outcome)
        if len(outcomes) == 5:
            run.stop()
            sent = len(work.sent)
    assert positions(outcomes) == list(range(100))
    assert len(work.sent) == sent
    assert run.stopped_by is not None
    consistent(run, work, 100)


async def test_a_hook_may_stop_the_run_from_within_a_call() -> None:
    """Stopping from inside the worker that is about to report loses neither the worker nor its record."""
    runs: list[BulkRun] = []

    def answer(items: list[Item]) -> Result[str]:
        if items[0].raw == 5:
            runs[0].stop()
        return Result(receipt="ok", attempts=1)

    for concurrency in (1, 3):
        work = FakeWork(answer=answer)
        runs[:] = [run_of(work, list(range(50)), concurrency=concurrency)]
        async with asyncio.timeout(60):
            await runs[0]
        consistent(runs[0], work, 50)
        assert 5 in work.applied


async def test_the_progress_callback_may_stop_the_run() -> None:
    """A circuit breaker in ``on_progress`` ends the run in order."""
    work = FakeWork()
    run: BulkRun = run_of(work, list(range(200)), on_progress=lambda report: run.stop() if report.total > 20 else None)
    async with asyncio.timeout(60):
        await run
    consistent(run, work, 200)
    assert run.report.counts[NOT_SENT] > 100


@pytest.mark.parametrize("length", [1, 20])
async def test_the_input_itself_may_stop_the_run(length: int) -> None:
    """An input that stops the run while it is read, at its end too, leaves nobody waiting."""
    runs: list[BulkRun] = []

    def records() -> Iterator[int]:
        yield from range(length)
        runs[0].stop()
        yield length

    work = FakeWork()
    run = run_of(work, records())
    runs.append(run)
    async with asyncio.timeout(60):
        await run
    consistent(run, work, length + 1)


async def test_a_deadline_ends_the_run() -> None:
    """What is left then is not sent, with the reason; attempts in flight end."""
    work, records = FakeWork(answer_time=lambda _: 3.0), Watched(count())
    run = run_of(work, records, deadline=10.0)
    report = await run
    assert report.duration == pytest.approx(12.0, abs=0.1)
    consistent(run, work, records.read)
    assert "deadline" in str(run.stopped_by)
    assert all("deadline" in str(one.error) for one in report.failures)


async def test_of_a_generator_a_deadline_leaves_what_was_read_only() -> None:
    """It is not read on when the time is up: what it never gave is in no sum, while a list is counted to its end."""
    slow = FakeWork(answer_time=lambda _: 3.0)
    whole = await run_of(slow, range(1000), deadline=10.0)
    part = await run_of(slow, iter(range(1000)), deadline=10.0)
    assert whole.total == 1000
    assert whole.counts[OutcomeStatus.DONE] <= part.total < 1000
    assert whole.complete
    assert part.complete


async def test_a_deadline_that_is_not_reached_leaves_no_timer() -> None:
    """A run that ends in time is not stopped, nor is anything kept alive by its timer."""
    run = run_of(FakeWork(), range(5), deadline=1000.0)
    await run
    await asyncio.sleep(2000)
    assert run.stopped_by is None


async def test_an_input_that_waits_for_ever_does_not_hold_up_the_stop() -> None:
    """Reading is broken off where the input makes the run wait."""
    closed: list[bool] = []

    async def records() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    work = FakeWork()
    run = run_of(work, records())
    assert (await anext(aiter(run))).key == "a"
    async with asyncio.timeout(5):
        await run.aclose()
    assert closed == [True]
    consistent(run, work, 1)


async def test_a_trickling_input_may_be_stopped_with_a_batch_half_full() -> None:
    """What had gathered for the next batch is not sent, and says so."""
    work, records = FakeWork(max_entries=100), WatchedAsync(count(), pause=0.3)
    run = run_of(work, records)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(0.8)
    await run.aclose()
    assert (await task).counts == {NOT_SENT: 2}
    consistent(run, work, 2)


async def test_an_input_that_ignores_the_stop_for_a_while_still_ends() -> None:
    """Records it gives while it is told to stop are accounted for too."""

    async def stubborn() -> AsyncIterator[int]:
        for number in range(100):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                yield -1
                return
            yield number

    work = FakeWork()
    run = run_of(work, stubborn())
    task = asyncio.ensure_future(run)
    await asyncio.sleep(3.2)
    async with asyncio.timeout(5):
        await run.aclose()
    await task
    consistent(run, work, 7)


async def test_everyone_s_cause_stops_the_run_and_a_sized_input_is_accounted_for_whole() -> None:
    """Every record of a list has an outcome: those tried say the cause, the rest are not sent because of it."""

    class Locked(FakeWork):
        async def perform(self, items: list[Item], job: Any) -> None:
            await super().perform(items, job)
            job.stop.set(AuthenticationFailed("no", status=403))

    work = Locked(answer=lambda _: Result(error=AuthenticationFailed("no", status=403), attempts=1))
    run = run_of(work, list(range(1000)))
    outcomes = await collect(run)
    assert positions(outcomes) == list(range(1000))
    assert len(work.sent) <= 4
    assert statuses(outcomes) == {"failed": len(work.sent), "not_sent": 1000 - len(work.sent)}
    assert isinstance(run.stopped_by, AuthenticationFailed)
    assert all(isinstance(outcome.error, AuthenticationFailed) for outcome in outcomes)


async def test_everyone_s_cause_does_not_read_an_endless_input_on() -> None:
    """Without a length there is no end to account for: reading ends."""

    class Locked(FakeWork):
        async def perform(self, items: list[Item], job: Any) -> None:
            await super().perform(items, job)
            job.stop.set(AuthenticationFailed("no", status=403))

    records = Watched(count())
    run = run_of(Locked(), records)
    outcomes = await collect(run)
    assert len(outcomes) == records.read < 50
    assert adds_up(run, records.read)


async def test_duplicates_of_what_is_stopped_share_its_outcome() -> None:
    """Repeats of a record in flight are unknown with it, those of one in the queue are not sent like it."""
    work = FakeWork(answer_time=lambda _: 50.0, concurrency=1)
    run = run_of(work, ["a", "a", "b", "a", "b", "c"])
    task = asyncio.ensure_future(run)
    await asyncio.sleep(1)
    await run.aclose(timeout=1)
    report = await task
    assert report.counts == {UNKNOWN: 3, NOT_SENT: 3}


async def test_closing_all_runs_closes_each_and_refuses_new_ones() -> None:
    """The registry of a manager stops what is under way; a run that begins later is refused."""
    account = FakeAccount()
    works = [FakeWork(account=account, answer_time=lambda _: 5.0) for _ in range(3)]
    records = [Watched(count()) for _ in works]
    under_way = [BulkRun(work, given) for work, given in zip(works, records, strict=True)]
    draining = [asyncio.ensure_future(run) for run in under_way]
    await asyncio.sleep(7)
    account.activity.stop()
    await account.activity.aclose(30.0)
    for run, work, given in zip(under_way, works, records, strict=True):
        consistent(run, work, given.read)
    await asyncio.gather(*draining)
    with pytest.raises(ClosedError, match="closed"):
        await BulkRun(FakeWork(account=account), list("abc"))


async def test_a_loop_that_shuts_down_takes_the_run_with_it() -> None:
    """Cancelling every task, as the end of ``asyncio.run`` does, ends the run with all sums right."""
    work, records = FakeWork(answer_time=lambda _: 50.0), Watched(count())
    run = run_of(work, records)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(1)
    mine = asyncio.current_task()
    for one in asyncio.all_tasks() - {mine}:
        one.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait({task})
    consistent(run, work, records.read)


async def test_a_report_says_whether_it_is_of_a_stopped_run() -> None:
    """Both have an outcome for each record read; only the one that was not stopped has read them all."""
    whole = await run_of(FakeWork(), list("abc"))
    assert (whole.complete, whole.stopped_by, whole.total) == (True, None, 3)
    run = run_of(FakeWork(), (number for number in range(100)))
    async for _ in run:
        assert not run.report.complete
        run.stop()
    assert run.report.complete
    assert run.report.total < 100
    assert run.report.stopped_by is run.stopped_by is not None
