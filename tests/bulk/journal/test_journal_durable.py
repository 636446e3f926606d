"""How a journal is written: in its own thread, in whole transactions, forced to disk before an attempt leaves."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import AnswerLost, BrandOptOut, BulkRun, DeploymentSearch, OutcomeStatus, RateLimit, Window
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk.journal import sqlite_connection, sqlite_file
from omeda_async.bulk.journal.interface import WriteGroup, Written
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.journal import read_status
from omeda_async.limits import forget
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.journal_help import Place, Work, journalled
from tests.bulk.sandboxed import manager_on


@attrs.define
class Statements:
    """What SQLite was told, and by which thread."""

    said: list[str] = attrs.field(factory=list)
    threads: set[int] = attrs.field(factory=set)

    def note(self, statement: str) -> None:
        """Note a statement."""
        self.said.append(" ".join(statement.split()))
        self.threads.add(threading.get_ident())


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    noted, connect = Statements(), sqlite_connection.connect

    def traced(*given: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*given, **named)
        connection.set_trace_callback(noted.note)
        return connection

    monkeypatch.setattr(sqlite_file, "connect", traced)
    return noted


async def test_the_loop_never_waits_for_the_disk(tmp_path: Path, statements: Statements) -> None:
    """Not one statement of a run is executed in the loop's own thread."""
    await journalled(tmp_path / "run.sqlite3", [f"r{number}" for number in range(50)], Work(max_entries=7))
    assert len(statements.said) > 20
    assert threading.get_ident() not in statements.threads


async def test_an_intent_is_forced_to_the_disk_before_the_attempt(tmp_path: Path, statements: Statements) -> None:
    """No transaction is open when an attempt leaves, and each commit waits for the disk."""
    open_then: list[bool] = []

    def look(_: list[Item]) -> float:
        begun = [one.startswith("BEGIN IMMEDIATE") for one in statements.said if one.startswith(("BEGIN I", "COMMIT"))]
        open_then.append(begun[-1])
        return 0.01

    await journalled(tmp_path / "run.sqlite3", list("abc"), Work(concurrency=1, answer_time=look))
    assert open_then == [False] * 3
    assert "PRAGMA synchronous = FULL" in statements.said
    assert not [one for one in statements.said if one.startswith("BEGIN") and one.split()[1] == "DEFERRED"]


@pytest.mark.parametrize("way", ["at once", "gently", "torn down"])
async def test_what_the_last_run_left_in_doubt_stays_so_when_this_one_is_stopped(place: Place, way: str) -> None:
    """Applied and lost, then resumed and stopped before it could go again: unknown, in the journal as well."""
    records = [BrandOptOut(f"a{number}@example.com", brand_ids=["XXG"]) for number in range(4)]
    async with Sandbox() as sandbox:
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER, times=None))
        async with manager_on(sandbox) as manager:
            await manager.omeda.opt_outs.submit_many(records, journal=place)
        assert read_status(place).counts == {OutcomeStatus.UNKNOWN: 4}
        sandbox.faults.clear()
        forget()  # as another process would
        async with manager_on(sandbox, limits={"omeda": RateLimit(Window(1, 1e6))}) as manager:
            await manager.omeda.deployments.search(DeploymentSearch(deployment_name="x"))
            before = asyncio.all_tasks()
            run = manager.omeda.opt_outs.submit_many(records, journal=place)
            task = asyncio.create_task(_drained(run))
            while not sum(manager.omeda.limits.waiting.values()):  # noqa: ASYNC110 the limiter tells nobody
                await asyncio.sleep(0.1)
            if way == "torn down":
                for one in asyncio.all_tasks() - before:
                    one.cancel()
            else:
                await run.aclose(timeout=0.0 if way == "at once" else 30.0)
            await asyncio.wait({task})
    assert run.report.counts == {OutcomeStatus.UNKNOWN: 4}
    assert all(one.error is not None and one.error.sent for one in run.report.failures)
    assert read_status(place).counts == {OutcomeStatus.UNKNOWN: 4}


async def test_what_is_broken_off_while_it_is_written_down_stays_in_the_doubt_it_was_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write shows that an earlier run may have sent it, when its worker has been cancelled already."""
    path, records = tmp_path / "run.sqlite3", ["a", "b", "c"]
    lost = Result[Any](error=AnswerLost("lost", sent=True), attempts=1, doubtful=True)
    await journalled(path, records, Work(endings=dict.fromkeys(records, lost)))
    begun, gate, write = threading.Event(), threading.Event(), SqliteBackend.write

    def held_up(self: SqliteBackend, group: WriteGroup) -> Written:
        begun.set()
        gate.wait(10)
        return write(self, group)

    monkeypatch.setattr(SqliteBackend, "write", held_up)
    work = Work()
    run = journalled(path, records, work)
    task = asyncio.create_task(_drained(run))
    while not begun.is_set():  # noqa: ASYNC110 it is set by a thread
        await asyncio.sleep(0)
    closing = asyncio.create_task(run.aclose(timeout=0))
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    await closing
    await asyncio.wait({task})
    assert (work.sent, run.report.counts) == ([], {OutcomeStatus.UNKNOWN: 3})
    assert all(one.error is not None and one.error.sent for one in run.report.failures)
    assert read_status(path).counts == {OutcomeStatus.UNKNOWN: 3}


async def _drained(run: BulkRun) -> None:
    await run
