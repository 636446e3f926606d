"""Slots: held until the answer and a whole window more."""

import asyncio
import pickle
from itertools import pairwise

import pytest

from omeda_async.limits import Priority, RateLimit, Window, make_limiter
from omeda_async.limits._slots import Slots
from tests.limits.limits_help import attempt, take_all, until_idle

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10)


async def test_a_slot_is_free_a_window_after_the_answer_not_after_the_sending() -> None:
    """A slow answer keeps its slot in use for a window from when it came."""
    limiter = make_limiter(RateLimit(Window(1, 1.0)))
    await attempt(limiter, takes=5.0)
    assert await attempt(limiter) == pytest.approx(6.001, abs=1e-6)


async def test_the_burst_goes_at_once_and_the_minute_lasts() -> None:
    """Ten go at once, and of 151 the last waits for the first one's minute."""
    limiter = make_limiter(LIMIT)
    times = sorted(await asyncio.gather(*(attempt(limiter, takes=0.1) for _ in range(151))))
    assert times[9] == pytest.approx(0.0, abs=1e-6)
    assert times[10] == pytest.approx(1.101, abs=1e-6)
    assert times[149] < 16
    assert times[150] == pytest.approx(60.16, abs=0.01)


async def test_a_cancelled_attempt_keeps_its_slot_for_a_window() -> None:
    """What may have left the machine counts as sent."""
    limiter = make_limiter(RateLimit(Window(1, 1.0)))
    (permit,) = await take_all(limiter, 1)
    await asyncio.sleep(0.5)
    limiter.release(permit, sent=True)
    assert await attempt(limiter) == pytest.approx(1.501, abs=1e-6)


async def test_an_attempt_that_never_left_gives_its_slot_back_at_once() -> None:
    """What provably never left costs nothing."""
    limiter = make_limiter(RateLimit(Window(1, 60.0)))
    (permit,) = await take_all(limiter, 1)
    waiter = asyncio.create_task(limiter.acquire())
    await until_idle()
    limiter.release(permit, sent=False)
    limiter.release(await waiter, sent=False)
    assert asyncio.get_running_loop().time() < 0.001
    assert limiter.view().used == 0


async def test_release_counts_once() -> None:
    """A second release of a permit changes nothing."""
    limiter = make_limiter(RateLimit(Window(2, 1.0), parallel=2))
    first, _second = await take_all(limiter, 2)
    limiter.release(first, status=204)
    limiter.release(first, sent=False)
    limiter.release(first, status=429, headers={"Retry-After": "99"})
    view = limiter.view()
    assert (view.in_flight, view.used, view.free, view.refusals) == (1, 2, 0, 0)


async def test_no_more_than_parallel_are_in_flight() -> None:
    """The cap holds whatever the windows would allow."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), parallel=3))
    held = await take_all(limiter, 3)
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(30)
    assert not waiter.done()
    assert limiter.view().next_slot_in is None
    limiter.release(held[0], status=204)
    await until_idle()
    assert waiter.done()


async def test_a_courtesy_pace_spreads_evenly_and_caps_what_is_in_flight() -> None:
    """Ten a second and two in flight: every tenth of a second one, and never three at once."""
    limiter = make_limiter(RateLimit.courtesy(per_second=10, parallel=2))
    times = sorted(await asyncio.gather(*(attempt(limiter, takes=0.01) for _ in range(20))))
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.1] * 19, abs=1e-3)
    await take_all(limiter, 2)
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(5)
    assert not waiter.done()
    waiter.cancel()


async def test_an_inner_pace_keeps_the_windows_whole() -> None:
    """With a pace behind the slots the burst is spread, and the second still holds ten at most."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, pace=0.05))
    times = sorted(await asyncio.gather(*(attempt(limiter, takes=0.02) for _ in range(30))))
    assert min(b - a for a, b in pairwise(times)) > 0.0499
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[10:], strict=False))
    assert limiter.view().used == 10


async def test_a_window_used_by_view_tells_what_is_used_free_and_next() -> None:
    """The view follows the attempts, window by window."""
    limiter = make_limiter(LIMIT)
    await asyncio.gather(*(attempt(limiter, takes=0.1) for _ in range(10)))
    view = limiter.view()
    assert [(w.window.calls, w.used, w.free, w.held, w.headers) for w in view.windows] == [
        (10, 10, 0, 0, "unseen"),
        (150, 10, 140, 0, "unseen"),
    ]
    assert view.next_slot_in == pytest.approx(1.001, abs=1e-6)
    assert (view.free, view.used, view.in_flight, view.parallel, view.pace) == (0, 10, 0, 10, None)
    await asyncio.sleep(2)
    assert limiter.view().free == 10


@pytest.mark.parametrize("reserve", [0, 2])
async def test_the_view_foresees_when_so_many_more_have_gone(reserve: int) -> None:
    """What the windows have left to bulk, and when their slots come back, say when the last of them goes."""
    limiter = make_limiter(RateLimit(*LIMIT.windows, interactive_reserve=reserve))
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(attempt(limiter, priority=Priority.BULK) for _ in range(40)))
    foreseen = {count: loop.time() + limiter.view().seconds_for(count) for count in (0, 10, 108, 111, 300)}
    assert foreseen[0] == loop.time()
    went = sorted(await asyncio.gather(*(attempt(limiter, priority=Priority.BULK) for _ in range(300))))
    for count in (10, 108, 111, 300):
        assert foreseen[count] == pytest.approx(went[count - 1], abs=2.0)


async def test_the_view_foresees_what_goes_by_a_pace() -> None:
    """A hundred more at ten a second."""
    limiter = make_limiter(RateLimit.courtesy(per_second=10, parallel=2))
    await attempt(limiter)
    view = limiter.view()
    assert view.spacing == pytest.approx(0.1)
    assert view.seconds_for(100) == pytest.approx((view.next_slot_in or 0.0) + 9.9)


def test_slots_that_have_cooled_down_are_not_kept() -> None:
    """A window that is never full keeps the attempts of one window, not of all time; what is kept can be pickled."""
    sizes = []
    for attempts in (100, 10_000):
        slots = Slots(Window(1_000_000, 1.0))
        for index in range(attempts):
            slots.take()
            slots.cool(index * 0.1, answered=index % 3 > 0)
        sizes.append(len(pickle.dumps(slots)))
        assert slots.used(attempts * 0.1) == 10
    assert sizes[1] < 2 * sizes[0]
