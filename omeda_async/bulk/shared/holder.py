"""One process at work on chunks: it claims one, performs it as a bulk run, and gives it back."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from omeda_async import _clock
from omeda_async._thread import Worker
from omeda_async.bulk._job import Work
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._run import BulkOptions, BulkRun, identity_of
from omeda_async.bulk.journal.chunks import CANCELLED, ChunkStatus, Claimed, NotClaimed, Terms
from omeda_async.bulk.journal.codec import record_of
from omeda_async.bulk.journal.postgres_chunk import ChunkBackend
from omeda_async.bulk.journal.postgres_chunks import claim, counts_of, give_back
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.bulk.shared.beat import Beat
from omeda_async.bulk.shared.reports import ChunkReport
from omeda_async.errors import ClosedError, JournalError, OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

_Claim: TypeAlias = Claimed | NotClaimed
_AT_LEAST: Final = 0.05


class Holder:
    """Performs chunks, one after the other, by a connection of its own.

    Args:
        url: Where the journal is.
        work: How records are read and sent.
        terms: How chunks are held.
        options: How each is performed.
    """

    def __init__(self, url: JournalUrl, work: Work, terms: Terms, options: BulkOptions) -> None:
        self.line = Line(url, terms.lease)
        self._url, self._work, self._terms, self._options = url, work, terms, options
        self._worker = Worker("omeda_async chunks")
        self._owed: Claimed | None = None
        """What could not be given back as the connection was lost."""
        self._was_lost = False

    @property
    def is_away(self) -> bool:
        """Whether there was no connection, or the last chunk's was lost; there may be one by now."""
        return self.line.is_away or (self.line.was_open and (self.line.is_lost or self._was_lost))

    async def perform(self, number: int | None) -> ChunkReport | NotClaimed:
        """Perform a chunk, or the first that is free.

        Raises:
            JournalError: The journal cannot be used.
            ClosedError: The session manager is closed.

        Cancelling it gives the chunk back, with what became of it.
        """
        now, self._was_lost = _clock.that_never_rests(asyncio.get_running_loop()), False
        asked, claiming = now(), self._worker.do(partial(self._claim, number))
        try:
            claimed = await asyncio.shield(claiming)
            if isinstance(claimed, NotClaimed):
                return claimed
        except asyncio.CancelledError:
            await outlast(self._undo(claiming))
            raise
        return await self._perform(claimed, asked, now)

    async def counts(self, number: int) -> dict[OutcomeStatus, int]:
        """Return what has become of the records of a chunk."""
        return await self._worker.do(partial(counts_of, self.line, number))

    async def at_once(self) -> int:
        """Return how many chunks are to be performed at once, so that as many requests are under way as may be.

        Raises:
            JournalError: There is no such run.
        """
        stored = await self._worker.do(self.line.stored)
        concurrency = self._options.get("concurrency") or self._work.concurrency
        return min(concurrency, max(1, concurrency * self._work.max_entries // (stored.chunk or 1)))

    async def aclose(self) -> None:
        """Close the connection; a cancellation is put off until that is done."""
        await outlast(self._close())

    def _claim(self, number: int | None) -> _Claim:
        if self._owed is not None:
            give_back(self.line, self._owed, done=False)
            self._owed = None
        return claim(self.line, identity_of(self._work, "keep", shared=True), self._terms, number)

    async def _undo(self, claiming: "asyncio.Future[_Claim]") -> None:
        """Give back what was being claimed when nobody wanted it any more."""
        await asyncio.wait({claiming})
        if claiming.exception() is None and isinstance(claimed := claiming.result(), Claimed):
            await self._give_back(claimed)

    async def _close(self) -> None:
        if self._owed is not None:
            await self._give_back(self._owed)
        await self._worker.do(self.line.close)
        self._worker.end()

    async def _give_back(self, claimed: Claimed) -> None:
        try:
            await self._worker.do(partial(give_back, self.line, claimed, done=False))
            self._owed = None
        except JournalError:
            self._owed = claimed

    async def _perform(self, claimed: Claimed, asked: float, now: Callable[[], float]) -> ChunkReport:
        loop = asyncio.get_running_loop()
        raws = [record_of(f"[0,{row.record}]") for row in claimed.rows]
        stopped: list[str] = []

        def stop(cause: str) -> None:
            stopped.append(cause)
            run.stop(cause)

        backend = ChunkBackend(
            self.line,
            claimed,
            self._terms,
            asked=asked,
            now=now,
            tell=lambda cause: loop.call_soon_threadsafe(stop, cause),
        )
        run = BulkRun(self._work, raws, backend=backend, **self._options)
        beat = Beat(self._url, backend, self._terms)
        failure: OmedaAsyncError | None = None
        try:
            await run
        except (JournalError, ClosedError) as error:
            failure, self._was_lost = error, self.line.is_lost
        finally:
            beat.end()
            has_ended = failure is not None or run.report.complete  # else something may be under way: it has to lapse
            if has_ended and backend.done is None and not backend.is_lost:
                await outlast(self._give_back(claimed))
        report = partial(ChunkReport, number=claimed.number, requests=run.report.requests)
        if backend.done is None and backend.is_lost:
            return report(status=ChunkStatus.TAKEN, retry_in=self._terms.lease + self._terms.attempt)
        if failure is not None:
            raise failure
        if backend.has_lapsed:
            return report(status=ChunkStatus.TAKEN, retry_in=_AT_LEAST)
        counts = await self.counts(claimed.number)
        if backend.done:
            return report(status=ChunkStatus.DONE, counts=counts)
        status = ChunkStatus.CANCELLED if CANCELLED in stopped else ChunkStatus.LEFT
        return report(status=status, counts=counts, stopped_by=run.stopped_by)
