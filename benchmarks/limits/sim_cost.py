"""What a grant costs with 100,000 waiters, ours and aiolimiter's in the same run."""

import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import attrs
from aiolimiter import AsyncLimiter

from omeda_async.limits import RateLimit, Window, make_limiter
from omeda_async.testing import MovedClockLoop

WAITERS = 100_000
CANCELLED = 10_000


@attrs.frozen
class Cost:
    """What a waiter costs."""

    microseconds: float
    """From its coming to its grant, everything included, on this machine."""
    kilobytes: float
    """While it waits, its task included."""
    left_behind: int
    """What the limiter still holds of those that were cancelled."""


def _ours() -> tuple[Callable[[], Awaitable[None]], Callable[[], int]]:
    limiter = make_limiter(RateLimit(Window(1000, 1.0), parallel=1000))

    async def one() -> None:
        permit = await limiter.acquire()
        limiter.release(permit, status=204)

    return one, lambda: sum(limiter.view().waiting.values())


def _aiolimiter() -> tuple[Callable[[], Awaitable[None]], Callable[[], int]]:
    limiter = AsyncLimiter(1000, 1.0)

    async def one() -> None:
        await limiter.acquire()

    return one, lambda: len(limiter._waiters)  # noqa: SLF001 nothing public tells


async def _crowd(one: Callable[[], Awaitable[None]], waiting: Callable[[], int]) -> tuple[float, int]:
    before, _ = tracemalloc.get_traced_memory()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_swallow(one)) for _ in range(WAITERS)]
        await asyncio.sleep(0)
        after, _ = tracemalloc.get_traced_memory()
        for task in tasks[:: WAITERS // CANCELLED]:
            task.cancel()
    return (after - before) / WAITERS / 1024, waiting()


async def _swallow(one: Callable[[], Awaitable[None]]) -> None:
    try:
        await one()
    except asyncio.CancelledError:
        return


def _run(make: Callable[[], tuple[Callable[[], Awaitable[None]], Callable[[], int]]]) -> tuple[float, float, int]:
    gc.collect()
    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        one, waiting = make()
        began = time.perf_counter()
        kilobytes, left = runner.run(_crowd(one, waiting))
        return (time.perf_counter() - began) / WAITERS * 1e6, kilobytes, left


def measure() -> dict[str, Cost]:
    """Measure both, time and memory in separate runs."""
    costs = {}
    for name, make in {"ours": _ours, "aiolimiter": _aiolimiter}.items():
        best = min(_run(make)[0] for _ in range(3))
        tracemalloc.start()
        _, kilobytes, left = _run(make)
        tracemalloc.stop()
        costs[name] = Cost(best, kilobytes, left)
    return costs


if __name__ == "__main__":
    for library, cost in measure().items():
        sys.stdout.write(f"{library}: {cost}\n")
