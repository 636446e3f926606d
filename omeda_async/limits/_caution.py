"""What to do after the provider refused an attempt all the same. Pure: times and chances are arguments.

After a 429 the whole account pauses. Then one attempt goes at a time until one is accepted, and from then on no more
than the headers say remain, or than a learned pace allows. ``Retry-After: -1`` lowers the number in flight instead.
"""

import enum
import math
from collections.abc import Callable

import attrs

from omeda_async._retry_after import TOO_MANY_PARALLEL
from omeda_async.limits._rate_limit import RateLimit

SLOWER = 0.8
FASTER = 0.05
"""After each while without a refusal, the pace grows by this part of the one it began with."""
SLOWEST = 0.05
"""It never falls below this part of the one it began with."""
LONGEST_WHILE = 3600.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
JITTER = 0.1
"""A pause is longer than asked for by up to this part of it, one second at most."""
BREATHER = 4.0
"""After a refusal, so many attempts' time passes without one: a leaky bucket gets some reserve."""
RESERVE = 1
"""So many of what remains by the headers are left to others on the account."""


def middle() -> float:
    """Return the middle of all chances."""
    return 0.5


class Stage(enum.Enum):
    """How freely attempts go."""

    FREE = "free"
    ONE_BY_ONE = "one by one"
    CAREFUL = "careful"


FREE, ONE_BY_ONE, CAREFUL = Stage


@attrs.define(eq=False, repr=False)
class Pace:
    """A learned pace, in attempts a second: slower after a refusal, a little faster after each while without one."""

    rate: float
    patience: float
    """Seconds without a refusal after which it may grow; they double with each refusal."""
    next_at: float = 0.0
    """When the next attempt may go."""
    _first: float = attrs.field(init=False)
    _grown: float = 0.0
    _clean_since: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._first = self.rate

    def spend(self, now: float) -> None:
        """Note that an attempt goes by this pace."""
        if now >= self._clean_since + self.patience:
            self._clean_since = now
            self._grown += FASTER * self._first
            self.rate += FASTER * self._first
        self.next_at = max(now, self.next_at) + 1.0 / self.rate

    def rest(self, until: float) -> None:
        """Let nothing go before a moment, at which a while without a refusal begins."""
        self.next_at = self._clean_since = until

    def slow_down(self) -> None:
        """Note a refusal of an attempt that went by this pace."""
        if self._grown:
            self.rate, self._grown = self.rate - self._grown, 0.0
        else:
            self.rate = max(self.rate * SLOWER, self._first * SLOWEST)
        self.patience = min(LONGEST_WHILE, 2 * self.patience)


@attrs.define(eq=False, repr=False)
class Caution:
    """What the refusals have taught about one account."""

    rate_limit: RateLimit
    uniform: Callable[[], float] = middle
    """A source of numbers between 0 and 1, for the jitter."""
    parallel: int | None = attrs.field(init=False)
    refusals: int = 0
    """How many there were; while there was none, nothing here has been learned."""
    paused_until: float = -math.inf
    stage: Stage = FREE
    steady: Pace | None = None
    """The learned pace while the headers say nothing of the present."""
    brisk: Pace | None = None
    """The learned pace while the headers say that there is plenty left."""
    _began: float = -math.inf
    _streak: int = 0
    _halved_at: float = -math.inf
    _awaits_end: bool = False
    _successes: int = 0

    def __attrs_post_init__(self) -> None:
        self.parallel = self.rate_limit.parallel

    def pace(self, left: int | None) -> Pace | None:
        """Return the pace that applies now; None when there is none."""
        if self.stage is not CAREFUL:
            return None
        return self.steady if left is None else self.brisk

    def opens_at(self, in_flight: int) -> float:
        """Return when another attempt may go by what refusals have taught.

        It is a moment, past or to come; infinity when it depends on a response.
        """
        if in_flight and (self._awaits_end or self.stage is ONE_BY_ONE):
            return math.inf
        return self.paused_until

    def is_enough(self, left: int) -> bool:
        """Whether an attempt may go when so many are left by the headers."""
        return left > (RESERVE if self.stage is CAREFUL else 0)

    def granted(self, now: float, left: int | None) -> None:
        """Note that an attempt goes."""
        pace = self.pace(left)
        if pace is not None:
            pace.spend(now)

    def accepted(self, granted_at: float, now: float) -> None:
        """Note that the provider took an attempt."""
        self._awaits_end = False
        if self.stage is ONE_BY_ONE and granted_at >= self._began:
            self._become_careful(now)
        if self.parallel is not None and self.parallel != self.rate_limit.parallel:
            self._successes += 1
            if self._successes >= self.parallel:
                self._successes, self.parallel = 0, self.parallel + 1

    def ended(self) -> None:
        """Note that an attempt ended without a response."""
        self._awaits_end = False

    def refused(
        self, granted_at: float, now: float, retry_after: float | None, in_flight: int, left: int | None
    ) -> float:
        """Note a 429, and return for how many seconds the account pauses.

        Args:
            granted_at: When the refused attempt was granted.
            now: The time.
            retry_after: Seconds that the provider asked for, -1 for too many in flight, None for nothing.
            in_flight: How many are still in flight.
            left: How many more the headers say may go; None when they say nothing of the present.
        """
        self.refusals += 1
        if retry_after == TOO_MANY_PARALLEL:
            return self._too_many(granted_at, now, in_flight)
        if granted_at >= max(self._began, self.paused_until):
            self._streak += 1
            self._slow_down(left)
            self._began = now
        elif self.stage is FREE:
            self._began = now
        self.stage = ONE_BY_ONE
        return self.pause(now, retry_after or self._back_off())

    def pause(self, now: float, seconds: float) -> float:
        """Let the whole account wait, and return for how many seconds, jitter included."""
        seconds += min(1.0, JITTER * seconds) * self.uniform()
        self.paused_until = max(self.paused_until, now + seconds)
        return self.paused_until - now

    def _back_off(self) -> float:
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._streak - 1, 30)))

    def _slow_down(self, left: int | None) -> None:
        if left is not None and self.is_enough(left):
            self.brisk = self._slower(self.brisk, SLOWER * self.rate_limit.briskest)
        elif self.stage is not ONE_BY_ONE:
            first = self.rate_limit.steady if self.rate_limit.windows else SLOWER * self.rate_limit.steady
            self.steady = self._slower(self.steady, first)

    def _slower(self, pace: Pace | None, first: float) -> Pace:
        if pace is None:
            return Pace(first, self.rate_limit.longest)
        pace.slow_down()
        return pace

    def _become_careful(self, now: float) -> None:
        self.stage, self._streak = CAREFUL, 0
        for pace in (self.steady, self.brisk):
            if pace is not None:
                pace.rest(now + BREATHER / pace.rate)

    def _too_many(self, granted_at: float, now: float, in_flight: int) -> float:
        if granted_at > self._halved_at:
            self.parallel = max(1, (in_flight + 1) // 2)
            self._halved_at, self._successes = now, 0
        self._awaits_end = in_flight > 0
        return 0.0 if in_flight else self.pause(now, FIRST_PAUSE * (0.5 + 0.5 * self.uniform()))
