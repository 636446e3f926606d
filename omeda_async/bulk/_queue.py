"""The order in which batches go: as they come, but what is due first goes first among those at hand."""

import asyncio
import math
from operator import attrgetter

from omeda_async.bulk._item import Item

_DUE = attrgetter("due")


class BatchQueue:
    """A bounded queue of batches, ordered by when they are due and then by when they came.

    Args:
        limit: Batches held before the reader has to wait: how far it looks ahead.
        takers: How many take batches.
    """

    def __init__(self, limit: int, takers: int) -> None:
        # Without a bound of its own: closing it must not have to wait.
        self._queue: asyncio.PriorityQueue[tuple[float, int, list[Item] | None]] = asyncio.PriorityQueue()
        self._limit = limit
        self._takers = takers
        self._room = asyncio.Event()
        self._number = 0
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether the reader has to wait."""
        return self._queue.qsize() >= self._limit and not self._closed

    async def put(self, items: list[Item]) -> None:
        """Add a batch, once there is room. Cancelling it adds nothing."""
        while self._queue.qsize() >= self._limit and not self._closed:
            self._room.clear()
            await self._room.wait()
        self.put_nowait(items)

    def put_nowait(self, items: list[Item]) -> None:
        """Add a batch."""
        self._number += 1
        self._queue.put_nowait((min(map(_DUE, items)), self._number, items))

    def close(self) -> None:
        """Note that no more will come: who takes has what there is, and then an end. What is put later is drained."""
        if not self._closed:
            self._closed = True
            for number in range(self._takers):
                self._queue.put_nowait((math.inf, self._number + 1 + number, None))
            self._number += self._takers
            self._room.set()

    async def take(self) -> list[Item] | None:
        """Wait for the next batch; None when no more will come. Cancelling it loses nothing."""
        items = (await self._queue.get())[2]
        self._room.set()
        return items

    def drain(self) -> list[Item]:
        """Take all the items at once; who takes batches still meets the end."""
        held = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for entry in held:
            if entry[2] is None:
                self._queue.put_nowait(entry)
        return [item for _, _, items in held for item in items or ()]
