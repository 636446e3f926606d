"""After a refusal for too many in flight the account waits for one of ours to end, and for no more than that."""

import asyncio
from collections.abc import Callable
from itertools import product

import pytest

from omeda_async.limits import Limiter, Permit, RateLimit, Window, make_limiter
from tests.limits.limits_help import attempt, take_all

ENDS: dict[str, Callable[[Limiter, Permit], None]] = {
    "accepted": lambda limiter, permit: limiter.release(permit, status=204),
    "refused": lambda limiter, permit: limiter.release(permit, status=429, headers={"Retry-After": "1"}),
    "too many": lambda limiter, permit: limiter.release(permit, status=429, headers={"Retry-After": "-1"}),
    "lost": lambda limiter, permit: limiter.release(permit),
    "never left": lambda limiter, permit: limiter.release(permit, sent=False),
}


@pytest.mark.parametrize("ends", list(product(ENDS, repeat=2)), ids=" then ".join)
async def test_however_those_in_flight_end_the_account_goes_on(ends: tuple[str, str]) -> None:
    """Refused for a limit, lost, or never sent: whoever waits then goes within seconds."""
    limiter = make_limiter(RateLimit(Window(100, 1.0), parallel=8))
    first, *others = await take_all(limiter, 3)
    limiter.release(first, status=429, headers={"Retry-After": "-1"})
    waiting = [asyncio.create_task(attempt(limiter)) for _ in range(4)]
    await asyncio.sleep(5)
    assert not any(task.done() for task in waiting)
    for permit, end in zip(others, ends, strict=True):
        ENDS[end](limiter, permit)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert limiter.view().in_flight == 0
