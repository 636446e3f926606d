"""A limiter whose account's state is in a store, beside others: on a moved clock, with a store in memory."""

import asyncio
import itertools
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import ClosedError, ConfigurationError, LimitWaitExceeded, RateLimit, Window
from omeda_async.limits import Limiter, Permit, Priority
from omeda_async.limits._conversation import LeasedPermit
from omeda_async.limits._store import Ask, Reply, StoreAway, StoreRefused
from omeda_async.limits._store_limiter import GRACE, LINGER, PARTING, StoreLimiter
from omeda_async.limits._where import lease_of
from omeda_async.testing import run_moved
from tests.limits.fake_store import LEASE, LIMIT, FakeServer, FakeStore, known, limiter_at
from tests.limits.limits_help import attempt, stop, timers, until_idle

ONE = RateLimit(Window(1000, 1.0), parallel=1, interactive_reserve=0)


def in_flight(server: FakeServer) -> int:
    """How many are out, as the state has it."""
    assert server.state is not None
    return len(server.state.grants)


def wanted(server: FakeServer) -> int:
    """How many are waited for, as the state has it."""
    assert server.state is not None
    return sum(one.interactive + one.bulk for one in server.state.clients.values())


async def test_limiters_of_one_store_keep_to_the_limit_and_use_all_of_it() -> None:
    """Four of them, each with more to do than there is room for."""
    server = await known()
    went: list[float] = []

    async def go(limiter: Limiter) -> None:
        went.append(await attempt(limiter, priority=Priority.BULK))

    limiters = [limiter_at(server) for _ in range(4)]
    await asyncio.gather(*(go(limiter) for limiter in limiters for _ in range(40)))
    went.sort()
    assert all(later - first >= 1.0 for first, later in zip(went, went[10:], strict=False))
    assert all(later - first >= 60.0 for first, later in zip(went, went[150:], strict=False))
    assert went[-1] - went[0] < 61.0
    assert limiters[0].view().clients == 4
    for limiter in limiters:
        await limiter.aclose()
    assert (in_flight(server), server.state and server.state.clients) == (0, {})
    assert timers() == []


async def test_what_one_gives_back_another_gets_at_once() -> None:
    """It is woken, and does not have to come by itself."""
    server = await known(ONE)
    one, two = limiter_at(server, ONE), limiter_at(server, ONE)
    permit = await one.acquire()
    waits = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.5)
    began = asyncio.get_running_loop().time()
    one.release(permit, status=204)
    two.release(await waits, status=204)
    assert asyncio.get_running_loop().time() - began < 0.01
    await one.aclose()
    await two.aclose()


async def test_a_lost_wake_costs_a_while_and_no_more() -> None:
    """The permit goes back after a second, and who waits comes by itself some day."""
    server = await known(ONE)
    one, two = limiter_at(server, ONE), limiter_at(server, ONE)
    permit = await one.acquire()
    waits = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.5)
    server.called.clear()  # whoever listens, listens in vain
    one.release(permit, status=204)
    two.release(await waits, status=204)
    assert asyncio.get_running_loop().time() < LEASE
    await one.aclose()
    await two.aclose()


async def test_who_comes_while_the_store_hears_that_nobody_waits_is_told_of_at_once() -> None:
    """The turn that is under way does not know of them: another one follows it."""
    server = await known(ONE, latency=0.01)
    one, two = limiter_at(server, ONE), limiter_at(server, ONE)
    permit = await one.acquire()
    gone = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.5)
    gone.cancel()
    await asyncio.sleep(0.005)
    waits = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.5)
    assert wanted(server) == 1
    began = asyncio.get_running_loop().time()
    one.release(permit, status=204)
    two.release(await waits, status=204)
    assert asyncio.get_running_loop().time() - began < 0.1
    await one.aclose()
    await two.aclose()


@pytest.mark.parametrize("steps", range(12))
async def test_a_wait_that_is_cancelled_at_any_moment_leaves_nothing_behind(steps: int) -> None:
    """Neither a permit nor a demand: not here, and not in the store."""
    server = await known()
    limiter = limiter_at(server)
    task = asyncio.create_task(limiter.acquire())
    for _ in range(steps):
        await asyncio.sleep(0 if steps % 2 else server.latency / 3)
    if task.done():
        limiter.release(task.result(), sent=False)
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.1)
    assert (in_flight(server), wanted(server)) == (0, 0)
    assert (limiter.view().waiting[Priority.INTERACTIVE], limiter.view().used) == (0, 0)
    assert timers() == []
    await limiter.aclose()


async def test_waits_that_are_cancelled_while_others_wait_too_leave_their_place() -> None:
    """Who is behind them moves up, and the store is asked for no more than who is left."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    waits = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await asyncio.sleep(0.1)
    for task in waits[:3]:
        task.cancel()
    await asyncio.sleep(0.1)
    limiter.release(permit, status=204)
    limiter.release(await waits[3], status=204)
    await asyncio.sleep(0.1)
    assert (in_flight(server), wanted(server)) == (0, 0)
    await limiter.aclose()


async def test_a_turn_whose_reply_never_comes_keeps_nobody_longer_than_max_wait() -> None:
    """The wait ends, closing ends, and what the store has granted is back when it hears of the client again."""
    server = await known()
    server.hangs = True
    limiter, began = limiter_at(server), asyncio.get_running_loop().time()
    with pytest.raises(LimitWaitExceeded, match=r"the fake store, which shares it .* does not answer"):
        await limiter.acquire(max_wait=2.0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0, abs=0.01)
    assert limiter.view().store_reachable is False
    waits = asyncio.create_task(limiter.acquire())
    await until_idle()
    began = asyncio.get_running_loop().time()
    await limiter.aclose()
    assert asyncio.get_running_loop().time() - began <= PARTING + 0.01
    with pytest.raises(ClosedError):
        await waits


async def test_a_store_that_says_nothing_counts_as_away_after_a_third_of_a_second() -> None:
    """And not before, as it may only be slow; with its next answer it is there again."""
    server = await known()
    server.latency = 1.0
    limiter = limiter_at(server)
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.29)
    assert limiter.view().store_reachable is True
    await asyncio.sleep(0.02)
    assert limiter.view().store_reachable is False
    limiter.release(await waits, status=204)
    assert limiter.view().store_reachable is True
    await limiter.aclose()


async def test_while_a_store_says_nothing_each_wait_ends_at_its_own_time() -> None:
    """Not only that of whoever waits the shortest."""
    server = await known()
    server.hangs = True
    limiter, loop, ended = limiter_at(server), asyncio.get_running_loop(), []

    async def wait(max_wait: float) -> None:
        with pytest.raises(LimitWaitExceeded):
            await limiter.acquire(max_wait=max_wait)
        ended.append(loop.time() - began)

    began = loop.time()
    async with asyncio.timeout(60.0):
        await asyncio.gather(*map(wait, (3.0, 1.0, 2.0)))
    assert ended == pytest.approx([1.0, 2.0, 3.0], abs=0.01)
    await limiter.aclose()


async def test_a_cancellation_that_a_store_swallows_keeps_nobody() -> None:
    """As some libraries do now and then."""
    server = await known()

    class Deaf(FakeStore):
        async def turn(self, ask: Ask) -> Reply:
            ask = await super().turn(ask)  # type: ignore[assignment]  # never mind what it is
            for _ in range(3):
                try:
                    await asyncio.sleep(10.0)
                except asyncio.CancelledError:
                    continue
            raise StoreAway("too late")

    limiter = StoreLimiter(LIMIT, Deaf(server), lease=LEASE)
    waits = asyncio.create_task(limiter.acquire(max_wait=5.0))
    await asyncio.sleep(1.0)
    await limiter.aclose()
    with pytest.raises(ClosedError):
        await waits
    assert asyncio.get_running_loop().time() < 2.0
    for _ in range(5):
        await asyncio.sleep(10.0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_wait_that_is_bound_to_be_too_long_is_refused_at_once() -> None:
    """After one turn, which says when the next attempt could go."""
    server = await known()
    limiter = limiter_at(server)
    permits = [await limiter.acquire() for _ in range(10)]
    for permit in permits:
        limiter.release(permit, status=204)
    began = asyncio.get_running_loop().time()
    with pytest.raises(LimitWaitExceeded, match=r"the next slot is free in (0\.9|1\.0)") as caught:
        await limiter.acquire(max_wait=0.5)
    assert asyncio.get_running_loop().time() - began < 0.01
    assert caught.value.next_slot_in == pytest.approx(1.0, abs=0.05)
    assert isinstance(await limiter.acquire(max_wait=1.5), Permit)
    await limiter.aclose()


@pytest.mark.parametrize(("less", "turns", "error"), [(0.0, 0, TimeoutError), (0.01, 1, LimitWaitExceeded)])
async def test_who_may_wait_as_long_as_it_takes_behind_another_costs_no_turn(
    less: float, turns: int, error: type[Exception]
) -> None:
    """The store was told that somebody waits; who would wait too short a while is refused by a turn."""
    server = await known()
    limiter, loop = limiter_at(server), asyncio.get_running_loop()
    for permit in [await limiter.acquire() for _ in range(10)]:
        limiter.release(permit, status=204)
    first = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    before, opens_at = len(server.turns), limiter._times.earliest
    with pytest.raises(error):
        async with asyncio.timeout(0.1):
            await limiter.acquire(max_wait=opens_at - loop.time() - less)
    assert len(server.turns) - before == turns
    first.cancel()
    await asyncio.wait({first})
    await limiter.aclose()


@pytest.mark.parametrize("latency", [0.0005, 0.02, 0.045])
async def test_who_does_not_wait_at_all_gets_one_turn(latency: float) -> None:
    """A permit that is free goes to it, where the store answers within a tenth of a second."""
    server = await known(ONE, latency=latency)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire(max_wait=0)
    with pytest.raises(LimitWaitExceeded, match="hangs on answers"):
        await limiter.acquire(max_wait=0)
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_who_does_not_wait_at_all_waits_for_no_slow_store() -> None:
    """A tenth of a second is all it has."""
    server = await known()
    server.latency = 0.4
    limiter = limiter_at(server)
    began = asyncio.get_running_loop().time()
    with pytest.raises(LimitWaitExceeded, match="does not answer"):
        await limiter.acquire(max_wait=0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(GRACE, abs=0.001)
    await limiter.aclose()


async def test_while_the_store_is_away_everybody_waits_and_then_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Who has no more time says which store it was, and why; the log says so once; the others get their permits."""
    server = await known()
    caplog.clear()
    limiter = limiter_at(server)
    server.away = True
    waits = asyncio.create_task(limiter.acquire(max_wait=60.0))
    await asyncio.sleep(0.01)
    assert limiter.view().store_reachable is False  # it has said so: there is nothing to wait for
    with pytest.raises(
        LimitWaitExceeded, match=r"max_wait=3 s: the fake store, .* does not answer: away, as"
    ) as caught:
        await limiter.acquire(max_wait=3.0)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ["the fake store does not answer, and nothing goes until it does: away, as the test wants it"]
    assert (caught.value.sent, limiter.view().store_reachable) == (False, False)
    await asyncio.sleep(20.0)
    server.away = False
    began = asyncio.get_running_loop().time()
    limiter.release(await waits, status=204)
    assert asyncio.get_running_loop().time() - began <= 2.0 + 0.01
    assert limiter.view().store_reachable is True
    await limiter.aclose()


def too_many(went: list[float]) -> int:
    """How many went too soon after those before them, by any of the windows."""
    went = sorted(went)
    return sum(
        later - first < window.seconds
        for window in LIMIT.windows
        for first, later in zip(went, went[window.calls :], strict=False)
    )


async def keep_busy(limiter: Limiter, went: list[float]) -> None:
    """Make bulk attempts, some at once, for as long as they are wanted."""

    async def go_on() -> None:
        while True:
            went.append(await attempt(limiter, priority=Priority.BULK))

    await asyncio.gather(*(go_on() for _ in range(8)))


async def test_a_client_that_is_cut_off_waits_while_the_others_go_on_and_comes_back() -> None:
    """What it holds it may send for a while, and the others count on that: not one is too many, then and later."""
    server, loop = await known(), asyncio.get_running_loop()
    store = FakeStore(server)
    cut, other = StoreLimiter(LIMIT, store, lease=LEASE), limiter_at(server)
    ours, theirs = list[float](), list[float]()
    tasks = [asyncio.create_task(keep_busy(cut, ours)), asyncio.create_task(keep_busy(other, theirs))]
    await asyncio.sleep(8.0)
    held = [await cut.acquire() for _ in range(3)]
    store.away, cut_at = True, loop.time()
    with pytest.raises(LimitWaitExceeded, match=r"the fake store, .* does not answer"):
        await cut.acquire(max_wait=2.0)
    await asyncio.sleep(2.0)
    assert not any(permit.is_over() for permit in held)
    ours += [loop.time()] * len(held)  # they are sent, and answered
    for permit in held:
        cut.release(permit, status=204)
    assert cut.view().store_reachable is False
    assert in_flight(server) >= len(held)
    await asyncio.sleep(LEASE + 120.0)
    assert max(ours) < cut_at + LEASE / 2
    assert sum(at > loop.time() - 60.0 for at in theirs) >= 0.98 * 150  # the whole budget is theirs
    store.away, back_at = False, loop.time()
    await asyncio.sleep(120.0)
    assert sum(at > back_at for at in ours) > 100
    await stop(tasks)
    assert too_many(ours + theirs) == 0
    await cut.aclose()
    await other.aclose()


@pytest.mark.parametrize("looks", [True, False])
async def test_a_client_that_stood_still_with_permits_in_hand_sends_none_of_them(looks: bool) -> None:
    """Others have its slots by then. Without the look at them, the control, there are too many."""
    server, loop = await known(), asyncio.get_running_loop()
    store = FakeStore(server)
    still, other = StoreLimiter(LIMIT, store, lease=LEASE), limiter_at(server)
    held, went = [await still.acquire() for _ in range(5)], list[float]()
    store.away = True  # nothing of it moves
    tasks = [asyncio.create_task(keep_busy(other, went))]
    await asyncio.sleep(LEASE + 70.0)
    store.away = False
    for permit in held:
        is_sent = not (looks and permit.is_over())
        went += [loop.time()] * is_sent
        still.release(permit, sent=is_sent, status=204 if is_sent else None)
    await asyncio.sleep(60.0)
    await stop(tasks)
    assert (too_many(went) == 0) is looks
    await still.aclose()
    await other.aclose()


async def test_a_store_that_is_away_is_asked_ever_more_rarely() -> None:
    """However many come meanwhile."""
    server = await known()
    asked = 0

    class Counting(FakeStore):
        async def turn(self, ask: Ask) -> Reply:
            nonlocal asked
            del ask
            asked += 1
            raise StoreAway("away")

    limiter = StoreLimiter(LIMIT, Counting(server), lease=LEASE)
    for _ in range(100):
        with pytest.raises(LimitWaitExceeded):
            await limiter.acquire(max_wait=0.2)
    assert asked < 20
    await limiter.aclose()


async def test_what_the_store_was_not_told_it_is_told_when_it_is_back() -> None:
    """An attempt that ended meanwhile, once."""
    server = await known()
    limiter = limiter_at(server)
    permit = await limiter.acquire()
    server.away = True
    limiter.release(permit, status=204)
    await asyncio.sleep(5.0)
    server.away = False
    await asyncio.sleep(3.0)
    assert in_flight(server) == 0
    assert [len(ask.ended) for ask in server.turns if ask.ended] == [1]
    await limiter.aclose()


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreRefused("it is on fire"), "it is on fire"), (RuntimeError("secret"), "RuntimeError, see the log")],
)
async def test_a_store_that_will_not_do_refuses_everybody(error: Exception, said: str) -> None:
    """Who waits, and who comes; the text of an error that nobody has foreseen is in the log alone."""
    server = await known()
    limiter = limiter_at(server)
    server.error = error
    waits = [asyncio.create_task(limiter.acquire(max_wait=100.0)) for _ in range(3)]
    for task in waits:
        with pytest.raises(ConfigurationError, match=f"the fake store cannot share limits: {said}"):
            await task
    with pytest.raises(ConfigurationError, match=said):
        await limiter.acquire()
    await limiter.aclose()


async def test_closing_refuses_who_waits_and_tells_the_store_what_ends_after_it() -> None:
    """And leaves: others need not wait for it."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    limiter.close()
    with pytest.raises(ClosedError):
        await waits
    with pytest.raises(ClosedError):
        await limiter.acquire()
    await asyncio.sleep(3 * LEASE)
    assert in_flight(server) == 1  # its lease is renewed until it ends
    limiter.release(permit, status=204)
    await limiter.aclose()
    assert server.state is not None
    assert (in_flight(server), server.state.clients) == (0, {})
    await limiter.aclose()


async def test_a_limiter_that_is_closed_tells_what_ends_after_it_at_once() -> None:
    """Others get the slot, also where nobody waits until it has said good-bye."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    limiter.close()
    await asyncio.sleep(1.0)
    limiter.release(permit, status=204)
    await asyncio.sleep(0.1)
    assert in_flight(server) == 0
    await limiter.aclose()


async def test_nobody_listens_to_the_store_for_whom_nobody_waits() -> None:
    """Whoever gave up leaves no listener behind."""
    server = await known(ONE)
    one, two = limiter_at(server, ONE), limiter_at(server, ONE)
    permit = await one.acquire()
    waits = asyncio.create_task(two.acquire())

    def listeners() -> int:
        return sum(getattr(task.get_coro(), "__name__", "") == "_listen" for task in asyncio.all_tasks())

    await asyncio.sleep(0.1)
    assert listeners() == 1
    waits.cancel()
    await asyncio.sleep(0.1)
    assert listeners() == 0
    one.release(permit, status=204)
    await one.aclose()
    await two.aclose()


async def test_an_attempt_may_take_longer_than_a_lease() -> None:
    """Three times in a lease the store hears of it."""
    server = await known()
    limiter = limiter_at(server)
    permit = await limiter.acquire()
    await asyncio.sleep(10 * LEASE)
    assert in_flight(server) == 1
    assert 25 <= len(server.turns) <= 35
    limiter.release(permit, status=204)
    await asyncio.sleep(1.0)
    turns = len(server.turns)
    await asyncio.sleep(10 * LEASE)
    assert len(server.turns) == turns  # who has nothing to do does not ask
    await limiter.aclose()


async def test_a_permit_that_came_too_late_goes_back_and_another_is_acquired() -> None:
    """In the second half of a lease others may soon have its slots."""
    server = await known()
    limiter, late = limiter_at(server), [8.0]

    async def stand_still() -> None:
        await asyncio.sleep(late.pop() if late else 0.0)

    server.before_reply = stand_still
    permit = await limiter.acquire()
    assert asyncio.get_running_loop().time() >= 8.0
    assert isinstance(permit, LeasedPermit)
    assert not permit.is_over()
    assert [one.sent for ask in server.turns for one in ask.ended] == [False]
    await asyncio.sleep(LEASE / 2)
    assert permit.is_over()
    await limiter.aclose()


@pytest.mark.parametrize("timeout", [0.5, 10.0, 60.0])
@pytest.mark.parametrize("connect_timeout", [0.1, 10.0, 90.0])
def test_an_attempt_that_is_sent_at_the_last_moment_has_its_time_out_within_the_lease(
    timeout: float,
    connect_timeout: float,
) -> None:
    """Though its process dies meanwhile, nobody else has its slot before."""
    lease, use_within = lease_of(timeout, connect_timeout)
    assert 0 < use_within <= lease / 2
    assert use_within + timeout < lease <= 1.6 * timeout
    assert use_within == min(connect_timeout, timeout / 2)


async def test_calls_one_after_the_other_make_one_turn_each_where_there_is_room() -> None:
    """What has ended is told with the next wish, or soon after the last."""
    server = await known()
    limiter = limiter_at(server)
    for _ in range(5):
        await attempt(limiter)
    assert (len(server.turns), in_flight(server)) == (5, 1)
    await asyncio.sleep(LINGER + 0.01)
    assert (len(server.turns), in_flight(server)) == (6, 0)
    permit = await limiter.acquire()
    limiter.release(permit, status=429, headers={"Retry-After": "30"})
    await asyncio.sleep(0.005)
    assert server.turns[-1].ended  # what concerns everybody is told at once
    await limiter.aclose()


async def test_what_ends_one_after_the_other_is_told_together() -> None:
    """One timer rings for all of it, and none is left when the limiter is closed before."""
    server = await known()
    limiter = limiter_at(server)
    permits = [await limiter.acquire() for _ in range(3)]
    for permit in permits:
        limiter.release(permit, status=204)
    assert sum(abs(timer.when() - asyncio.get_running_loop().time() - LINGER) < 1e-6 for timer in timers()) == 1
    limiter.close()
    assert all(timer.when() - asyncio.get_running_loop().time() > LINGER for timer in timers())
    await limiter.aclose()


def test_what_ends_after_its_loop_is_given_back_without_a_word() -> None:
    """Nobody is there who could tell the store: the lease runs out."""
    given: list[tuple[StoreLimiter, Permit]] = []

    async def main() -> None:
        limiter = limiter_at(await known())
        given.append((limiter, await limiter.acquire()))

    run_moved(main())
    ((limiter, permit),) = given
    limiter.release(permit, status=204)
    assert permit.done


async def test_a_reply_that_cannot_be_taken_ends_the_waits_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for ever because of a mistake of ours, or of a store's; the log says what it was."""
    server = await known()
    caplog.clear()
    limiter = limiter_at(server)
    limiter._take = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ConfigurationError, match="cannot share limits: ZeroDivisionError, see the log"):
        await limiter.acquire()
    assert [record.message for record in caplog.records] == ["sharing limits has failed"]
    assert "ZeroDivisionError" in caplog.text
    await limiter.aclose()


async def test_a_permit_may_be_used_for_as_long_as_is_said() -> None:
    """Counted from before it was asked for."""
    limiter = limiter_at(await known(), use_within=2.0)
    began = asyncio.get_running_loop().time()
    permit = await limiter.acquire()
    assert isinstance(permit, LeasedPermit)
    assert permit.until == pytest.approx(began + 2.0)
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_a_permit_that_lapsed_before_its_waiter_ran_is_not_used() -> None:
    """The loop was busy for longer than the permit may be used."""
    server = await known()
    limiter, looks = limiter_at(server), itertools.count()
    limiter._bind(asyncio.get_running_loop())
    clock = limiter._told.clock
    # It is looked at when the turn begins, when its reply comes, and when the waiter runs.
    limiter._told.clock = lambda: clock() + LEASE * (next(looks) >= 2)
    permit = await limiter.acquire()
    assert isinstance(permit, LeasedPermit)
    assert not permit.is_over()
    assert permit.number > 1
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_a_store_whose_clock_outruns_ours_is_not_believed() -> None:
    """What it gives goes back unused, and it is told to hold."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=204)
    await asyncio.sleep(1.0)
    server.skew += 5.0
    with pytest.raises(LimitWaitExceeded, match=r"nothing goes for another 7\d\.\d s, as the fake store does not know"):
        await limiter.acquire(max_wait=1.0)
    assert [ask.distrusts for ask in server.turns].count(True) == 1
    assert (limiter.view().held_for or 0) > 70
    assert (limiter.view().next_slot_in or 0) > 70
    assert limiter.view().seconds_for(1) > 70
    limiter.release(await limiter.acquire(max_wait=90.0), status=204)
    await limiter.aclose()


async def test_a_store_whose_clock_gets_ahead_bit_by_bit_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    """No turn alone tells; a minute of its would be shorter than one of ours all the same. One line says why."""
    server = await known()
    caplog.clear()
    limiter = limiter_at(server)
    for _ in range(2):
        limiter.release(await limiter.acquire(max_wait=1.0), status=204)
        await asyncio.sleep(1.0)
        server.skew += 0.2
    for _ in range(2):
        with pytest.raises(LimitWaitExceeded, match="does not know what was sent before"):
            await limiter.acquire(max_wait=1.0)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert re.fullmatch(r"nothing goes for \d+ s, as .* does not know what was sent before", said[0])
    await limiter.aclose()


async def test_a_store_whose_clock_runs_a_little_faster_is_believed() -> None:
    """As far as slots are kept longer for that."""
    server = await known()
    limiter = limiter_at(server)
    for _ in range(1000):
        limiter.release(await limiter.acquire(), status=204)
        await asyncio.sleep(1.0)
        server.skew += 0.001
    assert not any(ask.distrusts for ask in server.turns)
    await limiter.aclose()


async def test_a_store_whose_clock_is_set_back_is_believed() -> None:
    """It only gives less."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=204)
    server.skew -= 500.0
    limiter.release(await limiter.acquire(), status=204)
    assert not any(ask.distrusts for ask in server.turns)
    await limiter.aclose()


async def test_limits_that_differ_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """The tighter of each holds."""
    server = await known()
    caplog.clear()
    one, two = limiter_at(server), limiter_at(server, RateLimit(Window(5, 1.0)))
    with caplog.at_level(logging.WARNING, "omeda_async"):
        for _ in range(3):
            two.release(await two.acquire(), status=204)
            one.release(await one.acquire(), status=204)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # each of them
    assert "the tighter of each holds, RateLimit(Window(5, 1), Window(150, 60)" in said[0]
    await one.aclose()
    await two.aclose()


@pytest.mark.parametrize(("status", "refusals"), [(429, 1), (503, 0)])
async def test_a_pause_that_the_provider_asks_for_holds_for_all_and_is_told(status: int, refusals: int) -> None:
    """To the hook of who was refused."""
    server, told = await known(), list[float]()
    one, two = limiter_at(server, on_pause=told.append), limiter_at(server)
    one.release(await one.acquire(), status=status, headers={"Retry-After": "30"})
    await asyncio.sleep(0.1)
    assert told == [pytest.approx(30.5, abs=1.0)]
    with pytest.raises(LimitWaitExceeded, match=r"is free in (29|30)\.\d+ s"):
        await two.acquire(max_wait=5.0)
    assert two.view().paused_for == pytest.approx(30.0, abs=1.0)
    assert two.view().refusals == refusals
    assert (two.view().clients, two.view().used) == (2, 1)
    await one.aclose()
    await two.aclose()


@pytest.mark.parametrize("status", [200, 404, 430, 502, 504])
async def test_a_wait_that_another_status_asks_for_is_the_call_s_own(status: int) -> None:
    """The account goes on."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=status, headers={"Retry-After": "30"})
    limiter.release(await limiter.acquire(max_wait=0.1), status=204)
    assert limiter.view().paused_for == 0.0
    await limiter.aclose()


async def test_a_view_says_what_shares_the_limits() -> None:
    """Also before anything has been asked: whether it will hold is not known then, and not said to be 0."""
    server = FakeServer()
    limiter = limiter_at(server)
    view = limiter.view()
    assert (view.shared_by, view.store_reachable, view.clients, view.held_for) == ("the fake store", True, 1, None)
    assert (view.next_slot_in, view.next_bulk_in) == (None, None)
    assert view.seconds_for(1) == 0.0
    assert (view.free, view.used) == (10, 0)
    limiter.remember(5, 1.0)  # the store knows
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(1.0)
    assert limiter.view().waiting[Priority.INTERACTIVE] == 1
    assert limiter.view().held_for == pytest.approx(LEASE + 60.06 - 1.0, abs=0.01)
    limiter.release(await waits, status=204)
    await limiter.aclose()


@pytest.mark.parametrize("max_wait", [-1, "1", True])
async def test_a_wait_that_makes_no_sense_is_refused(max_wait: Any) -> None:
    """As everywhere."""
    limiter = limiter_at(FakeServer())
    with pytest.raises(ConfigurationError, match="max_wait must be"):
        await limiter.acquire(max_wait=max_wait)
    await limiter.aclose()


async def test_a_limiter_that_was_never_used_is_closed_without_a_word_to_the_store() -> None:
    """Its store is let go all the same."""
    store = FakeStore(FakeServer())
    await StoreLimiter(LIMIT, store, lease=LEASE).aclose()
    assert (store.closed, store.server.turns) == (True, [])


async def test_a_dispatcher_that_somebody_cancels_keeps_nobody() -> None:
    """Who waits is told, and who comes later gets another one."""
    server = await known()
    limiter = limiter_at(server)
    server.hangs = True
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    assert limiter._turns is not None
    limiter._turns.cancel()
    with pytest.raises(ClosedError):
        await waits
    server.hangs = False
    limiter.release(await limiter.acquire(), status=204)
    await limiter.aclose()
    assert in_flight(server) == 0


@pytest.mark.parametrize("steps", range(6))
async def test_closing_that_is_cancelled_at_any_moment_lets_go_of_the_store(steps: int) -> None:
    """Its connections would stay open, and what listens there would go on."""
    server = await known()
    store = FakeStore(server)
    limiter = StoreLimiter(LIMIT, store, lease=LEASE)
    limiter.release(await limiter.acquire(), status=204)
    server.hangs = True
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    closes = asyncio.create_task(limiter.aclose())
    await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    closes.cancel()
    await asyncio.wait({closes, waits})
    assert isinstance(waits.exception(), ClosedError)
    await until_idle()
    assert store.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_store_that_hangs_is_let_go_of() -> None:
    """When the time for saying good-bye is over."""
    server = await known()
    store = FakeStore(server)
    limiter = StoreLimiter(LIMIT, store, lease=LEASE)
    limiter.release(await limiter.acquire(), status=204)
    server.hangs = True
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    await limiter.aclose()
    assert asyncio.get_running_loop().time() - began == pytest.approx(PARTING, abs=0.001)
    with pytest.raises(ClosedError):
        await waits
    await until_idle()
    assert store.closed


async def test_a_limiter_belongs_to_one_loop() -> None:
    """And says so."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=204)

    def elsewhere(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(ConfigurationError, match="event loop"):
            runner.run(limiter.acquire())

    await asyncio.to_thread(elsewhere, asyncio.SelectorEventLoop)
    await limiter.aclose()
