"""A store in memory, on the loop's clock, with everything that can go wrong with one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from omeda_async import LimitWaitExceeded, RateLimit, Window
from omeda_async.limits import LimitsView
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._store import Ask, Reply, StoreAway
from omeda_async.limits._store_limiter import StoreLimiter
from omeda_async.limits._stored import dump_state, load_state

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, interactive_reserve=0)
LEASE = 15.0


def middle() -> float:
    """Draw the middle of all chances."""
    return 0.5


@attrs.define(eq=False)
class FakeServer:
    """The state of one account, and the clients that have to be woken."""

    latency: float = 0.0005
    """Seconds on the way there, and as many back."""
    state: AccountState | None = None
    life: str = "first"
    skew: float = 0.0
    """By how much its clock is ahead."""
    away: bool = False
    error: BaseException | None = None
    hangs: bool = False
    """Whether turns are carried out, and nobody is told."""
    turns: list[Ask] = attrs.field(factory=list)
    called: dict[str, asyncio.Event] = attrs.field(factory=dict)
    before_reply: Callable[[], Awaitable[object]] | None = None

    def step(self, ask: Ask) -> Reply:
        """Step the state, which goes through its text every time."""
        now = asyncio.get_running_loop().time() + self.skew
        if self.state is None:
            self.state = AccountState.begin(ask.rate_limit, self.life, middle)
        self.turns.append(ask)
        reply = self.state.turn(ask, now, self.life)
        text = dump_state(self.state)
        self.state = load_state(text, middle)
        assert dump_state(self.state) == text
        for name in reply.calls:
            self.called.setdefault(name, asyncio.Event()).set()
        return reply

    def know(self) -> None:
        """Be one whose state is old: nothing is held."""
        assert self.state is not None
        self.state.hold_until = 0.0


@attrs.define(eq=False)
class FakeStore:
    """One client's way to it."""

    server: FakeServer
    name: str = "the fake store"
    client: str = ""
    closed: bool = False
    away: bool = False
    """Whether this client alone is cut off."""

    async def turn(self, ask: Ask) -> Reply:
        """Step the state, unless something is wrong."""
        server, self.client = self.server, ask.client
        server.called.setdefault(ask.client, asyncio.Event()).clear()
        await asyncio.sleep(server.latency)
        if server.error is not None:
            raise server.error
        if server.away or self.away:
            raise StoreAway("away, as the test wants it")
        reply = server.step(ask)
        if server.hangs:
            await asyncio.Event().wait()
        if server.before_reply is not None:
            await server.before_reply()
        await asyncio.sleep(server.latency)
        return reply

    async def changed(self) -> None:
        """Wait until it is called."""
        await self.server.called.setdefault(self.client, asyncio.Event()).wait()
        if self.away:
            raise StoreAway("away, and tells nothing either")

    def view(self) -> LimitsView | None:
        """Show the state."""
        state = self.server.state
        return None if state is None else state.view(asyncio.get_running_loop().time() + self.server.skew)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True


def limiter_at(server: FakeServer, limit: RateLimit = LIMIT, **how: Any) -> StoreLimiter:
    """Make a limiter with a store of its own."""
    return StoreLimiter(limit, FakeStore(server), lease=LEASE, **how)


async def known(limit: RateLimit = LIMIT, **how: Any) -> FakeServer:
    """Make a server that has been in use for long."""
    server = FakeServer(**how)
    first = limiter_at(server, limit)
    with pytest.raises(LimitWaitExceeded):
        await first.acquire(max_wait=0)
    server.know()
    await first.aclose()
    server.turns.clear()
    return server
