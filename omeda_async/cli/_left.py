"""How fast a run goes, and how long the rest of it may take: estimated from the limits and what was measured."""

import math
from collections import deque

import attrs

from omeda_async import BulkReport, BulkRun
from omeda_async.limits import LimitsView

MEASURED = 60.0
"""The rate of requests is measured over so many of the last seconds, without waits for the limits."""
NEAR = 1.0
"""A wait for a slot of at most so many seconds counts as progress, a longer one as a standstill."""


@attrs.define
class Speed:
    """Measures a run by its reports, one after the other."""

    run: BulkRun
    total: int
    _at: float = 0.0
    _requests: int = 0
    _waited: bool = True
    _laps: deque[tuple[float, int]] = attrs.field(factory=deque)
    """Seconds in which nothing had to wait, and the requests made in them."""
    _seen: int = 0
    _free: int = 0

    def records_a_second(self, report: BulkReport, settled: int) -> float:
        """Return the records a second that this run's own requests have settled, without those from a journal."""
        own = min(settled, report.requests * self.run.max_entries)
        return own / report.duration if report.duration > 0 else 0.0

    def seconds_left(self, report: BulkReport, limits: LimitsView) -> float | None:
        """Return the estimated seconds left, by the limits or by the measured rate, whichever is longer.

        None before anything was sent, and while most of what comes was settled by an earlier run: how many more of
        those will come nobody knows.
        """
        self._measure(report, limits)
        if not report.requests or self._comes_for_free(report):
            return None
        requests = math.ceil((self.total - report.total) / self.run.max_entries)
        made = sum(number for _, number in self._laps)
        measured = requests * self._seconds() / made if made else 0.0
        return max(limits.seconds_for(requests), measured)

    def _comes_for_free(self, report: BulkReport) -> bool:
        """Whether most of the records since the last look have cost no request."""
        free = max(0, report.total - report.requests * self.run.max_entries)
        came, came_free = report.total - self._seen, free - self._free
        self._seen, self._free = report.total, free
        return 2 * came_free > came

    def _measure(self, report: BulkReport, limits: LimitsView) -> None:
        # Time in which the limits let nothing go does not show how fast requests are, and the limits account for it.
        nexts = (limits.next_slot_in, limits.next_bulk_in)
        waits = limits.paused_for > 0 or any(one is None or one > NEAR for one in nexts)
        seconds, requests = report.duration - self._at, report.requests - self._requests
        if seconds > 0 and not waits and not self._waited:
            self._laps.append((seconds, requests))
            while self._seconds() - self._laps[0][0] > MEASURED:
                self._laps.popleft()
        self._at, self._requests, self._waited = report.duration, report.requests, waits

    def _seconds(self) -> float:
        return sum(seconds for seconds, _ in self._laps)
