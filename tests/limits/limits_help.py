"""Small help for the tests of limiters."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from omeda_async.limits import Limiter, Permit, Priority


async def attempt(
    limiter: Limiter, status: int = 204, headers: Mapping[str, str] | None = None, *, takes: float = 0.01, **how: Any
) -> float:
    """Make one attempt that is answered after a while, and give the moment it went."""
    permit = await limiter.acquire(**how)
    went = asyncio.get_running_loop().time()
    try:
        await asyncio.sleep(takes)
    except asyncio.CancelledError:
        limiter.release(permit)
        raise
    limiter.release(permit, status=status, headers=headers)
    return went


async def take_all(limiter: Limiter, count: int) -> list[Permit]:
    """Take so many permits at once."""
    return [await limiter.acquire() for _ in range(count)]


async def until_idle() -> None:
    """Let every task that can run do so, without moving the clock to a timer."""
    for _ in range(10):
        await asyncio.sleep(0)


def timers() -> list[asyncio.TimerHandle]:
    """Give the timers that the running loop still has to ring."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio's own heap
    return [handle for handle in scheduled if not handle.cancelled()]


def advice(remaining: int, limit: int = 150, reset: str | None = None) -> dict[str, str]:
    """Write the rate-limit headers of an accepted answer."""
    headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining)}
    return headers if reset is None else {**headers, "X-RateLimit-Reset": reset}


BOTH = (Priority.INTERACTIVE, Priority.BULK)


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait for their end."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
