"""Random turns of several clients: how they ask, what their attempts met, and what went wrong on the way."""

import random
from collections.abc import Generator

import attrs

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._headers import Advice
from omeda_async.limits._store import Ask, Ended, Reply

LIMITS = [
    RateLimit(Window(10, 1.0), Window(150, 60.0)),
    RateLimit(Window(4, 1.0), Window(12, 6.0), interactive_reserve=1),
    RateLimit(Window(5, 0.5), Window(13, 2.0)),
    RateLimit(Window(15, 2.0)),
    RateLimit(Window(14, 3.0), interactive_reserve=4, parallel=8),
    RateLimit(Window(4, 1.0), Window(12, 6.0), parallel=5),
    RateLimit(Window(20, 6.0), interactive_reserve=0),
    RateLimit(Window(2, 3.0), interactive_reserve=0),
    RateLimit(Window(6, 2.5), pace=0.25),
    RateLimit(parallel=2, pace=0.05),
    RateLimit(pace=0.5),
    RateLimit(parallel=6, interactive_reserve=3),
    RateLimit(Window(3, 0.5), Window(9, 6.0), parallel=4, pace=0.1),
]


@attrs.define
class Party:
    """One client: what it has, and what it has not been able to tell yet."""

    name: str
    limit: RateLimit
    lease: float
    number: int = 0
    held: list[int] = attrs.field(factory=list)
    untold: list[Ended] = attrs.field(factory=list)


@attrs.define
class Script:
    """Asks, each of which depends on the replies to those before.

    Args:
        chance: What everything is drawn from.
        trouble: How often replies are lost, clients go silent, clocks step and stores change their lives.
    """

    chance: random.Random
    trouble: float = 0.05
    clock: float = 1_764_405_000.0
    server: str = "life-1"
    _parties: list[Party] = attrs.field(init=False)
    _limit: RateLimit = attrs.field(init=False)
    _counted: int = 0
    _lap: int = 0
    _turns: int = 0
    _statuses: list[int | None] = attrs.field(init=False)
    _slowness: float = attrs.field(init=False)
    _orderly: bool = attrs.field(init=False)
    """Whether the headers count truly, and all clients name the same limit."""

    def __attrs_post_init__(self) -> None:
        self._limit = self.chance.choice(LIMITS)
        self._slowness = self.chance.choice([0.2, 0.5, 1.0])
        good: list[int | None] = [200, 200, 200, 404]
        self._statuses = self.chance.choice([good, good, [*good * 10, 429, 503, None], [200, 429], [*good, 429, None]])
        self._orderly = self.chance.random() < 0.5
        if self._orderly:
            self._limit = self.chance.choice([limit for limit in LIMITS if limit.windows])
            self._statuses = [*good * 10, 429] if self.chance.random() < 0.5 else good
        self._parties = [self._party(name) for name in "dcab"[: self.chance.randint(1, 4)]]

    def turns(self, count: int) -> Generator[tuple[Ask, float, str, float], Reply, None]:
        """Give an ask, the store's clock and life, and a number between 0 and 1; wants the reply sent in."""
        for _ in range(count):
            party = self.chance.choice(self._parties)
            self._pass_time()
            ask = self._ask(party)
            reply = yield ask, self.clock, self.server, self.chance.random()
            if self.chance.random() < self.trouble:
                continue  # it is lost
            self._take(party, ask, reply)

    def _party(self, name: str) -> Party:
        limit = self._limit if self._orderly or self.chance.random() < 0.75 else self.chance.choice(LIMITS)
        return Party(name, limit, self.chance.choice([2.0, 12.5, 40.0]))

    def _pass_time(self) -> None:
        chance = self.chance
        self._turns += 1
        if self._turns == 4:
            self.clock += chance.choice([0.0, 120.0, 120.0, 120.0])  # past the hold that every state begins with
        self.clock += self._slowness * chance.choice([0.0, 0.001, 0.02, 0.05, 0.25, 1.0, chance.expovariate(1)])
        if chance.random() < self.trouble / 4:
            self.clock += chance.choice([-3600.0, -0.5, 15.0, 300.0])
        if chance.random() < self.trouble / 10:
            self.server = f"life-{chance.randint(1, 9)}"
        self.clock = round(self.clock, 6)

    def _ask(self, party: Party) -> Ask:
        chance = self.chance
        party.number += 0 if chance.random() < self.trouble / 4 else 1
        for permit in [one for one in party.held if chance.random() < 0.8]:
            party.held.remove(permit)
            party.untold.append(self._ended(permit))
        if chance.random() < self.trouble / 2:
            party.held.clear()
            party.untold.clear()
        wants = [chance.choice([0, 0, 1, 2, 9]), chance.choice([0, 3, 30])]
        return Ask(
            client=party.name,
            number=max(1, party.number),
            rate_limit=party.limit,
            lease=party.lease,
            interactive=wants[0],
            bulk=wants[1],
            ended=tuple(party.untold),
            held=tuple(party.held),
            leaves=chance.random() < self.trouble / 3,
            distrusts=chance.random() < self.trouble / 10,
        )

    def _ended(self, permit: int) -> Ended:
        chance = self.chance
        sent = chance.random() < 0.95
        status = chance.choice(self._statuses) if sent else None
        wait = chance.choice([None, 0.0, -1.0, 0.5, 3.0, 30.0]) if status in {429, 503} else None
        return Ended(permit, sent, status, self._advice() if status in {200, 404} else None, wait)

    def _advice(self) -> Advice | None:
        chance = self.chance
        if not self._orderly and chance.random() < 0.3:
            return None
        longest = max(self._limit.windows, key=lambda window: window.seconds, default=Window(77, 20.0))
        limit = longest.calls if self._orderly or chance.random() < 0.9 else 77
        lap = int(self.clock / longest.seconds)
        self._counted = 1 if lap != self._lap or (not self._orderly and chance.random() < 0.05) else self._counted + 1
        self._lap = lap
        reset = round(longest.seconds - self.clock % longest.seconds, 2)
        told = self._orderly or chance.random() < 0.9
        return Advice(limit, max(0, limit - self._counted), reset if told else None, 0.01)

    def _take(self, party: Party, ask: Ask, reply: Reply) -> None:
        party.untold = [ended for ended in party.untold if ended not in ask.ended]
        party.held += [number for number, _ in reply.permits]
        if ask.leaves or self.chance.random() < self.trouble / 3:
            self._parties.remove(party)
            self._parties.append(attrs.evolve(self._party(party.name), number=party.number))
