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
        self._limit: float = limit
        self._held: deque[list[Outcome]] = deque()
        self._count = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._unwanted = False

    @property
    def wanted(self) -> bool:
        """Does anybody take outcomes?"""
        return not self._unwanted

    def push(self, outcomes: list[Outcome]) -> None:
        """Add outcomes; never waits, so that none is lost to a cancellation."""
        if outcomes and not self._unwanted:
            self._held.append(outcomes)
            self._count += len(outcomes)
            self._changed.set()
            if self._count >= self._limit:
                self._room.clear()

    async def room(self) -> None:
        """Wait until there is room; cancelling it loses nothing."""
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
        if self._count < self._limit:
            self._room.set()
        return outcomes

    def discard(self) -> None:
        """Throw away what is held and what will come: nobody takes it any more."""
        self._unwanted = True
        self._held.clear()
        self.unbind()

    def unbind(self) -> None:
        """Hold any number from now on: a run that ends must not wait for someone who may have gone."""
        self._count = 0
        self._limit = math.inf
        self._room.set()

    def end(self) -> None:
        """Say that no more will come."""
        self._ended = True
        self._changed.set()
