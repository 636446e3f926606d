"""Each wait of a run, met by each way to stop it: it ends in time, and every record read is accounted for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import BulkRun
from omeda_async.bulk.journal.writer import Journal
from omeda_async.journal import read_status
from tests.bulk.bulk_fakes import FakeWork, Watched, WatchedAsync, adds_up, consistent, run_of
from tests.bulk.journal_help import Work, journalled


class Closing:
    """An input whose closing takes its time."""

    def __init__(self) -> None:
        self.closed = False

    async def records(self) -> AsyncIterator[int]:
        """Give a number every while."""
        try:
            for number in count():
                await asyncio.sleep(0.02)
                yield number
        finally:
            await asyncio.sleep(0.5)
            self.closed = True


@attrs.frozen
class Wait:
    """A wait, how a run comes to it, and whether somebody takes the outcomes."""

    name: str
    work: Callable[[], FakeWork]
    records: Callable[[], Any]
    options: dict[str, Any] = attrs.field(factory=dict)
    taken: bool = False
    all_sent: bool = True
    """Is each record sent by itself, sooner or later?"""


def _slow() -> FakeWork:
    return FakeWork(answer_time=lambda _: 50.0)


WAITS = [
    Wait("for room, by the reader", FakeWork, lambda: Watched(repeat("bad")), all_sent=False),
    Wait("for room, by the workers", FakeWork, lambda: Watched(count())),
    Wait("for a free worker", _slow, lambda: Watched(count()), taken=True),
    Wait("for twins", _slow, lambda: Watched(chain(repeat("a", 100_000), ["b"])), taken=True, all_sent=False),
    Wait("for the next record", FakeWork, lambda: WatchedAsync(count(), pause=100.0), taken=True),
    Wait("for a batch to fill", lambda: FakeWork(max_entries=9), lambda: WatchedAsync(count(), pause=0.3), taken=True),
    Wait("for a turn", lambda: FakeWork(turn=100.0), lambda: Watched(count()), taken=True),
    Wait("for an answer", _slow, lambda: Watched("abc"), taken=True),
    Wait("at the end of the input", _slow, lambda: Watched(range(9)), {"concurrency": 9}, taken=True),
]
WAYS = ("aclose", "aclose at once", "cancel", "cancel twice")


async def _begin(run: BulkRun, *, taken: bool) -> asyncio.Task[None]:
    async def look() -> None:
        async for _ in run:
            if not taken:
                await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(look())
    await asyncio.sleep(1)
    assert not run.report.complete
    return task


async def _stop(run: BulkRun, task: asyncio.Task[None], way: str) -> None:
    if way.startswith("aclose"):
        await run.aclose(timeout=10.0 if way == "aclose" else 0.0)
        task.cancel()
    else:
        task.cancel()
        await asyncio.sleep(0.01)
        if way == "cancel twice":
            task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.name)
@pytest.mark.parametrize("way", WAYS)
async def test_a_run_can_be_stopped_wherever_it_waits(wait: Wait, way: str) -> None:
    """Within the grace it was given, with an outcome for each record, and no task left."""
    tasks = asyncio.all_tasks()
    work, records = wait.work(), wait.records()
    run = run_of(work, records, **wait.options)
    task = await _begin(run, taken=wait.taken)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(100):
        await _stop(run, task, way)
    assert asyncio.get_running_loop().time() - began < (50.1 if way in {"aclose", "cancel"} else 0.1)
    assert adds_up(run, records.read)
    if wait.all_sent:
        consistent(run, work, records.read)
    assert asyncio.all_tasks() <= tasks


@pytest.mark.parametrize("way", WAYS)
async def test_an_input_is_closed_before_the_run_has_ended(way: str) -> None:
    """An asynchronous generator gets to the end of its own ``finally``, unless the run is broken off."""
    source, work = Closing(), FakeWork()
    run = run_of(work, source.records())
    task = await _begin(run, taken=True)
    await _stop(run, task, way)
    assert adds_up(run)
    assert source.closed or way in {"aclose at once", "cancel twice"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", [0.0, 0.001, 0.004, 0.02, 0.1])
async def test_the_waits_for_the_journal_are_such_waits_too(tmp_path: Path, way: str, moment: float) -> None:
    """Stopped at some moment among many small writes, the journal says what the report says."""
    path = tmp_path / "run.sqlite3"

    def records() -> Iterator[str]:
        for number in range(5000):
            yield f"bad {number}" if number % 3 else f"r{number}"

    work = Work(max_entries=3, concurrency=3, answer_time=lambda _: 0.003)
    run = journalled(path, records(), work)
    task = asyncio.create_task(_drained(run))
    await asyncio.sleep(moment)
    await _stop(run, task, way)
    if not path.exists() or not path.stat().st_size:
        assert run.report.total == 0
        return
    assert run.report.total == sum(run.report.counts.values())
    noted = read_status(path)
    assert noted.counts == run.report.counts
    assert (noted.total, noted.under_way) == (run.report.total, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("iterating", [True, False])
async def test_a_run_that_only_closes_its_journal_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, iterating: bool
) -> None:
    """All outcomes are out by then; whoever is cancelled meanwhile finds the run ended, and no task left."""
    close = Journal.close

    async def close_slowly(journal: Journal, cause: BaseException | None) -> None:
        await close(journal, cause)
        await asyncio.sleep(2)

    monkeypatch.setattr(Journal, "close", close_slowly)
    tasks = asyncio.all_tasks()
    run = journalled(tmp_path / "run.sqlite3", list("abc"), Work())
    task = await _begin(run, taken=True) if iterating else asyncio.create_task(_drained(run))
    await asyncio.sleep(0.5)
    assert not run.report.complete
    await _stop(run, task, way)
    assert adds_up(run, 3)
    assert asyncio.all_tasks() <= tasks


async def _drained(run: BulkRun) -> None:
    await run
