"""Slots: why no window ever holds more than its calls. Pure arithmetic, the time is an argument.

An attempt takes a slot when it is granted, and has it until a whole window after its answer came. Two attempts
that had the same slot then arrived at least a window apart, whatever the network did in between.
"""

from collections import deque
from itertools import islice

import attrs

from omeda_async.limits._rate_limit import Window

DRIFT = 0.001
"""How far the provider's clock may run from ours, in parts of the time."""


@attrs.define(eq=False, repr=False)
class Slots:
    """The slots of one window.

    Every method takes the time now; it must not go backwards.
    """

    window: Window
    in_flight: int = 0
    held: int = 0
    """Slots that someone else on the account seems to have used."""
    _held_until: float = 0.0
    _cooling: deque[float] = attrs.field(factory=deque)
    # Attempts without an answer may arrive late: what the provider has counted since says nothing about them.
    _unanswered: deque[float] = attrs.field(factory=deque)

    @property
    def lap(self) -> float:
        """The seconds a slot stays in use after its answer."""
        return self.window.seconds * (1 + DRIFT)

    def used(self, now: float) -> int:
        """Count the slots in use by our own attempts."""
        for line in (self._cooling, self._unanswered):
            while line and line[0] <= now:
                line.popleft()
        return self.in_flight + len(self._cooling) + len(self._unanswered)

    def free(self, now: float) -> int:
        """Count the slots an attempt could take now."""
        if self.held and now >= self._held_until:
            self.held = 0
        return max(0, self.window.calls - self.used(now) - self.held)

    def take(self) -> None:
        """Take a slot for an attempt."""
        self.in_flight += 1

    def give_back(self) -> None:
        """Return back the slot of an attempt that provably never left."""
        self.in_flight -= 1

    def cool(self, now: float, *, answered: bool) -> None:
        """Start the window that a slot stays in use for after its attempt has ended."""
        self.in_flight -= 1
        (self._cooling if answered else self._unanswered).append(now + self.lap)

    def keep_newest(self, count: int) -> int:
        """Free all but ``count`` of the cooling slots, the oldest first, and tell how many that were."""
        surplus = max(0, len(self._cooling) - count)
        for _ in range(surplus):
            self._cooling.popleft()
        return surplus

    def hold(self, count: int, until: float) -> None:
        """Hold slots for someone else until a moment; replaces what was held before."""
        self.held, self._held_until = count, until

    def changes_at(self, now: float) -> float | None:
        """Return when the next slot becomes free by itself; None when that hangs on an answer."""
        self.used(now)
        times = [line[0] for line in (self._cooling, self._unanswered) if line]
        if self.held:
            times.append(self._held_until)
        return min(times, default=None)

    def oldest_received(self) -> float | None:
        """Return when the oldest answer came whose slot is still cooling."""
        return self._cooling[0] - self.lap if self._cooling else None

    def earliest(self, now: float, ahead: int) -> float:
        """Return the earliest moment for an attempt with ``ahead`` others before it, if no header says otherwise."""
        free = self.window.calls - self.used(now)
        if ahead < free:
            return now
        laps, rest = divmod(ahead - free, self.window.calls)
        waiting = sorted([*islice(self._cooling, rest + 1), *islice(self._unanswered, rest + 1)])
        first = waiting[rest] if rest < len(waiting) else now + self.lap
        return first + laps * self.lap
