"""What bulk leaves free for calls that somebody waits for: how much, until when, and never more than half."""

import asyncio
from typing import Any

import pytest

from omeda_async.errors import LimitWaitExceeded
from omeda_async.limits import Limiter, Permit, Priority, RateLimit, Window, make_limiter
from tests.limits.limits_help import advice, attempt, until_idle

CLASS_C = (Window(10, 1.0), Window(150, 60.0))


async def bulk_at_once(limiter: Limiter, tries: int = 40) -> list[Permit]:
    """Let many bulk attempts ask, take what they get without any time passing, and send the rest away."""
    asked = [asyncio.create_task(limiter.acquire(priority=Priority.BULK)) for _ in range(tries)]
    await until_idle()
    got = [task.result() for task in asked if task.done()]
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    return got


async def interactive(limiter: Limiter, every: float, seconds: float) -> None:
    """Make an interactive call every so often for a while."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while loop.time() < ends:
        await attempt(limiter)
        await asyncio.sleep(every - 0.01)


@pytest.mark.parametrize(
    ("limit", "left_to_bulk"),
    [
        (RateLimit(Window(10, 1.0)), 8),
        (RateLimit(Window(150, 60.0)), 148),
        (RateLimit(Window(150, 60.0), parallel=10), 8),
        (RateLimit(Window(10, 1.0), interactive_reserve=0), 10),
        (RateLimit(Window(150, 60.0), parallel=10, interactive_reserve=0), 10),
        (RateLimit(Window(10, 1.0), interactive_reserve=4), 6),
        (RateLimit(Window(10, 1.0), interactive_reserve=99), 5),
        (RateLimit(Window(150, 60.0), parallel=7, interactive_reserve=99), 4),
        (RateLimit(Window(3, 1.0)), 2),
        (RateLimit(Window(2, 60.0)), 1),
        (RateLimit(Window(1, 60.0)), 1),
        (RateLimit(Window(10, 1.0), parallel=2), 1),
        (RateLimit(Window(10, 1.0), parallel=1), 1),
    ],
)
async def test_bulk_leaves_two_of_each_window_and_of_what_is_in_flight(limit: RateLimit, left_to_bulk: int) -> None:
    """Two as a rule, never more than half; interactive calls take the rest at once, while bulk waits."""
    tries = 200
    limiter = make_limiter(limit)
    assert len(await bulk_at_once(limiter, tries)) == left_to_bulk
    waiting = [asyncio.create_task(limiter.acquire(priority=Priority.BULK)) for _ in range(30)]
    await until_idle()
    slots = min([window.calls for window in limit.windows] + ([limit.parallel] if limit.parallel else []))
    for _ in range(slots - left_to_bulk):
        await limiter.acquire(max_wait=0)
    assert asyncio.get_running_loop().time() < 0.001
    with pytest.raises(LimitWaitExceeded):
        await limiter.acquire(max_wait=0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_one_of_bulk_may_always_be_in_flight() -> None:
    """Interactive calls that have most of the cap do not stop bulk altogether, and one in ten is bulk's anyway."""
    limiter = make_limiter(RateLimit(Window(1000, 1.0), parallel=4))
    for _ in range(3):
        await limiter.acquire()
    assert len(await bulk_at_once(limiter)) == 1


async def test_of_a_long_window_bulk_leaves_what_interactive_calls_are_likely_to_need() -> None:
    """Where slots come back as fast as interactive calls come, a margin will do; else it is a minute's need."""
    limiter = make_limiter(RateLimit(Window(150, 60.0)))
    await interactive(limiter, 2.0, 120.0)
    (view,) = limiter.view().windows
    got = await bulk_at_once(limiter, 200)
    assert view.free - len(got) == pytest.approx(view.reserved, abs=1)
    assert 12 <= view.reserved <= 20
    alone = make_limiter(RateLimit(Window(150, 60.0)))
    await interactive(alone, 2.0, 10.0)
    reserved = alone.view().windows[0].reserved
    assert 30 <= reserved <= 60
    assert len(await bulk_at_once(alone, 200)) == pytest.approx(150 - 5 - reserved, abs=2)


async def test_what_bulk_leaves_melts_and_is_bulk_s_before_it_lapses() -> None:
    """Nobody else comes: until the slots of the first minute come back, bulk has had all but two of them."""
    limiter = make_limiter(RateLimit(Window(150, 60.0)))
    await interactive(limiter, 1.0, 10.0)
    went: list[float] = []

    async def bulk() -> None:
        went.append(await attempt(limiter, priority=Priority.BULK))

    runs = [asyncio.create_task(bulk()) for _ in range(200)]
    await until_idle()
    at_once = len(went)
    left = [limiter.view().windows[0].reserved]
    for _ in range(5):
        await asyncio.sleep(9.9)
        left.append(limiter.view().windows[0].reserved)
    assert left == sorted(left, reverse=True)
    assert 60 <= left[0] <= 75
    assert left[-1] <= 5
    assert at_once < 80
    assert 130 < len(went) <= 138
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


async def test_it_is_never_more_than_half_of_a_window() -> None:
    """However many interactive calls come, bulk gets its half while they do not take it."""
    limiter = make_limiter(RateLimit(Window(20, 60.0)))
    await asyncio.gather(*(attempt(limiter) for _ in range(6)))
    assert limiter.view().windows[0].reserved == 10
    assert len(await bulk_at_once(limiter)) == 4


async def test_bulk_gets_one_grant_in_ten_from_the_reserve_too() -> None:
    """Interactive calls that take every slot as it comes do not starve it."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), parallel=4))
    order: list[str] = []

    async def one(lane: Priority) -> None:
        while len(order) < 200:
            await attempt(limiter, priority=lane, takes=0.2)
            order.append(lane.value[0])

    await asyncio.gather(*(one(Priority.INTERACTIVE) for _ in range(12)), *(one(Priority.BULK) for _ in range(3)))
    assert 18 <= order[:200].count("b") <= 25
    assert "i" * 11 not in "".join(order[5:200])


async def test_a_bulk_wait_that_the_reserve_makes_too_long_says_when_bulk_may_go() -> None:
    """An interactive call could go at once; the number in the error is that of the lane."""
    limiter = make_limiter(RateLimit(Window(4, 60.0)))
    for _ in range(2):
        await attempt(limiter, priority=Priority.BULK)
    with pytest.raises(LimitWaitExceeded, match=r"free in 59\.\d+ s") as caught:
        await limiter.acquire(priority=Priority.BULK, max_wait=1.0)
    assert caught.value.next_slot_in == pytest.approx(59.05, abs=0.02)
    view = limiter.view()
    assert sum(view.waiting.values()) == 0
    assert view.next_slot_in == 0.0
    assert view.next_bulk_in == pytest.approx(59.06, abs=0.1)
    assert await attempt(limiter, max_wait=0) == pytest.approx(1.02, abs=0.01)


async def test_when_the_provider_s_window_has_ended_one_of_bulk_finds_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to others does not keep it from asking; only the answer frees the rest, and nobody polls."""
    limiter, loop = make_limiter(RateLimit(Window(20, 60.0))), asyncio.get_running_loop()

    def told(count: int) -> dict[str, str]:
        return advice(20 - count, limit=20, reset=f"{50.0 - loop.time():.2f}")

    for count in range(1, 13):
        permit = await limiter.acquire()
        await asyncio.sleep(0.5)
        limiter.release(permit, status=204, headers=told(count))
    rung = list[float]()
    call_at = loop.call_at

    def counted(when: float, *args: Any, **how: Any) -> asyncio.TimerHandle:
        rung.append(when)
        return call_at(when, *args, **how)

    monkeypatch.setattr(loop, "call_at", counted)
    waiting = [asyncio.create_task(limiter.acquire(priority=Priority.BULK)) for _ in range(20)]
    await asyncio.sleep(43.9)  # to 49.9 s
    before = sum(task.done() for task in waiting)
    await asyncio.sleep(0.5)
    assert sum(task.done() for task in waiting) == before + 1
    probe = next(task.result() for task in reversed(waiting) if task.done())
    limiter.release(probe, status=204, headers=advice(19, limit=20, reset="59.50"))
    await until_idle()
    assert sum(task.done() for task in waiting) > before + 3
    assert len(rung) < 60
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
