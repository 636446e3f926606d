"""The engine of a bulk run: one reader, some workers, and an outcome for every record read."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from omeda_async._call import CallOptions
from omeda_async.bulk._delivery import Delivery
from omeda_async.bulk._item import Closed, Records
from omeda_async.bulk._job import Job, Work
from omeda_async.bulk._queue import BatchQueue
from omeda_async.bulk._reader import BREATHE_EVERY, Reader, ReaderOptions
from omeda_async.bulk._results import ResultBuffer
from omeda_async.bulk._stop import Stop
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.limits import Priority
from omeda_async.outcomes import Tally

if TYPE_CHECKING:
    from omeda_async.bulk.journal.writer import Journal

BATCHES_READY = 1


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
    on_outcomes: Callable[[], Any] | None = None


class Engine:
    """Reads records, has them sent, and sees to it that each one has exactly one outcome.

    Args:
        work: How items are read and sent.
        records: The input; read lazily.
        options: How the run is made.
        journal: What remembers the run, if anything does.
    """

    def __init__(self, work: Work, records: Records, options: EngineOptions, journal: "Journal | None") -> None:
        self.stop = Stop()
        self.journal = journal
        self.results = ResultBuffer(limit=2 * options.concurrency * options.max_entries)
        self.delivery = Delivery(journal, self.results, self.stop, options.on_outcomes)
        self.queue = BatchQueue(max(work.look_ahead, BATCHES_READY))
        how = ReaderOptions(
            max_entries=options.max_entries,
            max_bytes=options.max_bytes,
            linger=options.linger,
            takers=options.concurrency,
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
        self._usual = CallOptions(
            priority=options.priority,
            deadline_from_first_permit=True,
            on_request=self._count_request,
            stopped=lambda: self.stop.is_set,
        )

    @property
    def tally(self) -> Tally:
        """The sums of the run so far."""
        return self.delivery.tally

    async def run(self) -> None:
        """Run to the end of the input, or until stopped. Cancelling it stops at once, still with an outcome for all."""
        timer = None
        if self._options.deadline is not None:
            passed = ClosedError("the run's deadline has passed")
            timer = asyncio.get_running_loop().call_later(self._options.deadline, self.stop.set, passed)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._options.concurrency):
                    group.create_task(self._serve())
                group.create_task(self.reader.run())
        finally:
            if timer is not None:
                timer.cancel()
            self.delivery.leave_unsent(self.reader.left_over())
            try:
                await self.delivery.deliver_left()
            finally:
                self.delivery.let_go()
                self.results.end()

    def abandon(self, cause: OmedaAsyncError) -> None:
        """Stop, and read nothing more."""
        self.reader.read_on = False
        self.results.unbind()
        self.stop.set(cause)

    def options(self, *, doubtful: bool = False, explain: bool = True, fail_fast: bool = False) -> CallOptions:
        """Return the options for the next call of a job."""
        if explain and not (doubtful or fail_fast):
            return self._usual
        return attrs.evolve(self._usual, doubtful=doubtful, explain=explain, fail_fast=fail_fast)

    def spend_isolation(self) -> bool:
        """Whether the run's budget for isolating culprits allows one more request; it counts as spent."""
        self._isolation_left -= 1
        return self._isolation_left >= 0

    def _count_request(self) -> None:
        self.delivery.tally.requests += 1

    async def _room(self) -> None:
        await self.results.room()
        if self.journal is not None:
            await self.journal.room()

    async def _serve(self) -> None:
        while (items := await self.queue.take()) is not None:
            if self.stop.is_set:
                self.delivery.leave_unsent(items)
                continue
            job = Job(self, items)
            del items  # nothing of the last items is held while the next are awaited
            self.stop.wakers.add(job.wake)
            try:
                await job.perform(self._work)
            finally:
                self.stop.wakers.discard(job.wake)
            del job
            if self.results.is_full:
                await self.results.room()
