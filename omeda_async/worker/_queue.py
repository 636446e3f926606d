"""The jobs of runs in procrastinate's queue: one for each chunk."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

import attrs
from procrastinate import App, exceptions
from procrastinate.jobs import Job, Status

from omeda_async import _clock
from omeda_async._masking import readable
from omeda_async.events import logger

PERFORM: Final = "omeda_async.perform_chunk"
SWEEP: Final = "omeda_async.sweep"
"""The names of the tasks. They stand in the database: jobs that wait there are found by them."""

AT_ONCE: Final = 200
"""Jobs that one sweep gives back: that takes about a second."""


@attrs.frozen(kw_only=True)
class Queue:
    """The queue, as far as it is ours."""

    app: App
    name: str

    async def add(
        self, run: str, chunks: Iterable[int], operation: str, options: Mapping[str, Any], priority: int, *, anew: bool
    ) -> int:
        """Make jobs for chunks that have none; return how many were made.

        Args:
            run: The name of the run.
            chunks: Their numbers.
            operation: What is done.
            options: How.
            priority: Of the jobs.
            anew: Whether the run was cancelled, or its chunks done, right before: a job that is being performed may
                have begun before that, and end with it.
        """
        under_way = set() if anew else {job.task_kwargs["chunk"] for job in await self.jobs(Status.DOING, run)}
        made, waiting = 0, set[int]()
        for chunk in chunks:
            if chunk in under_way:
                continue
            lock = self.lock(run, chunk)
            task = self.app.configure_task(PERFORM, queue=self.name, priority=priority, queueing_lock=lock)
            try:
                await task.defer_async(run=run, chunk=chunk, operation=operation, options=dict(options))
            except exceptions.AlreadyEnqueued:
                waiting.add(chunk)
                continue
            made += 1
        if waiting:
            await self._tell_kept(run, waiting, priority)
        return made

    def lock(self, run: str, chunk: int) -> str:
        """Return what no two jobs have that wait: one for each chunk, of whatever queue."""
        return f"{quote(self.name)} {run} {chunk}"  # a queue's name may hold what looks like a run's

    async def has_another(self, job: Job) -> bool:
        """Whether another job waits for the chunk of one that is being performed, and goes on with what that leaves.

        It may wait itself: where its worker stood still, a sweep has given it back.
        """
        found = await self.app.job_manager.list_jobs_async(queueing_lock=job.queueing_lock, status=Status.TODO.value)
        return job.queueing_lock is not None and any(one.id != job.id for one in found)

    async def _tell_kept(self, run: str, chunks: set[int], priority: int) -> None:
        """Say which priority jobs keep that were made with another one."""
        jobs = [job for job in await self.jobs(Status.TODO, run) if job.task_kwargs["chunk"] in chunks]
        kept = sorted({job.priority for job in jobs} - {priority})
        if kept:
            text = "%s: its jobs that wait already keep their priority (%s), and do not get %d"
            logger.warning(text, readable(run), ", ".join(map(str, kept)), priority)

    async def jobs(self, status: Status, run: str | None = None) -> list[Job]:
        """Return the jobs of chunks that are in that state, of one run or of all."""
        found = await self.app.job_manager.list_jobs_async(queue=self.name, task=PERFORM, status=status.value)
        return [job for job in found if run is None or job.task_kwargs.get("run") == run]

    async def remove(self, run: str) -> int:
        """Take the jobs of a run that wait out of the queue; return how many there were."""
        cancel = self.app.job_manager.cancel_job_by_id_async
        return sum([await cancel(job.id) for job in await self.jobs(Status.TODO, run) if job.id is not None])

    async def sweep(self, stalled_after: float, own: int | None) -> int:
        """Give back jobs of workers that are not heard of any more; return how many there were.

        Of thousands only some, so that the sweep keeps no chunk waiting for long: the next one goes on.

        Args:
            stalled_after: Seconds since they were heard of.
            own: The job that does so, which is no such one.
        """
        given_back = 0
        for task in (SWEEP, PERFORM):
            stalled = await self.app.job_manager.get_stalled_jobs(
                queue=self.name, task_name=task, seconds_since_heartbeat=stalled_after
            )
            for job in islice(stalled, AT_ONCE):
                if job.id != own:
                    given_back += await self.give_back(job, "its worker is gone")
        return given_back

    async def give_back(self, job: Job, why: str) -> bool:
        """Have the job of a chunk come again that counts as being performed; return whether it does.

        Args:
            job: The job; a sweep only leaves the queue.
            why: For the log.
        """
        jobs = self.app.job_manager
        try:
            if job.task_name == PERFORM:
                with suppress(exceptions.UniqueViolation):  # another job waits for the same chunk
                    await jobs.retry_job(job)
                    logger.warning("%s: %s, and the job is given to another one", job.call_string, why)
                    return True
            await jobs.finish_job(job, Status.FAILED, delete_job=True)
        except exceptions.ConnectorException as error:  # it has ended meanwhile, or another sweep was first
            logger.debug("%s was not given back: %s", job.call_string, error)
        return False


@attrs.define(eq=False)
class Ended:
    """Gives back jobs that have ended, but count as being performed: no sweep finds them, as their worker lives.

    The database of their queue may have been away in that very moment.
    """

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
