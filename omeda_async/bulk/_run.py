"""A bulk run as the caller sees it: awaited, iterated, planned, stopped."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterator
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypedDict, Unpack

import attrs

from omeda_async import _clock
from omeda_async._checks import check_duration, check_kept, check_one_of, check_whole
from omeda_async._generic import Receipt_co, Record_co
from omeda_async._hooks import is_async, observe
from omeda_async.bulk._delivery import NullJournal
from omeda_async.bulk._engine import Engine, EngineOptions
from omeda_async.bulk._given import many
from omeda_async.bulk._item import Records
from omeda_async.bulk._job import Work
from omeda_async.bulk._plan import make_plan
from omeda_async.bulk._run_events import RunEvents
from omeda_async.errors import ClosedError, ConfigurationError, JournalError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.limits import Priority
from omeda_async.outcomes import BulkReport, Outcome, Plan

if TYPE_CHECKING:
    from omeda_async.bulk.journal.identity import Identity
    from omeda_async.bulk.journal.interface import Backend
    from omeda_async.bulk.journal.url import Where
    from omeda_async.bulk.journal.writer import Journal

CLOSE_TIMEOUT = 30.0
LAST_WORDS = 3.0
"""Seconds that a run has, once it is broken off, to write down what it knows."""
PROGRESS_EVERY = 0.1
MOST_CONCURRENCY = 100_000
"""Each is a task."""


class BulkOptions(TypedDict, total=False):
    """What every bulk method takes."""

    concurrency: int | None
    """Calls under way at the most; None leaves it to the provider's default."""
    journal: str | PathLike[str] | None
    """Remembers the run, so that the same call resumes it: a file, or ``postgresql://host/database?run=NAME``."""
    journal_pii: Literal["keep", "hash"]
    """``"keep"``, or ``"hash"`` to keep records out of the journal but for a salted hash."""
    priority: Priority
    """The lane at the limiter; bulk by default."""
    on_progress: Callable[[BulkReport], Any] | None
    """Called with the report so far, at most ten times a second, and at the end. It must not block."""
    deadline: float | None
    """Seconds for the whole run; what is left then is not sent. Of a generator only what was read is counted."""
    max_isolation_requests: int
    """Requests that finding the culprits of refused batches may cost in all."""


class BulkRun(Generic[Record_co, Receipt_co]):
    """A bulk run. Nothing is read or sent before it is awaited or iterated.

    ``async for outcome in run`` gives one outcome for each record, as they come; ``await run`` drains it and gives
    the report. Leaving the loop, cancelling the task or :meth:`aclose` stop the run: nothing new is sent, attempts
    in flight may end, and every record that was read has its outcome in the report.

    Args:
        work: How records are read and sent.
        records: The input.
        backend: What keeps its journal, in the place of the option ``journal``.
        options: See :class:`BulkOptions`.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        InvalidRecord: The records are no iterable of records: a string or a mapping is one record, not many.
        TypeError: There is no such option.
    """

    def __init__(
        self, work: Work, records: Records[Any], *, backend: "Backend | None" = None, **options: Unpack[BulkOptions]
    ) -> None:
        unknown = options.keys() - BulkOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"{work.name} has no option {', '.join(sorted(unknown))}")
        self._work = work
        self._records = many(records)
        self._backend = backend
        self._journal = _where(options.get("journal"))
        if self._journal is not None:
            check_scope(work)
        self._journal_pii = options.get("journal_pii", "keep")
        self._on_progress = options.get("on_progress")
        if self._on_progress is not None and (not callable(self._on_progress) or is_async(self._on_progress)):
            raise ConfigurationError("on_progress must be a plain function: it is given the report so far")
        self._options = _checked(work, options)
        self._engine: Engine | None = None
        self._events = RunEvents(work, "bulk")
        self._driver: asyncio.Task[None] | None = None
        self._started = 0.0
        self._ended: float | None = None
        self._told = float("-inf")

    def __repr__(self) -> str:
        counts = "".join(f", {status} {count}" for status, count in self.report.counts.items())
        return f"<{type(self).__name__} {self._work.name}: {self._state}, {self.report.total} records{counts}>"

    @property
    def _state(self) -> str:
        return "not begun" if self._engine is None else "complete" if self.report.complete else "under way"

    def _repr_html_(self) -> str:
        from omeda_async._notebook import report_table  # noqa: PLC0415 only a notebook asks

        return report_table(self.report, f"{self._work.name}: {self._state}")

    @property
    def report(self) -> BulkReport[Record_co, Receipt_co]:
        """The counts so far; complete once the run has ended."""
        if self._engine is None:
            return BulkReport(total=0, counts={}, requests=0, duration=0.0, failures=(), complete=False)
        duration = (self._ended if self._ended is not None else _clock.now()) - self._started
        complete = self._ended is not None
        return self._engine.tally.report(duration=duration, complete=complete, stopped_by=self.stopped_by)

    @property
    def max_entries(self) -> int:
        """The most records that share a request; 1 where each has its own."""
        return self._options.max_entries

    @property
    def stopped_by(self) -> OmedaAsyncError | None:
        """Why the run was stopped before the end of its input; None if it was not."""
        return self._engine.stop.cause if self._engine is not None else None

    async def plan(self) -> Plan[Record_co, Receipt_co]:
        """Find out what the run would do; sends nothing.

        Records that can be read only once are kept in memory for the run that follows.

        Raises:
            ClosedError: The run has begun.
            JournalError: The journal is another run's.
        """
        if self._engine is not None:
            raise ClosedError("the run has begun; plan it before")
        if isinstance(self._records, Iterator | AsyncIterator):
            self._records = await _gathered(self._records)
        if self._journal is None:
            return await make_plan(self._work, self._records, self._options)
        from omeda_async.bulk.journal.place import settled_at  # noqa: PLC0415 a run without a journal loads no SQLite

        async with settled_at(self._journal, self._identity()) as settled:
            return await make_plan(self._work, self._records, self._options, settled)

    def __await__(self) -> Generator[Any, None, BulkReport[Record_co, Receipt_co]]:
        return self._drained().__await__()

    async def __aiter__(self) -> AsyncIterator[Outcome[Record_co, Receipt_co]]:
        engine = self._begin()
        try:
            while (outcomes := await engine.results.take()) is not None:
                for outcome in outcomes:
                    yield outcome
            await self._finish()
        except BaseException:
            engine.results.discard()
            await self.aclose()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, timeout: float = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Stop the run: nothing new is sent, and the report is complete for what was read.

        It ends a few seconds after ``timeout`` at the latest, even if something does not let go (a lock on the
        journal, an input that heeds no cancellation); ``report.complete`` is False then, and a warning is logged.

        Args:
            timeout: Seconds that attempts in flight may take to end; those that do not are reported as unknown.

        Raises:
            ConfigurationError: ``timeout`` is out of range.

        Cancelling it stops at once; the report is complete all the same.
        """
        check_duration("timeout", timeout, zero=True)
        if self._engine is None or self._driver is None or self._driver.done():
            return
        self._engine.abandon(ClosedError("the run was stopped"))
        try:
            await asyncio.wait({self._driver}, timeout=timeout)
        finally:
            if not self._driver.done():
                self._driver.cancel()
                await asyncio.wait({self._driver}, timeout=LAST_WORDS)
                if not self._driver.done():
                    logger.warning("%s: the run was closed before it had ended", self._work.name)

    def stop(self, cause: str = "the run was stopped") -> None:
        """Send nothing new, and let the iteration go on to the outcomes that remain.

        An input whose length is known is read to its end: what has not been sent is reported as such.

        Args:
            cause: Why, as the outcomes say.
        """
        if self._engine is not None:
            self._engine.stop.set(ClosedError(cause))

    async def _drained(self) -> BulkReport[Record_co, Receipt_co]:
        if self._ended is None or self._engine is None:
            engine = self._begin()
            engine.results.discard()
            try:
                await self._finish()
            except asyncio.CancelledError:
                await self.aclose()
                raise
        return self.report

    def _begin(self) -> Engine:
        if self._engine is not None:
            raise ClosedError("the run has begun; make a new one to run again")
        self._work.account.transport.session()
        self._work.account.activity.add_run(self)
        self._started = _clock.now()
        journal = self._made_journal()
        tells = self._events
        heard = tells.is_heard or self._on_progress is not None
        options = attrs.evolve(self._options, run_id=tells.run_id, on_outcomes=self._reached if heard else None)
        engine = self._engine = Engine(self._work, self._records, options, journal)
        tells.tally = engine.tally
        tells.started()
        drive = self._drive(engine, journal)
        self._driver = asyncio.create_task(drive, name=f"omeda_async {self._work.name}")
        return engine

    def _made_journal(self) -> "Journal | NullJournal":
        longest = self._work.account.settings.rate_limit.longest
        if self._backend is not None:
            from omeda_async.bulk.journal.writer import Journal  # noqa: PLC0415 the same

            return Journal(self._backend, longest)
        if self._journal is None:
            return NullJournal()
        from omeda_async.bulk.journal.place import journal_at  # noqa: PLC0415 the same

        return journal_at(self._journal, self._identity(), longest)

    async def _drive(self, engine: Engine, journal: "Journal | NullJournal") -> None:
        try:
            await self._remembered(engine, journal)
        finally:
            self._ended = _clock.now()
            self._progressed(at_the_end=True)
            self._events.ended()

    async def _remembered(self, engine: Engine, journal: "Journal | NullJournal") -> None:
        try:
            requests, seconds_ago = await journal.open(engine.tally)
        except BaseException as error:
            engine.results.end()
            if not isinstance(error, JournalError):
                raise
            engine.stop.fail(error)
            return
        if requests:
            # Of those in flight when a run was killed it may not have noted each.
            in_flight = self._work.account.settings.rate_limit.parallel or self._options.concurrency
            self._work.account.limiter.remember(requests + in_flight, seconds_ago)
        cause: BaseException | None = ClosedError("the run was broken off")
        try:
            await engine.run()
            cause = engine.stop.cause or engine.stop.failure
        finally:
            try:
                await journal.close(cause)
            except JournalError as error:
                engine.stop.fail(error)

    def _identity(self) -> "Identity":
        return identity_of(self._work, self._journal_pii)

    async def _finish(self) -> None:
        if self._driver is None or self._engine is None:
            return
        await asyncio.wait({self._driver})
        # A close that lost patience cancels the driver: that is the end of the run, not of who waits for it.
        if not (self._driver.cancelled() and self._engine.stop.is_set):
            self._driver.result()
        if self._engine.stop.failure is not None:
            raise self._engine.stop.failure

    def _reached(self) -> None:
        self._events.reached()
        self._progressed()

    def _progressed(self, *, at_the_end: bool = False) -> None:
        if self._on_progress is None:
            return
        now = _clock.now()
        if at_the_end or now - self._told >= PROGRESS_EVERY:
            self._told = now
            observe(self._on_progress, self.report)


def identity_of(work: Work, pii: str, *, shared: bool = False) -> "Identity":
    """Return whose run a journal remembers that does such work; of a shared one, also how all its parts read."""
    from omeda_async.bulk.journal.identity import Identity  # noqa: PLC0415 the same

    account = work.account
    reading = work.reading if shared else {}
    return Identity(
        provider=account.provider,
        operation=work.name,
        base_url=account.settings.url,
        scope={**work.scope, **reading},
        pii=pii,
        later=frozenset(reading),
    )


def check_scope(work: Work) -> None:
    """Check that a journal can keep what holds for every record.

    Raises:
        ConfigurationError: It cannot; the message names the option.
    """
    for name, value in {**work.scope, **work.reading}.items():
        if value is not None and not isinstance(value, str | bool):
            raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
        check_kept(name, value)


def _where(journal: object) -> "Where | None":
    if journal is None:
        return None
    from omeda_async.bulk.journal.url import where_of  # noqa: PLC0415 the same

    return where_of(journal)


def _checked(work: Work, options: BulkOptions) -> EngineOptions:
    concurrency = options.get("concurrency")
    concurrency = work.concurrency if concurrency is None else concurrency
    deadline = options.get("deadline")
    isolation = options.get("max_isolation_requests", 1000)
    priority = options.get("priority", work.account.priority or Priority.BULK)
    check_whole("concurrency", concurrency, most=MOST_CONCURRENCY)
    check_whole("max_entries", work.max_entries)
    check_whole("max_bytes", work.max_bytes)
    check_whole("max_isolation_requests", isolation, least=0)
    check_one_of("priority", priority, Priority)
    if deadline is not None:
        check_duration("deadline", deadline)
    if options.get("journal_pii", "keep") not in {"keep", "hash"}:
        raise ConfigurationError("journal_pii must be 'keep' or 'hash'")
    return EngineOptions(
        concurrency=concurrency,
        max_entries=work.max_entries,
        max_bytes=work.max_bytes,
        priority=priority,
        linger=1.0,
        isolation_budget=isolation,
        deadline=deadline,
    )


async def _gathered(records: Records[Any]) -> list[Any]:
    if isinstance(records, AsyncIterable):
        return [record async for record in records]
    return list(records)
