"""Several processes on one store: as many limiters, and a store that answers after a while."""

import asyncio
import itertools
import math
import random
from collections.abc import Mapping

from omeda_async.limits import LimitsView, Permit, RateLimit, Window
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._caution import middle
from omeda_async.limits._store import Ask, Reply
from omeda_async.limits._store_limiter import StoreLimiter

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, interactive_reserve=0)
LEASE = 11.0


class Shelf:
    """The state of one account, and who waits for a word that it has changed."""

    def __init__(self, seed: int, limit: RateLimit = LIMIT) -> None:
        self.state = AccountState.begin(limit, "store", middle)
        self.state.clock = 0.0  # it has been used before: nothing is held back
        self.bells: dict[str, asyncio.Event] = {}
        self._random = random.Random(seed)  # noqa: S311 a simulation is to be repeatable

    async def trip(self) -> None:
        """Take the time of one way: half a millisecond in the mean; one in a hundred takes 50 ms."""
        slow = self._random.random() < 0.01
        await asyncio.sleep(0.05 if slow else self._random.lognormvariate(math.log(0.0005), 0.5))


class ModelStore:
    """One client's way to it."""

    name = "a model of a store"

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._bell = asyncio.Event()

    async def turn(self, ask: Ask) -> Reply:
        """Step the state half-way of a round trip."""
        shelf = self._shelf
        shelf.bells[ask.client] = self._bell
        await shelf.trip()
        reply = shelf.state.turn(ask, asyncio.get_running_loop().time(), "store")
        for client in reply.calls:
            shelf.bells[client].set()
        await shelf.trip()
        return reply

    async def changed(self) -> None:
        """Wait until a permit waits."""
        await self._bell.wait()
        self._bell.clear()
        await self._shelf.trip()

    def view(self) -> LimitsView | None:
        """Return nothing: nobody asks."""
        return None

    async def aclose(self) -> None:
        """Do nothing."""


def limiters(processes: int, seed: int, limit: RateLimit = LIMIT) -> list[StoreLimiter]:
    """Make as many limiters as there are processes, on one store."""
    shelf = Shelf(seed, limit)
    return [StoreLimiter(limit, ModelStore(shelf), lease=LEASE) for _ in range(processes)]


class Several:
    """As many limiters as there are processes; each takes its share of the requests."""

    def __init__(self, processes: int, seed: int = 1) -> None:
        self._next = itertools.cycle(limiters(processes, seed))
        self._of: dict[Permit, StoreLimiter] = {}

    async def acquire(self) -> Permit:
        """Ask the limiter of the next process."""
        limiter = next(self._next)
        permit = await limiter.acquire()
        self._of[permit] = limiter
        return permit

    async def release(self, permit: Permit, status: int | None, headers: Mapping[str, str]) -> None:
        """Tell it how the attempt has ended."""
        self._of.pop(permit).release(permit, status=status, headers=headers)
