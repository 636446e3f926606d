"""Servers that count, written from the providers' documents and sharing no code with the limiter.

Each refuses what is beyond its limit, counts every arrival, and tells the earliest moment at which it would take
another: a sender that knew all that would need the time the results are compared with.
"""

import math
from collections import deque
from typing import Protocol

Limits = tuple[tuple[int, float], ...]


class Server(Protocol):
    """What all of them do. Times are the client's; a server's own clock may run at another rate."""

    def earliest(self, now: float) -> float:
        """Return when the next arrival would be taken."""
        ...

    def take(self, now: float) -> bool:
        """Count an arrival, and tell whether it is taken."""
        ...

    def advice(self, now: float) -> tuple[int, int, float]:
        """Return the limit, what remains, and the seconds to the reset, for the longest window."""
        ...


class FixedWindows:
    """Windows that follow one another: aligned to the server's clock, or each opened by the first to come after it."""

    def __init__(self, limits: Limits, phase: float, drift: float, *, opened: bool) -> None:
        self._limits, self._phase, self._rate, self._opened = limits, phase, 1 + drift, opened
        self._begins = [-math.inf] * len(limits)
        self._counts = [0] * len(limits)

    def _turn(self, now: float) -> float:
        at = now * self._rate
        for i, (_, seconds) in enumerate(self._limits):
            if at < self._begins[i] + seconds:
                continue
            phase = self._phase % seconds
            self._begins[i] = at if self._opened else math.floor((at - phase) / seconds) * seconds + phase
            self._counts[i] = 0
        return at

    def earliest(self, now: float) -> float:
        """Return when every full window has ended."""
        at = now * self._rate
        for i, (calls, seconds) in enumerate(self._limits):
            if at < self._begins[i] + seconds and self._counts[i] >= calls:
                at = self._begins[i] + seconds
        return max(now, at / self._rate + 1e-9)

    def take(self, now: float) -> bool:
        """Count it in every window."""
        self._turn(now)
        self._counts = [count + 1 for count in self._counts]
        return all(count <= calls for count, (calls, _) in zip(self._counts, self._limits, strict=True))

    def advice(self, now: float) -> tuple[int, int, float]:
        """Speak of the last window."""
        calls, seconds = self._limits[-1]
        at = self._turn(now)
        return calls, max(0, calls - self._counts[-1]), self._begins[-1] + seconds - at


class SlidingLog:
    """No span of a window's length, wherever it lies, may hold more than its calls."""

    def __init__(self, limits: Limits, phase: float, drift: float) -> None:
        self._limits, self._rate = limits, 1 + drift
        self._log: deque[float] = deque(maxlen=max(calls for calls, _ in limits))
        self._phase = phase

    def earliest(self, now: float) -> float:
        """Return when enough of the log is old."""
        at = now * self._rate
        for calls, seconds in self._limits:
            if len(self._log) >= calls:
                at = max(at, self._log[-calls] + seconds)
        return max(now, at / self._rate + 1e-9)

    def take(self, now: float) -> bool:
        """Write it down, also when it is refused."""
        at = now * self._rate
        good = all(len(self._log) < calls or self._log[-calls] + seconds <= at for calls, seconds in self._limits)
        self._log.append(at)
        return good

    def advice(self, now: float) -> tuple[int, int, float]:
        """Speak of the last window; the reset is when its oldest call leaves it."""
        calls, seconds = self._limits[-1]
        at = now * self._rate
        live = [moment for moment in self._log if moment + seconds > at]
        return calls, max(0, calls - len(live)), (live[0] + seconds - at) if live else 0.0


class TokenBuckets:
    """A bucket for each limit, refilled evenly; what is refused takes no token."""

    def __init__(self, limits: Limits, phase: float, drift: float) -> None:
        self._limits, self._rate = limits, 1 + drift
        self._tokens = [float(calls) for calls, _ in limits]
        self._at = 0.0
        self._phase = phase

    def _levels(self, now: float) -> list[float]:
        passed = now * self._rate - self._at
        return [
            min(calls, level + passed * calls / seconds)
            for level, (calls, seconds) in zip(self._tokens, self._limits, strict=True)
        ]

    def earliest(self, now: float) -> float:
        """Return when every bucket holds a token."""
        waits = [
            max(0.0, 1.0 - level) * seconds / calls
            for level, (calls, seconds) in zip(self._levels(now), self._limits, strict=True)
        ]
        return now + max(waits) / self._rate + (1e-9 if any(waits) else 0.0)

    def take(self, now: float) -> bool:
        """Take a token of every bucket, or none."""
        self._tokens, self._at = self._levels(now), now * self._rate
        if min(self._tokens) < 1:
            return False
        self._tokens = [level - 1 for level in self._tokens]
        return True

    def advice(self, now: float) -> tuple[int, int, float]:
        """Speak of the last bucket; the reset is when it is full."""
        calls, seconds = self._limits[-1]
        level = self._levels(now)[-1]
        return calls, math.floor(level), (calls - level) * seconds / calls


CLASS_C: Limits = ((10, 1.0), (150, 60.0))
STRICT: Limits = ((10, 4.0),)
"""A bucket of 10 that gains 2.5 a second."""


def make_server(kind: str, phase: float, drift: float) -> Server:
    """Make a server by its name in the tables."""
    if kind == "strict bucket":
        return TokenBuckets(STRICT, phase, drift)
    if kind == "token bucket":
        return TokenBuckets(CLASS_C, phase, drift)
    if kind == "sliding log":
        return SlidingLog(CLASS_C, phase, drift)
    return FixedWindows(CLASS_C, phase, drift, opened=kind == "opened by the first")


def optimum(kind: str, phase: float, drift: float, floors: list[float]) -> float:
    """Return when the last request would arrive, had its sender known everything.

    Args:
        kind: The server.
        phase: Where its windows begin.
        drift: How fast its clock runs.
        floors: The earliest possible arrival of each request: its trip out.
    """
    server, at = make_server(kind, phase, drift), 0.0
    for floor in sorted(floors):
        at = server.earliest(max(at, floor))
        assert server.take(at), "the reference itself must not be refused"
    return at
