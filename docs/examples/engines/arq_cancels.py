"""Cancels in bulk as jobs of arq, on Redis.

::

    python arq_cancels.py ids.txt
    arq arq_cancels.WorkerSettings
"""

import asyncio
import os
import sys
from datetime import timedelta
from typing import Any

import cancels
from arq import Retry, create_pool, func
from arq.connections import RedisSettings

QUEUE = "cancels"


async def perform(context: dict[str, Any], chunk: int) -> None:
    """Perform a chunk; where it has to come again, say when."""
    try:
        again = await cancels.perform(context["manager"], chunk)
    except asyncio.CancelledError:  # it took too long, for which the job would fail for good, or the worker ends
        again = 1.0
    if again is not None:
        raise Retry(defer=again)


async def start(context: dict[str, Any]) -> None:
    """Make what this worker sends by."""
    context["manager"] = cancels.manager()


async def stop(context: dict[str, Any]) -> None:
    """Let what is on its way end."""
    await context["manager"].aclose()


class WorkerSettings:
    """What ``arq`` runs."""

    functions = (func(perform, timeout=cancels.CHUNK_AT_MOST, max_tries=1_000_000, keep_result=0),)
    queue_name = QUEUE
    redis_settings = RedisSettings.from_dsn(cancels.BROKER)
    max_jobs = 2
    on_startup = start
    on_shutdown = stop


async def enqueue(file: str) -> None:
    """Read the ids, and make a job of each chunk that has none."""
    pool = await create_pool(WorkerSettings.redis_settings, default_queue_name=QUEUE)
    run = os.environ["JOURNAL"].rpartition("run=")[2]
    for chunk in await cancels.fill(file):
        await pool.enqueue_job("perform", chunk, _job_id=f"{run}:{chunk}", _expires=timedelta(days=30))
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(enqueue(sys.argv[1]))
