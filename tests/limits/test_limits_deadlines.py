"""Waits with a deadline: each ends at its own time, by one timer for all, and nothing is lost at the same moment."""

import asyncio
import gc
import itertools
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from omeda_async.errors import ClosedError, LimitWaitExceeded
from omeda_async.limits import Limiter, Permit, Priority, RateLimit, Window, make_limiter
from omeda_async.limits._lanes import Lanes, Waiter
from tests.limits.limits_help import BOTH, attempt, take_all, timers, until_idle

ONE_AT_A_TIME = RateLimit(parallel=1)
SAME_PASS = 2e-10
"""Seconds between two timers that a loop runs in the same pass, in their order."""


async def refused_at(limiter: Limiter, **how: Any) -> float:
    """Wait in vain, and give the moment the wait ended."""
    with pytest.raises(LimitWaitExceeded, match="hangs on answers"):
        await limiter.acquire(**how)
    return asyncio.get_running_loop().time()


async def test_thousands_of_waiters_end_each_at_its_own_deadline() -> None:
    """Whatever the order in which they came, whichever lane they wait in, and though some deadlines are the same."""
    limiter, chance = make_limiter(ONE_AT_A_TIME), random.Random(3)  # noqa: S311 a test is to be repeatable
    (held,) = await take_all(limiter, 1)
    begins = asyncio.get_running_loop().time()
    waits = [chance.choice([chance.uniform(0, 900), chance.randrange(900)]) for _ in range(1000)]
    ended = await asyncio.gather(
        *(refused_at(limiter, max_wait=wait, priority=chance.choice(BOTH)) for wait in waits),
    )
    assert ended == pytest.approx([begins + wait for wait in waits], abs=1e-5)
    assert sum(limiter.view().waiting.values()) == 0
    assert timers() == []
    limiter.release(held, status=204)
    await take_all(limiter, 1)


async def test_all_deadlines_share_one_timer() -> None:
    """However many wait, and in whichever order their deadlines come, the loop has one timer of the limiter."""
    limiter = make_limiter(ONE_AT_A_TIME)
    await take_all(limiter, 1)
    waiting = [asyncio.create_task(limiter.acquire(max_wait=wait)) for wait in (*range(20, 60), *range(60, 20, -1), 5)]
    await until_idle()
    assert [handle.when() for handle in timers()] == [pytest.approx(5.0, abs=1e-6)]
    await asyncio.sleep(40)
    assert len(timers()) == 1
    await asyncio.gather(*waiting, return_exceptions=True)
    assert timers() == []


async def test_a_deadline_does_not_delay_or_hasten_who_goes_by_the_slots() -> None:
    """Waits that end early, and deadlines of waiters that were granted long ago, leave the others' times alone."""
    limiter = make_limiter(RateLimit(Window(1, 1.0)))
    waits = [None, 0.5, 70.0, None, 3.5, 70.0, 1.5, None]
    ended = await asyncio.gather(
        *(attempt(limiter, takes=0.0, max_wait=wait) for wait in waits), return_exceptions=True
    )
    times = [end for end in ended if isinstance(end, float)]
    assert times == pytest.approx([index * 1.001 for index in range(6)], abs=1e-6)
    assert [isinstance(end, LimitWaitExceeded) for end in ended] == [
        False,
        True,
        False,
        False,
        False,
        False,
        True,
        False,
    ]
    assert timers() == []


class Watched(asyncio.Task[Permit]):
    """A task that tells whether somebody has cancelled it."""

    cancels = 0

    def cancel(self, msg: Any = None) -> bool:
        """Count it."""
        self.cancels += 1
        return super().cancel(msg)


async def test_no_deadline_depends_on_a_cancellation() -> None:
    """The wait ends by itself: the task is not cancelled for it, so that nothing on its way can swallow that."""
    limiter = make_limiter(ONE_AT_A_TIME)
    await take_all(limiter, 1)
    waiting = Watched(limiter.acquire(max_wait=3))
    with pytest.raises(LimitWaitExceeded):
        await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=1e-6)
    assert waiting.cancels == 0


EVENTS = ("release", "cancel", "deadline")


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=" ".join)
@pytest.mark.parametrize("without", [None, *EVENTS])
async def test_what_happens_in_one_pass_of_the_loop_never_loses_a_permit(order: tuple[str, ...], without: str) -> None:
    """A permit given back, a cancellation and a deadline at once: the waiter goes or ends, and the next one goes."""
    loop, limiter = asyncio.get_running_loop(), make_limiter(ONE_AT_A_TIME)
    (held,) = await take_all(limiter, 1)
    moments = {event: 3.0 + SAME_PASS * place for place, event in enumerate(order)}
    max_wait = 1000.0 if without == "deadline" else moments["deadline"] - loop.time()
    victim = asyncio.create_task(limiter.acquire(max_wait=max_wait))
    follower = asyncio.create_task(limiter.acquire())
    actions: dict[str, Callable[[], object]] = {
        "release": lambda: limiter.release(held, sent=False),
        "cancel": victim.cancel,
    }
    for event, action in actions.items():
        if event != without:
            loop.call_at(moments[event], action)
    await asyncio.wait([victim])
    assert loop.time() == pytest.approx(3.0, abs=1e-6)
    await until_idle()
    if without == "release":
        assert not follower.done()
        limiter.release(held, sent=False)
    elif victim.cancelled() or victim.exception() is not None:
        assert isinstance(victim.exception() if not victim.cancelled() else None, LimitWaitExceeded | None)
    else:
        assert not follower.done()
        limiter.release(victim.result(), sent=False)
    limiter.release(await follower, sent=False)
    assert loop.time() == pytest.approx(3.0, abs=1e-6)
    view = limiter.view()
    assert (view.in_flight, sum(view.waiting.values()), timers()) == (0, 0, [])


async def test_who_is_granted_before_its_deadline_in_the_same_pass_goes() -> None:
    """The permit came first: the deadline that passes before the waiter runs does not take it back."""
    loop, limiter = asyncio.get_running_loop(), make_limiter(ONE_AT_A_TIME)
    (held,) = await take_all(limiter, 1)
    deadline = 3.0
    waiting = asyncio.create_task(limiter.acquire(max_wait=deadline - loop.time()))
    loop.call_at(deadline - SAME_PASS, lambda: limiter.release(held, sent=False))
    assert (await waiting).done is False
    assert loop.time() == pytest.approx(deadline, abs=1e-6)


@pytest.mark.parametrize("passes", range(8))
@pytest.mark.parametrize("pace", [None, 0.5])
async def test_cancelling_at_any_moment_before_a_deadline_leaks_nothing(passes: int, pace: float | None) -> None:
    """Whichever await a cancellation hits, the slot is free, the queue goes on, and no timer is left."""
    limiter = make_limiter(RateLimit(Window(2, 1.0), parallel=2, pace=pace))
    held = await take_all(limiter, 2)
    victims = [asyncio.create_task(attempt(limiter, max_wait=60)) for _ in range(3)]
    await until_idle()
    for permit in held:
        limiter.release(permit, sent=False)
    for _ in range(passes):
        await asyncio.sleep(0)
    for victim in victims:
        victim.cancel()
    await asyncio.gather(*victims, return_exceptions=True)
    await asyncio.wait_for(asyncio.gather(*(attempt(limiter, max_wait=60) for _ in range(4))), 5)
    await asyncio.sleep(1.1)
    view = limiter.view()
    assert (view.used, view.free, view.in_flight, sum(view.waiting.values())) == (0, 2, 0, 0)
    assert timers() == []


@pytest.mark.parametrize("pace", [None, 0.5])
async def test_closing_ends_every_wait_at_once(pace: float | None) -> None:
    """Waiters with and without a deadline get ClosedError, not the error of their deadline, and no timer is left."""
    limiter = make_limiter(RateLimit(Window(50, 60.0), parallel=1, pace=pace))
    (held,) = await take_all(limiter, 1)
    waiting = [asyncio.create_task(limiter.acquire(max_wait=wait)) for wait in (None, 100, 2000, None, 50)]
    await until_idle()
    limiter.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ended] == [ClosedError] * 5
    assert asyncio.get_running_loop().time() < 1
    limiter.release(held, status=204)
    assert (limiter.view().in_flight, sum(limiter.view().waiting.values()), timers()) == (0, 0, [])


async def test_closing_at_the_moment_of_a_deadline_ends_the_wait_once() -> None:
    """In whichever order, the waiter ends with one of the two errors, and nothing is left."""
    loop = asyncio.get_running_loop()
    for shift in (-SAME_PASS, SAME_PASS):
        limiter = make_limiter(ONE_AT_A_TIME)
        await take_all(limiter, 1)
        deadline = loop.time() + 3.0
        waiting = asyncio.create_task(limiter.acquire(max_wait=deadline - loop.time()))
        loop.call_at(deadline + shift, limiter.close)
        with pytest.raises((ClosedError, LimitWaitExceeded)):
            await waiting
        assert (sum(limiter.view().waiting.values()), timers()) == (0, [])


async def test_a_turn_at_the_pace_after_the_deadline_is_refused_when_that_is_certain() -> None:
    """An interactive call took a turn of bulk: it is refused when it gets its slot, and the next one goes."""
    limiter = make_limiter(RateLimit(parallel=9, pace=2.0))
    before = [asyncio.create_task(attempt(limiter, priority=Priority.BULK)) for _ in range(2)]
    in_vain = asyncio.create_task(limiter.acquire(priority=Priority.BULK, max_wait=5))
    after = asyncio.create_task(attempt(limiter, priority=Priority.BULK, max_wait=20))
    overtaking = asyncio.create_task(attempt(limiter))
    with pytest.raises(LimitWaitExceeded, match=r"free in 2\.000 s"):
        await in_vain
    assert asyncio.get_running_loop().time() == pytest.approx(4.0, abs=1e-3)
    assert await asyncio.gather(*before, overtaking, after) == pytest.approx([0.0, 4.0, 2.0, 6.0], abs=1e-3)
    assert (limiter.view().in_flight, sum(limiter.view().waiting.values())) == (0, 0)


def _waiters_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, asyncio.Future) and not isinstance(thing, asyncio.Task) for thing in gc.get_objects())


async def test_cancelled_waiters_are_forgotten_though_their_deadlines_are_hours_away() -> None:
    """Of 1,000 that were cancelled, the limiter keeps no more than of those that still wait."""
    limiter = make_limiter(ONE_AT_A_TIME)
    await take_all(limiter, 1)
    before = _waiters_alive()
    staying = [asyncio.create_task(limiter.acquire(max_wait=36_000)) for _ in range(100)]
    leaving = [asyncio.create_task(limiter.acquire(max_wait=7200 + wait)) for wait in range(1_000)]
    await until_idle()
    assert _waiters_alive() >= before + 1_100
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    del leaving, task  # their errors hold the frames that waited, and so does the pass of the loop that gathered them
    await until_idle()
    assert _waiters_alive() <= before + 2 * 100 + 10
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    del staying, task
    await until_idle()
    assert _waiters_alive() <= before + 10
    assert timers() == []


async def test_granted_waiters_are_forgotten_though_their_deadlines_are_hours_away() -> None:
    """A queue that never runs empty does not gather the deadlines of all who went through it."""
    limiter = make_limiter(ONE_AT_A_TIME)
    before = _waiters_alive()

    async def one() -> None:
        for _ in range(40):
            await attempt(limiter, takes=0.0, max_wait=36_000)

    tasks = [asyncio.create_task(one()) for _ in range(20)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert _waiters_alive() <= before + 3 * 20 + 10
    await asyncio.gather(*tasks)
    assert timers() == []


class TestLanes:
    """The queue by itself, as plain futures see it."""

    @staticmethod
    def waiters(lanes: Lanes, *deadlines: float, priority: Priority = Priority.INTERACTIVE) -> list[Waiter]:
        """Let one waiter after the other join."""
        waiters: list[Waiter] = [asyncio.get_running_loop().create_future() for _ in deadlines]
        for waiter, deadline in zip(waiters, deadlines, strict=True):
            lanes.join(waiter, priority, deadline)
        return waiters

    async def test_who_has_expired_is_told_once_in_the_order_of_the_deadlines(self) -> None:
        """The first deadline is known, those that have ended otherwise are left out."""
        lanes = Lanes()
        late, early, middle, gone = self.waiters(lanes, 9.0, 3.0, 5.0, 4.0)
        assert lanes.next_deadline() == 3.0
        gone.cancel()
        assert lanes.expired(2.9) == []
        assert lanes.expired(5.0) == [early, middle]
        assert lanes.expired(5.0) == []
        assert lanes.next_deadline() == 9.0
        assert lanes.first() == (late, Priority.INTERACTIVE)

    async def test_a_crowd_that_leaves_in_any_order_is_not_kept(self) -> None:
        """No more than as many ended ones as there are others still waiting are kept, in the lane and its deadlines."""
        lanes, chance = Lanes(), random.Random(5)  # noqa: S311 a test is to be repeatable
        waiters = self.waiters(lanes, *(chance.uniform(0, 1e6) for _ in range(2000)))
        alive = [weakref.ref(waiter) for waiter in waiters]
        chance.shuffle(waiters)
        while waiters:
            waiters.pop().cancel()
            lanes.leave(Priority.INTERACTIVE)
            if len(waiters) % 100 == 0:
                await asyncio.sleep(0)
                assert sum(ref() is not None for ref in alive) <= 2 * len(waiters)
        assert lanes.waiters == 0
        assert lanes.next_deadline() == float("inf")
