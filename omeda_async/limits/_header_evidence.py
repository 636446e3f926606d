"""What the provider's headers prove about one window. Pure: every time is an argument.

A header may always tighten. It loosens only after the provider's counter has been seen to count, and to begin anew no
more often than a window of its length can.
"""

import attrs

from omeda_async._quick import quick
from omeda_async.limits._headers import Advice
from omeda_async.limits._slots import DRIFT

PROOF = 8
"""So many rising counts in a row must have been seen before the counter may loosen anything."""
OTHERS = 5
"""So many calls of someone else between two of our responses do not discredit the counter."""
MARGIN = 0.05
"""Seconds added to the latest moment of a reset before it is taken for passed."""


@quick(eq=False, repr=False)
class Reading:
    """What one response said, and what we knew when its attempt left."""

    counted: int
    """How many the provider had counted in its window."""
    remaining: int
    sent: float
    received: float
    grants: int
    """How many attempts had been granted, this one included."""
    in_flight: int
    """How many others were in flight."""
    released: int
    """How many had ended."""
    known: int
    """How many responses had come with such headers: the provider has counted these for certain."""

    def left(self, grants: int) -> int:
        """Return how many may still go by this reading after so many grants in all."""
        return self.remaining - self.in_flight - (grants - self.grants)


@attrs.define(eq=False, repr=False)
class _Countdown:
    """When the provider's window ends: the span on which all responses so far agree."""

    first: float
    """When the first of those responses came."""
    earliest: float
    latest: float
    confirmed: bool = False
    """Whether they came over so long a time that a number that stands still would have contradicted itself."""


@attrs.define(eq=False, repr=False)
class HeaderEvidence:
    """The evidence about one window."""

    seconds: float
    last: Reading | None = None
    """The latest response that certainly belongs to the provider's present window or a later one."""
    _climbs: int = 0
    _top: int = 0
    _doubted_until: float = 0.0
    _rolled_after: float | None = None
    _rolled_by: float = 0.0
    _countdown: _Countdown | None = None
    # How many had been counted or were in flight when the counter last began anew: it has counted all later ones.
    _base: int = 0

    def learn(self, reading: Reading, before: Reading | None, *, possible: int, known: int) -> None:
        """Take in what a response says.

        Args:
            reading: What it says.
            before: The last reading there was when its attempt left.
            possible: How many of our attempts may have been counted between the two, at most.
            known: How many of our attempts have been counted for certain, or are in flight.
        """
        if reading.sent < self._rolled_by:
            return  # it may have come late, from before the provider's counter began anew
        if reading.counted <= reading.known - self._base:
            self._roll(reading, before, known)
        elif before is not None and before.sent >= self._rolled_by:
            self._compare(reading, before, possible, known)
        if self.last is None or reading.sent > self.last.sent:
            self.last = reading

    def learn_reset(self, reading: Reading, advice: Advice) -> None:
        """Take in the seconds that a response says are left in the provider's window."""
        if advice.reset is None:
            return
        slack = advice.slack + self.seconds * DRIFT
        earliest, latest = reading.sent + advice.reset - slack, reading.received + advice.reset + slack
        known = self._countdown
        if known is None or earliest > known.latest or latest < known.earliest:
            self._countdown = _Countdown(reading.received, earliest, latest)
            return
        known.earliest, known.latest = max(known.earliest, earliest), min(known.latest, latest)
        known.confirmed = known.confirmed or reading.sent > known.first + 2 * slack + MARGIN

    def trusted(self, now: float) -> bool:
        """Whether the counter may loosen anything."""
        return self._climbs >= PROOF and now >= self._doubted_until

    def doubt(self, until: float) -> None:
        """Let nothing be loosened until a moment."""
        self._doubted_until = max(self._doubted_until, until)
        self._countdown = None

    def tells_of_others(self, reading: Reading) -> bool:
        """Whether calls that a response counts beyond ours can be someone else's, and are not just old."""
        return reading is self.last

    def reset_span(self, now: float) -> tuple[float, float] | None:
        """Return the two moments between which the provider's window ends; None when that is not certain."""
        known = self._countdown
        if known is None or not known.confirmed or not self.trusted(now):
            return None
        return known.earliest, known.latest + MARGIN

    def spend_reset(self) -> None:
        """Forget the reset, as an attempt goes because of it."""
        self._countdown = None

    def fresh_until(self, now: float) -> float:
        """Return until when the last reading is about the provider's present window."""
        if self.last is None:
            return 0.0
        span = self.reset_span(now)
        old = self.last.received + self.seconds * (1 + DRIFT)
        return min(old, span[1]) if span else old

    def state(self, now: float) -> str:
        """Return in one word what the headers are worth so far."""
        if self.last is None:
            return "unseen"
        if now < self._doubted_until:
            return "doubted"
        return "trusted" if self.trusted(now) else "advice"

    def _compare(self, reading: Reading, before: Reading, possible: int, known: int) -> None:
        growth = reading.counted - before.counted
        if growth < 1:
            self._roll(reading, before, known)
        elif growth > 2 * possible + OTHERS:
            self._climbs, self._top = 0, reading.counted
        elif reading.counted > self._top:
            self._climbs += 1
            self._top = reading.counted

    def _roll(self, reading: Reading, before: Reading | None, known: int) -> None:
        self._base = known
        self._top = reading.counted
        ended = self._may_have_ended(reading.received)
        if not ended:
            self.doubt(reading.received + self.seconds)
        if not ended or self._climbs < PROOF:
            self._climbs = 0
            return
        self._rolled_after = before.sent if before else self._rolled_after
        self._rolled_by = reading.received

    def _may_have_ended(self, now: float) -> bool:
        """Whether the provider's window may have ended since the last reading."""
        # A true window lasts its length and ends when it says: a number that begins anew sooner does not count it.
        lasted = self._rolled_after is None or now >= self._rolled_after + self.seconds * (1 - 2 * DRIFT)
        return lasted and (self._countdown is None or now >= self._countdown.earliest)
