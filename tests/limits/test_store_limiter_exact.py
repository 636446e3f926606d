"""A limiter at a store, to the moment and to the turn: on a moved clock, with a store in memory."""

import asyncio
import logging
import math
from typing import Any

import attrs
import pytest

from omeda_async import ClosedError, LimitWaitExceeded, RateLimit, Window
from omeda_async.limits import Limiter, LimitsView, Permit, Priority
from omeda_async.limits._conversation import LeasedPermit
from omeda_async.limits._headers import Advice
from omeda_async.limits._store import Ask, Ended, Reply
from omeda_async.limits._store_limiter import StoreLimiter
from tests.limits.fake_store import LEASE, LIMIT, FakeServer, FakeStore, known, limiter_at
from tests.limits.limits_help import BOTH, advice, timers, until_idle
from tests.limits.test_store_limiter import ONE, in_flight, wanted


@attrs.define(eq=False)
class Saying(FakeStore):
    """A store that says something else besides."""

    says: dict[str, Any] = attrs.field(factory=dict)
    shows: dict[str, Any] = attrs.field(factory=dict)

    async def turn(self, ask: Ask) -> Reply:
        """Step the state, and change the reply."""
        return attrs.evolve(await super().turn(ask), **self.says)

    def view(self) -> LimitsView | None:
        """Show the state, changed."""
        view = super().view()
        return None if view is None else attrs.evolve(view, **self.shows)


async def saying(limit: RateLimit = LIMIT, **says: Any) -> tuple[StoreLimiter, Saying]:
    """Make a limiter at such a store."""
    store = Saying(await known(limit), says=says)
    return StoreLimiter(limit, store, lease=LEASE), store


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()


def listeners() -> int:
    """Count who listens to a store."""
    return sum(getattr(task.get_coro(), "__name__", "") == "_listen" for task in asyncio.all_tasks())


async def ended(server: FakeServer) -> list[Ended]:
    """Give what the store was told of, in a while."""
    await asyncio.sleep(0.05)
    return [one for ask in server.turns for one in ask.ended]


async def test_a_permit_may_be_used_for_half_a_lease_where_nothing_else_is_said() -> None:
    """And the store knows its limiter by sixteen digits that nobody can guess."""
    server = await known()
    limiter, began = limiter_at(server), now()
    permit = await limiter.acquire()
    assert isinstance(permit, LeasedPermit)
    assert permit.until == pytest.approx(began + LEASE / 2, abs=1e-6)
    limiter.release(permit)
    assert [(one.sent, one.status) for one in await ended(server)] == [(True, None)]
    assert {len(ask.client) for ask in server.turns} == {16}
    await limiter.aclose()


async def test_a_store_that_has_not_answered_for_three_tenths_of_a_second_counts_as_away() -> None:
    """Before that, it does not."""
    server = await known()
    limiter = limiter_at(server)
    server.hangs = True
    waits, seen = asyncio.create_task(limiter.acquire()), list[bool]()
    for seconds in (0.29, 0.02):
        await asyncio.sleep(seconds)
        seen.append(limiter.view().store_reachable)
    assert seen == [True, False]
    await limiter.aclose()
    with pytest.raises(ClosedError):
        await waits


async def test_a_store_of_which_nothing_is_asked_is_not_away() -> None:
    """However long ago the last answer was."""
    limiter = limiter_at(await known())
    limiter.release(await limiter.acquire(), status=204)
    await asyncio.sleep(100.0)
    assert limiter.view().store_reachable
    await limiter.aclose()


async def test_the_store_is_given_a_tenth_of_a_second_and_good_bye_takes_half_a_one() -> None:
    """Where nothing more may be waited for."""
    server = await known()
    limiter = limiter_at(server)
    server.latency = 0.4
    began = now()
    with pytest.raises(LimitWaitExceeded):
        await limiter.acquire(max_wait=0)
    assert now() - began == pytest.approx(0.1)
    server.hangs = True
    began = now()
    await limiter.aclose()
    assert now() - began == pytest.approx(0.5)


async def test_what_has_ended_is_told_within_two_hundredths_of_a_second_each_time() -> None:
    """Where nobody waits for it; no timer is kept for what may never come."""
    server = await known()
    limiter = limiter_at(server)
    for turns in (2, 4):
        limiter.release(await limiter.acquire(), status=204)
        await asyncio.sleep(0.015)
        assert (len(server.turns), all(timer.when() < math.inf for timer in timers())) == (turns - 1, True)
        await asyncio.sleep(0.01)
        assert (len(server.turns), in_flight(server)) == (turns, 0)
    await limiter.aclose()


async def test_what_has_ended_is_told_as_a_limiter_is_closed() -> None:
    """Nobody has to say good-bye for it."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=204)
    limiter.close()
    await asyncio.sleep(0.005)
    assert in_flight(server) == 0
    await limiter.aclose()


async def test_a_limiter_that_is_closed_asks_no_store_that_is_away() -> None:
    """What it has not told, it tells as it says good-bye."""
    server = await known()
    limiter = limiter_at(server)
    permit = await limiter.acquire()
    server.away = True
    limiter.release(permit, status=204)
    await asyncio.sleep(0.1)
    limiter.close()
    await asyncio.sleep(10.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    server.away = False
    await limiter.aclose()
    assert in_flight(server) == 0


async def test_a_limiter_that_is_gone_makes_no_turn() -> None:
    """Neither for what ends after it, nor to say good-bye again."""
    server = await known()
    limiter = limiter_at(server)
    permit = await limiter.acquire()
    await limiter.aclose()
    turns = len(server.turns)
    limiter.release(permit, status=204)
    await limiter.aclose()
    await asyncio.sleep(1.0)
    assert len(server.turns) == turns
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("case", ["usual", "lower", "none"])
async def test_what_headers_say_of_limits_is_told(case: str) -> None:
    """However they are written."""
    server = await known()
    limiter = limiter_at(server)
    headers = advice(149) if case != "none" else {"Content-Type": "text/plain"}
    if case == "lower":
        headers = {name.lower(): value for name, value in headers.items()}
    limiter.release(await limiter.acquire(), status=204, headers=headers)
    (one,) = await ended(server)
    assert one.advice == (None if case == "none" else Advice(150, 149, None, 0.0))
    await limiter.aclose()


async def test_who_came_first_goes_first() -> None:
    """Of those who wait in one limiter."""
    server = await known(ONE)
    limiter, went = limiter_at(server, ONE), list[int]()

    async def go(number: int) -> None:
        permit = await limiter.acquire()
        went.append(number)
        limiter.release(permit, status=204)

    await asyncio.gather(*(go(number) for number in range(4)))
    assert went == [0, 1, 2, 3]
    await limiter.aclose()


async def test_who_was_too_late_for_its_permit_goes_before_those_who_came_after_it() -> None:
    """The permit goes back, and nothing was sent by it."""
    server = await known(ONE)
    limiter, went = limiter_at(server, ONE), list[int]()
    limiter._bind(asyncio.get_running_loop())
    clock, jumps = limiter._told.clock, [0.0, 0.0, LEASE]
    # It is looked at when the turn begins, when its reply comes, and when the waiter runs.
    limiter._told.clock = lambda: clock() + (jumps.pop(0) if jumps else 0.0)

    async def go(number: int) -> None:
        permit = await limiter.acquire()
        went.append(number)
        limiter.release(permit, status=204)

    await asyncio.gather(*(go(number) for number in range(3)))
    assert went == [0, 1, 2]
    assert [one.sent for one in await ended(server)] == [False, True, True, True]
    await limiter.aclose()


async def test_a_permit_that_came_too_late_is_told_of_at_once() -> None:
    """Whoever waits does not wait for a renewal."""
    server = await known()
    limiter, late = limiter_at(server), [8.0]

    async def stand_still() -> None:
        await asyncio.sleep(late.pop() if late else 0.0)

    server.before_reply, began = stand_still, now()
    limiter.release(await limiter.acquire(), status=204)
    assert now() - began == pytest.approx(8.0, abs=0.1)
    await limiter.aclose()


async def test_a_store_that_is_away_now_is_what_a_wait_is_refused_for() -> None:
    """Though it has answered before; what was wrong with it earlier is over."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    server.away = True
    for _ in range(2):
        with pytest.raises(LimitWaitExceeded, match="does not answer: away, as the test wants it"):
            await limiter.acquire(max_wait=3.0)
    server.away = False
    await asyncio.sleep(3.0)
    assert limiter.view().store_reachable
    server.hangs = True
    with pytest.raises(LimitWaitExceeded, match="does not answer") as caught:
        await limiter.acquire(max_wait=3.0)
    assert "as the test wants it" not in str(caught.value)
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_one_listener_is_enough_and_comes_back_with_whoever_waits() -> None:
    """However many turns are made meanwhile."""
    server = await known(ONE)
    one, two = limiter_at(server, ONE), limiter_at(server, ONE)
    permit = await one.acquire()
    for _ in range(2):
        waits = asyncio.create_task(two.acquire())
        await asyncio.sleep(2 * LEASE)
        assert listeners() == 1
        waits.cancel()
        await asyncio.sleep(0.1)
        assert listeners() == 0
    one.release(permit, status=204)
    await asyncio.gather(one.aclose(), two.aclose())


async def test_who_waits_no_more_listens_no_more_though_it_has_a_permit() -> None:
    """Its turns go on, for the lease."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit, waits = await limiter.acquire(), asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    assert listeners() == 1
    waits.cancel()
    await asyncio.sleep(0.1)
    assert (listeners(), limiter._turns is None) == (0, False)
    limiter.release(permit, status=204)
    await limiter.aclose()


@pytest.mark.parametrize("why", ["away", "held"])
async def test_nobody_listens_to_a_store_that_has_nothing_to_give(why: str) -> None:
    """While it is away, and while it holds."""
    server = await known() if why == "away" else FakeServer()
    server.away = why == "away"
    limiter = limiter_at(server)
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(10.0)
    assert listeners() == 0
    await limiter.aclose()
    with pytest.raises(ClosedError):
        await waits


async def test_nobody_listens_for_turns_that_somebody_has_cancelled() -> None:
    """They would be told, and nobody makes a turn."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    assert (listeners(), limiter._turns is None) == (1, False)
    assert limiter._turns is not None
    limiter._turns.cancel()
    with pytest.raises(ClosedError):
        await waits
    await until_idle()
    assert listeners() == 0
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_a_store_that_cannot_tell_of_changes_is_asked_again_a_while_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the log says so, for who looks closely."""

    class Mute(FakeStore):
        async def changed(self) -> None:
            raise OSError("no line")

    server = await known(ONE)
    limiter = StoreLimiter(ONE, Mute(server), lease=LEASE)
    permit = await limiter.acquire()
    before = len(server.turns)
    caplog.clear()  # the store has held at its beginning
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        waits = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1.0)
    assert {record.getMessage() for record in caplog.records} == {"the fake store does not tell of changes: OSError"}
    assert len(server.turns) - before == 4  # for who waits, and three times 0.3 s later
    limiter.release(permit, status=204)
    limiter.release(await waits, status=204)
    await limiter.aclose()


async def test_a_store_that_is_not_told_good_bye_is_let_go_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """And the log says so, for who looks closely."""
    server = await known()
    store = FakeStore(server)
    limiter = StoreLimiter(LIMIT, store, lease=LEASE)
    limiter.release(await limiter.acquire(), status=204)
    server.away = True
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        await limiter.aclose()
    said = [record.getMessage() for record in caplog.records]
    assert said[-1] == "the fake store was not told that a client has left: StoreAway"
    assert store.closed


async def test_good_bye_wants_nothing() -> None:
    """No permit is given to who leaves."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(), status=204)
    await limiter.aclose()
    last = server.turns[-1]
    assert (last.leaves, last.interactive, last.bulk, last.held) == (True, 0, 0, ())


@pytest.mark.parametrize("pause", [0.0, 0.5])
async def test_a_pause_is_told_however_short_and_none_is_not(pause: float) -> None:
    """To whom it concerns, if anybody wants to know."""
    told = list[float]()
    limiter, store = await saying(paused_for=pause)
    limiter._on_pause = told.append
    limiter.release(await limiter.acquire(), status=204)
    await asyncio.sleep(0.0)
    assert told == ([pause] if pause else [])
    silent = StoreLimiter(LIMIT, store, lease=LEASE)
    silent.release(await silent.acquire(), status=204)
    silent.release(await silent.acquire(), status=204)
    await asyncio.gather(limiter.aclose(), silent.aclose())


async def test_who_wants_nothing_does_not_come_because_there_would_be_something() -> None:
    """It renews the lease of what it has, and that is all."""
    limiter, store = await saying(again_in=0.1)
    permit = await limiter.acquire()
    await asyncio.sleep(LEASE / 3 - 0.1)
    assert len(store.server.turns) == 1
    await asyncio.sleep(0.2)
    assert len(store.server.turns) == 2
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_what_was_granted_of_what_is_wanted_costs_no_turn_more() -> None:
    """The store knows who still waits."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    waits = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await asyncio.sleep(1.0)
    assert (len(server.turns), [task.done() for task in waits], wanted(server)) == (1, [True, False], 1)
    limiter.release(waits[0].result(), status=204)
    limiter.release(await waits[1], status=204)
    await limiter.aclose()


@pytest.mark.parametrize(("slot", "bulk"), [(0.0, 0.0), (100.0, 200.0), (None, None)])
async def test_a_view_counts_the_hold_where_that_is_longer(slot: float | None, bulk: float | None) -> None:
    """Of each lane; where nobody knows, it says nothing."""
    limiter, store = await saying(held_for=50.0)
    limiter.release(await limiter.acquire(), status=204)
    store.shows = {"next_slot_in": slot, "next_bulk_in": bulk}
    view = limiter.view()
    expected = [None if one is None else max(one, 50.0) for one in (slot, bulk)]
    assert [view.next_slot_in, view.next_bulk_in] == [
        None if one is None else pytest.approx(one, abs=0.01) for one in expected
    ]
    await limiter.aclose()


async def test_one_timer_rings_for_the_deadlines_of_all_who_wait() -> None:
    """And none for who waits as long as it takes."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit, began = await limiter.acquire(), now()
    waits = [asyncio.create_task(limiter.acquire(max_wait=wait)) for wait in (None, 3.0, 2.0, 4.0)]
    await until_idle()
    assert [timer.when() - began for timer in timers() if timer.when() - began > 1.0] == [pytest.approx(2.0, abs=1e-6)]
    for task in waits:
        task.cancel()
    await asyncio.wait(waits)
    limiter.release(permit, status=204)
    await asyncio.sleep(0.1)
    assert timers() == []
    await limiter.aclose()


async def test_no_timer_is_left_of_who_waits_no_more_though_the_store_is_silent() -> None:
    """It has not told so yet."""
    server = await known()
    limiter = limiter_at(server)
    server.hangs = True
    waits = asyncio.create_task(limiter.acquire(max_wait=100.0))
    await asyncio.sleep(0.1)
    waits.cancel()
    await until_idle()
    assert timers() == []
    await limiter.aclose()


async def test_no_timer_is_left_of_who_has_its_permit() -> None:
    """But that of the next turn."""
    limiter = limiter_at(await known())
    permit = await limiter.acquire(max_wait=100.0)
    await until_idle()
    assert [timer.when() - now() < LEASE for timer in timers()] == [True]
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_who_waits_for_as_long_as_it_takes_has_no_timer() -> None:
    """But that of the next turn."""
    server = await known(ONE)
    limiter = limiter_at(server, ONE)
    permit = await limiter.acquire()
    waits = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.1)
    assert all(timer.when() < math.inf for timer in timers())
    limiter.release(permit, status=204)
    limiter.release(await waits, status=204)
    await limiter.aclose()


async def test_a_wait_ends_in_time_though_an_earlier_one_was_shorter() -> None:
    """The timer of that one is over."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(await limiter.acquire(max_wait=1.0), status=204)
    await asyncio.sleep(0.1)
    server.hangs = True
    began = now()
    with pytest.raises(LimitWaitExceeded):
        await limiter.acquire(max_wait=2.0)
    assert now() - began == pytest.approx(2.0)
    await limiter.aclose()


@pytest.mark.parametrize("priority", BOTH)
async def test_what_is_given_back_while_others_wait_here_is_told_at_once(priority: Priority) -> None:
    """It is theirs, maybe; also where nobody waited when the store was asked last."""
    limiter, store = await saying(ONE, scarce=False)
    permit = await limiter.acquire(priority=priority)
    waits = asyncio.create_task(limiter.acquire(priority=priority))
    await asyncio.sleep(1.0)
    began = now()
    limiter.release(permit, status=204)
    limiter.release(await waits, status=204)
    assert now() - began < 0.01
    await limiter.aclose()
    assert in_flight(store.server) == 0


async def test_a_refusal_says_in_how_many_seconds_the_next_slot_is_free() -> None:
    """From now on, whatever the loop's clock shows."""
    server = await known()
    limiter = limiter_at(server)
    await asyncio.sleep(1000.0)
    for permit in [await limiter.acquire() for _ in range(10)]:
        limiter.release(permit, status=204)
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=0.5)
    assert caught.value.next_slot_in == pytest.approx(1.0, abs=0.05)
    await limiter.aclose()


async def test_a_permit_that_comes_in_the_moment_in_which_its_wait_is_cancelled_goes_back_unused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its slot is free again at once."""
    server = await known()
    limiter, tasks = limiter_at(server), list[asyncio.Task[Any]]()
    monkeypatch.setattr(limiter, "_ask_anew", lambda: [task.cancel() for task in tasks])
    tasks.append(asyncio.create_task(limiter.acquire()))
    await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    assert [one.sent for one in await ended(server)] == [False]
    await limiter.aclose()


async def test_a_wait_ends_in_time_though_another_one_got_its_permit() -> None:
    """It has a timer still."""
    server = await known(ONE)
    limiter, began = limiter_at(server, ONE), now()
    waits = [asyncio.create_task(limiter.acquire(max_wait=wait)) for wait in (2.0, 3.0)]
    permit = await waits[0]
    server.hangs = True
    with pytest.raises(LimitWaitExceeded):
        await asyncio.wait_for(waits[1], 10.0)
    assert now() - began == pytest.approx(3.0, abs=0.01)
    limiter.release(permit, status=204)
    await limiter.aclose()


async def test_what_is_given_back_twice_is_told_once_and_what_is_another_limiters_never() -> None:
    """It was not granted here."""
    server = await known()
    limiter = limiter_at(server)
    limiter.release(Permit(Priority.BULK, 0.0), status=204)
    permit = await limiter.acquire()
    for _ in range(2):
        limiter.release(permit, status=204)
    assert len(await ended(server)) == 1
    await limiter.aclose()


async def test_a_limiter_that_has_failed_asks_no_more() -> None:
    """Neither for what ends after that."""
    server = await known(RateLimit(Window(10, 1.0), interactive_reserve=0))
    limiter: Limiter = limiter_at(server)
    permit = await limiter.acquire()
    server.error = RuntimeError("broken")
    with pytest.raises(Exception, match="RuntimeError, see the log"):
        await limiter.acquire()
    server.error, turns = None, len(server.turns)
    limiter.release(permit, status=204)
    await asyncio.sleep(LEASE)
    assert len(server.turns) == turns
    await limiter.aclose()
