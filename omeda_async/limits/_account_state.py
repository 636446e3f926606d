"""The state of one account's limits for several clients, each of which may die at any moment. Pure.

It adds to ``LimiterState`` what is needed where clients are processes: permits with a lease, the demand of each
client, whose turn it is, and a hold for as long as it is not known what has been sent before.
"""

import functools
import math
from collections.abc import Callable, Iterator

import attrs

from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._reserve import GRANTS
from omeda_async.limits._slots import DRIFT
from omeda_async.limits._state import LimiterState, Permit
from omeda_async.limits._store import Ask, Ended, Reply
from omeda_async.limits._view import LimitsView

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
PATIENCE = 1.0
"""Seconds for which a permit waits in the store for a client that has asked for it, and is late."""
FORGOTTEN = 3.0
"""So many of the longest window, and leases, a client that is silent is remembered for."""
STAGGER, LATEST = 0.004, 0.03
"""Seconds by which clients that wait for one moment come one after the other, and by which the last comes later."""


@attrs.define(eq=False, repr=False)
class Client:
    """One of those who share the account."""

    rate_limit: RateLimit
    """The limit it has named."""
    lease: float
    """The lease of its permits, in seconds."""
    seen: float
    """When it was last there."""
    number: int = 0
    """Its last turn."""
    interactive: int = 0
    bulk: int = 0
    wants_until: float = 0.0
    """Until when that counts, if it does not come again."""
    served: float = 0.0
    """How much it has had: of those who want something, who has had least goes first."""

    def wants(self, priority: Priority) -> int:
        """Return how many wait in a lane."""
        return self.bulk if priority is BULK else self.interactive


@attrs.define(eq=False, repr=False)
class Grant:
    """A permit that is out."""

    permit: Permit
    client: str
    until: float
    """When it counts as lost; before its client has it: when it comes back, as nobody has used it."""
    fetched: bool = False


@attrs.define(eq=False, repr=False)
class AccountState:
    """The state of one account.

    Args:
        limits: What is used of the limits.
        server: What tells the store's present life from others: another one means that data may be lost.
    """

    limits: LimiterState
    server: str
    hold_until: float = -math.inf
    """Nothing is granted before: what was sent earlier is not known."""
    held_since: float = -math.inf
    """When the last hold began."""
    latest: float = 0.0
    """The time, which never goes backwards; the store's own clock may."""
    clock: float = -math.inf
    """What that clock showed last."""
    last: int = 0
    """The number of the last permit."""
    clients: dict[str, Client] = attrs.field(factory=dict)
    grants: dict[int, Grant] = attrs.field(factory=dict)

    @classmethod
    def begin(cls, rate_limit: RateLimit, server: str, uniform: Callable[[], float]) -> "AccountState":
        """Make the state of an account of which nothing is known."""
        return cls(LimiterState(rate_limit, uniform), server)

    def turn(self, ask: Ask, clock: float, server: str) -> Reply:
        """Take in what a client tells, and give it what it may have.

        Args:
            ask: What it tells and wants.
            clock: The store's clock, in seconds.
            server: What tells the store's present life from others.
        """
        is_new = self.clock == -math.inf
        now = self._advance(clock)
        client = self._client(ask, now)
        if ask.number <= client.number:
            return Reply(rate_limit=self.limits.rate_limit, clock=clock)
        if is_new or ask.distrusts or server != self.server:
            self._hold(now)
            self.server = server
        client.number, client.seen = ask.number, now
        self._keep_to_all(now)
        self._expire(now)
        paused = self._end(ask, now)
        self._reconcile(ask, now)
        self._want(client, ask)
        calls = self._allot(ask.client, now)
        permits = self._fetch(ask, now)
        again_in = self._again_in(ask.client, now)
        client.wants_until = now + PATIENCE + (ask.lease if again_in is None else again_in)
        if ask.leaves:
            del self.clients[ask.client]
        return Reply(
            permits=permits,
            again_in=again_in,
            earliest=max(self.limits.earliest(now, 0, BULK), self.hold_until) - now,
            paused_for=paused,
            calls=calls,
            scarce=self._is_scarce(client, now),
            rate_limit=self.limits.rate_limit,
            clock=clock,
            held_for=max(0.0, self.hold_until - now),
        )

    def view(self, clock: float) -> LimitsView:
        """Return everything there is to show at a moment of the store's clock."""
        now = self.latest + max(0.0, clock - self.clock)
        return self.limits.view(now, self.waiting(now), len(self.clients))

    def called(self) -> tuple[str, ...]:
        """Return the clients for which a permit waits."""
        return tuple({grant.client for grant in self.grants.values() if not grant.fetched})

    def waiting(self, now: float) -> dict[Priority, int]:
        """Return how many wait in each lane."""
        wanting = [client for client in self.clients.values() if client.wants_until > now]
        return {lane: sum(client.wants(lane) for client in wanting) for lane in Priority}

    def _advance(self, clock: float) -> float:
        """Return the time, which stands still where the store's clock has been set back."""
        if self.clock != -math.inf:
            self.latest += max(0.0, clock - self.clock)
        self.clock = clock
        return self.latest

    def _client(self, ask: Ask, now: float) -> Client:
        old = FORGOTTEN * (self.limits.rate_limit.longest + ask.lease)
        for name in [name for name, one in self.clients.items() if one.seen < now - old]:
            del self.clients[name]
        client = self.clients.get(ask.client)
        if client is None:
            self.clients[ask.client] = client = Client(ask.rate_limit, ask.lease, seen=now)
            if now < self.hold_until:
                self._hold_for_all()
        return client

    def _hold_for_all(self) -> None:
        """Let the hold last until whatever anybody who is known may have sent before it began is a window old."""
        longest = max([one.rate_limit.longest for one in self.clients.values()] + [self.limits.rate_limit.longest])
        lease = max([one.lease for one in self.clients.values()])
        self.hold_until = max(self.hold_until, self.held_since + lease + longest * (1 + DRIFT))

    def _hold(self, now: float) -> None:
        """Grant nothing for now: what was sent before is not known."""
        self.held_since = now
        self._hold_for_all()
        for number in [number for number, grant in self.grants.items() if not grant.fetched]:
            self._complete(Ended(number, sent=False), now)

    def _keep_to_all(self, now: float) -> None:
        """Keep to what each of the clients has named."""
        # In the order of their names, as a store need not keep any other.
        named = dict.fromkeys([self.clients[name].rate_limit for name in sorted(self.clients)])
        holds = functools.reduce(RateLimit.tighter, named)
        if holds != self.limits.rate_limit:
            self.limits.tighten(holds, now)

    def _expire(self, now: float) -> None:
        """Count as lost what nobody speaks of any more, and take back what nobody has fetched."""
        over = [(grant.until, number) for number, grant in self.grants.items() if grant.until <= now]
        for until, number in sorted(over):
            grant = self.grants[number]
            if not grant.fetched and (late := self.clients.get(grant.client)) is not None:
                late.wants_until = 0.0
            self._complete(Ended(number, sent=grant.fetched), until)
        for client in self.clients.values():
            if client.wants_until <= now:
                client.interactive = client.bulk = 0

    def _want(self, client: Client, ask: Ask) -> None:
        if ask.interactive or ask.bulk:
            # Who comes back has no claim on what it did not ask for meanwhile.
            least = min([one.served for one in self._wanting()], default=client.served)
            client.served = max(client.served, least)
        client.interactive, client.bulk = (0, 0) if ask.leaves else (ask.interactive, ask.bulk)

    def _complete(self, ended: Ended, now: float) -> float:
        permit = self.grants.pop(ended.permit).permit
        return self.limits.complete(
            permit, now, sent=ended.sent, status=ended.status, advice=ended.advice, wait=ended.wait
        )

    def _end(self, ask: Ask, now: float) -> float:
        paused = 0.0
        for ended in ask.ended:
            grant = self.grants.get(ended.permit)
            if grant is not None and grant.client == ask.client:
                paused = max(paused, self._complete(ended, now))
        return paused

    def _reconcile(self, ask: Ask, now: float) -> None:
        """Renew the leases of what a client has; what it does not have came with a reply that it never got."""
        held = set(ask.held)
        for number, grant in [*self.grants.items()]:
            if grant.client != ask.client or not grant.fetched:
                continue
            if number in held:
                grant.until = now + ask.lease
            else:
                self._complete(Ended(number, sent=False), now)

    def _wanting(self) -> Iterator[Client]:
        """Return the clients that want something; ``_expire`` has forgotten what does not count any more."""
        return (one for one in self.clients.values() if one.interactive or one.bulk)

    def _opens_at(self, now: float, lane: Priority) -> float:
        if now < self.hold_until:
            return self.hold_until
        return max(self.limits.opens_at(now, lane), self.limits.turn_at(now))

    def _allot(self, present: str, now: float) -> tuple[str, ...]:
        """Grant what may go, to whoever is next; return who else has to come for it.

        One permit at most waits for a client that is not there: more could wait in vain.
        """
        called = set(self.called()) - {present}
        before = set(called)
        while (found := self._next(called, now)) is not None:
            name, lane = found
            self._grant(name, lane, now)
            if name != present:
                called.add(name)
        return tuple(sorted(called - before))

    def _grant(self, name: str, lane: Priority, now: float) -> None:
        limits, client = self.limits, self.clients[name]
        permit = limits.take(now, lane)
        if limits.rate_limit.pace is not None:
            limits.went(permit, now)
        self.last += 1
        self.grants[self.last] = Grant(permit, name, now + PATIENCE)
        client.served += 1.0
        if lane is BULK:
            client.bulk -= 1
        else:
            client.interactive -= 1
        overtaken = lane is INTERACTIVE and any(one.bulk for one in self.clients.values())
        limits.in_a_row = limits.in_a_row + 1 if overtaken else 0

    def _next(self, called: set[str], now: float) -> tuple[str, Priority] | None:
        """Return who may have a permit now, and in which lane."""
        lanes = (BULK, INTERACTIVE) if self.limits.in_a_row >= GRANTS - 1 else (INTERACTIVE, BULK)
        for lane in lanes:
            ready = [(one.served, name) for name, one in self.clients.items() if one.wants(lane) and name not in called]
            if ready:
                return (min(ready)[1], lane) if self._opens_at(now, lane) <= now else None
        return None

    def _fetch(self, ask: Ask, now: float) -> tuple[tuple[int, Priority], ...]:
        """Hand a client what waits for it; its lease begins."""
        found = list[tuple[int, Priority]]()
        for number, grant in [*self.grants.items()]:
            if grant.client != ask.client or grant.fetched:
                continue
            if ask.leaves:
                self._complete(Ended(number, sent=False), now)
            else:
                grant.fetched, grant.until = True, now + ask.lease
                self.limits.mark(grant.permit, now)
                found.append((number, grant.permit.priority))
        return tuple(found)

    def _again_in(self, name: str, now: float) -> float | None:
        """Return in how many seconds a client that still wants something should come; None when others decide."""
        client = self.clients[name]
        lane = INTERACTIVE if client.interactive else BULK
        if not client.wants(lane):
            return None
        at = self._opens_at(now, lane)
        me, pace = (client.served, name), self.limits.rate_limit.pace
        before = sum(one.wants(lane) > 0 and (one.served, other) < me for other, one in self.clients.items())
        # Whoever is next gives the others theirs too, and calls them: they come by themselves a little later.
        at += min(before * STAGGER, LATEST) if pace is None else before * pace
        at = min([at, *(grant.until for grant in self.grants.values() if not grant.fetched)])
        return None if at == math.inf else max(0.0, at - now)

    def _is_scarce(self, client: Client, now: float) -> bool:
        return self._opens_at(now, BULK) > now or any(one is not client for one in self._wanting())
