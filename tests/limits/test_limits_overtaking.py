"""At a pace, an interactive call takes the next turn, also one that a bulk permit waits for already."""

import asyncio
import random
import statistics
from itertools import pairwise

import pytest

from omeda_async.errors import ClosedError, LimitWaitExceeded
from omeda_async.limits import Limiter, Priority, RateLimit, Window, make_limiter
from omeda_async.settings import JOURNEY_MANAGER_COURTESY, OMEDA_COURTESY
from tests.limits.fake_store import known, limiter_at
from tests.limits.limits_help import attempt, stop, until_idle

PACE = 0.25
COURTESY = RateLimit.courtesy(per_second=4, parallel=8)
LIMITS = [COURTESY, RateLimit(Window(40, 1.0), Window(1000, 60.0), parallel=8, pace=PACE)]


async def bulk_all_the_time(limiter: Limiter, went: list[float], takes: float) -> None:
    """Make one bulk attempt after the other."""
    while True:
        went.append(await attempt(limiter, priority=Priority.BULK, takes=takes))


async def paced(
    bulk: Limiter, single: Limiter, pace: float, takes: tuple[float, float], calls: int = 300
) -> tuple[list[float], list[float]]:
    """Make single calls beside bulk that wants every turn; give their waits, and the gaps between all, in paces.

    Args:
        bulk: The limiter of bulk calls.
        single: The limiter of the others.
        pace: The seconds of a turn.
        takes: The seconds until a bulk call is answered, and until another one is.
        calls: How many single calls.
    """
    loop, chance = asyncio.get_running_loop(), random.Random(5)  # noqa: S311 repeatable
    went, waits = list[float](), list[float]()
    tasks = [asyncio.create_task(bulk_all_the_time(bulk, went, takes[0])) for _ in range(6)]
    async with asyncio.timeout(10_000 * pace):  # who is never let in shall not wait for ever
        await asyncio.sleep(10)
        for _ in range(calls):
            await asyncio.sleep(chance.uniform(4.0, 10.0) * pace)
            asked = loop.time()
            went.append(await attempt(single, takes=takes[1]))
            waits.append((went[-1] - asked) / pace)
    await stop(tasks)
    went.sort()
    return waits, [(later - sooner) / pace for sooner, later in pairwise(went)]


@pytest.mark.parametrize("limit", LIMITS)
async def test_an_interactive_call_waits_half_a_pace_on_average_and_one_at_most(limit: RateLimit) -> None:
    """However full the lane of bulk is; and nothing goes faster than the pace."""
    limiter = make_limiter(limit)
    waits, gaps = await paced(limiter, limiter, PACE, (0.01, 0.0))
    assert statistics.mean(waits) <= 0.6
    assert max(waits) <= 1.05
    assert min(gaps) >= 1 - 1e-5
    assert statistics.mean(gaps) <= 1.01  # and no turn is lost


@pytest.mark.parametrize("limit", [OMEDA_COURTESY, JOURNEY_MANAGER_COURTESY], ids=["Omeda", "Journey Manager"])
async def test_so_it_is_with_the_providers_own_limits_and_answers_that_take_their_time(limit: RateLimit) -> None:
    """Of 80 ms: also where only two may be in flight, as fewer than one is at that pace."""
    limiter = make_limiter(limit)
    waits, gaps = await paced(limiter, limiter, limit.pace or 0.0, (0.08, 0.08))
    assert statistics.mean(waits) <= 0.6
    assert max(waits) <= 1.05
    assert min(gaps) >= 1 - 1e-5
    assert statistics.mean(gaps) <= 1.01


@pytest.mark.parametrize(
    ("limit", "latency"),
    [(COURTESY, 0.0005), (OMEDA_COURTESY, 0.0005), (JOURNEY_MANAGER_COURTESY, 0.0005), (OMEDA_COURTESY, 0.002)],
)
async def test_so_it_is_where_bulk_is_another_process_s(limit: RateLimit, latency: float) -> None:
    """They share the turn by a store that answers in a millisecond; one that takes longer adds two answers at most."""
    server, pace = await known(limit, latency=latency), limit.pace or 0.0
    bulk, single = limiter_at(server, limit), limiter_at(server, limit)
    waits, gaps = await paced(bulk, single, pace, (0.08, 0.08), calls=100)
    await bulk.aclose()
    await single.aclose()
    assert statistics.mean(waits) <= 0.6
    assert max(waits) <= max(1.05, 1 + 4.1 * latency / pace)
    assert (
        min(gaps) >= 1 - 4 * latency / pace
    )  # the turns are a pace apart where the store is; the way there may differ
    assert statistics.mean(gaps) <= 1.05


async def test_bulk_that_was_overtaken_is_the_first_of_its_lane() -> None:
    """It goes next, before bulk that came after it."""
    limiter, order = make_limiter(COURTESY), list[str]()

    async def one(name: str, priority: Priority) -> None:
        await attempt(limiter, priority=priority)
        order.append(name)

    await attempt(limiter, takes=0.0)
    tasks = [asyncio.create_task(one(name, Priority.BULK)) for name in ("first", "second", "third")]
    await until_idle()
    tasks.append(asyncio.create_task(one("interactive", Priority.INTERACTIVE)))
    await asyncio.gather(*tasks)
    assert order == ["interactive", "first", "second", "third"]


async def test_bulk_gets_one_turn_in_ten() -> None:
    """Interactive calls that take every turn do not starve it."""
    limiter, order = make_limiter(COURTESY), list[str]()

    async def one(priority: Priority) -> None:
        while len(order) < 100:
            await attempt(limiter, priority=priority)
            order.append(priority.value[0])

    await asyncio.gather(*(one(Priority.INTERACTIVE) for _ in range(5)), one(Priority.BULK))
    assert 9 <= order[:100].count("b") <= 11


@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("victim", ["bulk", "interactive", "both"])
async def test_cancelling_at_any_moment_of_an_overtaking_leaks_nothing(passes: int, victim: str) -> None:
    """Whichever of the two is cancelled at the turn, its slot is free and the next one goes at the pace."""
    limiter = make_limiter(RateLimit(Window(5, 1.0), parallel=2, pace=PACE))
    await attempt(limiter, takes=0.0)
    bulk = asyncio.create_task(attempt(limiter, priority=Priority.BULK))
    await until_idle()
    interactive = asyncio.create_task(attempt(limiter))
    await asyncio.sleep(PACE - 1e-6)
    for _ in range(passes):
        await asyncio.sleep(0)
    for name, task in (("bulk", bulk), ("interactive", interactive)):
        if victim in {name, "both"}:
            task.cancel()
    await asyncio.gather(bulk, interactive, return_exceptions=True)
    await asyncio.wait_for(asyncio.gather(*(attempt(limiter) for _ in range(3))), 2)
    await asyncio.sleep(1.1)
    view = limiter.view()
    assert (view.used, view.in_flight, sum(view.waiting.values())) == (0, 0, 0)


async def test_what_an_overtaken_bulk_call_may_wait_stays_what_it_was() -> None:
    """Its time goes on running, and it is refused when that has passed."""
    limiter = make_limiter(COURTESY)
    await attempt(limiter, takes=0.0)
    bulk = asyncio.create_task(attempt(limiter, priority=Priority.BULK, max_wait=0.3))
    await until_idle()
    assert await attempt(limiter, max_wait=0.26, takes=0.0) == pytest.approx(0.25, abs=1e-3)
    with pytest.raises(LimitWaitExceeded, match=r"max_wait=0\.3 s"):
        await bulk
    assert asyncio.get_running_loop().time() <= 0.3 + 1e-3
    assert limiter.view().in_flight == 0


async def test_closing_fails_both_that_want_the_turn() -> None:
    """The one that had it, and the one that would take it."""
    limiter = make_limiter(COURTESY)
    await attempt(limiter, takes=0.0)
    bulk = asyncio.create_task(limiter.acquire(priority=Priority.BULK))
    await until_idle()
    interactive = asyncio.create_task(limiter.acquire())
    await until_idle()
    limiter.close()
    for task in (bulk, interactive):
        with pytest.raises(ClosedError):
            await task
    assert limiter.view().in_flight == 0
