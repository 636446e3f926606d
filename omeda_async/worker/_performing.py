"""What a job does: it performs one chunk, and tells the queue what follows from that."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from traceback import format_tb
from typing import Any, Final

import attrs
from procrastinate.exceptions import ConnectorException

from omeda_async._hooks import observe
from omeda_async._masking import readable
from omeda_async.bulk.journal.postgres_control import note_stop
from omeda_async.bulk.journal.url import url_of
from omeda_async.bulk.shared.reports import ChunkReport, ChunkStatus
from omeda_async.errors import ClosedError, ConfigurationError, JournalError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.manager import SessionManager
from omeda_async.worker._again import Later, OtherVersion, seconds_until_again, taken
from omeda_async.worker._operations import OPERATIONS, operation_of
from omeda_async.worker._queue import Queue

STOPPED: Final = "is stopped, as all records would meet this"


@attrs.define(eq=False)
class Managers:
    """Makes a manager for the first who needs one, and closes it after the last."""

    _make: Callable[[], SessionManager]
    _manager: SessionManager | None = attrs.field(default=None, init=False)
    _users: int = attrs.field(default=0, init=False)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[SessionManager]:
        """Give the manager for as long as the block lasts.

        Raises:
            ConfigurationError: What is to make one makes something else, or raises it.
        """
        if self._manager is None:
            made = self._make()
            if not isinstance(made, SessionManager):
                raise ConfigurationError(f"manager_factory must make a SessionManager, not {type(made).__name__}")
            self._manager = made
        manager = self._manager
        self._users += 1
        try:
            yield manager
        finally:
            self._users -= 1
            if not self._users:
                self._manager = None
                await manager.aclose()


@attrs.frozen(kw_only=True)
class Performing:
    """Performs chunks."""

    managers: Managers
    queue: Queue
    journal: Callable[[str], str]
    """Finds the journal of a run."""
    on_chunk: Callable[[str, ChunkReport], Any] | None
    _failures: Counter[tuple[str, int]] = attrs.field(factory=Counter, init=False)
    """How often chunks have failed here for what passes."""

    def shared_run(self, manager: SessionManager, run: str, operation: str, options: Mapping[str, Any]) -> Any:
        """Make the part of a run that this process has in it.

        Raises:
            ConfigurationError: There is no such operation, or an option of it is wrong.
            TypeError: There is no such option.
        """
        return operation_of(operation).client(manager).shared_run(self.journal(run), **options)

    async def perform(self, *, run: str, chunk: int, operation: str, options: dict[str, Any]) -> str:
        """Perform a chunk; return how it stands with it then.

        Raises:
            Later: It is another's, or has met with what passes; the job comes again.
            Exception: What it met with, and would meet the other chunks, too: their jobs leave the queue.
        """
        try:
            report = await self._performed(run, chunk, operation, options)
        except Later:
            raise
        except Exception as error:
            seconds = seconds_until_again(error, self._failures[run, chunk])
            known = isinstance(error, OmedaAsyncError | OtherVersion)
            cause = readable(str(error)) if known else type(error).__name__
            way = _way_to(error)
            if seconds is None:
                missing = error.missing if isinstance(error, JournalError) else None
                if missing == "chunk":  # the others may be there
                    logger.error("%s: the job of chunk %d ends: %s%s", readable(run), chunk, cause, way)
                else:
                    await self._stop(run, cause, way, is_gone=missing == "journal")
                raise
            if seconds:
                self._failures[run, chunk] += 1
                text = "%s: chunk %d is tried again in %.0f s: %s%s"
                logger.warning(text, readable(run), chunk, seconds, cause, way)
            raise Later(cause, seconds) from error
        del self._failures[run, chunk]
        return report.status.value

    async def _performed(self, run: str, chunk: int, operation: str, options: dict[str, Any]) -> ChunkReport:
        async with self.managers.one() as manager:
            report: ChunkReport = await self._part(manager, run, operation, options).perform(chunk)
        logger.info("%s: chunk %d: %s", readable(run), chunk, report.status)
        if self.on_chunk is not None:
            observe(partial(self.on_chunk, run), report)
        if report.status is ChunkStatus.TAKEN:
            raise taken(report.retry_in or 1.0)
        if report.status is ChunkStatus.LEFT:
            raise report.stopped_by or ClosedError("the chunk was left")
        return report

    def _part(self, manager: SessionManager, run: str, operation: str, options: Mapping[str, Any]) -> Any:
        if operation not in OPERATIONS:
            raise OtherVersion(f"this version of omeda-async knows no operation {operation}")
        try:
            return self.shared_run(manager, run, operation, options)
        except TypeError as error:
            raise OtherVersion(f"this version of omeda-async cannot perform it: {error}") from error

    async def _stop(self, run: str, cause: str, way: str, *, is_gone: bool) -> None:
        with suppress(JournalError, ConfigurationError):  # that may be the cause
            await asyncio.to_thread(note_stop, url_of(self.journal(run)), cause)
        waiting = await self.queue.remove(run)
        why, then = ("ends, as there is nothing left to perform", "to begin anew") if is_gone else (STOPPED, "to go on")
        text = "%s %s: %s (jobs that left the queue: %d; defer it again %s)%s"
        logger.error(text, readable(run), why, cause, waiting, then, way)


def _way_to(error: Exception) -> str:
    """Return the way to what nobody has foreseen: lines of code, and no text of an error, which may show a record."""
    if isinstance(error, JournalError):
        unforeseen = error.__cause__
    else:
        unforeseen = None if isinstance(error, OmedaAsyncError | OtherVersion | ConnectorException | OSError) else error
    if unforeseen is None:
        return ""
    return "\n" + "".join(format_tb(unforeseen.__traceback__)).rstrip()
