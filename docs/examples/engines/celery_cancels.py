"""Cancels in bulk as tasks of Celery, on Redis.

::

    python celery_cancels.py ids.txt
    celery -A celery_cancels worker --concurrency 2
"""

import asyncio
import sys

import cancels
from celery import Celery, Task

app = Celery("cancels", broker=cancels.BROKER)
app.conf.update(
    task_default_queue="cancels",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,  # a child that was killed: its task comes again at once
    worker_prefetch_multiplier=1,  # what a worker has fetched beyond that waits for it
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": cancels.CHUNK_AT_MOST, "unacked_restore_throttle": 1},
)


@app.task(name="cancels.perform", bind=True, max_retries=None)
def perform(self: Task, chunk: int) -> None:
    """Perform a chunk, with a loop and a manager of its own; where it has to come again, say when."""

    async def work() -> float | None:
        async with cancels.manager() as manager:
            return await cancels.perform(manager, chunk)

    again = asyncio.run(work())
    if again is not None:
        raise self.retry(countdown=again)


if __name__ == "__main__":
    for number in asyncio.run(cancels.fill(sys.argv[1])):
        perform.delay(number)
