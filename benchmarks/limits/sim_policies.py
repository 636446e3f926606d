"""The limiters that are compared, each behind the same two calls.

The others get the best arrangement they allow: one task at a time asks them, first come, first served.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import limits as limits_library
import pyrate_limiter
import throttled.asyncio as throttled
from aiolimiter import AsyncLimiter
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from benchmarks.limits.sim_several import Several
from omeda_async.limits import Limiter, Permit, RateLimit, Window, make_limiter

Headers = Mapping[str, str]


class Policy(Protocol):
    """What the simulated client calls around each attempt."""

    async def acquire(self) -> Any:
        """Wait until an attempt may go."""
        ...

    async def release(self, permit: Any, status: int | None, headers: Headers) -> None:
        """Note that it has ended; wait here after a 429."""
        ...


class Ours:
    """The limiter of this library."""

    def __init__(self, *, headers: bool, pace: float | None = None) -> None:
        limit = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, pace=pace)
        self.limiter: Limiter = make_limiter(limit)
        self._headers = headers

    async def acquire(self) -> Permit:
        """Ask the limiter."""
        return await self.limiter.acquire()

    async def release(self, permit: Permit, status: int | None, headers: Headers) -> None:
        """Return the limiter, with or without the rate-limit headers."""
        told = {k: v for k, v in headers.items() if self._headers or k == "Retry-After"}
        self.limiter.release(permit, status=status, headers=told)


class Queued:
    """Another library's limiter, asked by one task at a time; after a 429 the call waits as it was told to."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask, self._lock = ask, asyncio.Lock()

    async def acquire(self) -> None:
        """Wait for the turn, then for the limiter."""
        async with self._lock:
            await self._ask()

    async def release(self, permit: None, status: int | None, headers: Headers) -> None:
        """Wait after a 429."""
        del permit
        if status == 429:
            await asyncio.sleep(float(headers.get("Retry-After", "1")))


def aiolimiter_stacked() -> Queued:
    """One bucket inside the other, as its users do it."""
    minute, second = AsyncLimiter(150, 60), AsyncLimiter(10, 1)

    async def ask() -> None:
        await minute.acquire()
        await second.acquire()

    return Queued(ask)


def aiolimiter_paced() -> Queued:
    """No bursts at all: 2.5 a second, evenly."""
    pace = AsyncLimiter(1, 0.4)
    return Queued(pace.acquire)


def aiolimiter_both_paced() -> Queued:
    """Two paces, neither of them with a burst."""
    second, minute = AsyncLimiter(1, 0.1), AsyncLimiter(1, 0.4)

    async def ask() -> None:
        await minute.acquire()
        await second.acquire()

    return Queued(ask)


def pyrate() -> Queued:
    """A log of both rates."""
    rates = [pyrate_limiter.Rate(10, 1000), pyrate_limiter.Rate(150, 60_000)]
    factory = pyrate_limiter.SingleBucketFactory(pyrate_limiter.InMemoryBucket(rates), schedule_leak=False)
    limiter = pyrate_limiter.Limiter(factory)

    async def ask() -> None:
        assert await limiter.try_acquire_async("account")

    return Queued(ask)


def limits_moving() -> Queued:
    """Moving windows, the longer first: asked again when it says that it has room."""
    strategy = MovingWindowRateLimiter(MemoryStorage())
    windows = [limits_library.parse("150/minute"), limits_library.parse("10/second")]

    async def ask() -> None:
        for window in windows:
            while not await strategy.hit(window, "account"):
                stats = await strategy.get_window_stats(window, "account")
                await asyncio.sleep(max(0.02, stats.reset_time - time.time()))

    return Queued(ask)


def throttled_gcra() -> Queued:
    """GCRA for both rates, one after the other."""
    store = throttled.MemoryStore()
    quotas = (throttled.rate_limiter.per_min(150, burst=150), throttled.rate_limiter.per_sec(10, burst=10))
    gates = [
        throttled.Throttled(key=str(i), using="gcra", quota=quota, store=store, timeout=3600)
        for i, quota in enumerate(quotas)
    ]

    async def ask() -> None:
        for gate in gates:
            assert not (await gate.limit()).limited

    return Queued(ask)


class SendLog:
    """Control: exact sliding windows over the times of sending."""

    def __init__(self) -> None:
        self._log: list[float] = []
        self._lock = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until both windows, as the sender sees them, have room."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            for calls, seconds in ((150, 60.0), (10, 1.0)):
                if len(self._log) >= calls:
                    await asyncio.sleep(max(0.0, self._log[-calls] + seconds - loop.time()))
            self._log.append(loop.time())

    async def release(self, permit: None, status: int | None, headers: Headers) -> None:
        """Wait after a 429."""
        del permit
        if status == 429:
            await asyncio.sleep(float(headers.get("Retry-After", "1")))


POLICIES: dict[str, Callable[[], Policy]] = {
    "ours, with headers": lambda: Ours(headers=True),
    "ours, with headers and inner pace": lambda: Ours(headers=True, pace=0.05),
    "ours, no headers": lambda: Ours(headers=False),
    "ours, 4 processes on one store": lambda: Several(4),
    "ours, 16 processes on one store": lambda: Several(16),
    "log of send times": SendLog,
    "aiolimiter, stacked": aiolimiter_stacked,
    "aiolimiter, paced (1, 0.1) + (1, 0.4)": aiolimiter_both_paced,
    "aiolimiter, paced (1, 0.4)": aiolimiter_paced,
    "pyrate-limiter, window log": pyrate,
    "limits, moving window": limits_moving,
    "throttled-py, GCRA": throttled_gcra,
}
