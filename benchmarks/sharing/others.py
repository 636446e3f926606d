"""The same with other libraries' forms for Redis: one limiter for all processes, and the bare request behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp
import limits as limits_library
import pyrate_limiter
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis

from omeda_async import RateLimit, _clock

if TYPE_CHECKING:
    from benchmarks.sharing.herd import Member

Acquire = Callable[[], Awaitable[object]]


async def pyrate(where: str, limit: RateLimit) -> Acquire:
    """Make the bucket of pyrate-limiter in Redis."""
    rates = [pyrate_limiter.Rate(window.calls, round(window.seconds * 1000)) for window in limit.windows]
    bucket = await pyrate_limiter.RedisBucket.init(rates, Redis.from_url(where), "pyrate")
    limiter = pyrate_limiter.Limiter(bucket)
    return lambda: limiter.try_acquire_async("account")


async def moving(where: str, limit: RateLimit) -> Acquire:
    """Make the moving window of limits in Redis: asked ten times a second, as it tells nobody when to come."""
    limiter = MovingWindowRateLimiter(RedisStorage(f"async+{where}", implementation="redispy"))
    windows = [(window.calls, max(1, round(window.seconds))) for window in limit.windows]
    items = [limits_library.RateLimitItemPerSecond(calls, seconds) for calls, seconds in windows]

    async def acquire() -> None:
        for item in items:
            while not await limiter.hit(item, "account"):
                await _clock.sleep(0.1)

    return acquire


WAYS = {"pyrate": pyrate, "limits": moving}


async def use(member: "Member", session: aiohttp.ClientSession) -> None:
    """Make requests as fast as the limiter lets them, for as long as there is time."""
    plan = member.plan
    limit = RateLimit.parse(plan.limit)
    acquire = await WAYS[plan.way](str(plan.where), limit)
    turn = asyncio.Lock()  # more than one that asks would only load the server

    async def one() -> None:
        while member.wants_more():
            async with turn:
                await acquire()
            if not member.wants_more():
                return
            url = f"{plan.url}/v1/hood/campaigns/{member.campaign()}/cancel"
            async with session.post(url, json={}) as response:
                member.done += response.status == 204

    await asyncio.gather(*(one() for _ in range(plan.at_once)))
