"""Everything that decides whether an attempt may go: windows, evidence and caution. Pure: no clock, no loop."""

import datetime as dt
import math
from collections.abc import Callable, Mapping

import attrs

from omeda_async.limits._caution import CAREFUL, Caution
from omeda_async.limits._header_evidence import HeaderEvidence, Reading
from omeda_async.limits._headers import TOO_MANY_PARALLEL, Advice, read_advice, read_retry_after
from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._slots import DRIFT, Slots
from omeda_async.limits._view import LimitsView, WindowView


@attrs.define(eq=False)
class Permit:
    """The right to make one attempt; give it back with ``release`` as soon as the attempt has ended."""

    priority: Priority
    """The lane it was granted in."""
    granted_at: float
    """When, on the loop's clock."""
    done: bool = False
    """Has it been given back?"""
    probes: bool = attrs.field(default=False, repr=False)
    """Is it to find out whether the provider's window has ended?"""
    # What was known when the attempt left, for the limiter's own use.
    grants: int = attrs.field(init=False, repr=False)
    in_flight: int = attrs.field(init=False, repr=False)
    released: int = attrs.field(init=False, repr=False)
    counted: int = attrs.field(init=False, repr=False)
    before: tuple[Reading | None, ...] = attrs.field(init=False, repr=False)
    """The last reading about each window."""


@attrs.define(eq=False, repr=False)
class Gate:
    """One window: its slots, and the evidence about it."""

    slots: Slots
    evidence: HeaderEvidence

    def is_open(self, now: float) -> bool:
        """Whether a slot is free."""
        return self.slots.free(now) > 0

    def probe_at(self, now: float, last_grant: float) -> float | None:
        """Return when an attempt may find out whether the provider's window has ended, though every slot is used."""
        span, oldest = self.evidence.reset_span(now), self.slots.oldest_received()
        # At least one of ours came before the end, and none has taken its place: neither a new window nor a
        # sliding one can be full.
        return span[1] if span and oldest is not None and max(oldest, last_grant) < span[0] else None

    def changes_at(self, now: float, probe_at: float | None) -> float | None:
        """Return when this may be open; None when that hangs on an answer."""
        times = (self.slots.changes_at(now), probe_at)
        return min((time for time in times if time is not None), default=None)

    def earliest(self, now: float, ahead: int) -> float:
        """Return the earliest moment for an attempt with ``ahead`` others before it."""
        by_slots = self.slots.earliest(now, ahead)
        if not self.evidence.trusted(now):
            return by_slots
        span = self.evidence.reset_span(now)
        laps = max(0, ahead - self.slots.free(now)) // self.slots.window.calls
        begins = max(now, span[0]) if span else now
        return min(by_slots, begins + laps * self.slots.window.seconds * (1 - DRIFT))

    def view(self, now: float, probe_at: float | None) -> WindowView:
        """Show it."""
        at = self.slots.changes_at(now) if self.is_open(now) else self.changes_at(now, probe_at)
        return WindowView(
            window=self.slots.window,
            free=self.slots.free(now),
            used=self.slots.used(now),
            held=self.slots.held,
            headers=self.evidence.state(now),
            frees_in=None if at is None else max(0.0, at - now),
        )


class LimiterState:
    """The state of one account's limits.

    Args:
        rate_limit: The limits.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
    """

    def __init__(self, rate_limit: RateLimit, uniform: Callable[[], float]) -> None:
        self.rate_limit = rate_limit
        self.in_flight = 0
        self._gates = [Gate(Slots(window), HeaderEvidence(window.seconds)) for window in rate_limit.windows]
        self._caution = Caution(rate_limit, uniform)
        self._grants = 0
        self._last_grant = -math.inf
        self._next_paced = -math.inf
        self._released = 0
        self._counted = 0
        self._probing = False
        self._stray: Reading | None = None
        self._stray_until = 0.0

    def may_go(self, now: float) -> bool:
        """Whether an attempt may go now."""
        if not self._caution.may_go(now, self.in_flight, self._left(now)):
            return False
        for gate in self._gates:
            if not gate.is_open(now):
                probe_at = self._probe_at(gate, now)
                if probe_at is None or now < probe_at:
                    return False
        return True

    def take(self, now: float, priority: Priority) -> Permit:
        """Grant an attempt."""
        permit = Permit(priority, now)
        for gate in self._gates:
            if not gate.is_open(now):
                gate.evidence.spend_reset()
                permit.probes = self._probing = True
            gate.slots.take()
        if self._caution.stage is CAREFUL:
            self._caution.granted(now, self._left(now))
        self._grants, self._last_grant = self._grants + 1, now
        self.in_flight += 1
        self.mark(permit, now)
        return permit

    def mark(self, permit: Permit, now: float) -> None:
        """Note what is known when an attempt leaves; its answer is compared with that."""
        permit.granted_at = now
        permit.grants = self._grants
        permit.in_flight = self.in_flight - 1
        permit.released = self._released
        permit.counted = self._counted
        permit.before = tuple([gate.evidence.last for gate in self._gates]) if self._gates else ()

    def remember(self, requests: int, seconds_ago: float, now: float) -> None:
        """Hold slots for attempts of an earlier process, until a header tells more or they are a window old."""
        for gate in self._gates:
            until = now + gate.slots.lap - seconds_ago
            if until > now:
                gate.slots.hold(min(gate.slots.window.calls, max(requests, gate.slots.held)), until)

    def went(self, permit: Permit, now: float) -> None:
        """Note that an attempt leaves whose turn at the pace has come."""
        self._next_paced = now + (self.rate_limit.pace or 0.0)
        self.mark(permit, now)

    def give_back(self, permit: Permit) -> None:
        """Take back a permit whose attempt provably never left."""
        self._end(permit)
        for gate in self._gates:
            gate.slots.give_back()

    def complete(
        self,
        permit: Permit,
        now: float,
        status: int | None,
        headers: Mapping[str, str],
        utc_now: Callable[[], dt.datetime],
    ) -> float:
        """Take back a permit whose attempt may have left, learn from its answer, and tell the pause that follows.

        Args:
            permit: What was granted.
            now: The time.
            status: The HTTP status of the answer; None when there was none.
            headers: Those of the answer.
            utc_now: Tells the calendar time, for a ``Retry-After`` that is a date.
        """
        self._end(permit)
        self._released += 1
        for gate in self._gates:
            gate.slots.cool(now, answered=status is not None)
        if status is None:
            self._caution.ended()
            return 0.0
        if status == 429:
            return self._refused(permit, now, read_retry_after(headers, utc_now()))
        self._caution.accepted(permit.granted_at, now)
        advice = read_advice(headers)
        if advice is not None:
            self._counted += 1
            self._learn(permit, now, advice)
        wait = read_retry_after(headers, utc_now()) if status == 503 else None
        return self._caution.pause(now, wait) if wait is not None and wait > 0 else 0.0

    def changes_at(self, now: float) -> float | None:
        """Return when an attempt may go, at the earliest; None when that hangs on an answer."""
        left = self._left(now)
        times = [self._caution.changes_at(now, self.in_flight, left)]
        if left is not None and not self._caution.is_enough(left):
            times.append(self._fresh_until(now))
        closed = [gate for gate in self._gates if not gate.is_open(now)]
        times += [gate.changes_at(now, self._probe_at(gate, now)) for gate in closed]
        known = [time for time in times if time is not None]
        return max(known) if len(known) == len(times) else None

    def earliest(self, now: float, ahead: int, *, pacing: bool) -> float:
        """Return the earliest moment for an attempt.

        Args:
            now: The time.
            ahead: How many others without a slot are before it.
            pacing: Does one more, that has its slot, wait for its turn at the pace?
        """
        paced = self._paced(now, ahead + pacing)
        return max([paced, self._caution.paused_until, *(gate.earliest(now, ahead) for gate in self._gates)])

    def view(self, now: float, waiting: Mapping[Priority, int], *, pacing: bool) -> LimitsView:
        """Show it all."""
        at = now if self.may_go(now) else self.changes_at(now)
        at = None if at is None else max(at, self._paced(now, int(pacing)))
        pace = self._caution.pace(self._left(now))
        return LimitsView(
            windows=tuple(gate.view(now, self._probe_at(gate, now)) for gate in self._gates),
            waiting=waiting,
            in_flight=self.in_flight,
            parallel=self._caution.parallel,
            next_slot_in=None if at is None else max(0.0, at - now),
            paused_for=max(0.0, self._caution.paused_until - now),
            refusals=self._caution.refusals,
            pace=None if pace is None else pace.rate,
            spacing=self.rate_limit.pace or 0.0,
        )

    def _paced(self, now: float, ahead: int) -> float:
        return max(now, self._next_paced) + ahead * (self.rate_limit.pace or 0.0)

    def _probe_at(self, gate: Gate, now: float) -> float | None:
        return None if self._probing else gate.probe_at(now, self._last_grant)

    def _end(self, permit: Permit) -> None:
        permit.done = True
        self.in_flight -= 1
        if permit.probes:
            self._probing = False

    def _refused(self, permit: Permit, now: float, retry_after: float | None) -> float:
        left = self._least_left(now)
        short = retry_after is not None and 0 < retry_after <= max(1.0, self.rate_limit.shortest)
        for gate in self._gates:
            # A short wait is for the short window: it says nothing against what the headers say of a longer one.
            if retry_after != TOO_MANY_PARALLEL and (
                not short or gate.slots.window.seconds == self.rate_limit.shortest
            ):
                gate.evidence.doubt(now + gate.slots.lap)
        return self._caution.refused(permit.granted_at, now, retry_after, self.in_flight, left)

    def _learn(self, permit: Permit, now: float, advice: Advice) -> None:
        reading = Reading(
            counted=advice.limit - advice.remaining,
            remaining=advice.remaining,
            sent=permit.granted_at,
            received=now,
            grants=permit.grants,
            in_flight=permit.in_flight,
            released=permit.released,
            known=permit.counted,
        )
        for gate, before in zip(self._gates, permit.before, strict=True):
            if gate.slots.window.calls == advice.limit:
                self._learn_window(gate, reading, before, advice)
                return
        wait = self.rate_limit.shortest if advice.reset is None else advice.reset + advice.slack
        self._stray, self._stray_until = reading, now + min(wait, self.rate_limit.longest)

    def _learn_window(self, gate: Gate, reading: Reading, before: Reading | None, advice: Advice) -> None:
        slots, evidence, now = gate.slots, gate.evidence, reading.received
        explained = slots.used(now)
        possible = self._released - before.released + self.in_flight if before else 0
        evidence.learn(reading, before, possible=possible, known=self._counted + self.in_flight)
        evidence.learn_reset(reading, advice)
        if evidence.tells_of_others(reading):
            slots.hold(max(0, reading.counted - explained), now + slots.lap)
        if evidence.trusted(now):
            # Counted by the provider, or answered since the attempt left: its window can hold no more.
            slots.keep_newest(reading.counted + self._released - reading.released - 1)

    def _left(self, now: float) -> int | None:
        if self._caution.stage is CAREFUL:
            return self._least_left(now)
        return self._stray.left(self._grants) if self._stray and now < self._stray_until else None

    def _least_left(self, now: float) -> int | None:
        """Return how many more may go by the readings that speak of the present; None when none does."""
        counts = [self._stray.left(self._grants)] if self._stray and now < self._stray_until else []
        for gate in self._gates:
            last = gate.evidence.last
            if last is not None and now < gate.evidence.fresh_until(now):
                counts.append(last.left(self._grants))
        return min(counts, default=None)

    def _fresh_until(self, now: float) -> float:
        times = [gate.evidence.fresh_until(now) for gate in self._gates]
        return min([time for time in [*times, self._stray_until] if time > now], default=now)
