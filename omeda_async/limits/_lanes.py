"""The queue in front of the gates: two lanes, first come, first served in each, and the deadlines of who waits.

A waiter is a future. Once it is done, be it granted, refused or cancelled, it waits no more: it is skipped wherever it
still stands, and thrown out before more than half of what is kept has ended. So everything takes the same time however
many wait, and who leaves leaves nothing behind.
"""

import asyncio
import heapq
import itertools
import math
from collections import deque
from typing import TypeAlias

import attrs

from omeda_async.limits._rate_limit import Priority
from omeda_async.limits._reserve import GRANTS
from omeda_async.limits._state import Permit

Waiter: TypeAlias = asyncio.Future[Permit | None]
"""Gets the permit; None when the wait is over without one."""


@attrs.define(eq=False, repr=False)
class _Lane:
    queue: deque[Waiter] = attrs.field(factory=deque)
    waiting: int = 0


class Lanes:
    """Who waits, in which lane, and until when."""

    def __init__(self) -> None:
        self.waiters = 0
        """How many wait in both lanes, those that have ended and not left yet included."""
        self._interactive = _Lane()
        self._bulk = _Lane()
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._numbers = itertools.count()  # of two equal deadlines, which is first

    def waiting(self) -> dict[Priority, int]:
        """Return how many wait in each lane."""
        return {Priority.INTERACTIVE: self._interactive.waiting, Priority.BULK: self._bulk.waiting}

    @property
    def bulk(self) -> int:
        """How many wait in the lane of bulk."""
        return self._bulk.waiting

    def ahead(self, priority: Priority, in_a_row: int = 0) -> int:
        """Return how many will certainly go before one that comes now, if nobody leaves.

        Args:
            priority: Its lane.
            in_a_row: How many interactive ones have gone since the last one of bulk.
        """
        interactive, bulk = self._interactive.waiting, self._bulk.waiting
        if priority is Priority.INTERACTIVE:
            return interactive
        share = (bulk + 1) * (GRANTS - 1) - in_a_row
        return bulk + max(0, min(interactive, share))

    def join(self, waiter: Waiter, priority: Priority, deadline: float, *, first: bool = False) -> None:
        """Add a waiter at the end of a lane, or first in it. The deadline is infinity where it has none."""
        lane = self._interactive if priority is Priority.INTERACTIVE else self._bulk
        if first:
            lane.queue.appendleft(waiter)
        else:
            lane.queue.append(waiter)
        lane.waiting += 1
        self.waiters += 1
        if deadline < math.inf:
            heapq.heappush(self._deadlines, (deadline, next(self._numbers), waiter))

    def first(self, *, bulk_is_due: bool = False) -> tuple[Waiter, Priority] | None:
        """Return whose turn it is, and the lane; None when nobody waits any more."""
        interactive, bulk = self._interactive.queue, self._bulk.queue
        for queue in (interactive, bulk):
            while queue and queue[0].done():
                del queue[0]
        if bulk and (bulk_is_due or not interactive):
            return bulk[0], Priority.BULK
        return (interactive[0], Priority.INTERACTIVE) if interactive else None

    def first_of(self, priority: Priority) -> Waiter | None:
        """Return who is first in a lane; None when nobody waits in it."""
        queue = (self._interactive if priority is Priority.INTERACTIVE else self._bulk).queue
        while queue and queue[0].done():
            del queue[0]
        return queue[0] if queue else None

    def leave(self, priority: Priority) -> None:
        """Note that a waiter of a lane is done: it has its permit, or its wait is over."""
        lane = self._interactive if priority is Priority.INTERACTIVE else self._bulk
        lane.waiting -= 1
        self.waiters -= 1
        if len(lane.queue) > 2 * lane.waiting:
            lane.queue = deque([waiter for waiter in lane.queue if not waiter.done()])
        if len(self._deadlines) > 2 * self.waiters:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].done()]
            heapq.heapify(self._deadlines)

    def next_deadline(self) -> float:
        """Return a moment not after the next deadline of a waiter; infinity when there is none."""
        return self._deadlines[0][0] if self._deadlines else math.inf

    def expired(self, now: float) -> list[Waiter]:
        """Return who has waited until its deadline; each is returned once."""
        deadlines, expired = self._deadlines, list[Waiter]()
        while deadlines and (deadlines[0][0] <= now or deadlines[0][2].done()):
            waiter = heapq.heappop(deadlines)[2]
            if not waiter.done():
                expired.append(waiter)
        return expired

    def everybody(self) -> list[Waiter]:
        """Return everybody who waits."""
        return [waiter for lane in (self._interactive, self._bulk) for waiter in lane.queue if not waiter.done()]
