"""The order in which batches go: as they come, but what is due first goes first among those at hand."""

import asyncio
import math

from omeda_async.bulk._item import Item


class BatchQueue:
    """A bounded queue of batches, ordered by when they are due and then by when they came.

    Args:
        limit: Batches held before the reader has to wait: how far it looks ahead.
    """

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.PriorityQueue[tuple[float, int, list[Item] | None]] = asyncio.PriorityQueue(limit)
        self._number = 0

    async def put(self, items: list[Item]) -> None:
        """Add a batch, once there is room; cancelling it adds nothing."""
        await self._queue.put(self._entry(items))

    def full(self) -> bool:
        """Whether a batch would have to wait."""
        return self._queue.full()

    def put_nowait(self, items: list[Item]) -> None:
        """Add a batch; there must be room."""
        self._queue.put_nowait(self._entry(items))

    async def end(self, takers: int) -> None:
        """Return each of the takers that no more will come."""
        for _ in range(takers):
            self._number += 1
            await self._queue.put((math.inf, self._number, None))

    async def take(self) -> list[Item] | None:
        """Wait for the next batch; None when no more will come."""
        return (await self._queue.get())[2]

    def drain(self) -> list[Item]:
        """Take everything at once."""
        items: list[Item] = []
        while not self._queue.empty():
            items += self._queue.get_nowait()[2] or ()
        return items

    def _entry(self, items: list[Item]) -> tuple[float, int, list[Item]]:
        self._number += 1
        return min(item.due for item in items), self._number, items
