"""Cancels in bulk as activities of Temporal.

::

    python temporal_cancels.py ids.txt
    python temporal_cancels.py
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import cancels

QUEUE = "cancels"
HEARTBEAT = timedelta(seconds=30)


@workflow.defn
class Cancels:
    """A run: some of its chunks at once, until all are done."""

    @workflow.run
    async def run(self, chunks: int) -> None:
        """Perform all of them."""
        waiting = iter(range(chunks))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(8, chunks)):
                group.create_task(self._some(waiting))

    async def _some(self, waiting: Iterable[int]) -> None:
        for chunk in waiting:
            await workflow.execute_activity(
                "perform",
                chunk,
                start_to_close_timeout=timedelta(seconds=cancels.CHUNK_AT_MOST),
                heartbeat_timeout=HEARTBEAT,
            )


class Activities:
    """What a worker does."""

    def __init__(self, manager: Any) -> None:
        """Keep what it sends by."""
        self._manager = manager

    @activity.defn
    async def perform(self, chunk: int) -> None:
        """Perform a chunk; where it has to come again, say when."""
        beating = asyncio.create_task(self._beat())
        try:
            again = await cancels.perform(self._manager, chunk)
        finally:
            beating.cancel()
        if again is not None:
            raise ApplicationError("comes again", next_retry_delay=timedelta(seconds=again))

    async def _beat(self) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT.total_seconds() / 3)


async def main(files: list[str]) -> None:
    """Start a run, or work."""
    client = await Client.connect(os.environ.get("BROKER", "localhost:7233"))
    if files:
        name = os.environ["JOURNAL"].rpartition("run=")[2]
        once = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        chunks = len(await cancels.fill(files[0]))
        await client.start_workflow(Cancels.run, chunks, id=name, task_queue=QUEUE, id_reuse_policy=once)
        return
    async with cancels.manager() as manager:
        grace = timedelta(seconds=0)  # then activities are cancelled, which gives their chunks back
        await Worker(
            client,
            task_queue=QUEUE,
            workflows=[Cancels],
            activities=[Activities(manager).perform],
            max_concurrent_activities=2,
            graceful_shutdown_timeout=grace,
        ).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
