"""When requests were sent and what they waited for: a hook that counts in buckets, a few hundred however long a run is.

What a run waits for, it waits for several times at once. The waits of requests are added up; the pauses that a provider
asks for are not, where they overlap.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

import attrs

from omeda_async import _clock
from omeda_async.events import AccountPaused, AttemptEnded, AttemptStarted, Event, RetryPlanned
from omeda_async.limits import Window

BUCKETS: Final = 360
"""Where more are needed, two of them become one."""
FINEST: Final = 0.25
"""Seconds of the first buckets."""
SENT_KEPT: Final = 50_000
"""Moments kept for one window: with more calls than that, it looks emptier than it is while nothing is sent."""
PAUSES_KEPT: Final = 32
LEAST: Final = 0.001
"""Seconds that count as a wait for the limit."""
_KINDS: Final = ("done", "refused", "limited", "broken", "lost")
"""What becomes of a request: answered, refused, refused for the limit, a server in trouble, no answer."""


@attrs.define
class Wait:
    """What requests waited for, and how long."""

    times: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one wait."""
        self.times, self.seconds = self.times + 1, self.seconds + seconds
        self.longest = max(self.longest, seconds)


@attrs.define
class Filling:
    """How full a provider's window was, as the limiter counts."""

    window: Window
    sent: deque[float] = attrs.field(factory=lambda: deque(maxlen=SENT_KEPT))
    peaks: list[int] = attrs.field(factory=list)
    used: int = 0
    """Slots that were taken when this was last looked at."""

    def add(self, now: float, bucket: int, starts: Sequence[float], used: int | None) -> None:
        """Count a request that is sent now, when so many slots are taken; None where the limiter was not asked."""
        self.pass_to(starts)
        self.sent.append(now)
        self.used = self._within(now) if used is None else used
        self.peaks[bucket] = max(self.peaks[bucket], self.used)

    def pass_to(self, starts: Sequence[float]) -> None:
        """Go on to buckets that begin then. In those in which nothing is sent, slots only become free."""
        for start in starts:
            self.peaks.append(min(self.used, self._within(start)))

    def _within(self, now: float) -> int:
        """Return how many were sent in the window that ends now."""
        while self.sent and self.sent[0] <= now - self.window.seconds:
            self.sent.popleft()
        return len(self.sent)

    def halve(self) -> None:
        """Make one bucket of two."""
        self.peaks = [max(self.peaks[at : at + 2]) for at in range(0, len(self.peaks), 2)]


@attrs.define(eq=False)
class Timeline:
    """A hook for one run.

    Args:
        windows: The provider's, as they are set.
        used: Tells how many slots of each are taken now.
    """

    windows: Sequence[Window] = ()
    used: Callable[[], Sequence[int]] = lambda: ()
    began: float | None = None
    started: datetime | None = None
    """When the first event came, by the calendar."""
    _width: float = FINEST
    _sent: list[int] = attrs.field(factory=list)
    _answers: dict[str, list[int]] = attrs.field(factory=lambda: {kind: [] for kind in _KINDS})
    _fillings: list[Filling] = attrs.field(init=False)
    _limit: Wait = attrs.field(factory=Wait)
    _asked: Wait = attrs.field(factory=Wait)
    _answer: Wait = attrs.field(factory=Wait)
    _retries: dict[str, Wait] = attrs.field(factory=dict)
    _pauses: deque[list[float]] = attrs.field(factory=lambda: deque(maxlen=PAUSES_KEPT))
    _pauses_made: Wait = attrs.field(factory=Wait)
    _paused: list[Any] = attrs.field(factory=list)
    _seen: float = 0.0
    """How far the latest pause was spread."""

    @_fillings.default
    def _empty(self) -> list[Filling]:
        return [Filling(window) for window in self.windows]

    def __call__(self, event: Event) -> None:
        """Take an event."""
        now = _clock.now()
        if self.began is None:
            self.began, self.started = now, _clock.utc_now()
        self._pass(now)
        if isinstance(event, AttemptStarted):
            self._begin(event, now)
        elif isinstance(event, AttemptEnded):
            _count(self._answers[_kind(event)], self._bucket(now))
            self._answer.add(event.seconds)
        elif isinstance(event, RetryPlanned):
            self._retries.setdefault(event.error, Wait()).add(event.wait)
        elif isinstance(event, AccountPaused):
            self._pause(now, now + event.seconds)

    def _begin(self, event: AttemptStarted, now: float) -> None:
        bucket = self._bucket(now)
        _count(self._sent, bucket)
        for filling, used in zip_longest(self._fillings, self.used()[: len(self._fillings)]):
            filling.add(now, bucket, self._starts(len(filling.peaks), bucket), used)
        asked = sum(max(0.0, min(now, end) - max(now - event.waited, begin)) for begin, end in self._pauses)
        if asked > 0:
            self._asked.add(asked)
        if event.waited - asked > LEAST:
            self._limit.add(event.waited - asked)

    def _pause(self, begin: float, end: float) -> None:
        """Note a pause; one that overlaps the one before it prolongs that."""
        if self._pauses and begin <= self._pauses[-1][1]:
            self._pauses[-1][1] = max(end, self._pauses[-1][1])
        else:
            self._pauses.append([begin, end])
            self._pauses_made.times += 1
            self._seen = begin

    def _pass(self, now: float) -> None:
        """Spread what has passed of the latest pause over the buckets it fell into."""
        if not self._pauses:
            return
        begin, end = self._pauses[-1][0], min(now, self._pauses[-1][1])
        self._pauses_made.longest = max(self._pauses_made.longest, end - begin)
        self._pauses_made.seconds += max(0.0, end - self._seen)
        last = self._bucket(end)
        for bucket in range(self._bucket(self._seen), last + 1):
            until = end if bucket == last else self._start(bucket + 1)
            _count(self._paused, bucket, max(0.0, until - self._seen))
            self._seen = max(self._seen, until)

    def _start(self, bucket: int) -> float:
        return (self.began or 0.0) + bucket * self._width

    def _starts(self, first: int, last: int) -> list[float]:
        return [self._start(bucket) for bucket in range(first, last + 1)]

    def _bucket(self, now: float) -> int:
        """Return the bucket of a moment; the first for what comes before it."""
        since = max(0.0, now - (self.began or 0.0))
        while since >= BUCKETS * self._width:
            self._halve()
        return int(since / self._width)

    def _halve(self) -> None:
        self._width *= 2
        self._sent = _halved(self._sent)
        self._paused = _halved(self._paused)
        self._answers = {kind: _halved(counts) for kind, counts in self._answers.items()}
        for filling in self._fillings:
            filling.halve()

    def figures(self) -> dict[str, Any]:
        """Return what a page draws, as plain JSON values; it ends now."""
        now = _clock.now()
        self._pass(now)
        if self.began is not None:
            bucket = self._bucket(now)
            for filling in self._fillings:
                filling.pass_to(self._starts(len(filling.peaks), bucket))
        return {
            "width": self._width,
            "seconds": 0.0 if self.began is None else round(now - self.began, 3),
            "sent": self._sent,
            "answers": self._answers,
            "paused": [round(seconds, 3) for seconds in self._paused],
            "windows": [
                {"calls": one.window.calls, "seconds": one.window.seconds, "peaks": one.peaks} for one in self._fillings
            ],
            "waits": {
                "limit": _shown(self._limit),
                "asked": _shown(self._asked),
                "pauses": _shown(self._pauses_made),
                "answers": _shown(self._answer),
                "retries": {error: _shown(wait) for error, wait in self._retries.items()},
            },
        }


def _kind(event: AttemptEnded) -> str:
    if event.status is None:
        return "lost"
    if event.status == 429:
        return "limited"
    if event.status >= 500:
        return "broken"
    return "refused" if event.status >= 400 else "done"


def _count(counts: list[Any], bucket: int, number: float = 1) -> None:
    counts.extend([0] * (bucket + 1 - len(counts)))
    counts[bucket] += number


def _halved(values: list[Any]) -> list[Any]:
    return [sum(values[at : at + 2]) for at in range(0, len(values), 2)]


def _shown(wait: Wait) -> dict[str, float]:
    return {"times": wait.times, "seconds": round(wait.seconds, 3), "longest": round(wait.longest, 3)}
