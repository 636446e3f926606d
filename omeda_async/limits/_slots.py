"""Slots: no window ever holds more than its calls. Pure arithmetic, the time is an argument.

An attempt takes a slot when it is granted, and keeps it until a whole window after its response came. Two attempts
that had the same slot therefore arrived at least a window apart, whatever the network did in between.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from itertools import islice

import attrs

from omeda_async.limits._rate_limit import Window

DRIFT = 0.001
"""How far the provider's clock may run from ours, in parts of the time."""


@attrs.define(eq=False, repr=False)
class Slots:
    """The slots of one window.

    Every method that takes the time relies on it never going backwards.
    """

    window: Window
    held: int = 0
    """Slots that someone else on the account seems to have used."""
    lap: float = attrs.field(init=False)
    """The seconds a slot stays in use after its response."""
    _in_use: int = 0
    """Slots of our own attempts: in flight, or cooling. Those that have cooled down may still be counted."""
    _held_until: float = 0.0
    # When each slot has cooled down, oldest first. Attempts without a response may arrive late, so that what the
    # provider has counted since says nothing about them: they are kept apart.
    _cooling: deque[float] = attrs.field(factory=deque)
    _unanswered: deque[float] = attrs.field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self.lap = self.window.seconds * (1 + DRIFT)

    def used(self, now: float) -> int:
        """Return how many slots our own attempts use."""
        self._expire(now)
        return self._in_use

    def free(self, now: float) -> int:
        """Return how many slots an attempt could take now."""
        self._expire(now)
        return max(0, self.window.calls - self._in_use - self.held)

    def opens_at(self, now: float) -> float:
        """Return when an attempt can take a slot: in the past when one is free, infinity when a response decides."""
        if self._in_use + self.held < self.window.calls:
            return -math.inf
        at = self.changes_at(now)
        return -math.inf if self._in_use + self.held < self.window.calls else at

    @property
    def has_half(self) -> bool:
        """Whether half of the slots are certainly free, and one more."""
        return self._in_use + self.held < self.window.calls - self.window.calls // 2

    def take(self) -> bool:
        """Take a slot for an attempt, and return whether one was free when :meth:`opens_at` was last asked."""
        self._in_use += 1
        return self._in_use + self.held <= self.window.calls

    def give_back(self) -> None:
        """Take back the slot of an attempt that provably never left."""
        self._in_use -= 1

    def cool(self, now: float, *, answered: bool) -> None:
        """Begin the window for which a slot stays in use after its attempt has ended."""
        line = self._cooling if answered else self._unanswered
        line.append(now + self.lap)
        if line[0] <= now:
            self._expire(now)

    def keep_newest(self, count: int) -> None:
        """Free all cooling slots but the newest ``count``."""
        for _ in range(len(self._cooling) - max(0, count)):
            self._cooling.popleft()
            self._in_use -= 1

    def hold(self, count: int, until: float) -> None:
        """Hold slots for someone else until a moment, instead of what was held before."""
        self.held, self._held_until = count, until

    def changes_at(self, now: float) -> float:
        """Return when the next used slot becomes free by itself; infinity when a response decides, or none is used."""
        self._expire(now)
        times = [line[0] for line in (self._cooling, self._unanswered) if line]
        if self.held:
            times.append(self._held_until)
        return min(times, default=math.inf)

    def returns(self, now: float) -> Iterable[float]:
        """Return when our own slots come back, the earliest first; where that is not known, a whole window from now."""
        if self._unanswered:
            return heapq.merge(self._cooling, self._unanswered)
        return self._cooling or (now + self.lap,)

    def return_at(self, now: float, number: int) -> float:
        """Return when one of our own slots comes back, counted from 0; a whole window from now where nobody knows."""
        if number < len(self._cooling) and not self._unanswered:
            return self._cooling[number]  # without going through those before it
        return next(islice(self.returns(now), number, None), now + self.lap)

    def oldest_received(self, now: float) -> float:
        """Return when the oldest response came whose slot is still cooling; infinity when there is none."""
        self._expire(now)
        return self._cooling[0] - self.lap if self._cooling else math.inf

    def earliest(self, now: float, ahead: int) -> float:
        """Return the earliest moment for an attempt with ``ahead`` others before it, if no header frees a slot."""
        if ahead + self._in_use < self.window.calls or ahead + self.used(now) < self.window.calls:
            return now
        laps, rest = divmod(ahead + self._in_use - self.window.calls, self.window.calls)
        return self.return_at(now, rest) + laps * self.lap

    def _expire(self, now: float) -> None:
        """Free the slots that have cooled down, and those held whose time is over."""
        for line in (self._cooling, self._unanswered):
            while line and line[0] <= now:
                line.popleft()
                self._in_use -= 1
        if self.held and now >= self._held_until:
            self.held = 0
