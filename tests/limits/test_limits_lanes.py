"""The queue in front: two lanes, first come first served, and nothing left behind."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from omeda_async.errors import ClosedError, ConfigurationError, LimitWaitExceeded
from omeda_async.limits import Limiter, Priority, RateLimit, Window, make_limiter
from omeda_async.limits._lanes import Lanes
from omeda_async.testing import run_moved
from tests.limits.limits_help import attempt, take_all, timers, until_idle

ONE = RateLimit(Window(1, 1.0))


async def in_order(limiter: Limiter, lanes: str) -> str:
    """Let one waiter after the other come, and give the order they went in."""
    order: list[str] = []

    async def one(lane: str) -> None:
        await attempt(limiter, priority=Priority.BULK if lane == "b" else Priority.INTERACTIVE)
        order.append(lane)

    await asyncio.gather(*(one(lane) for lane in lanes))
    return "".join(order)


async def test_interactive_goes_ahead_of_bulk_that_came_before() -> None:
    """The first takes the free slot, then interactive ones go, then bulk."""
    assert await in_order(make_limiter(ONE), "bbbiii") == "biiibb"


async def test_bulk_gets_one_grant_in_ten_while_both_wait() -> None:
    """However many interactive ones wait, bulk is not starved."""
    order = await in_order(make_limiter(ONE), "b" * 5 + "i" * 40)
    assert order == "b" + ("i" * 9 + "b") * 4 + "i" * 4


async def test_inside_a_lane_the_first_to_come_is_the_first_to_go() -> None:
    """Nobody overtakes in a lane, newcomers neither."""
    limiter, order = make_limiter(ONE), list[int]()

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.3)
        await attempt(limiter)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(12)))
    assert order == list(range(12))


async def test_a_cancelled_waiter_leaves_and_the_next_one_goes() -> None:
    """The place of one that left is taken by the one behind."""
    limiter = make_limiter(ONE)
    await attempt(limiter)
    waiters = [asyncio.create_task(attempt(limiter)) for _ in range(3)]
    await until_idle()
    waiters[0].cancel()
    await asyncio.gather(waiters[1])
    assert asyncio.get_running_loop().time() == pytest.approx(1.021, abs=0.001)
    await waiters[2]
    assert sum(limiter.view().waiting.values()) == 0


async def test_a_permit_granted_to_one_cancelled_at_that_moment_is_given_back() -> None:
    """The slot of a grant that nobody took is free again at once."""
    limiter = make_limiter(RateLimit(Window(1, 60.0)))
    (permit,) = await take_all(limiter, 1)
    waiter, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await until_idle()
    limiter.release(permit, sent=False)
    waiter.cancel()
    granted = await second
    assert asyncio.get_running_loop().time() < 0.001
    assert waiter.cancelled()
    limiter.release(granted, sent=False)
    assert limiter.view().used == limiter.view().in_flight == 0


@pytest.mark.parametrize("passes", range(8))
@pytest.mark.parametrize("pace", [None, 0.5])
async def test_cancelling_at_any_moment_of_a_wait_leaks_nothing(passes: int, pace: float | None) -> None:
    """Whichever await a cancellation hits, the slot is free, the queue goes on, the pace too."""
    limiter = make_limiter(RateLimit(Window(2, 1.0), parallel=2, pace=pace))
    held = await take_all(limiter, 2)
    victims = [asyncio.create_task(attempt(limiter)) for _ in range(3)]
    await until_idle()
    for permit in held:
        limiter.release(permit, sent=False)
    for _ in range(passes):
        await asyncio.sleep(0)
    for victim in victims:
        victim.cancel()
    await asyncio.gather(*victims, return_exceptions=True)
    await asyncio.wait_for(asyncio.gather(*(attempt(limiter) for _ in range(4))), 5)
    await asyncio.sleep(1.1)
    view = limiter.view()
    assert (view.used, view.free, view.in_flight, sum(view.waiting.values())) == (0, 2, 0, 0)


async def test_the_last_waiter_to_leave_takes_the_timer_with_it() -> None:
    """An empty queue has no timer."""
    limiter = make_limiter(RateLimit(Window(1, 600.0)))
    await attempt(limiter)
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await until_idle()
    assert len(timers()) == 1
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    assert timers() == []


async def test_the_timer_rings_no_more_often_than_slots_become_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody polls: sixty waits for a slot ring sixty times at most, hours of waiting or not."""
    limiter, loop = make_limiter(RateLimit(Window(1, 100.0), Window(20, 4000.0))), asyncio.get_running_loop()
    set_for, call_at = list[float](), loop.call_at

    def counted(when: float, *args: Any, **how: Any) -> asyncio.TimerHandle:
        set_for.append(when)
        return call_at(when, *args, **how)

    monkeypatch.setattr(loop, "call_at", counted)
    await asyncio.gather(*(attempt(limiter, takes=0) for _ in range(60)))
    assert asyncio.get_running_loop().time() > 9000
    assert 50 < len(set_for) <= 65


def calls_made(main: Callable[[int], Coroutine[Any, Any, None]], size: int) -> int:
    """Count the calls that are made by Python and by its built-in parts, each resumption of a coroutine one."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        run_moved(main(size), debug=False)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("max_wait", [None, 3600.0])
def test_a_crowd_of_waiters_leaves_nothing_behind_and_costs_the_same_each(max_wait: float | None) -> None:
    """Ten times the waiters cost about ten times the work, and the cancelled ones are forgotten at once."""
    waiting = []

    async def crowd(size: int) -> None:
        limiter = make_limiter(RateLimit(Window(100, 1.0)))
        tasks = [asyncio.create_task(attempt(limiter, takes=0, max_wait=max_wait)) for _ in range(size)]
        await asyncio.sleep(0)
        for task in tasks[::10]:
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.append(sum(limiter.view().waiting.values()))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(limiter.view().waiting.values()) == limiter.view().in_flight == 0
        assert timers() == []

    small, large = (calls_made(crowd, size) for size in (1_000, 10_000))
    assert waiting == [1_000 - 100 - 100 + 10, 10_000 - 100 - 1_000 + 10]
    assert large < 1.5 * 10 * small


@pytest.mark.parametrize("max_wait", [-1, -0.001, float("nan"), True, "5"])
async def test_a_max_wait_that_is_no_wait_is_refused_by_name(max_wait: object) -> None:
    """Seconds to wait are a number, 0 or more."""
    with pytest.raises(ConfigurationError, match="max_wait"):
        await make_limiter(ONE).acquire(max_wait=max_wait)  # type: ignore[arg-type]  # that is the point


async def test_a_wait_that_is_bound_to_be_longer_is_refused_at_once() -> None:
    """No time passes, nothing is left in the queue, and the error tells when a slot is free."""
    limiter = make_limiter(RateLimit(Window(1, 60.0)))
    await attempt(limiter)
    with pytest.raises(LimitWaitExceeded, match=r"max_wait=5 s.*60\.060 s") as caught:
        await limiter.acquire(max_wait=5)
    assert asyncio.get_running_loop().time() == pytest.approx(0.01, abs=1e-6)
    assert caught.value.next_slot_in == pytest.approx(60.06, abs=1e-6)
    assert caught.value.max_wait == 5
    assert sum(limiter.view().waiting.values()) == 0


async def test_a_queue_of_bulk_calls_does_not_count_for_the_wait_of_an_interactive_one() -> None:
    """It goes ahead of them, so that a second is enough; one more bulk call has all of them ahead."""
    limiter = make_limiter(ONE)
    await attempt(limiter)
    queue = [asyncio.create_task(attempt(limiter, priority=Priority.BULK)) for _ in range(4)]
    await until_idle()
    with pytest.raises(LimitWaitExceeded):
        await attempt(limiter, priority=Priority.BULK, max_wait=4)
    assert await attempt(limiter, max_wait=1.5) == pytest.approx(1.01, abs=0.02)
    await asyncio.gather(*queue)


async def test_the_place_in_the_queue_counts_for_the_wait() -> None:
    """With four ahead in the lane, the fifth slot is what a newcomer waits for."""
    limiter = make_limiter(ONE)
    await attempt(limiter)
    queue = [asyncio.create_task(attempt(limiter)) for _ in range(4)]
    await until_idle()
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=4)
    assert caught.value.next_slot_in == pytest.approx(5.005, abs=0.01)
    late = asyncio.create_task(attempt(limiter, max_wait=6))
    await asyncio.gather(*queue)
    assert await late == pytest.approx(5.06, abs=0.02)


async def test_a_wait_that_hangs_on_answers_ends_when_its_time_is_over() -> None:
    """What could not be known at once is refused when it has been waited for."""
    limiter = make_limiter(RateLimit(Window(5, 1.0), parallel=1))
    await take_all(limiter, 1)
    with pytest.raises(LimitWaitExceeded, match="hangs on answers") as caught:
        await limiter.acquire(max_wait=3)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=1e-6)
    assert caught.value.next_slot_in is None
    assert sum(limiter.view().waiting.values()) == 0


async def test_no_wait_at_all_is_granted_when_a_slot_is_free() -> None:
    """max_wait=0 takes what is free, and nothing else."""
    limiter = make_limiter(ONE)
    permit = await limiter.acquire(max_wait=0)
    limiter.release(permit, status=204)
    with pytest.raises(LimitWaitExceeded):
        await limiter.acquire(max_wait=0)


@pytest.mark.real_clock
@pytest.mark.parametrize("limit", [RateLimit(Window(10, 1.0), pace=0.5), RateLimit.courtesy(per_second=2, parallel=9)])
async def test_the_time_that_asking_takes_is_no_wait(limit: RateLimit) -> None:
    """A turn at the pace that has come is taken with max_wait=0, though a clock goes on meanwhile; the next is not."""
    limiter = make_limiter(limit)
    limiter.release(await limiter.acquire(max_wait=0), status=204)
    with pytest.raises(LimitWaitExceeded):
        await limiter.acquire(max_wait=0)


@pytest.mark.parametrize("limit", [RateLimit(Window(10, 1.0), pace=0.5), RateLimit.courtesy(per_second=2, parallel=9)])
async def test_a_turn_at_the_pace_that_is_bound_to_come_later_is_refused_at_once(limit: RateLimit) -> None:
    """Slots are free, and yet the next attempt goes half a second after the last one: that is what is said."""
    limiter = make_limiter(limit)
    await attempt(limiter, takes=0.05)
    for max_wait in (0.0, 0.4):
        with pytest.raises(LimitWaitExceeded, match=r"free in 0\.450 s") as caught:
            await limiter.acquire(max_wait=max_wait)
        assert caught.value.next_slot_in == pytest.approx(0.45, abs=1e-6)
    assert asyncio.get_running_loop().time() == pytest.approx(0.05, abs=1e-6)
    assert limiter.view().next_slot_in == pytest.approx(0.45, abs=1e-6)
    assert await attempt(limiter, max_wait=0.46) == pytest.approx(0.5, abs=1e-3)


async def test_who_waits_for_the_pace_counts_for_the_wait() -> None:
    """One has its slot and waits for its turn, one stands behind it: a newcomer goes two turns later."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), pace=0.5))
    await attempt(limiter, takes=0.0)
    before = [asyncio.create_task(attempt(limiter)) for _ in range(2)]
    await until_idle()
    assert limiter.view().next_slot_in == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=1.4)
    assert caught.value.next_slot_in == pytest.approx(1.5, abs=1e-6)
    assert await attempt(limiter, max_wait=1.6) == pytest.approx(1.5, abs=1e-3)
    await asyncio.gather(*before)


async def test_closing_fails_who_waits_and_who_comes() -> None:
    """Waiters get the error at once, and permits can still be given back."""
    limiter = make_limiter(ONE)
    (permit,) = await take_all(limiter, 1)
    waiter = asyncio.create_task(limiter.acquire())
    await until_idle()
    limiter.close()
    with pytest.raises(ClosedError):
        await waiter
    with pytest.raises(ClosedError):
        await limiter.acquire()
    limiter.release(permit, status=204)
    assert limiter.view().in_flight == 0


async def test_closing_fails_who_waits_for_the_pace() -> None:
    """Its slot was granted, its turn at the pace had not come: it does not go either, and nothing is kept."""
    limiter = make_limiter(RateLimit(Window(5, 60.0), pace=2.0))
    await attempt(limiter)
    pacing, behind = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await until_idle()
    assert limiter.view().in_flight == 1
    limiter.close()
    with pytest.raises(ClosedError, match="closed before this was sent"):
        await pacing
    with pytest.raises(ClosedError):
        await behind
    assert limiter.view().in_flight == 0
    assert limiter.view().windows[0].used == 1  # the attempt that went before


def test_a_limiter_says_so_when_it_is_used_from_another_loop() -> None:
    """It belongs to the loop that first waited for it."""
    limiter = make_limiter(RateLimit(Window(5, 1.0)))
    run_moved(take_all(limiter, 1))
    with pytest.raises(ConfigurationError, match="another event loop"):
        run_moved(take_all(limiter, 1))


@pytest.mark.parametrize(
    ("interactive", "bulk", "in_a_row", "before_bulk"),
    [(5, 0, 0, 5), (20, 0, 0, 9), (20, 0, 4, 5), (20, 0, 9, 0), (20, 1, 0, 19), (3, 2, 0, 5), (20, 1, 9, 10)],
)
async def test_bulk_knows_how_many_certainly_go_before_it(
    interactive: int, bulk: int, in_a_row: int, before_bulk: int
) -> None:
    """All of bulk that came before, and nine interactive ones for each and for it; those that have gone count."""
    lanes, loop = Lanes(), asyncio.get_running_loop()
    for lane, count in ((Priority.INTERACTIVE, interactive), (Priority.BULK, bulk)):
        for _ in range(count):
            lanes.join(loop.create_future(), lane, 60.0)
    assert lanes.ahead(Priority.BULK, in_a_row) == before_bulk
    assert lanes.ahead(Priority.INTERACTIVE, in_a_row) == interactive
