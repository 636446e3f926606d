"""A resumed run whose journal fails on the way: it still tells of every record what is known of it."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from omeda_async import BulkRun, JournalError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.bulk.journal import sqlite_connection, sqlite_file
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.sqlite_find import Finder
from tests.bulk.bulk_fakes import adds_up, positions
from tests.bulk.journal_help import Work, journalled

S = OutcomeStatus
RECORDS = [f"record {number}" for number in range(600)]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "BUSY_SECONDS", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Give another program's connection to the journal."""
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


async def half_done(path: Path) -> None:
    """Have an earlier run carry out the first 300 records."""
    report = await journalled(path, RECORDS[:300], Work(max_entries=20))
    assert report.counts == {S.DONE: 300}


async def failed(path: Path, work: Work, match: str) -> tuple[BulkRun, list[Outcome]]:
    """Run to the failure of the journal, and give the outcomes, which add up."""
    run = journalled(path, [*RECORDS[300:], *RECORDS[:300]], work)
    outcomes: list[Outcome] = []

    async def take() -> None:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 a comprehension would lose them

    with pytest.raises(JournalError, match=match):
        await take()
    assert adds_up(run, 600)
    assert positions(outcomes) == list(range(600))
    return run, outcomes


def at(number: int, change: Callable[[], Any]) -> Callable[[list[Item]], float]:
    """Have something happen while a certain request is under way."""
    requests = 0

    def look(_: list[Item]) -> float:
        nonlocal requests
        requests += 1
        if requests == number:
            change()
        return 0.01

    return look


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give what lets the disk be full."""
    connect, made = sqlite_connection.connect, list[sqlite3.Connection]()

    def noted(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
        made.append(connect(path, mode=mode))
        return made[-1]

    def fill() -> None:
        for connection in made:
            with suppress(sqlite3.ProgrammingError):
                connection.execute("PRAGMA max_page_count = 1")

    monkeypatch.setattr(sqlite_file, "connect", noted)
    return fill


@pytest.mark.parametrize("after", [1, 2, 7])
@pytest.mark.parametrize("way", ["locked", "full"])
async def test_what_an_earlier_run_has_done_is_reported_as_done(
    path: Path, other: sqlite3.Connection, full: Callable[[], None], way: str, after: int
) -> None:
    """However far this run has come: what it has sent is known, and so is what it did not get to ask for."""
    await half_done(path)
    change = full if way == "full" else lambda: other.execute("BEGIN IMMEDIATE")
    work = Work(max_entries=20, concurrency=1, answer_time=at(after, change))
    run, outcomes = await failed(path, work, way)
    done = {outcome.record for outcome in outcomes if outcome.status.is_done}
    assert done == {*RECORDS[:300], *work.applied}
    assert {outcome.status for outcome in outcomes if outcome.record not in done} == {S.NOT_SENT}
    assert run.report.counts[S.DONE] == len(done)


async def test_what_cannot_be_read_either_is_in_doubt(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier run may have sent it; where there was none, it is certain that nothing has."""

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def break_down() -> None:
        monkeypatch.setattr(SqliteBackend, "_write", fail)
        monkeypatch.setattr(Finder, "_following", fail)

    work = Work(max_entries=20, concurrency=1, answer_time=at(2, break_down))
    _, outcomes = await failed(path.with_name("new"), work, "disk I/O error")
    assert {one.status for one in outcomes if one.record not in work.applied} == {S.NOT_SENT}
    monkeypatch.undo()
    await half_done(path)
    work = Work(max_entries=20, concurrency=1, answer_time=at(2, break_down))
    _, outcomes = await failed(path, work, "disk I/O error")
    assert {one.record for one in outcomes if one.status is S.DONE} == set(work.applied)
    assert {one.status for one in outcomes if one.record not in work.applied} == {S.UNKNOWN}


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 5, 8, 13, 21, 34, 200])
async def test_a_cancellation_while_the_journal_fails_loses_nothing(
    path: Path, other: sqlite3.Connection, passes: int
) -> None:
    """Whatever is being looked up then: what is done is reported as done, and the thread is gone."""
    await half_done(path)
    locked = asyncio.Event()

    def lock() -> None:
        other.execute("BEGIN IMMEDIATE")
        locked.set()

    work = Work(max_entries=20, concurrency=2, answer_time=at(2, lock))
    run = journalled(path, [*RECORDS[300:], *RECORDS[:300]], work)
    task = asyncio.ensure_future(run)
    await locked.wait()
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    counts = run.report.counts
    assert run.report.total == sum(counts.values())
    assert counts[S.DONE] + counts.get(S.UNKNOWN, 0) >= len(work.applied)
    assert not [thread for thread in threading.enumerate() if "journal" in thread.name]
