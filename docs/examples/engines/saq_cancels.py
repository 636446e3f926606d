"""Cancels in bulk as jobs of SAQ, on PostgreSQL or Redis.

::

    python saq_cancels.py ids.txt
    saq saq_cancels.settings
"""

import asyncio
import logging
import os
import sys
from typing import Any

import cancels
from saq import Job, Queue, Status

HEARTBEAT = int(os.environ.get("HEARTBEAT", "30"))
"""Seconds after which a job is given to another worker, when this one is not heard of."""

queue = Queue.from_url(cancels.BROKER, name="cancels")


class ComeAgain(Exception):
    """The job is not done."""


async def beat(job: Job) -> None:
    """Say that the job is being performed."""
    while True:
        await asyncio.sleep(HEARTBEAT / 3)
        await job.update()


async def perform(context: dict[str, Any], *, chunk: int) -> None:
    """Perform a chunk; where it has to come again, say when."""
    job: Job = context["job"]
    beating = asyncio.create_task(beat(job))
    try:
        again = await cancels.perform(context["manager"], chunk)
    finally:
        beating.cancel()
    if again is not None:
        job.retry_delay = again
        raise ComeAgain


async def looking() -> None:
    """Enqueue again what no worker will find: the sweep of a worker that died then had it in hand."""
    while True:
        await asyncio.sleep(HEARTBEAT)
        try:
            async for job in queue.iter_jobs([Status.QUEUED, Status.ACTIVE, Status.ABORTING]):
                await queue.enqueue(job)  # nothing comes of it where the job is not lost
        except Exception:
            logging.getLogger(__name__).exception("lost jobs are looked for again later")


async def start(context: dict[str, Any]) -> None:
    """Make what this worker sends by."""
    context["manager"], context["looking"] = cancels.manager(), asyncio.create_task(looking())


async def stop(context: dict[str, Any]) -> None:
    """Let what is on its way end."""
    context["looking"].cancel()
    await context["manager"].aclose()


settings = {
    "queue": queue,
    "functions": [perform],
    "concurrency": 2,
    "startup": start,
    "shutdown": stop,
    "timers": {"sweep": max(HEARTBEAT // 3, 1)},
    "cancellation_hard_deadline_s": 40.0,  # attempts that are on their way end, and the chunk is given back
}


async def enqueue(file: str) -> None:
    """Read the ids, and make a job of each chunk that has none."""
    await queue.connect()
    for chunk in await cancels.fill(file):
        await queue.enqueue(
            "perform",
            key=f"{os.environ['JOURNAL'].rpartition('run=')[2]}:{chunk}",
            chunk=chunk,
            timeout=0,
            heartbeat=HEARTBEAT,
            retries=1_000_000,
        )
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(enqueue(sys.argv[1]))
