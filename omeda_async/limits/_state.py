"""The state of one account's limits: whether an attempt may go, and what each response teaches.

Pure: no clock, no event loop, no futures. The time is an argument that never goes backwards.
"""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import attrs

from omeda_async._retry_after import TOO_MANY_PARALLEL
from omeda_async.limits._caution import CAREFUL, Caution, middle
from omeda_async.limits._gate import Gate
from omeda_async.limits._header_evidence import HeaderEvidence, Reading
from omeda_async.limits._headers import Advice
from omeda_async.limits._rate_limit import Priority, RateLimit, Window, implies
from omeda_async.limits._reserve import GRANTS, MEMORY, SHORT, Demand, Reserve
from omeda_async.limits._slots import Slots
from omeda_async.limits._view import LimitsView

BULK = Priority.BULK


@attrs.define(eq=False)
class Permit:
    """The right to make one attempt; give it back with ``release`` as soon as the attempt has ended."""

    lapses: ClassVar[bool] = False
    """Whether it may be used for a while only."""
    priority: Priority
    """The lane it was granted in."""
    granted_at: float
    """When, on the loop's clock."""
    done: bool = False
    """Whether it has been given back."""
    probes: bool = attrs.field(default=False, repr=False)
    """Whether it is to find out that the provider's window has ended."""
    # What was known when the attempt left, for the limiter's own use.
    grants: int = attrs.field(init=False, repr=False)
    in_flight: int = attrs.field(init=False, repr=False)
    released: int = attrs.field(init=False, repr=False)
    counted: int = attrs.field(init=False, repr=False)
    before: tuple[Reading | None, ...] = attrs.field(init=False, repr=False)
    """The last reading about each window."""

    def is_over(self) -> bool:
        """Whether it may not be used any more; to be asked right before the attempt, where it lapses at all."""
        return False


@attrs.define(eq=False, repr=False)
class LimiterState:
    """The state of one account's limits."""

    rate_limit: RateLimit
    uniform: Callable[[], float] = middle
    """A source of numbers between 0 and 1, for the jitter of pauses."""
    in_flight: int = 0
    in_a_row: int = 0
    """How many interactive attempts have been granted while bulk waited, since the last one of bulk."""
    _gates: list[Gate] = attrs.field(init=False)
    _caution: Caution = attrs.field(init=False)
    _demand: Demand = attrs.field(init=False)
    _bulk_in_flight: int = 0
    _grants: int = 0
    _last_grant: float = -math.inf
    _next_paced: float = -math.inf
    _pacing: Permit | None = None
    """What has its slots, and waits for its turn at the pace."""
    _released: int = 0
    _counted: int = 0
    _probing: bool = False
    _readings: tuple[Reading | None, ...] = attrs.field(init=False)
    _stray: Reading | None = None
    _stray_until: float = 0.0
    _tightened_at: int = 0
    """What has been granted before belongs to other windows."""

    def __attrs_post_init__(self) -> None:
        limit = self.rate_limit
        self._gates = [
            Gate(Slots(window), HeaderEvidence(window.seconds), Reserve.of(limit, window)) for window in limit.windows
        ]
        self._caution = Caution(limit, self.uniform)
        self._demand = Demand(MEMORY * limit.longest)
        self._readings = (None,) * len(self._gates)

    def draw_from(self, uniform: Callable[[], float]) -> None:
        """Take another source of numbers between 0 and 1."""
        self.uniform = self._caution.uniform = uniform

    def opens_at(self, now: float, priority: Priority) -> float:
        """Return when an attempt may be granted: not after ``now`` for at once, infinity when another event decides."""
        if self._pacing is not None:
            return math.inf
        at = self._slots_open_at(now)
        if priority is BULK and at <= now and self.in_a_row < GRANTS - 1:
            at = self._opens_to_bulk_at(now)
            if at > now + SHORT and self._demand.rate(now):
                at = (now + at) / 2  # to look again, as the reserve melts when no more interactive calls come
        return at

    def _opens_to_bulk_at(self, now: float) -> float:
        """Return when bulk leaves enough to the interactive lane with another attempt."""
        if not self.rate_limit.interactive_reserve:
            return -math.inf
        parallel, at = self._caution.parallel, -math.inf
        kept = self.rate_limit.reserve_of
        if self._bulk_in_flight and parallel is not None and self.in_flight >= parallel - kept(parallel):
            return math.inf
        for gate in self._gates:
            if not gate.slots.has_half:
                at = max(at, gate.opens_to_bulk_at(now, self._demand.rate(now)))
        return at

    def _slots_open_at(self, now: float) -> float:
        caution = self._caution
        if caution.parallel is not None and self.in_flight >= caution.parallel:
            return math.inf
        at = caution.opens_at(self.in_flight) if caution.refusals else caution.paused_until
        if at == math.inf:
            return at
        if self._stray is not None or caution.stage is CAREFUL:
            at = max(at, self._opens_by_headers_at(now))
        for gate in self._gates:
            slot_at = gate.slots.opens_at(now)
            if slot_at != -math.inf:
                at = max(at, min(slot_at, self._probe_at(gate, now)))
        return at

    def take(self, now: float, priority: Priority) -> Permit:
        """Grant an attempt; :meth:`opens_at` has said that it may go now."""
        permit = Permit(priority, now)
        if not self._grants:
            self._demand.begin(now)
        asks = priority is BULK and self.rate_limit.interactive_reserve > 0
        for gate in self._gates:
            if not gate.slots.take() or (asks and gate.has_ended(now)):
                # It is to find out whether the window has ended, and one is enough for that.
                gate.evidence.spend_reset()
                permit.probes = self._probing = True
        if priority is BULK:
            self._bulk_in_flight += 1
        else:
            self._demand.granted(now)
        if self._caution.stage is CAREFUL:
            self._caution.granted(now, self._left(now))
        self._grants, self._last_grant = self._grants + 1, now
        self.in_flight += 1
        self.mark(permit, now)
        if self.rate_limit.pace is not None:
            self._pacing = permit
        return permit

    def pass_on(self, permit: Permit, now: float) -> None:
        """Make a bulk permit, whose turn at the pace has come, one of the interactive lane."""
        permit.priority = Priority.INTERACTIVE
        self._bulk_in_flight -= 1
        self._demand.granted(now)

    def went(self, permit: Permit, now: float) -> None:
        """Note that the turn of an attempt at the pace has come; with a pace, no other is granted before that."""
        self._pacing = None
        self._next_paced = now + (self.rate_limit.pace or 0.0)
        self.mark(permit, now)

    def remember(self, requests: int, seconds_ago: float, now: float) -> None:
        """Hold slots for attempts of an earlier process, until a header tells more or they are a window old."""
        for gate in self._gates:
            until = now + gate.slots.lap - seconds_ago
            if until > now:
                gate.slots.hold(min(gate.slots.window.calls, max(requests, gate.slots.held)), until)

    def tighten(self, rate_limit: RateLimit, now: float) -> None:
        """Keep to a tighter limit from now on."""
        self.rate_limit = self._caution.rate_limit = rate_limit
        named = {window.seconds for window in rate_limit.windows}
        known = {gate.slots.window.seconds: gate for gate in self._gates}
        # What the new windows imply has its past all the same: more may have gone in it than they would have let go.
        passed = [gate.slots.window for gate in self._gates if gate.slots.window.seconds not in named]
        implied = [old for old in passed if any(implies(window, old) for window in rate_limit.windows)]
        windows = (*rate_limit.windows, *implied)
        self._gates = [self._tightened(known.get(window.seconds), window, now) for window in windows]
        self._readings = tuple([gate.evidence.last for gate in self._gates])
        self._tightened_at = self._grants
        caps = [cap for cap in (self._caution.parallel, rate_limit.parallel) if cap is not None]
        self._caution.parallel = min(caps, default=None)

    def _tightened(self, gate: Gate | None, window: Window, now: float) -> Gate:
        reserve = Reserve.of(self.rate_limit, window)
        if gate is not None:
            gate.slots.window, gate.reserve = window, reserve
            return gate
        gate = Gate(Slots(window), HeaderEvidence(window.seconds), reserve)
        for _ in range(self.in_flight):
            gate.slots.take()
        # When the earlier ones went is not known any more.
        gate.slots.hold(min(window.calls, self._released), now + gate.slots.lap)
        return gate

    def complete(
        self, permit: Permit, now: float, *, sent: bool, status: int | None, advice: Advice | None, wait: float | None
    ) -> float:
        """Take back a permit, learn from the response, and return the seconds for which the whole account pauses.

        Args:
            permit: What was granted.
            now: The time.
            sent: May the attempt have left the machine?
            status: The HTTP status of the response; None when there was none.
            advice: What its headers say about the limits, if anything.
            wait: Seconds that a 429 or 503 asks for, -1 for too many in flight, None for nothing.
        """
        permit.done = True
        if permit is self._pacing:
            self._pacing = None
        self.in_flight -= 1
        self._bulk_in_flight -= permit.priority is BULK
        if permit.probes:
            self._probing = False
        if not sent:
            for gate in self._gates:
                gate.slots.give_back()
            return 0.0
        self._released += 1
        for gate in self._gates:
            gate.slots.cool(now, answered=status is not None)
        if status is None:
            self._caution.ended()
            return 0.0
        if status == 429:
            return self._refused(permit, now, wait)
        if self._caution.refusals:
            self._caution.accepted(permit.granted_at, now)
        if advice is not None:
            self._counted += 1
            self._learn(permit, now, advice)
        return self._caution.pause(now, wait) if wait is not None and wait > 0 else 0.0

    def turn_at(self, now: float, ahead: int = 0) -> float:
        """Return when the turn at the pace comes of an attempt with ``ahead`` others before it."""
        return max(now, self._next_paced) + ahead * (self.rate_limit.pace or 0.0)

    def earliest(self, now: float, ahead: int, priority: Priority) -> float:
        """Return the earliest moment for an attempt with ``ahead`` others before it that have no slot yet."""
        at = max(now, self._caution.paused_until)
        if self.rate_limit.pace is not None:
            at = max(at, self.turn_at(now, ahead + self._paces_before(priority)))
        for gate in self._gates:
            at = max(at, gate.earliest(now, ahead))
        return at

    def next_slot_in(self, now: float, priority: Priority = Priority.INTERACTIVE) -> float | None:
        """Return the seconds until an attempt may go if nobody waits for a slot; None when a response decides."""
        at = max(self._slots_open_at(now), self.turn_at(now, int(self._paces_before(priority))))
        if priority is BULK:
            at = max(at, self._opens_to_bulk_at(now))
        return None if at == math.inf else at - now

    def view(self, now: float, waiting: Mapping[Priority, int], clients: int) -> LimitsView:
        """Return everything there is to show."""
        pace = self._caution.pace(self._left(now))
        return LimitsView(
            windows=tuple(gate.view(now, self._probe_at(gate, now), self._demand.rate(now)) for gate in self._gates),
            waiting=waiting,
            in_flight=self.in_flight,
            parallel=self._caution.parallel,
            clients=clients,
            interactive_reserve=self.rate_limit.interactive_reserve,
            next_slot_in=self.next_slot_in(now),
            next_bulk_in=self.next_slot_in(now, BULK),
            paused_for=max(0.0, self._caution.paused_until - now),
            refusals=self._caution.refusals,
            pace=None if pace is None else pace.rate,
            spacing=self.rate_limit.pace or 0.0,
        )

    def _paces_before(self, priority: Priority) -> bool:
        """Whether a permit waits for its turn at the pace, and goes before an attempt that comes now."""
        passes_on = priority is not BULK and self.in_a_row < GRANTS - 1
        return self._pacing is not None and not (passes_on and self._pacing.priority is BULK)

    def mark(self, permit: Permit, now: float) -> None:
        """Note what is known when an attempt leaves; its response is compared with that."""
        permit.granted_at = now
        permit.grants = self._grants
        permit.in_flight = self.in_flight - 1
        permit.released = self._released
        permit.counted = self._counted
        permit.before = self._readings

    def _probe_at(self, gate: Gate, now: float) -> float:
        return math.inf if self._probing else gate.probe_at(now, self._last_grant)

    def _opens_by_headers_at(self, now: float) -> float:
        """Return when another attempt may go by what the headers say is left, and by the pace that is learned."""
        left = self._left(now)
        pace = self._caution.pace(left)
        at = -math.inf if pace is None else pace.next_at
        return at if left is None or self._caution.is_enough(left) else max(at, self._fresh_until(now))

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
        if permit.grants <= self._tightened_at:
            return
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
                self._readings = tuple([gate.evidence.last for gate in self._gates])
                return
        wait = self.rate_limit.shortest if advice.reset is None else advice.reset + advice.slack
        self._stray, self._stray_until = reading, now + min(wait, self.rate_limit.longest)

    def _learn_window(self, gate: Gate, reading: Reading, before: Reading | None, advice: Advice) -> None:
        slots, evidence, now = gate.slots, gate.evidence, reading.received
        explained = slots.used(now)
        possible = self._released - (before or reading).released + self.in_flight
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
