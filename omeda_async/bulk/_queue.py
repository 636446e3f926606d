"""The order in which batches go: as they come, but what is due first goes first among those at hand."""

import asyncio
import math
from collections.abc import Coroutine
from operator import attrgetter
from typing import Any

from omeda_async.bulk._item import Item

_DUE = attrgetter("due")


class BatchQueue:
    """A bounded queue of batches, ordered by when they are due and then by when they came.

    Args:
        limit: Batches held before the reader has to wait: how far it looks ahead.
    """

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.PriorityQueue[tuple[float, int, list[Item] | None]] = asyncio.PriorityQueue(limit)
        self._number = 0
        self.full = self._queue.full

    def put(self, items: list[Item] | None) -> Coroutine[Any, Any, None]:
        """Add a batch, once there is room; None tells one taker that no more will come. Cancelling it adds nothing."""
        return self._queue.put(self._entry(items))

    def put_nowait(self, items: list[Item]) -> None:
        """Add a batch; there must be room."""
        self._queue.put_nowait(self._entry(items))

    async def take(self) -> list[Item] | None:
        """Wait for the next batch; None when no more will come."""
        return (await self._queue.get())[2]

    def drain(self) -> list[Item]:
        """Take everything at once."""
        items: list[Item] = []
        while not self._queue.empty():
            items += self._queue.get_nowait()[2] or ()
        return items

    def _entry(self, items: list[Item] | None) -> tuple[float, int, list[Item] | None]:
        self._number += 1
        return min(map(_DUE, items), default=math.inf) if items else math.inf, self._number, items
