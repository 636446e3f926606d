"""One window of an account: its slots, what the headers have proved about it, and what bulk leaves free. Pure."""

import math
from collections.abc import Iterable
from itertools import chain, islice, takewhile

import attrs

from omeda_async.limits._header_evidence import HeaderEvidence
from omeda_async.limits._reserve import Reserve
from omeda_async.limits._slots import DRIFT, Slots
from omeda_async.limits._view import WindowView


@attrs.define(eq=False, repr=False)
class Gate:
    """One window: its slots, and what the headers have proved about it."""

    slots: Slots
    evidence: HeaderEvidence
    reserve: Reserve

    def probe_at(self, now: float, last_grant: float) -> float:
        """Return when an attempt may find out, without a free slot, whether the provider's window has ended.

        It is infinity when no attempt may.
        """
        span = self.evidence.reset_span(now)
        # At least one of ours came before the end, and none has taken its place: neither a new window nor a
        # sliding one can be full.
        return span[1] if span and max(self.slots.oldest_received(now), last_grant) < span[0] else math.inf

    def earliest(self, now: float, ahead: int) -> float:
        """Return the earliest moment for an attempt with ``ahead`` others before it."""
        by_slots = self.slots.earliest(now, ahead)
        if by_slots <= now or not self.evidence.trusted(now):
            return by_slots
        span = self.evidence.reset_span(now)
        laps = (ahead - self.slots.free(now)) // self.slots.window.calls
        begins = max(now, span[0]) if span else now
        return min(by_slots, begins + laps * self.slots.window.seconds * (1 - DRIFT))

    def has_ended(self, now: float) -> bool:
        """Whether the provider's window has ended for certain, and nothing has been heard of the next one."""
        span = self.evidence.reset_span(now)
        return span is not None and span[1] <= now

    def returns(self, now: float) -> Iterable[float]:
        """Return when slots come back: our own one by one, and all when the provider's window certainly ends."""
        own, span = self.slots.returns(now), self.evidence.reset_span(now)
        return own if span is None else chain(takewhile(span[1].__gt__, own), span[1:])

    def opens_to_bulk_at(self, now: float, rate: float) -> float:
        """Return when bulk leaves enough with another attempt, where so many interactive calls come a second."""
        reserve, slots = self.reserve, self.slots
        spare = slots.free(now) - 1
        if not reserve.seconds or not rate:
            missing = reserve.least - spare
            return next(islice(self.returns(now), missing - 1, None), now + slots.lap) if missing > 0 else -math.inf
        return reserve.opens_at(spare, rate, self.returns(now))

    def view(self, now: float, probe_at: float, rate: float) -> WindowView:
        """Return what the limits view shows of it."""
        at, span = self.slots.changes_at(now), self.evidence.reset_span(now)
        if not self.slots.free(now):
            at = min(at, probe_at)
        elif span is not None and self.slots.free(now) <= self.reserve.least:
            at = min(at, span[1])  # when bulk may go on
        return WindowView(
            window=self.slots.window,
            free=self.slots.free(now),
            used=self.slots.used(now),
            held=self.slots.held,
            reserved=self.reserve.kept(now, rate, self.returns(now)) if self.reserve.least else 0,
            headers=self.evidence.state(now),
            frees_in=None if at == math.inf else max(0.0, at - now),
        )
