"""The limits a provider enforces: several fixed windows at once and a cap on parallel requests."""

import math
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Literal

import attrs
from attrs import validators

Described = Literal["longest", "shortest", "off"]
Rounding = Literal["ceil", "floor", "round", "exact"]
ROUNDINGS: dict[str, Callable[[float], float]] = {
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
    "exact": lambda seconds: round(seconds, 3),
}


@attrs.define
class FixedWindow:
    """At most ``calls`` requests between two ticks of the server's clock, ``seconds`` apart.

    It also keeps what the audit wants to know: the most requests in one of its windows, and in any span of
    the same length wherever it begins.
    """

    calls: int = attrs.field(validator=validators.ge(1))
    seconds: float = attrs.field(validator=validators.gt(0))
    phase: float = 0.0
    """When one of the windows begins, on the loop's clock."""
    counted: int = 0
    """What the current window has counted against the limit."""
    arrived: int = 0
    """What has arrived in the current window, refused or not."""
    peak: int = 0
    """The most that arrived in one window."""
    peak_began_at: float = 0.0
    sliding_peak: int = 0
    """The most that arrived in any span of ``seconds``."""
    _index: int | None = None
    _recent: deque[float] = attrs.field(factory=deque, repr=False)

    def arrive(self, now: float) -> bool:
        """Note an arrival, and return whether the window has room for it."""
        index = math.floor((now - self.phase) / self.seconds)
        if index != self._index:
            self._index, self.counted, self.arrived = index, 0, 0
        self.arrived += 1
        if self.arrived > self.peak:
            self.peak, self.peak_began_at = self.arrived, self._began_at
        while self._recent and now - self._recent[0] >= self.seconds:
            self._recent.popleft()
        self._recent.append(now)
        self.sliding_peak = max(self.sliding_peak, len(self._recent))
        return self.counted < self.calls

    @property
    def _began_at(self) -> float:
        return self.phase + (self._index or 0) * self.seconds

    def used(self, now: float) -> int:
        """Return what the window of this moment has counted so far."""
        return self.counted if math.floor((now - self.phase) / self.seconds) == self._index else 0

    def ends_in(self, now: float) -> float:
        """Return the seconds left in the current window."""
        return max(0.0, self._began_at + self.seconds - now)


@attrs.frozen
class Admission:
    """What the limits decide about one request."""

    refused: bool
    headers: dict[str, str]
    """``X-RateLimit-*`` for one that was admitted, ``Retry-After`` for one that was refused."""


@attrs.define(kw_only=True)
class Limits:
    """All limits of one account."""

    windows: tuple[FixedWindow, ...]
    parallel: int | None
    described: Described = attrs.field(default="longest", validator=validators.in_(("longest", "shortest", "off")))
    """Which window the ``X-RateLimit-*`` headers describe."""
    rounding: Rounding = attrs.field(default="ceil", validator=validators.in_(tuple(ROUNDINGS)))
    """How ``X-RateLimit-Reset`` is rounded to whole seconds; ``exact`` leaves three decimals."""
    retry_after: bool = True
    """Whether a refusal carries ``Retry-After``."""
    count_refused: bool = True
    """Whether refused requests count against the windows."""
    refusals: int = 0
    peak_parallel: int = 0

    def __attrs_post_init__(self) -> None:
        if self.parallel is not None and self.parallel < 1:
            raise ValueError(f"ocamba_parallel must be at least 1 or None, not {self.parallel}")

    @classmethod
    def of(cls, windows: tuple[tuple[int, float], ...], rng: Random, **options: object) -> "Limits":
        """Make limits whose windows begin at a random phase each."""
        made = tuple(FixedWindow(calls, seconds, rng.uniform(0, seconds)) for calls, seconds in windows)
        return cls(windows=made, **options)  # type: ignore[arg-type]  # the options are those of this class

    def admit(self, now: float, in_flight: int) -> Admission:
        """Count a request that arrives now, with so many in flight beside it."""
        self.peak_parallel = max(self.peak_parallel, in_flight + 1)
        full = [window for window in self.windows if not window.arrive(now)]
        crowded = self.parallel is not None and in_flight >= self.parallel
        if self.count_refused or not (full or crowded):
            for window in self.windows:
                window.counted += 1
        if not full and not crowded:
            return Admission(refused=False, headers=self._described(now))
        self.refusals += 1
        return Admission(refused=True, headers=self._come_back(full, now))

    def _come_back(self, full: list[FixedWindow], now: float) -> dict[str, str]:
        if not self.retry_after:
            return {}
        if not full:
            return {"Retry-After": "-1"}
        return {"Retry-After": str(max(1, math.ceil(max(window.ends_in(now) for window in full))))}

    def _described(self, now: float) -> dict[str, str]:
        if self.described == "off" or not self.windows:
            return {}
        pick = max if self.described == "longest" else min
        window = pick(self.windows, key=lambda one: one.seconds)
        return {
            "X-RateLimit-Limit": str(window.calls),
            "X-RateLimit-Remaining": str(max(0, window.calls - window.counted)),
            "X-RateLimit-Reset": str(ROUNDINGS[self.rounding](window.ends_in(now))),
        }

    def findings(self, *, any_phase: bool = False) -> list[str]:
        """Return in words where the limits were passed; nothing where they were kept."""
        found = [f"{self.refusals} requests were refused with 429"] if self.refusals else []
        for window in self.windows:
            most = window.sliding_peak if any_phase else window.peak
            if most > window.calls:
                where = "in some span" if any_phase else f"in the window from {window.peak_began_at:.3f}"
                found.append(f"{most} requests {where} of {window.seconds:g} s, {window.calls} are allowed")
        if self.parallel is not None and self.peak_parallel > self.parallel:
            found.append(f"{self.peak_parallel} requests at once, {self.parallel} are allowed")
        return found
