"""Bulk runs as jobs: deferred, performed by any worker, cancelled, reported."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import attrs
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import TaskAlreadyRegistered
from procrastinate.jobs import Status

from omeda_async import _clock
from omeda_async._checks import check_between, check_duration, check_flag, check_whole
from omeda_async.bulk import Records
from omeda_async.bulk.journal.postgres_control import to_do
from omeda_async.bulk.shared.reports import ChunkReport
from omeda_async.errors import ConfigurationError, JournalError
from omeda_async.journal import JournalStatus, cancel_run, read_status, reopen_run
from omeda_async.manager import SessionManager
from omeda_async.outcomes import AsJson
from omeda_async.rows._file import RowOptions
from omeda_async.worker._again import Again, Later
from omeda_async.worker._operations import check_name, check_options, operation_of
from omeda_async.worker._performing import Managers, Performing
from omeda_async.worker._places import check_database, database_of, journal_of
from omeda_async.worker._queue import PERFORM, SWEEP, Ended, Queue
from omeda_async.worker._running import GRACE, Running, check_made, prepare, usable_queue
from omeda_async.worker._source import Source, rows_at

STALLED_AFTER = 30.0
"""Seconds without a heartbeat after which a worker counts as gone."""
MOST_CONCURRENCY = 1000
"""Chunks performed at a time: each has a thread and two connections to the database."""
SWEEP_FIRST = 1_000_000
"""The priority of the sweep: before any chunk."""
_FILLING = frozenset({"chunk", "journal_pii"})


@attrs.frozen(kw_only=True)
class Deferred(AsJson):
    """A run that has been read into its journal, and whose chunks have jobs."""

    run: str
    """Its name."""
    place: str
    """Its URL without the password: ``omeda-async status`` takes it."""
    records: int
    """Records that are sent, each once."""
    repeats: int
    """Records that ask for what an earlier one asks for, and share its outcome."""
    refused: int
    """Records that cannot be sent, those of earlier inputs included; the journal keeps the reasons."""
    chunks: int
    """Its chunks, those that are done included."""
    jobs: int
    """Jobs that were made by this call; those that were there already are not."""
    added: int = 0
    """Of ``records``, those that this call has added; the others an earlier one had."""
    absent: int = 0
    """Of ``records``, those that this input does not hold, but an earlier one did. They are sent all the same."""


@attrs.frozen(kw_only=True)
class Waiting(AsJson):
    """What waits in the queue."""

    jobs: int
    """Jobs of chunks that no worker performs now, of all runs."""
    seconds: float
    """Until the first of them may begin."""


class BulkJobs:
    """Bulk runs as jobs of a procrastinate app. Make one wherever runs are deferred, and wherever they are performed.

    It registers two tasks with the app: one that performs a chunk, and a periodic one that gives the jobs of workers
    that are gone to others.

    Args:
        app: With a ``PsycopgConnector``; it has to be open for whatever is awaited here.
        manager_factory: Makes a session manager, such as ``SessionManager.from_env``. All jobs of a process that run
            at the same time use one. So that several workers keep to one budget, it has to have ``share_limits``.
        journal: The database in which the journals are: ``postgresql://host/database``. None: the app's own.
        queue: The name of the queue.
        stalled_after: Seconds without a heartbeat after which a worker counts as gone.
        sweep_every: Seconds between two looks for such workers, from 1 to 59.
        on_chunk: Called with the name of the run and a ``ChunkReport``, whenever a job was performed. It must not
            block.

    Raises:
        ConfigurationError: An argument is of the wrong kind, or the app has such jobs already; the message says which.
    """

    def __init__(
        self,
        app: App,
        manager_factory: Callable[[], SessionManager],
        *,
        journal: str | None = None,
        queue: str = "omeda_async",
        stalled_after: float = STALLED_AFTER,
        sweep_every: int = 10,
        on_chunk: Callable[[str, ChunkReport], Any] | None = None,
    ) -> None:
        if not isinstance(app, App) or not callable(manager_factory):
            raise ConfigurationError("BulkJobs takes an App of procrastinate, and what makes a SessionManager")
        if not isinstance(queue, str) or not queue.strip() or not queue.isprintable():
            raise ConfigurationError("queue must be the name of a queue, of characters that can be printed")
        check_between("stalled_after", stalled_after, 0.1, 86400.0)
        check_whole("sweep_every", sweep_every, most=59)
        self._app = app
        self._journal = None if journal is None else check_database(journal)
        self._queue = Queue(app=app, name=queue)
        self._ended = Ended(self._queue)
        self._stalled_after = stalled_after
        self._sweeping = asyncio.Lock()
        self._performing = Performing(
            managers=Managers(manager_factory), queue=self._queue, journal=self._url, on_chunk=on_chunk
        )
        self._register(sweep_every)

    def _register(self, sweep_every: int) -> None:
        queue = self._queue.name
        perform = self._app.task(name=PERFORM, queue=queue, retry=Again(), pass_context=True)
        # Without a lock: the sweep of a worker that is gone would keep all others away.
        sweep = self._app.task(
            name=SWEEP, queue=queue, priority=SWEEP_FIRST, queueing_lock=f"{SWEEP} {queue}", pass_context=True
        )
        try:
            perform(self._perform)
            self._app.periodic(cron=f"* * * * * */{sweep_every}", periodic_id=queue)(sweep(self._sweep))
        except TaskAlreadyRegistered:
            raise ConfigurationError("this app has BulkJobs already: use them") from None

    @classmethod
    @asynccontextmanager
    async def at(
        cls, database: str, manager_factory: Callable[[], SessionManager], *, patience: float = 0.0, **options: Any
    ) -> AsyncIterator[Self]:
        """Open a queue in a database, for those who have no app of their own.

        procrastinate's tables are made where they are missing.

        Args:
            database: ``postgresql://host/database``; journals are kept there, too.
            manager_factory: As for the class.
            patience: Seconds that the database is waited for where it is away; a line of the log says so.
            options: Those of the class.

        Raises:
            ConfigurationError: It is no such URL, or cannot be used.
        """
        check_duration("patience", patience, zero=True)
        app = App(connector=PsycopgConnector(conninfo=check_database(database), min_size=1, max_size=10))
        jobs = cls(app, manager_factory, journal=database, **options)
        async with prepare(app, database, patience):
            yield jobs

    async def defer_file(
        self, source: Source, operation: str, *, run: str, priority: int = 0, reopen: bool = False, **options: Any
    ) -> Deferred:
        """Read a file into a run's journal, and make a job for each chunk of it. Nothing is sent here.

        The same call again changes nothing, but for making jobs of what has none: it goes on where it was broken off,
        or where a cause has stopped the run.

        Args:
            source: A path, a ``file:`` URL, or what opens itself with ``open("rb")`` where it is, and can be sought,
                such as ``UPath("s3://…")``; or what ``fsspec.open("s3://…")`` makes.
            operation: ``"opt-out"``, ``"cancel-deployments"``, ``"cancel-campaigns"`` or ``"cancel-transactions"``.
            run: The name of the run.
            priority: Of its jobs: those with more go first; below a million, and above minus a million.
            reopen: Go on with a run that was cancelled, and try again what failed or is unknown.
            options: Those of :class:`RowFile` (``columns``, ``encoding``, ``limit`` …), those of the operation's
                ``shared_run`` (``reason``, ``user_id``, ``max_entries`` …), ``chunk`` and ``journal_pii``.

        Raises:
            ConfigurationError: The file cannot be read, an option is wrong, or the queue has no tables; the message
                says which.
            JournalError: The journal cannot be written, is another run's, or the run was cancelled.
            ConnectorException: procrastinate cannot reach its database.

        Cancelling it leaves a run that the same call completes.
        """
        reading: Any = {name: options.pop(name) for name in RowOptions.__annotations__ if name in options}
        rows = await asyncio.to_thread(rows_at, source, operation_of(operation).rows, **reading)
        return await self.defer_rows(rows, operation, run=run, priority=priority, reopen=reopen, **options)

    async def defer_rows(
        self,
        records: Records[Any],
        operation: str,
        *,
        run: str,
        priority: int = 0,
        reopen: bool = False,
        **options: Any,
    ) -> Deferred:
        """Read records into a run's journal, and make a job for each chunk of them; see :meth:`defer_file`.

        Args:
            records: As for the bulk method of that operation: any iterable or async iterable.
            operation: As for a file, and so is the rest.
            run: The name of the run.
            priority: Of its jobs: those with more go first.
            reopen: Go on with a run that was cancelled, and try again what failed or is unknown.
            options: Those of the operation's ``shared_run``, ``chunk`` and ``journal_pii``.

        Raises:
            ConfigurationError: An option is wrong, or the queue has no tables; the message says which.
            InvalidRecord: The records are no iterable of records.
            JournalError: The journal cannot be written, is another run's, or the run was cancelled.
            ConnectorException: procrastinate cannot reach its database.

        Cancelling it leaves a run that the same call completes.
        """
        check_name(run)
        check_whole("priority", priority, least=1 - SWEEP_FIRST, most=SWEEP_FIRST - 1)
        check_flag("reopen", reopen)
        filling: Any = {name: options.pop(name) for name in _FILLING if name in options}
        check_options(options)
        async with self._performing.managers.one() as manager:
            shared = self._performing.shared_run(manager, run, operation, options)
            await check_made(self._app)
            filled = await shared.fill(records, **filling)
        if reopen:
            chunks = await asyncio.to_thread(reopen_run, self._url(run))
        else:
            chunks, is_cancelled = await asyncio.to_thread(to_do, self._url(run))
            if is_cancelled:
                raise JournalError(f"the run {filled.place} was cancelled: give reopen=True to go on with it")
        with usable_queue():
            made = await self._queue.add(run, chunks, operation, options, priority, anew=reopen)
        return Deferred(
            run=run,
            place=filled.place,
            records=filled.records,
            repeats=filled.repeats,
            refused=filled.refused,
            chunks=len(filled.chunks),
            jobs=made,
            added=filled.added,
            absent=filled.absent,
        )

    async def status(self, run: str) -> JournalStatus:
        """Return how it stands with a run: counts, causes, chunks. Any process can ask.

        Raises:
            JournalError: There is no such run, or it cannot be read.
        """
        return await asyncio.to_thread(read_status, self._url(run))

    async def cancel(self, run: str) -> int:
        """Cancel a run: nothing new of it is sent, whoever performs a chunk stops, and its jobs leave the queue.

        Returns:
            The number of jobs that have left it.

        Raises:
            JournalError: There is no such run, or it cannot be written.
            ConfigurationError: The queue has no tables, or may not be used; the run is cancelled all the same.
            ConnectorException: procrastinate cannot reach its database; the run is cancelled all the same.
        """
        await asyncio.to_thread(cancel_run, self._url(run))
        with usable_queue():
            return await self._queue.remove(run)

    async def run_worker(
        self, *, concurrency: int = 2, grace: float = GRACE, wait: bool = True, **options: Any
    ) -> None:
        """Perform jobs until cancelled. Several workers may do so, on any hosts.

        Where the database goes away it begins anew once that is back.

        Args:
            concurrency: Chunks performed at a time. They share the limits of the account.
            grace: Seconds that attempts in flight have to end, once it is cancelled. Their chunks are given back.
            wait: False: return when no job is left that may begin now.
            options: Further ones of procrastinate's ``run_worker_async``.

        Raises:
            ConfigurationError: ``manager_factory`` cannot make a manager, an argument is out of range, or the queue has
                no tables, or those of another version of procrastinate.

        Cancelling it stops in order: no job is begun, attempts in flight may end, and jobs go back to the queue.
        """
        check_whole("concurrency", concurrency, most=MOST_CONCURRENCY)
        check_duration("grace", grace)
        given = {
            "queues": [self._queue.name],
            "concurrency": concurrency,
            "delete_jobs": "successful",  # what they did is in the journal
            "update_heartbeat_interval": self._stalled_after / 3,
            "stalled_worker_timeout": self._stalled_after,
            "wait": wait,
            **options,
        }
        async with self._performing.managers.one() as manager:
            await Running(
                app=self._app,
                manager=manager,
                grace=grace,
                options=given,
                ended=self._ended,
                stalled_after=self._stalled_after,
            ).run()

    async def waiting(self) -> Waiting:
        """Return how many jobs wait in the queue, and when the first of them may begin.

        Raises:
            ConnectorException: procrastinate cannot reach its database.
        """
        jobs = await self._queue.jobs(Status.TODO)
        now = _clock.utc_now()
        seconds = [0.0 if job.scheduled_at is None else (job.scheduled_at - now).total_seconds() for job in jobs]
        return Waiting(jobs=len(jobs), seconds=max(0.0, min(seconds, default=0.0)))

    def _url(self, run: str) -> str:
        if not isinstance(run, str) or not run.strip() or not run.isprintable():
            raise ConfigurationError("run must be the name of a run, of characters that can be printed")
        return journal_of(self._journal or database_of(self._app), run)

    async def _perform(self, context: JobContext, /, **what: Any) -> str:
        with self._ended.after(context.job):
            try:
                return await self._performing.perform(**what)
            except Later:
                if await self._queue.has_another(context.job):  # two that wait for one chunk the queue does not take
                    return "left to another job"
                raise

    async def _sweep(self, context: JobContext, timestamp: int) -> None:
        del timestamp
        if self._sweeping.locked():  # two would leave no room for chunks, and meet at the same jobs
            return
        async with self._sweeping:
            await self._queue.sweep(self._stalled_after, context.job.id)
            await self._ended.give_back(self._stalled_after)
