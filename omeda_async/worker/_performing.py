"""What a job does: it performs one chunk, and tells the queue what follows from that."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from procrastinate import JobContext

from omeda_async._hooks import observe
from omeda_async.bulk.shared.reports import ChunkReport, ChunkStatus
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.manager import SessionManager
from omeda_async.worker._again import Taken, seconds_until_again
from omeda_async.worker._managers import Managers
from omeda_async.worker._operations import operation_of
from omeda_async.worker._queue import Queue


@attrs.frozen(kw_only=True)
class Performing:
    """Performs chunks."""

    managers: Managers
    queue: Queue
    journal: Callable[[str], str]
    """Finds the journal of a run."""
    on_chunk: Callable[[str, ChunkReport], Any] | None

    def shared_run(self, manager: SessionManager, run: str, operation: str, options: Mapping[str, Any]) -> Any:
        """Make the part of a run that this process has in it.

        Raises:
            ConfigurationError: There is no such operation, or an option of it is wrong.
            TypeError: There is no such option.
        """
        return operation_of(operation).client(manager).shared_run(self.journal(run), **options)

    async def perform(
        self, context: JobContext, *, run: str, chunk: int, operation: str, options: dict[str, Any]
    ) -> str:
        """Perform a chunk; return how it stands with it then.

        Raises:
            Taken: It is another's; the job comes again.
            Exception: What it met with. Where that passes, the job comes again; else it is what would meet the other
                chunks, too, and their jobs leave the queue.
        """
        try:
            report = await self._performed(run, chunk, operation, options)
        except Exception as error:
            await self._failed(run, chunk, error, context.job.attempts)
            raise
        return report.status.value

    async def _performed(self, run: str, chunk: int, operation: str, options: dict[str, Any]) -> ChunkReport:
        async with self.managers.one() as manager:
            report: ChunkReport = await self.shared_run(manager, run, operation, options).perform(chunk)
        logger.info("%s: chunk %d: %s", run, chunk, report.status)
        if self.on_chunk is not None:
            observe(partial(self.on_chunk, run), report)
        if report.status is ChunkStatus.TAKEN:
            raise Taken(report.retry_in or 1.0)
        if report.status is ChunkStatus.LEFT:
            raise report.stopped_by or ClosedError("the chunk was left")
        return report

    async def _failed(self, run: str, chunk: int, error: Exception, attempts: int) -> None:
        cause = str(error) if isinstance(error, OmedaAsyncError) else type(error).__name__
        seconds = seconds_until_again(error, attempts)
        if seconds is None:
            await self._stop(run, cause)
        elif seconds and not isinstance(error, Taken):
            logger.warning("%s: chunk %d is tried again in %.0f s: %s", run, chunk, seconds, cause)

    async def _stop(self, run: str, cause: str) -> None:
        waiting = await self.queue.remove(run)
        text = (
            "%s is stopped, as all records would meet this: %s (jobs that left the queue: %d; defer it again to go on)"
        )
        logger.error(text, run, cause, waiting)
