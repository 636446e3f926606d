"""Cancels in bulk as jobs of taskiq, on streams of Redis.

::

    python taskiq_cancels.py ids.txt
    taskiq worker taskiq_cancels:broker --workers 1 --max-async-tasks 2 --wait-tasks-timeout 1 --shutdown-timeout 40
"""

import asyncio
import sys
from typing import Annotated

import cancels
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

LOOK = cancels.CHUNK_AT_MOST / 60
"""Seconds after which unfinished messages are looked for at the latest."""

broker = RedisStreamBroker(
    cancels.BROKER,
    queue_name="cancels",
    idle_timeout=cancels.CHUNK_AT_MOST * 1000,
    xread_count=1,  # what a worker has fetched beyond that waits for it, and dies with it
)


@broker.task
async def look() -> None:
    """Do nothing: only after a new message does a worker look for those of workers that have died."""


@broker.task
async def perform(chunk: int, context: Annotated[Context, TaskiqDepends()]) -> None:
    """Perform a chunk; where it has to come again, put it at the end of the queue."""
    under_way = asyncio.current_task()
    context.state.under_way.add(under_way)
    try:
        again = await cancels.perform(context.state.manager, chunk)
        if again is not None:
            await asyncio.sleep(min(again, 10.0))  # the broker knows no later; others' chunks come first then
            await perform.kiq(chunk)
    finally:
        context.state.under_way.discard(under_way)


async def looking() -> None:
    """Send a message now and then, so that an idle queue is looked through, too."""
    while True:
        await asyncio.sleep(LOOK)
        await look.kiq()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    """Make what this worker sends by."""
    state.manager, state.under_way = cancels.manager(), set()
    state.looking = asyncio.create_task(looking())


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    """Let what is on its way end, and give chunks and jobs back."""
    state.looking.cancel()
    await state.manager.aclose()
    await asyncio.gather(*state.under_way, return_exceptions=True)


async def enqueue(file: str) -> None:
    """Read the ids, and make a job of each chunk."""
    await broker.startup()
    for chunk in await cancels.fill(file):
        await perform.kiq(chunk)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(sys.argv[1]))
