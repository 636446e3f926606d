"""An adversarial world for limiters: servers that count, a network with wild trips, cancellations; on a moved clock."""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from omeda_async.limits import RateLimit

SERVERS = ("fixed", "opened", "log", "bucket")
HEADERS = ("none", "down", "up", "nearest", "hundredths", "always full", "always at once", "nonsense")
_ROUND: dict[str, Callable[[float], str]] = {
    "down": lambda seconds: str(math.floor(seconds)),
    "up": lambda seconds: str(math.ceil(seconds)),
    "nearest": lambda seconds: str(round(seconds)),
    "hundredths": lambda seconds: f"{seconds:.2f}",
}


class AnyLimiter(Protocol):
    """What the world asks of a limiter: the protocol, and the controls speak it too."""

    async def acquire(self) -> Any:
        """Wait until an attempt may go."""
        ...

    def release(
        self, permit: Any, *, sent: bool = True, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take it back."""
        ...


@attrs.frozen
class World:
    """Everything that chance decides."""

    limit: RateLimit
    server: str = "fixed"
    headers: str = "none"
    phase: float = 0.0
    drift: float = 0.0
    longest_trip: float = 0.5
    """In parts of the shortest window."""
    cancelled: float = 0.0
    """The part of the calls that are cancelled, wherever they stand."""
    calls: int = 60
    spread: float = 0.0
    """The seconds over which the calls come."""
    seed: int = 0


class Server:
    """Counts arrivals as the given kind does, and refuses what is too many."""

    def __init__(self, world: World) -> None:
        """Start with nothing counted."""
        self._world = world
        self._windows = world.limit.windows
        self._log: list[float] = []
        self._begins = [-math.inf for _ in self._windows]
        self._counts = [0.0 for _ in self._windows]
        self.refused: list[float] = []

    def arrive(self, moment: float) -> bool:
        """Count one, and tell whether it is taken."""
        now = moment * (1 + self._world.drift)
        room = [self._room(i, now) for i in range(len(self._windows))]
        taken = min(room) >= 1
        if not taken:
            self.refused.append(moment)
        if taken or self._world.server != "bucket":
            self._log.append(now)
            self._counts = [count + 1 for count in self._counts]
        return taken

    def _room(self, i: int, now: float) -> float:
        calls, seconds = self._windows[i].calls, self._windows[i].seconds
        if self._world.server == "log":
            return calls - sum(entry > now - seconds for entry in self._log[-2 * calls :])
        if self._world.server == "bucket":
            passed = now - self._begins[i] if self._begins[i] > -math.inf else 0.0
            self._counts[i] = max(0.0, self._counts[i] - passed * calls / seconds)
            self._begins[i] = now
            return calls - self._counts[i] + 1e-9
        if now >= self._begins[i] + seconds:
            phase = self._world.phase * seconds
            aligned = math.floor((now - phase) / seconds) * seconds + phase
            self._begins[i] = now if self._world.server == "opened" else aligned
            self._counts[i] = 0
        return calls - self._counts[i]

    def headers(self, moment: float) -> dict[str, str]:
        """Say what the mode lets it say, about the last window."""
        mode = self._world.headers
        if mode == "none":
            return {}
        if mode == "nonsense":
            return {"X-RateLimit-Limit": "plenty", "X-RateLimit-Remaining": "-3", "X-RateLimit-Reset": "soon"}
        now = moment * (1 + self._world.drift)
        i, window = len(self._windows) - 1, self._windows[-1]
        remaining = str(max(0, math.floor(self._room(i, now))))
        reset = max(0.0, min(window.seconds, self._begins[i] + window.seconds - now))
        if self._world.server == "log":
            live = [entry for entry in self._log[-window.calls :] if entry > now - window.seconds]
            reset = live[0] + window.seconds - now
        if mode == "always full":
            remaining, mode = str(window.calls - 1), "nearest"
        text = "0" if mode == "always at once" else _ROUND[mode](reset)
        return {
            "X-RateLimit-Limit": str(window.calls),
            "X-RateLimit-Remaining": remaining,
            "X-RateLimit-Reset": text,
        }


class Play:
    """One client with one limiter in a world."""

    def __init__(self, world: World, make: Callable[[RateLimit], AnyLimiter]) -> None:
        """Prepare; nothing happens before ``run``."""
        self.world = world
        self.server = Server(world)
        self.finished = 0
        self.cancelled = 0
        self._make = make
        self._chance = random.Random(world.seed)  # noqa: S311 a world is to be repeatable
        self.limiter: AnyLimiter

    async def run(self) -> None:
        """Make all calls, cancel some of them at any point, and wait for the rest."""
        self.limiter = self._make(self.world.limit)
        calls = [
            asyncio.create_task(self._call(self._chance.uniform(0, self.world.spread))) for _ in range(self.world.calls)
        ]
        lasts = sum(window.seconds for window in self.world.limit.windows) * 2 + self.world.spread
        for call in calls:
            if self._chance.random() < self.world.cancelled:
                asyncio.get_running_loop().call_later(self._chance.uniform(0, lasts), call.cancel)
        results = await asyncio.gather(*calls, return_exceptions=True)
        self.cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
        wrong = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
        assert not wrong, wrong

    async def _call(self, comes: float) -> None:
        await asyncio.sleep(comes)
        permit = await self.limiter.acquire()
        out, back = self._trip(), self._trip()
        status, headers, arrived = None, None, False
        try:
            await asyncio.sleep(out)
            arrived = True
            status = 204 if self.server.arrive(asyncio.get_running_loop().time()) else 429
            headers = self.server.headers(asyncio.get_running_loop().time()) if status == 204 else {}
            await asyncio.sleep(back)
        except asyncio.CancelledError:
            # What was under way when the connection closed comes in now, or never.
            if not arrived and self._chance.random() < 0.5:
                self.server.arrive(asyncio.get_running_loop().time())
            self.limiter.release(permit, sent=True)
            raise
        self.limiter.release(permit, status=status, headers=headers)
        self.finished += 1

    def _trip(self) -> float:
        shortest = min(window.seconds for window in self.world.limit.windows)
        part = self._chance.random() ** 4 if self._chance.random() < 0.8 else self._chance.random()
        return shortest * self.world.longest_trip * part
