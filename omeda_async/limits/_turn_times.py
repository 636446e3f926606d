"""When a client comes back to the store, and for whom it would be in vain. Pure: the time is an argument."""

import heapq
import math

from omeda_async.limits._lanes import Waiter
from omeda_async.limits._store import Reply

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two turns while the store is away: they double."""
AT_ONCE = 0.001
"""Seconds between two turns at the least where the store gives nothing, and says that it would."""


class TurnTimes:
    """The times of one limiter's turns.

    Args:
        lease: Seconds after which an attempt that the store does not hear of counts as lost.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self.earliest = -math.inf
        """When the next attempt could go at the earliest, by the last reply."""
        self._held_until = -math.inf
        self._again_at = math.inf
        self._renew_at = math.inf
        self._retry_at = -math.inf
        self._pause = FIRST_PAUSE
        self._last = 0
        self._deadlines: list[tuple[float, int, Waiter]] = []

    def add(self, waiter: Waiter, deadline: float) -> None:
        """Note until when somebody may wait; infinity for as long as it takes."""
        if deadline == math.inf:
            return
        self._last += 1
        heap = self._deadlines
        heapq.heappush(heap, (deadline, self._last, waiter))
        if heap[0][2].done() or self._last % 1024 == 0:
            heap[:] = [entry for entry in heap if not entry[2].done()]
            heapq.heapify(heap)

    def begin(self) -> int:
        """Begin a turn, which is for whoever waits now; return what tells them from those who come later."""
        return self._last

    def hopeless(self, mark: int, now: float) -> list[Waiter]:
        """Return who would wait in vain, as the last reply says; each is returned once.

        Args:
            mark: What ``begin`` has returned: who came later gets a turn of its own.
            now: The time.
        """
        heap, found, later = self._deadlines, list[Waiter](), list[tuple[float, int, Waiter]]()
        while heap and (heap[0][0] < self.earliest or heap[0][0] <= now or heap[0][2].done()):
            entry = heapq.heappop(heap)
            if entry[1] > mark and entry[0] >= self.earliest:
                later.append(entry)
            else:
                found.append(entry[2])
        for entry in later:
            heapq.heappush(heap, entry)
        return found

    def answered(self, reply: Reply, asked: float, now: float) -> bool:
        """Take in when to come again, from a reply that came now and was asked for a little earlier.

        Returns:
            Whether nothing goes from now on for a second or more, as the store does not know what was sent before.
        """
        is_new = reply.held_for >= 1.0 and self._held_until <= now
        self._pause, self._retry_at = FIRST_PAUSE, -math.inf
        self._again_at = math.inf if reply.again_in is None else now + max(AT_ONCE, reply.again_in)
        self._renew_at = now + self._lease / 3
        self._held_until = now + reply.held_for if reply.held_for else -math.inf
        self.earliest = asked + reply.earliest if reply.earliest > 0 else -math.inf
        return is_new

    def failed(self, now: float) -> bool:
        """Note that the store has not answered; return whether it has been so for some turns by now, once."""
        self._retry_at = now + self._pause
        was_short = self._pause < LONGEST_PAUSE
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        return was_short and self._pause == LONGEST_PAUSE

    def held_for(self, now: float) -> float:
        """Return the seconds of a hold that are left."""
        return max(0.0, self._held_until - now)

    def turn_at(self, *, due: bool, waits: bool, holds: bool) -> float:
        """Return when the next turn is to be made; infinity when nothing calls for one.

        Args:
            due: Whether there is something to tell.
            waits: Whether somebody waits.
            holds: Whether some permit's lease has to be renewed.
        """
        at = -math.inf if due else math.inf
        if waits:
            at = min(at, self._again_at, self._renew_at)
        if holds:
            at = min(at, self._renew_at)
        return max(at, self._retry_at)
