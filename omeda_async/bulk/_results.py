"""Where outcomes wait for the caller: in bounded memory, and none is lost."""

import asyncio
import math
from collections import deque

from omeda_async.outcomes import Outcome


class ResultBuffer:
    """Holds batches of outcomes until they are taken; the producers wait while too many are held.

    Args:
        limit: Outcomes held before producers have to wait.
    """

    def __init__(self, limit: int) -> None:
        self.wanted = True
        """Whether anybody takes outcomes."""
        self.is_full = False
        """Whether producers have to wait."""
        self._limit: float = limit
        self._held: deque[list[Outcome]] = deque()
        self._count = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    def push(self, outcomes: list[Outcome]) -> None:
        """Add outcomes; never waits, so that none is lost to a cancellation."""
        if outcomes and self.wanted:
            self._held.append(outcomes)
            self._count += len(outcomes)
            self.is_full = self._count >= self._limit
            self._changed.set()

    async def room(self) -> None:
        """Wait until there is room; cancelling it loses nothing."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def take(self) -> list[Outcome] | None:
        """Wait for the next outcomes; None when there will be no more. Cancelling it loses nothing."""
        while not self._held:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        outcomes = self._held.popleft()
        self._count -= len(outcomes)
        if self.is_full and self._count < self._limit:
            self._make_room()
        return outcomes

    def discard(self) -> None:
        """Throw away what is held and what will come: nobody takes it any more."""
        self.wanted = False
        self._held.clear()
        self.unbind()

    def unbind(self) -> None:
        """Hold any number from now on: a run that ends must not wait for someone who may have gone."""
        self._count = 0
        self._limit = math.inf
        self._make_room()

    def end(self) -> None:
        """Note that no more will come."""
        self._ended = True
        self._changed.set()

    def _make_room(self) -> None:
        self.is_full = False
        self._room.set()
