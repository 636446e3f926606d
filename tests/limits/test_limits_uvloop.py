"""Limiters on uvloop, which gives a handle without a time where something is due within half a millisecond."""

import asyncio
from typing import Any

import pytest

from omeda_async import RateLimit, Window
from omeda_async.limits import Limiter, make_limiter

uvloop: Any = pytest.importorskip("uvloop")
ACCOUNT = ("ocamba", "localhost", 1, b"uvloop")
LIMIT = RateLimit(Window(2, 0.0103))


async def _shortly_before(limiter: Limiter) -> None:
    """Wait until all slots are used, and the next is free in less than half a millisecond."""
    while not 0.0 < (limiter.view().next_slot_in or 0.0) < 0.0005:
        for permit in await asyncio.gather(limiter.acquire(), limiter.acquire()):
            limiter.release(permit, status=200)
        while (limiter.view().next_slot_in or 0.0) > 0.0005:  # noqa: ASYNC110 it is a time
            await asyncio.sleep(0)


def test_who_comes_right_before_a_slot_is_free_gets_it() -> None:
    """Two at once: the second looks when the timer of the first rings."""

    async def main() -> None:
        limiter = make_limiter(LIMIT, account=ACCOUNT, on_pause=None, uniform=lambda: 0.5)
        async with asyncio.timeout(10):
            await _shortly_before(limiter)
            assert len(await asyncio.gather(limiter.acquire(), limiter.acquire())) == 2

    uvloop.run(main())
