"""Queues of a test's own, and runs that do as they are told."""

import asyncio
import inspect
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import psycopg
import pytest
from procrastinate.jobs import Job

from omeda_async import ChunkReport, ChunkStatus, OcambaSettings, SessionManager
from omeda_async.bulk.journal.postgres_control import ToDo
from omeda_async.rows import CAMPAIGNS
from omeda_async.worker import BulkJobs, _jobs, _operations
from omeda_async.worker._operations import Operation

WITHIN = 30.0
"""Seconds that what is waited for may take on a busy machine."""


def manager() -> SessionManager:
    """Make a manager that reaches nobody."""
    return SessionManager(ocamba=OcambaSettings(token="t", base_url="http://127.0.0.1:9"))


@asynccontextmanager
async def opened(
    database: str, factory: Callable[[], SessionManager] = manager, **options: Any
) -> AsyncIterator[BulkJobs]:
    """Open jobs on a queue that nobody else has."""
    queue = f"test-{secrets.token_hex(6)}"
    given: dict[str, Any] = {"queue": queue, "sweep_every": 1} | options
    async with BulkJobs.at(database, factory, **given) as jobs:
        yield jobs


async def until(happened: Callable[[], Any], within: float = WITHIN) -> None:
    """Wait until something has happened, in this process or another; it may have to be awaited to know."""
    async with asyncio.timeout(within):
        while True:
            found = happened()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def working(jobs: BulkJobs, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Have a worker at work, and stop it in the end."""
    worker = asyncio.create_task(jobs.run_worker(**{"fetch_job_polling_interval": 0.1} | options))
    try:
        yield worker
    finally:
        worker.cancel()
        await asyncio.wait({worker})
        if not worker.cancelled() and worker.exception() is not None:
            raise worker.exception() or AssertionError


async def states(jobs: BulkJobs, run: str) -> dict[int, str | None]:
    """Return the states of the jobs of a run, by their chunks; those that are done are not kept."""
    found: list[Job] = list(await jobs._app.job_manager.list_jobs_async(queue=jobs._queue.name))
    return {int(str(one.task_kwargs["chunk"])): one.status for one in found if one.task_kwargs.get("run") == run}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of our log; procrastinate writes one of its own."""
    return [record.getMessage() for record in caplog.records if record.name == "omeda_async"]


def carry_out(database: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Carry out a statement beside everybody."""
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), values)
        return cursor.fetchall() if cursor.description is not None else []


@attrs.define
class Filled:
    """What filling has told."""

    chunks: range
    place: str = "postgresql://…"
    records: int = 0
    repeats: int = 0
    refused: int = 0
    added: int = 0
    absent: int = 0


@attrs.define(eq=False)
class Script:
    """Runs that do as they are told, without journals and providers."""

    answers: dict[int, list[ChunkReport | BaseException]] = attrs.field(factory=dict)
    """What comes of a chunk, time by time; done, when there is nothing said."""
    performed: list[tuple[str, int]] = attrs.field(factory=list)
    options: dict[str, Any] = attrs.field(factory=dict)
    unknown: str = ""
    """What is said of an option that there is not."""
    chunks: range = range(0)
    done: set[int] = attrs.field(factory=set)
    before: Callable[[int], Any] = attrs.field(default=lambda _: None)
    """Called before a chunk; what it returns is awaited, if there is anything."""

    def to_do(self, _: str) -> ToDo:
        """Tell what is not done."""
        return ToDo(tuple(one for one in self.chunks if one not in self.done), is_cancelled=False)

    def shared_run(self, journal: str, **options: Any) -> "ScriptedRun":
        """Make a run."""
        self.options = options
        if self.unknown:
            raise TypeError(self.unknown)
        return ScriptedRun(self, journal.rpartition("run=")[2])


@attrs.define(eq=False)
class ScriptedRun:
    """One of them."""

    script: Script
    name: str

    async def fill(self, records: Any, *, chunk: int = 1) -> Filled:
        """Count the records."""
        self.script.chunks = range(-(-len(list(records)) // chunk))
        return Filled(self.script.chunks)

    async def perform(self, number: int) -> ChunkReport:
        """Do as the script says."""
        self.script.performed.append((self.name, number))
        wait = self.script.before(number)
        if wait is not None:
            await wait
        answers = self.script.answers.get(number, [])
        answer = answers.pop(0) if answers else ChunkReport(number=number, status=ChunkStatus.DONE)
        if isinstance(answer, BaseException):
            raise answer
        if answer.status is ChunkStatus.DONE:
            self.script.done.add(number)
        return answer


@contextmanager
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Put a script in the place of campaigns."""
    script = Script()
    scripted = Operation(rows=CAMPAIGNS, client=lambda _: script)
    with monkeypatch.context() as patched:
        patched.setattr(_operations, "OPERATIONS", dict(_operations.OPERATIONS) | {"cancel-campaigns": scripted})
        patched.setattr(_jobs, "to_do", script.to_do)
        yield script
