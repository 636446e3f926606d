"""The engine of a bulk run: one reader, some workers, and an outcome for every record read."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from omeda_async._call_options import CallOptions
from omeda_async._stop import Stop
from omeda_async.bulk._delivery import Delivery
from omeda_async.bulk._item import Closed, Records
from omeda_async.bulk._job import Job, Work
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._queue import BatchQueue
from omeda_async.bulk._reader import BREATHE_EVERY, Reader, ReaderOptions
from omeda_async.bulk._results import ResultBuffer
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.limits import Priority
from omeda_async.outcomes import Tally

if TYPE_CHECKING:
    from omeda_async.bulk._delivery import NullJournal
    from omeda_async.bulk.journal.writer import Journal

BATCHES_READY = 1
GRACE = 1.0
"""Seconds for which cancelled tasks are waited for at the most."""
LETS_GO = 5.0
"""Seconds that the input of a stopped run may take to give a record or to close, before it is abandoned."""


@attrs.frozen(kw_only=True)
class EngineOptions:
    """How a run is made."""

    concurrency: int
    max_entries: int
    max_bytes: int
    priority: Priority
    linger: float
    """Seconds that a batch waits for more records when they trickle in."""
    isolation_budget: int
    deadline: float | None
    run_id: str | None = None
    """The id of the run in its events."""
    on_outcomes: Callable[[], Any] | None = None


class Engine:
    """Reads records, has them sent, and gives each exactly one outcome.

    Args:
        work: How items are read and sent.
        records: The input; read lazily.
        options: How the run is made.
        journal: What remembers the run.
    """

    def __init__(
        self, work: Work, records: Records[Any], options: EngineOptions, journal: "Journal | NullJournal"
    ) -> None:
        self.stop = Stop()
        self.journal = journal
        self.results = ResultBuffer(limit=2 * options.concurrency * options.max_entries)
        self.delivery = Delivery(journal, self.results, self.stop, options.on_outcomes)
        self.queue = BatchQueue(max(work.look_ahead, BATCHES_READY), options.concurrency)
        self.stop.wakers.add(self.queue.close)
        how = ReaderOptions(
            max_entries=options.max_entries,
            max_bytes=options.max_bytes,
            linger=options.linger,
            room=self._room,
            most_waiting=options.concurrency * max(options.max_entries, BREATHE_EVERY),
        )
        self.reader = Reader(work, records, self.queue, self.delivery, how)
        self.deliver: Callable[[Sequence[Closed]], None] = self.delivery.deliver
        self.deliver_when = self.delivery.deliver_when
        self.leave: Callable[[Sequence[Closed]], None] = self.delivery.leave
        self._work = work
        self._options = options
        self._isolation_left = options.isolation_budget
        self._jobs: set[Job] = set()
        self.stop.wakers.add(self._wake)
        self.call_options = CallOptions(
            priority=options.priority,
            deadline_from_first_permit=True,
            tally=self.delivery.tally,
            stop=self.stop,
            run_id=options.run_id,
            is_late=None if journal.lapsed is None else partial(self._has_lapsed, journal.lapsed),
        )

    @property
    def tally(self) -> Tally:
        """The sums of the run so far."""
        return self.delivery.tally

    async def run(self) -> None:
        """Run to the end of the input, or until stopped.

        Cancelling it stops within a second or so, with an outcome for all that was read.
        """
        timer = None
        if self._options.deadline is not None:
            passed = ClosedError("the run's deadline has passed")
            timer = asyncio.get_running_loop().call_later(self._options.deadline, self.stop.set, passed)
        try:
            await self._until_all_have_ended()
        finally:
            if timer is not None:
                timer.cancel()
            self.delivery.leave_unsent(self.reader.left_over())
            try:
                await self.delivery.deliver_left()
            finally:
                self.delivery.spent.clear()
                self.results.end()

    def abandon(self, cause: OmedaAsyncError) -> None:
        """Stop, and read nothing more."""
        self.reader.read_on = False
        self.results.unbind()
        self.stop.set(cause)

    def spend_isolation(self) -> bool:
        """Spend one request of the run's budget for isolating culprits; return whether it allows that."""
        self._isolation_left -= 1
        return self._isolation_left >= 0

    def _has_lapsed(self, lapsed: Callable[[], bool]) -> bool:
        """Stop the run where its lease has run out; return whether the run is stopped."""
        if lapsed():
            self.stop.set(ClosedError("the lease has run out before this record was sent"))
        return self.stop.is_set

    def _wake(self) -> None:
        for job in list(self._jobs):
            job.wake()

    async def _room(self) -> None:
        await self.results.room()
        await self.journal.room()

    async def _until_all_have_ended(self) -> None:
        reading = asyncio.create_task(self.reader.run())
        workers = {asyncio.create_task(self._serve()) for _ in range(self._options.concurrency)}
        tasks = {*workers, reading}
        for task in tasks:
            task.add_done_callback(self._one_has_ended)
        try:
            await asyncio.wait(workers)
            await self._until_read(reading)
        except asyncio.CancelledError:
            # The stop comes first: a task that swallows its cancellation sees the stop afterwards.
            self.abandon(ClosedError("the run was broken off"))
            await outlast(self._break_off(tasks))
            raise

    async def _until_read(self, reading: asyncio.Task[None]) -> None:
        """Wait for the reader to end, as all workers have; abandon an input that gives nothing and does not close."""
        while not reading.done():
            before = self.reader.position, self.reader.awaits_input
            await asyncio.wait({reading}, timeout=LETS_GO)
            if not reading.done() and before == (self.reader.position, True):
                logger.warning("%s: the input of a stopped run does not let go; it is left", self._work.name)
                self.reader.abandon()
                reading.cancel()
                return

    async def _break_off(self, tasks: set[asyncio.Task[None]]) -> None:
        """Cancel all tasks, wait for them a moment, and close what those have left open that do not end."""
        for task in tasks:
            task.cancel()
        _, alive = await asyncio.wait(tasks, timeout=GRACE)
        if alive:
            logger.warning("%s: %d tasks of a run that was broken off have not ended", self._work.name, len(alive))
        self.reader.abandon()
        for job in list(self._jobs):
            job.abandon()

    def _one_has_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # by us, after a stop; or by what the caller's own code has raised or done
            self.stop.set(ClosedError("the run was cancelled from inside: by its input, a hook or a token callable"))
        elif (error := task.exception()) is not None:
            self.stop.break_off(error)

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the run is stopped."""
        stopped = asyncio.Event()
        self.stop.wakers.add(stopped.set)
        timer = asyncio.get_running_loop().call_later(seconds, stopped.set)
        try:
            if not self.stop.is_set:
                await stopped.wait()
        finally:
            timer.cancel()
            self.stop.wakers.discard(stopped.set)

    async def _serve(self) -> None:
        while (items := await self.queue.take()) is not None:
            if self.stop.is_set:
                self.delivery.leave_unsent(items)
                continue
            job = Job(self, items)
            del items  # nothing of the last items is held while the next are awaited
            self._jobs.add(job)
            try:
                await job.perform(self._work)
            finally:
                self._jobs.discard(job)
            if job.rest:
                await self._rest(job.rest)
            del job
            if self.results.is_full:
                await self.results.room()
