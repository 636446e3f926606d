"""A limiter on its loop, to the moment: who goes when, and what it leaves behind."""

import asyncio
import inspect
import math

import pytest

from omeda_async.errors import ClosedError, LimitWaitExceeded
from omeda_async.limits import Limiter, Permit, Priority, RateLimit, Window, make_limiter
from omeda_async.limits._lanes import Lanes
from omeda_async.limits._limiter import _LocalLimiter
from omeda_async.limits._shared import Member, share
from omeda_async.limits._store_limiter import StoreLimiter
from tests.limits.limits_help import BOTH, attempt, take_all, timers, until_idle

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


def task(limiter: Limiter, priority: Priority = INTERACTIVE, max_wait: float | None = None) -> asyncio.Task[Permit]:
    """Ask for a permit."""
    return asyncio.create_task(limiter.acquire(priority=priority, max_wait=max_wait))


def in_a_row(limiter: Limiter) -> int:
    """Say how many interactive attempts have been counted."""
    assert isinstance(limiter, _LocalLimiter)
    return limiter._state.in_a_row


async def done(tasks: list[asyncio.Task[Permit]]) -> list[int]:
    """Say which of some tasks are done by now."""
    await until_idle()
    return [index for index, one in enumerate(tasks) if one.done()]


async def stop(tasks: list[asyncio.Task[Permit]]) -> None:
    """Cancel what still waits."""
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nine_interactive_attempts_in_a_row_are_counted_while_bulk_waits() -> None:
    """The tenth is bulk's; without bulk that waits, none are counted."""
    limiter = make_limiter(RateLimit(parallel=1, interactive_reserve=0))
    permit = await limiter.acquire()
    order = [task(limiter, BULK), *(task(limiter) for _ in range(11))]
    await until_idle()
    counts, went = list[int](), list[int]()
    for _ in range(12):
        limiter.release(permit, status=204)
        (index,) = [index for index in await done(order) if index not in went]
        went.append(index)
        counts.append(in_a_row(limiter))
        permit = order[index].result()
    assert went == [*range(1, 10), 0, 10, 11]
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0]


async def test_bulk_that_waits_in_no_lane_ends_the_count() -> None:
    """It has been cancelled."""
    limiter = make_limiter(RateLimit(parallel=1, interactive_reserve=0))
    permit = await limiter.acquire()
    bulk, first, second = task(limiter, BULK), task(limiter), task(limiter)
    await until_idle()
    limiter.release(permit, status=204)
    assert await done([bulk, first, second]) == [1]
    assert in_a_row(limiter) == 1
    bulk.cancel()
    await until_idle()
    limiter.release(first.result(), status=204)
    assert await done([second]) == [0]
    assert in_a_row(limiter) == 0


async def test_another_limiter_of_the_account_without_bulk_ends_no_count_and_begins_none() -> None:
    """Where bulk waits there, attempts are counted here."""
    limiter, other = (make_limiter(RateLimit(parallel=1, interactive_reserve=0), account="shared") for _ in range(2))
    for one in (other, limiter):
        await attempt(one, takes=0.0)
    permit = await limiter.acquire()
    waits = task(limiter)
    await until_idle()
    limiter.release(permit, status=204)
    assert await done([waits]) == [0]
    assert in_a_row(limiter) == 0
    bulk, again = task(other, BULK), task(limiter)
    await until_idle()
    limiter.release(waits.result(), status=204)
    assert await done([bulk, again]) == [1]
    assert in_a_row(limiter) == 1
    await stop([bulk])


async def test_what_one_limiter_of_an_account_gives_back_another_takes_at_once() -> None:
    """No timer rings for it; one that is closed is none of them any more."""
    one, two = (make_limiter(RateLimit(parallel=1, interactive_reserve=0), account="shared") for _ in range(2))
    await attempt(two, takes=0.0)
    permit = await one.acquire()
    waits = task(two)
    await until_idle()
    assert timers() == []
    assert one.view().clients == 2
    one.release(permit, status=204)
    assert await done([waits]) == [0]
    one.close()
    assert two.view().clients == 1


@pytest.mark.parametrize("interactive", [8, 9, 12])
async def test_at_a_pace_nine_interactive_calls_take_the_turn_of_one_of_bulk(interactive: int) -> None:
    """Then it goes, before the others."""
    limiter, order = make_limiter(RateLimit(pace=0.5)), list[str]()

    async def one(name: str, lane: Priority) -> None:
        await attempt(limiter, priority=lane, takes=0.0)
        order.append(name)

    await attempt(limiter, takes=0.0)
    tasks = [asyncio.create_task(one("b", BULK))]
    await until_idle()
    tasks += [asyncio.create_task(one("i", INTERACTIVE)) for _ in range(interactive)]
    await asyncio.gather(*tasks)
    before = min(interactive, 9)
    assert order == ["i"] * before + ["b"] + ["i"] * (interactive - before)


async def test_a_timer_that_rings_at_that_moment_stays() -> None:
    """Those who come later, and wait for the same, set none of their own."""
    limiter = make_limiter(RateLimit(Window(1, 1.0)))
    await attempt(limiter, takes=0.0)
    tasks = [task(limiter)]
    await until_idle()
    (before,) = timers()
    tasks += [task(limiter) for _ in range(3)]
    await until_idle()
    assert timers() == [before]
    await stop(tasks)
    assert timers() == []


async def test_the_timer_rings_for_the_first_deadline_or_slot() -> None:
    """Whichever is sooner, whoever comes first."""
    limiter = make_limiter(RateLimit(Window(1, 10.0)))
    await attempt(limiter, takes=0.0)
    tasks = [task(limiter)]
    await until_idle()
    assert [timer.when() for timer in timers()] == pytest.approx([10.01])
    permit = await tasks[0]
    tasks = [task(limiter), task(limiter, max_wait=99.0), task(limiter, max_wait=40.0)]
    await until_idle()
    assert [timer.when() for timer in timers()] == pytest.approx([50.01])
    limiter.release(permit, status=204)
    await until_idle()
    assert [timer.when() for timer in timers()] == pytest.approx([20.02])
    await stop(tasks)


@pytest.mark.parametrize(("max_wait", "goes"), [(0.5, True), (0.49, False)])
async def test_a_turn_at_the_end_of_the_longest_wait_is_taken(max_wait: float, goes: bool) -> None:
    """One after it is refused at once, and the turn is free for others."""
    limiter, loop = make_limiter(RateLimit(Window(10, 60.0), pace=0.5)), asyncio.get_running_loop()
    await attempt(limiter, takes=0.0)
    if goes:
        assert (await limiter.acquire(max_wait=max_wait)).granted_at == pytest.approx(0.5)
        return
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=max_wait)
    assert (caught.value.next_slot_in, loop.time()) == pytest.approx((0.5, 0.0), abs=1e-6)
    assert limiter.view().used == 1
    assert await attempt(limiter) == pytest.approx(0.5)


async def test_bulk_that_is_overtaken_waits_as_long_as_it_said_from_when_it_came() -> None:
    """And not from when it was overtaken."""
    limiter, loop = make_limiter(RateLimit(pace=1.0)), asyncio.get_running_loop()
    await attempt(limiter, takes=0.0)
    bulk = task(limiter, BULK, 1.5)
    await until_idle()
    interactive = [task(limiter) for _ in range(3)]
    with pytest.raises(LimitWaitExceeded):
        await bulk
    assert loop.time() == pytest.approx(1.5, abs=1e-3)
    assert limiter.view().waiting == {INTERACTIVE: 1, BULK: 0}
    assert [one.granted_at for one in await asyncio.gather(*interactive)] == pytest.approx([1.0, 2.0, 3.0])


@pytest.mark.parametrize(("before", "first"), [(8, "i"), (9, "b")])
async def test_one_turn_in_ten_is_not_taken_from_bulk(before: int, first: str) -> None:
    """Of ten that go while it waits, nine are interactive, also where it waits for the turn alone by then."""
    limiter, order = make_limiter(RateLimit(pace=1.0)), list[str]()

    async def one(name: str, lane: Priority) -> None:
        await attempt(limiter, priority=lane, takes=0.0)
        order.append(name)

    await attempt(limiter, takes=0.0)
    tasks = [asyncio.create_task(one("b", BULK))]
    await until_idle()
    tasks += [asyncio.create_task(one("i", INTERACTIVE)) for _ in range(before)]
    await asyncio.sleep(before + 0.5)
    assert order == ["i"] * before
    tasks.append(asyncio.create_task(one("i", INTERACTIVE)))
    await asyncio.gather(*tasks)
    assert order[before] == first


async def test_bulk_that_is_cancelled_after_it_was_overtaken_waits_no_more() -> None:
    """It has left its lane."""
    limiter = make_limiter(RateLimit(pace=1.0))
    await attempt(limiter, takes=0.0)
    bulk = task(limiter, BULK)
    await until_idle()
    interactive = [task(limiter) for _ in range(2)]
    await asyncio.sleep(1.5)
    assert limiter.view().waiting == {INTERACTIVE: 0, BULK: 1}
    await stop([bulk])
    assert limiter.view().waiting == {INTERACTIVE: 0, BULK: 0}
    await stop(interactive)


async def test_an_interactive_call_goes_at_once_where_bulk_waits_for_what_it_leaves_free() -> None:
    """Though it does not come first."""
    limiter = make_limiter(RateLimit(Window(4, 60.0), interactive_reserve=2))
    bulk = [task(limiter, BULK) for _ in range(3)]
    assert await done(bulk) == [0, 1]
    assert (await limiter.acquire(max_wait=0.0)).priority is INTERACTIVE
    await stop(bulk)


async def test_a_limiter_without_a_pace_keeps_to_that_of_its_account() -> None:
    """Another limiter has named it."""
    slow, plain = (make_limiter(limit, account="shared") for limit in (RateLimit(pace=0.5), RateLimit(parallel=9)))
    await attempt(slow, takes=0.0)
    assert [await attempt(plain, takes=0.0) for _ in range(2)] == pytest.approx([0.5, 1.0], abs=1e-3)


async def test_bulk_that_left_its_turn_to_who_does_not_come_goes_after_all() -> None:
    """A twentieth of a second later; what it left was not sent."""
    limit, loop = RateLimit(Window(10, 60.0), pace=0.5), asyncio.get_running_loop()
    limiter = make_limiter(limit, account="shared")
    await attempt(limiter, takes=0.0)
    bulk, lanes = task(limiter, BULK), Lanes()
    await until_idle()
    lanes.join(loop.create_future(), INTERACTIVE, math.inf)
    silent = Member(loop, lanes, lambda: None)
    share("shared", loop, limit, lambda: 0.5).enter(silent)
    async with asyncio.timeout(5.0):
        assert (await bulk).granted_at == pytest.approx(0.55, abs=1e-3)
    assert limiter.view().used == 2


@pytest.mark.parametrize("lane", BOTH)
async def test_who_may_go_at_once_needs_no_time_also_where_others_share(lane: Priority) -> None:
    """It never stands in the queue."""
    one, two = (make_limiter(RateLimit(Window(9, 1.0), interactive_reserve=0), account="shared") for _ in range(2))
    await attempt(two, takes=0.0)
    permit = await one.acquire(priority=lane, max_wait=0.0)
    assert (permit.priority, timers()) == (lane, [])


async def test_where_a_limiter_is_closed_that_was_to_go_first_another_goes_at_once() -> None:
    """It is not waited for."""
    one, two = (make_limiter(RateLimit(parallel=1, interactive_reserve=0), account="shared") for _ in range(2))
    await attempt(two, takes=0.0)
    permit = await one.acquire()
    refused, waits = task(two), task(one, BULK)
    await until_idle()
    one.release(permit, status=204)
    two.close()
    assert await done([waits]) == [0]
    with pytest.raises(ClosedError):
        await refused


async def test_who_has_let_another_limiter_go_first_goes_as_soon_as_that_has_gone() -> None:
    """Where there is a slot for both, it goes at that moment."""
    limit = RateLimit(Window(2, 1.0), interactive_reserve=0)
    one, two = (make_limiter(limit, account="shared") for _ in range(2))
    for limiter in (two, one):
        await attempt(limiter, takes=0.0)
    bulk, interactive = task(one, BULK), task(two)
    moments = [permit.granted_at for permit in await asyncio.gather(bulk, interactive)]
    assert moments == pytest.approx([1.001, 1.001], abs=1e-3)


async def test_what_is_given_back_without_a_word_may_have_been_sent() -> None:
    """It counts for a window."""
    limiter = make_limiter(RateLimit(Window(3, 1.0)))
    limiter.release(await limiter.acquire())
    assert (limiter.view().used, limiter.view().in_flight) == (1, 0)


@pytest.mark.parametrize("kind", [_LocalLimiter, StoreLimiter])
@pytest.mark.parametrize("name", ["acquire", "release", "remember", "view", "close", "aclose"])
def test_every_limiter_is_called_as_the_protocol_says(kind: type[Limiter], name: str) -> None:
    """Down to what holds where nothing is said."""
    assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(Limiter, name))


async def test_a_pace_lets_one_go_at_a_time_whatever_the_slots_allow() -> None:
    """Two that ask at once go a pace apart, and so do the next two."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), pace=0.5))
    permits = await asyncio.gather(*(limiter.acquire() for _ in range(4)))
    assert [permit.granted_at for permit in permits] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=1e-6)


async def test_a_wait_that_is_bound_to_be_too_long_is_refused_at_once() -> None:
    """It never stands in the queue."""
    limiter, loop = make_limiter(RateLimit(Window(1, 10.0))), asyncio.get_running_loop()
    await attempt(limiter, takes=0.0)
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=5.0)
    assert (caught.value.next_slot_in, loop.time()) == pytest.approx((10.01, 0.0), abs=1e-6)


async def test_a_release_of_what_is_not_out_does_nothing() -> None:
    """Of a limiter that nobody has asked, or of a permit that is another's."""
    limiter, other = (make_limiter(RateLimit(Window(2, 1.0))) for _ in range(2))
    permit = await other.acquire()
    limiter.release(permit, status=429)
    await attempt(limiter, takes=0.0)
    limiter.release(permit, status=429)
    assert (limiter.view().refusals, limiter.view().used, other.view().in_flight) == (0, 1, 1)


@pytest.mark.parametrize("lane", BOTH)
async def test_who_waits_or_comes_when_it_is_closed_is_told_so(lane: Priority) -> None:
    """No timer is left; a permit can be given back."""
    limiter = make_limiter(RateLimit(Window(1, 1.0)))
    (permit,) = await take_all(limiter, 1)
    waits = [task(limiter, lane), task(limiter, lane, 99.0)]
    await until_idle()
    await limiter.aclose()
    assert timers() == []
    for one in waits:
        with pytest.raises(ClosedError):
            await one
    with pytest.raises(ClosedError):
        await limiter.acquire(priority=lane)
    assert timers() == []
    limiter.release(permit, status=204)
    assert (limiter.view().in_flight, sum(limiter.view().waiting.values())) == (0, 0)


async def test_a_view_of_who_has_not_begun_is_that_of_one_limiter() -> None:
    """Nothing is used, and nobody waits."""
    view = make_limiter(RateLimit(Window(3, 1.0), parallel=2)).view()
    assert (view.clients, view.used, view.free, view.next_slot_in, view.paused_for) == (1, 0, 2, 0.0, 0.0)
    assert not math.isinf(view.seconds_for(1))


async def test_a_pause_is_told_when_there_is_one() -> None:
    """Not for an answer that asks for none, nor where nobody wants to hear."""
    pauses = list[float]()
    limiter = make_limiter(RateLimit(Window(9, 1.0)), on_pause=pauses.append, uniform=lambda: 0.0)
    for status, headers in ((204, {}), (503, {"Retry-After": "2"}), (500, {"Retry-After": "9"}), (503, {})):
        await attempt(limiter, status, headers)
    assert pauses == [2.0]
    silent = make_limiter(RateLimit(Window(9, 1.0)))
    await attempt(silent, 503, {"Retry-After": "2"})
    assert silent.view().paused_for == pytest.approx(2.1)
