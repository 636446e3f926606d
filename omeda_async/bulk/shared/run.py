"""A run that several processes share, on one journal in PostgreSQL."""

import asyncio
from functools import partial
from typing import Any, Final, Generic, Literal, Unpack, cast

from omeda_async import _clock
from omeda_async._checks import check_between, check_whole
from omeda_async._generic import Receipt_co, Record_co
from omeda_async._thread import Worker
from omeda_async.bulk._given import many
from omeda_async.bulk._item import Records
from omeda_async.bulk._job import Work
from omeda_async.bulk._options import SharedOptions
from omeda_async.bulk._run import BulkOptions, BulkRun, check_scope, identity_of
from omeda_async.bulk.journal.chunks import ChunkStatus, NotClaimed, Terms
from omeda_async.bulk.journal.postgres_fill import PostgresFill
from omeda_async.bulk.journal.url import url_of
from omeda_async.bulk.shared.holder import Holder
from omeda_async.bulk.shared.input import fill
from omeda_async.bulk.shared.reports import ChunkReport, RunFilled
from omeda_async.bulk.shared.whole import read_report
from omeda_async.errors import ConfigurationError, JournalError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.outcomes import BulkReport

LEASE: Final = 30.0
SHORTEST, LONGEST = 0.1, 86400.0
"""Of leases: a shorter one is renewed without rest, and for so long a chunk may be nobody's that a dead process had."""
OUTAGE: Final = 60.0
"""Seconds that a database may be away before a process gives up."""
MOST_IN_CHUNK: Final = 1_000_000
LAST_CHUNK: Final = 2**31 - 1
_RETRY: Final = 1.0
_POLL: Final = 1.0
"""Seconds after which a process looks at the latest whether there is something to do."""


class SharedRun(Generic[Record_co, Receipt_co]):
    """A run that several processes share. Each makes one such object, on the same journal, with the same options.

    One of them reads the input by :meth:`fill`; then every process sends chunks of it: by :meth:`work`, or chunk by
    chunk by :meth:`perform`, as an engine for jobs wants it. Nothing has to be closed.

    Args:
        journal: ``postgresql://host/database?run=NAME``.
        work: How records are read and sent.
        options: See :class:`SharedOptions`.

    Raises:
        ConfigurationError: It is no such URL, or an option is out of range; the message names it.
        TypeError: There is no such option.
    """

    def __init__(self, journal: str, work: Work, **options: Unpack[SharedOptions]) -> None:
        unknown = options.keys() - SharedOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"a shared run of {work.name} has no option {', '.join(sorted(unknown))}")
        lease = options.pop("lease", LEASE)
        check_between("lease", lease, SHORTEST, LONGEST)
        self._options = cast(BulkOptions, options)
        _ = BulkRun(work, (), **self._options)  # which checks them
        check_scope(work)
        self._url, self._work = url_of(journal), work
        account = work.account
        self._terms = Terms(
            lease=lease,
            attempt=account.timeout + account.connect_timeout,
            lookback=account.settings.rate_limit.longest,
        )
        self._stopped_by: OmedaAsyncError | None = None
        self._failure: Exception | None = None
        self._is_unread_told = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._work.name}: {self._url}>"

    async def fill(
        self, records: Records[Any], *, chunk: int | None = None, journal_pii: Literal["keep", "hash"] = "keep"
    ) -> RunFilled:
        """Read the input once, into the journal; nothing is sent.

        The same call again changes nothing; one that was broken off is gone on with. Records that the run does not hold
        make further chunks, as in a run that is resumed with another input; what is returned says how many, and how
        many of an earlier input this one does not hold. Others may perform chunks while it goes on.

        Args:
            records: As for the bulk run.
            chunk: Records that a process claims at a time, a million at the most; by default 500. Of a run that exists,
                its own number counts, and a line of the log says so.
            journal_pii: ``"hash"`` keeps of a record only a salted hash, as soon as its outcome is there.

        Raises:
            JournalError: It cannot be written, another fills it, or it is another run's: of another operation or
                account, or filled with other options (``reason``, ``user_id``, ``allow_odd_addresses`` …). The message
                names the option.
            InvalidRecord: The records are no iterable of records. One that is invalid by itself is no error.
            ConfigurationError: An option is out of range; the message names it.

        Cancelling it leaves a journal that the same call completes.
        """
        given = many(records)
        if chunk is not None:
            check_whole("chunk", chunk, most=MOST_IN_CHUNK)
        if journal_pii not in {"keep", "hash"}:
            raise ConfigurationError("journal_pii must be 'keep' or 'hash'")
        store = PostgresFill(self._url, identity_of(self._work, journal_pii, shared=True), chunk)
        return await fill(store, self._work, given, chunk)

    async def perform(self, number: int) -> ChunkReport:
        """Perform one chunk: claim it, settle what may have been sent before, send the rest, and give it back.

        Args:
            number: Of the chunk, from 0.

        Raises:
            JournalError: The journal cannot be used, is another run's, or has no such chunk. What was sent before
                is in it, and is settled by whoever performs the chunk next.
            ClosedError: The session manager is closed.

        Cancelling it lets attempts in flight end, for 30 seconds at the most; cancelling it again stops at once. What
        has become of the records is noted, and the chunk given back.
        """
        check_whole("number", number, least=0, most=LAST_CHUNK)
        holder = Holder(self._url, self._work, self._terms, self._options)
        try:
            found = await holder.perform(number)
            if not isinstance(found, NotClaimed):
                return found
            counts = await holder.counts(number) if found.status is ChunkStatus.DONE else {}
            return ChunkReport(number=number, status=found.status, counts=counts, retry_in=found.retry_in)
        finally:
            await holder.aclose()

    async def work(self) -> BulkReport[Record_co, Receipt_co]:
        """Perform whatever chunk is free, until none is left; return the report of the whole run.

        It waits for chunks that other processes hold, and takes over those of processes that have died; also for one
        that fills the run, or is about to, for a minute. It ends early where the run is cancelled, a cause would meet
        every record, or nobody has filled the run to its end for a minute: the report is not complete then, and
        ``stopped_by`` says why.

        Raises:
            JournalError: The journal cannot be used; where its database is away, or nobody has begun to fill the run,
                after a minute of trying again.
            ClosedError: The session manager is closed.

        Cancelling it lets attempts in flight end, for 30 seconds at the most; cancelling it again stops at once. What
        has become of the records is noted, and the chunks given back.
        """
        self._stopped_by = self._failure = None
        self._is_unread_told = False
        first = Holder(self._url, self._work, self._terms, self._options)
        try:
            at_once = await self._at_once(first)
        except BaseException:
            await first.aclose()
            raise
        others = [Holder(self._url, self._work, self._terms, self._options) for _ in range(at_once - 1)]
        async with asyncio.TaskGroup() as group:
            for holder in (first, *others):
                group.create_task(self._serve(holder))
        if self._failure is not None:
            raise self._failure
        return await self._last_report()

    async def report(self) -> BulkReport[Record_co, Receipt_co]:
        """Return the report of the whole run, of all processes, as the journal knows it.

        Records that nobody has sent yet count as ``not_sent``, those that may have been as ``unknown``. Those of
        which somebody has removed the rows do, too: it is not complete then, and ``stopped_by`` says so. Among the
        failures are no repeats, and no receipts. ``requests`` are those that were noted: of a process
        that was killed, those since its last write are missing.

        Raises:
            JournalError: The journal cannot be read, or is none of a shared run.
        """
        worker = Worker("omeda_async journal, read")
        try:
            return await worker.do(partial(read_report, self._url, self._work, self._stopped_by))
        finally:
            worker.end(wait=False)

    async def _at_once(self, holder: Holder) -> int:
        """Find out how many chunks are to be performed at once; wait for a database, and for who fills the run."""
        give_up, is_told = _clock.now() + OUTAGE, False
        while True:
            try:
                return await holder.at_once()
            except JournalError as error:
                if not (holder.is_away or holder.line.is_unbegun) or _clock.now() > give_up:
                    raise
                if not is_told:
                    what = "the database is away" if holder.is_away else "the run is not there yet"
                    logger.warning("%s, and waited for, for %.0f s at the most: %s", what, OUTAGE, error)
                    is_told = True
            await _clock.sleep(_RETRY)

    async def _last_report(self) -> BulkReport[Record_co, Receipt_co]:
        """Return the report after the work, also where the database is away at that moment."""
        give_up = _clock.now() + OUTAGE
        while True:
            try:
                return await self.report()
            except JournalError:
                if _clock.now() > give_up:
                    raise
            await _clock.sleep(_RETRY)

    @property
    def _is_over(self) -> bool:
        return self._failure is not None or self._stopped_by is not None

    async def _serve(self, holder: Holder) -> None:
        """Perform chunks until none is left, or all is over."""
        try:
            reached = _clock.now()
            while not self._is_over:
                try:
                    found = await holder.perform(None)
                except Exception as error:  # noqa: BLE001 whatever it is, it is raised once all have ended
                    away = isinstance(error, JournalError) and holder.is_away
                    if not away or _clock.now() - reached > OUTAGE:
                        self._failure = self._failure or error
                        return
                    await _clock.sleep(_RETRY)
                else:
                    if not _is_unread(found):
                        reached = _clock.now()
                    if not await self._goes_on(found, reached + OUTAGE):
                        return
        finally:
            await holder.aclose()

    async def _goes_on(self, found: ChunkReport | NotClaimed, give_up: float) -> bool:
        """Take what came of a claim, and wait where it is another's; return whether there may be more to do.

        Args:
            found: What came of it.
            give_up: When an input that nobody reads to its end is waited for no more.
        """
        is_unread = _is_unread(found)
        if is_unread and not self._is_unread_told:
            self._is_unread_told = True
            text = "the input of %s was not read to its end, and nobody reads it; waited for, for %.0f s at the most"
            logger.warning(text, self._url, OUTAGE)
        if found.status is ChunkStatus.TAKEN or (is_unread and _clock.now() < give_up):
            await _clock.sleep(min(found.retry_in or _POLL, _POLL))
            return True
        if isinstance(found, ChunkReport) and found.status is ChunkStatus.DONE:
            return True
        self._stopped_by = self._stopped_by or found.stopped_by
        return False


def _is_unread(found: ChunkReport | NotClaimed) -> bool:
    """Whether there is nothing to do, but the input was not read to its end, and nobody reads it."""
    return isinstance(found, NotClaimed) and found.status is ChunkStatus.LEFT
