"""What bulk leaves free for calls that somebody waits for. Pure arithmetic, the time is an argument.

Of a long window bulk leaves what the interactive lane is likely to need until slots come back: that melts as time
passes, so that bulk gets the rest before it would lapse. Of a short window, and of the attempts in flight, it leaves a
fixed number. It never leaves more than half, and of ten grants in a row it gets one whatever is left.
"""

import math
from collections.abc import Iterable
from itertools import islice
from typing import Self

import attrs

from omeda_async.limits._rate_limit import RateLimit, Window

GRANTS = 10
"""Of so many grants, bulk gets at least one while it waits."""
SIGMAS = 2.5
"""So many standard deviations of the interactive calls that are to be expected are left beyond their mean."""
SHORT = 1.0
"""Seconds: nobody waits long for a window of this length."""
MEMORY = 3.0
"""So many of the longest window the rate of interactive calls is remembered for."""


@attrs.define(eq=False, repr=False)
class Demand:
    """How many interactive calls come to one account."""

    memory: float
    """Seconds for which they are remembered, more or less."""
    _began: float = math.nan
    # The calls lately, each weighing less the longer ago it was, as of a moment; and those since then.
    _weight: float = 0.0
    _weighed_at: float = 0.0
    _fresh: int = 0

    def begin(self, now: float) -> None:
        """Note the first grant of all."""
        self._began = self._weighed_at = now

    def granted(self, now: float) -> None:
        """Note an interactive grant."""
        self._fresh += 1
        if now > self._weighed_at + SHORT:
            self._weigh(now)

    def rate(self, now: float) -> float:
        """Return the slots a second that interactive calls have cost lately."""
        if not self._fresh and not self._weight:
            return 0.0
        self._weigh(now)
        seconds = self.memory * -math.expm1(-max(SHORT, now - self._began) / self.memory)
        # Of ten grants one may be bulk's, whatever is left: nine calls can cost ten slots.
        return self._weight / seconds * GRANTS / (GRANTS - 1)

    def _weigh(self, now: float) -> None:
        self._weight = self._weight * math.exp((self._weighed_at - now) / self.memory) + self._fresh
        self._weighed_at, self._fresh = now, 0


@attrs.frozen
class Reserve:
    """The reserve of one window."""

    least: int
    """Slots that bulk always leaves free."""
    most: int
    """Slots that it leaves free at most."""
    seconds: float
    """The length of the window, where it is a long one; else 0."""

    @classmethod
    def of(cls, rate_limit: RateLimit, window: Window) -> Self:
        """Make the reserve of a window."""
        seconds = window.seconds if window.seconds > SHORT else 0.0
        return cls(rate_limit.reserve_of(window.calls), window.calls // 2, seconds)

    def opens_at(self, spare: int, rate: float, returns: Iterable[float]) -> float:
        """Return when bulk may take a slot: a moment past for at once.

        Args:
            spare: How many slots are free after that.
            rate: How many interactive calls are to be expected a second.
            returns: When slots come back, one after the other; the last moment is when all of them do.
        """
        enough = min(self.most, self.least + _need(rate * self.seconds))
        missing = enumerate(islice(returns, max(0, enough - spare)), spare)
        return max((moment - _lasts(slots - self.least, rate) for slots, moment in missing), default=-math.inf)

    def kept(self, now: float, rate: float, returns: Iterable[float]) -> int:
        """Return how many slots bulk leaves free now."""
        if not self.seconds:
            return self.least
        needs = [self.least + _need(rate * (moment - now)) - back for back, moment in enumerate(returns)]
        return min(self.most, max([self.least, *needs]))


def _need(expected: float) -> int:
    """Return how many slots are likely to do where so many calls are to be expected."""
    return math.ceil(expected + SIGMAS * math.sqrt(max(0.0, expected)))


def _lasts(slots: int, rate: float) -> float:
    """Return for how many seconds so many slots are likely to do; a negative number does not for any time.

    Until slots come back within a second, nobody waits long: then what is left at least will do.
    """
    if slots < 0 or not rate:
        return 0.0
    root = (math.sqrt(SIGMAS * SIGMAS + 4 * slots) - SIGMAS) / 2
    return max(SHORT, root * root / rate)
