"""Jobs that have ended here, until their queue knows it, too: its database may be away in that very moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from procrastinate.jobs import Job, Status

from omeda_async import _clock
from omeda_async.worker._queue import Queue


@attrs.define(eq=False)
class Ended:
    """Gives back jobs that have ended, but count as being performed: no sweep finds them, as their worker lives."""

    queue: Queue
    _ended: dict[int, tuple[float, int | None]] = attrs.field(factory=dict, init=False)
    """When they have ended, and in which worker."""

    @contextmanager
    def after(self, job: Job) -> Iterator[None]:
        """Note that a job has ended, when the block is left."""
        if job.id is None:
            yield
            return
        self._ended.pop(job.id, None)  # it comes again
        try:
            yield
        finally:
            self._ended[job.id] = (_clock.now(), job.worker_id)

    async def give_back(self, after: float) -> None:
        """Give back those that should be over for so many seconds.

        Raises:
            ConnectorException: procrastinate cannot reach its database.
        """
        before = _clock.now() - after
        due = {number: worker for number, (ended, worker) in self._ended.items() if ended <= before}
        if not due:
            return
        for job in await self.queue.jobs(Status.DOING):
            if job.id in due and job.worker_id == due[job.id]:
                await self.queue.give_back(job, "its end could not be told to the queue")
        for number in due:
            if self._ended.get(number, (before,))[0] <= before:
                self._ended.pop(number, None)
