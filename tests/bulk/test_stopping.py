"""Stopping in every way there is: nothing new is sent, and every record that was read has its outcome."""

import asyncio
import gc
from itertools import count

import pytest

from omeda_async import BulkRun, OutcomeStatus
from tests.bulk.bulk_fakes import (
    FakeWork,
    Watched,
    WatchedAsync,
    adds_up,
    collect,
    consistent,
    run_of,
)

DONE, UNKNOWN, NOT_SENT = OutcomeStatus.DONE, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT


async def first_outcomes(run: BulkRun, number: int) -> None:
    async for _ in run:
        number -= 1
        if not number:
            break


async def test_leaving_the_loop_early_lets_attempts_in_flight_end() -> None:
    """After ``break`` nothing new is sent, what was in flight is done, and the rest of what was read is not sent."""
    work, records = FakeWork(), Watched(count())
    run = run_of(work, records)
    await first_outcomes(run, 3)
    sent = len(work.sent)
    await run.aclose()
    assert len(work.sent) == sent
    assert run.report.counts[DONE] == sent
    assert run.report.counts.keys() <= {DONE, NOT_SENT}
    consistent(run, work, records.read)


async def test_leaving_the_loop_is_enough_to_stop_the_run() -> None:
    """Without closing anything the run ends by itself soon after ``break``."""
    work, records = FakeWork(), Watched(count())
    run = run_of(work, records)
    await first_outcomes(run, 3)
    await asyncio.sleep(1)
    consistent(run, work, records.read)


async def test_an_abandoned_iteration_stops_the_run() -> None:
    """An iterator that is dropped half-way, and collected, stops the sending."""
    work, records = FakeWork(), Watched(count())
    run = run_of(work, records)
    iteration = aiter(run)
    await anext(iteration)
    del iteration
    gc.collect()
    await asyncio.sleep(1)
    consistent(run, work, records.read)


async def test_a_run_that_is_dropped_altogether_stops_too() -> None:
    """Not even keeping the run is needed: when its iteration goes, the sending ends."""
    work = FakeWork()
    iteration = aiter(run_of(work, count()))
    await anext(iteration)
    del iteration
    gc.collect()
    await asyncio.sleep(1)
    sent = len(work.sent)
    await asyncio.sleep(10)
    assert len(work.sent) == sent == len(work.applied)


async def test_an_exception_in_the_loop_goes_through_and_the_run_is_complete() -> None:
    """The caller's own error is the one that is raised, and ``async with`` has closed the run by then."""
    work, records = FakeWork(), Watched(count())
    run = run_of(work, records)

    async def stumble() -> None:
        async with run:
            async for outcome in run:
                raise LookupError(outcome.position)

    with pytest.raises(LookupError):
        await stumble()
    consistent(run, work, records.read)


@pytest.mark.parametrize("iterating", [False, True])
async def test_cancelling_the_task_once_is_graceful(iterating: bool) -> None:
    """Attempts in flight end; the task is cancelled; no record is unknown."""
    work, records = FakeWork(answer_time=lambda _: 5.0), Watched(count())
    run = run_of(work, records)
    task = asyncio.ensure_future(collect(run) if iterating else run)
    await asyncio.sleep(7)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert run.report.counts.keys() == {DONE, NOT_SENT}
    consistent(run, work, records.read)


@pytest.mark.parametrize("iterating", [False, True])
async def test_cancelling_the_task_twice_stops_at_once(iterating: bool) -> None:
    """The second cancellation does not wait: what is in flight is unknown, and the report is complete."""
    loop = asyncio.get_running_loop()
    work, records = FakeWork(answer_time=lambda _: 50.0), Watched(count())
    run = run_of(work, records)
    task = asyncio.ensure_future(collect(run) if iterating else run)
    await asyncio.sleep(7)
    task.cancel()
    await asyncio.sleep(1)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})
    assert loop.time() < 9
    assert run.report.counts[UNKNOWN] == 4
    consistent(run, work, records.read)


async def test_closing_waits_as_long_as_it_was_told_to() -> None:
    """An attempt that takes longer than the grace is unknown, one that does not is done."""
    loop = asyncio.get_running_loop()
    work = FakeWork(answer_time=lambda items: 100.0 if items[0].raw == 0 else 3.0)
    records = Watched(count())
    run = run_of(work, records)
    iteration = aiter(run)
    await anext(iteration)
    began = loop.time()
    await run.aclose(timeout=10.0)
    assert loop.time() - began == pytest.approx(10.0, abs=0.01)
    assert run.report.counts[UNKNOWN] == 1
    consistent(run, work, records.read)


async def test_closing_with_no_grace_stops_at_once() -> None:
    """``timeout=0`` waits for nothing."""
    loop = asyncio.get_running_loop()
    work, records = FakeWork(answer_time=lambda _: 50.0), Watched(count())
    run = run_of(work, records)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(1)
    await run.aclose(timeout=0)
    assert loop.time() < 1.1
    consistent(run, work, records.read)
    report = await task
    assert report.complete


async def test_closing_twice_or_before_the_beginning_does_nothing() -> None:
    """Closing is safe at any time."""
    work = FakeWork()
    run = run_of(work, list("abc"))
    await run.aclose()
    assert not run.report.complete
    await run
    await run.aclose()
    await run.aclose()
    assert adds_up(run, 3)
    assert run.stopped_by is None


async def test_two_may_close_at_the_same_time() -> None:
    """Both wait for the end, and it is the same."""
    work, records = FakeWork(answer_time=lambda _: 5.0), Watched(count())
    run = run_of(work, records)
    iteration = aiter(run)
    await anext(iteration)
    await asyncio.gather(run.aclose(), run.aclose())
    consistent(run, work, records.read)


async def test_cancelling_the_close_stops_at_once() -> None:
    """Who closes and loses patience gets a complete report too."""
    work, records = FakeWork(answer_time=lambda _: 50.0), Watched(count())
    run = run_of(work, records)
    draining = asyncio.ensure_future(run)
    await asyncio.sleep(1)
    closing = asyncio.ensure_future(run.aclose())
    await asyncio.sleep(1)
    closing.cancel()
    await asyncio.wait({closing})
    consistent(run, work, records.read)
    await draining


async def test_calls_that_wait_for_their_turn_end_at_once() -> None:
    """Stopping does not wait for the limiter: those calls never left."""
    loop = asyncio.get_running_loop()
    work, records = FakeWork(turn=1000.0), Watched(count())
    run = run_of(work, records)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(1)
    await run.aclose()
    assert loop.time() < 2
    assert (await task).counts == {NOT_SENT: records.read}
    assert work.sent == []


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("entries", [1, 3])
async def test_a_stop_at_any_moment_accounts_for_everything(asynchronous: bool, entries: int) -> None:
    """Stopped after each of 60 moments in turn, gently, at once or by cancelling: no record is lost or doubled."""
    for step in range(60):
        work = FakeWork(max_entries=entries, turn=0.03, answer_time=lambda _: 0.11)
        records = WatchedAsync(count(), pause=0.017) if asynchronous else Watched(count())
        run = run_of(work, records, concurrency=2)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(0.013 * step)
        if step % 3 == 0:
            await run.aclose()
        elif step % 3 == 1:
            await run.aclose(timeout=0.05)
        else:
            task.cancel()
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.wait({task})
        if run.report.complete or step:
            consistent(run, work, records.read)
        assert len(set(work.sent)) == len(work.sent)
