"""When a client comes back to the store, to the moment; the time is an argument."""

import asyncio
import math
from typing import Any, cast

import attrs
import pytest

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._lanes import Waiter
from omeda_async.limits._store import Reply
from omeda_async.limits._turn_times import TurnTimes

LEASE = 30.0


def reply(**said: Any) -> Reply:
    """Make a reply that says nothing else."""
    return Reply(rate_limit=RateLimit(Window(1, 1.0)), clock=0.0, **said)


def turn_at(times: TurnTimes, *calls: str) -> float:
    """Give the next turn where these call for one."""
    return times.turn_at(due="due" in calls, waits="waits" in calls, holds="holds" in calls)


def test_before_the_first_turn_nothing_is_known() -> None:
    """Nothing is due but what there is to tell."""
    times = TurnTimes(LEASE)
    assert times.held_for(0.0) == 0.0
    assert times.earliest == -math.inf
    assert [turn_at(times, *calls) for calls in ((), ("waits",), ("holds",))] == [math.inf] * 3
    assert turn_at(times, "due") == -math.inf


@pytest.mark.parametrize(
    ("again_in", "calls", "at"),
    [
        (5.0, ("waits",), 107.0),
        (5.0, ("holds",), 112.0),
        (5.0, ("waits", "holds"), 107.0),
        (5.0, (), math.inf),
        (5.0, ("due", "waits", "holds"), -math.inf),
        (0.0, ("waits",), 102.001),
        (20.0, ("waits",), 112.0),
        (None, ("waits",), 112.0),
        (None, ("waits", "holds"), 112.0),
    ],
)
def test_the_next_turn_is_made_when_the_reply_says_or_a_lease_is_renewed(
    again_in: float | None, calls: tuple[str, ...], at: float
) -> None:
    """Three times in a lease, counted from when the reply came; and never at once, whatever the store says."""
    times = TurnTimes(LEASE)
    times.answered(reply(again_in=again_in), 101.0, 102.0)
    assert turn_at(times, *calls) == pytest.approx(at)


def test_when_an_attempt_could_go_is_counted_from_when_it_was_asked() -> None:
    """The store knew it at some moment after that; where it could go at once, nothing is known of later."""
    times = TurnTimes(LEASE)
    times.answered(reply(earliest=7.0), 101.0, 102.0)
    assert times.earliest == 108.0
    times.answered(reply(earliest=0.0), 103.0, 104.0)
    assert times.earliest == -math.inf


def test_a_hold_ends_so_many_seconds_after_the_reply() -> None:
    """And with a reply that says nothing of one."""
    times = TurnTimes(LEASE)
    times.answered(reply(held_for=10.0), 101.0, 102.0)
    assert [times.held_for(now) for now in (102.0, 111.5, 112.0, 200.0)] == [10.0, 0.5, 0.0, 0.0]
    times.answered(reply(), 103.0, 104.0)
    assert times.held_for(104.0) == 0.0


def test_a_store_that_is_away_is_asked_after_ever_longer_pauses_and_told_of_once() -> None:
    """Each is twice the one before, up to two seconds; the first answer ends that."""
    times, pauses, said = TurnTimes(LEASE), list[float](), list[bool]()
    for _ in range(9):
        said.append(times.failed(100.0))
        pauses.append(turn_at(times, "due") - 100.0)
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert [place for place, one in enumerate(said) if one] == [5]
    times.answered(reply(), 101.0, 102.0)
    assert turn_at(times, "due") == -math.inf
    assert [times.failed(103.0), turn_at(times, "due")] == [False, pytest.approx(103.05)]


def wait(times: TurnTimes, *deadlines: float) -> list[Waiter]:
    """Have somebody wait until each of some moments."""
    waiters: list[Waiter] = [asyncio.get_running_loop().create_future() for _ in deadlines]
    for waiter, deadline in zip(waiters, deadlines, strict=True):
        times.add(waiter, deadline)
    return waiters


def known(earliest: float) -> TurnTimes:
    """Make the times of a store that has said when the next attempt could go."""
    times = TurnTimes(LEASE)
    times.answered(reply(earliest=earliest), 0.0, 0.0)
    return times


async def test_who_is_certain_to_wait_in_vain_is_told_and_nobody_else() -> None:
    """An attempt could go at 5: who may wait until then, to the moment, may yet get it."""
    times = known(5.0)
    soon, _, _ = wait(times, 3.0, 5.0, 10.0)
    assert times.hopeless(times.begin(), 0.0) == [soon]
    assert times.hopeless(times.begin(), 0.0) == []


async def test_who_has_waited_as_long_as_it_may_is_told_after_the_turn_that_was_for_it() -> None:
    """To the moment; who came later gets a turn of its own, and is told after that."""
    times = known(0.0)
    first, _ = wait(times, 4.0, 9.0)
    mark = times.begin()
    (late,) = wait(times, 4.0)
    assert times.hopeless(mark, 3.9) == []
    assert times.hopeless(mark, 4.0) == [first]
    assert times.hopeless(mark, 4.0) == []
    assert times.hopeless(times.begin(), 4.0) == [late]


async def test_before_anybody_waits_a_turn_is_for_nobody() -> None:
    """The first that comes while it is under way gets one of its own."""
    times = known(0.0)
    mark = times.begin()
    wait(times, 4.0)
    assert times.hopeless(mark, 4.0) == []


async def test_the_last_one_of_whom_a_turn_is_gets_no_other() -> None:
    """Where its time is over: the number decides, not the deadline."""
    times = known(0.0)
    first, second = wait(times, 4.0, 3.0)
    assert times.hopeless(times.begin(), 5.0) == [second, first]


async def test_who_came_later_and_would_wait_in_vain_is_told_at_once() -> None:
    """No turn of its own would say anything else; to the moment at which an attempt could go, it would."""
    times = known(1.5)
    mark = times.begin()
    wait(times, 9.0)
    (vain, _) = wait(times, 1.0, 1.5)
    assert times.hopeless(mark, 1.5) == [vain]
    times = known(5.0)
    mark = times.begin()
    wait(times, 9.0)
    wait(times, 6.0)
    assert times.hopeless(mark, 6.0) == []


async def test_nobody_is_told_before_its_time_because_another_has_gone() -> None:
    """Whatever stands behind it."""
    times = known(0.0)
    _, gone = wait(times, 10.0, 20.0)
    gone.set_result(None)
    assert times.hopeless(times.begin(), 5.0) == []
    (first,) = wait(times, 1.0)
    first.set_result(None)
    assert times.hopeless(times.begin(), 0.5) == [first]


async def test_who_has_gone_is_thrown_out_and_the_rest_stay_in_order() -> None:
    """Though the first of all was the one that has gone."""
    times = known(4.0)
    gone, _, soon = wait(times, 1.0, 5.0, 2.0)
    gone.set_result(None)
    wait(times, 6.0)
    assert times.hopeless(times.begin(), 0.0) == [soon]


@attrs.define(eq=False)
class Looked:
    """Somebody who waits, and counts how often it is looked at."""

    gone: bool = False
    looks: int = 0

    def done(self) -> bool:
        """Whether it waits no more."""
        self.looks += 1
        return self.gone


def test_to_wait_costs_the_same_however_many_wait() -> None:
    """Each time the first of all is looked at, and all of them once in a thousand times."""
    times = TurnTimes(LEASE)
    everybody = [Looked() for _ in range(1024)]
    for place, one in enumerate(everybody):
        times.add(cast("Waiter", one), float(place))
        if place == 1022:
            assert sum(each.looks for each in everybody) == 1023
    assert sum(one.looks for one in everybody) == 1024 + 1024


def test_those_who_have_gone_are_forgotten_though_the_first_of_all_waits_on() -> None:
    """Nothing piles up behind it."""
    times = TurnTimes(LEASE)
    everybody = [Looked(gone=place > 0) for place in range(1024)]
    for place, one in enumerate(everybody):
        times.add(cast("Waiter", one), float(place))
    before = sum(one.looks for one in everybody)
    assert times.hopeless(times.begin(), 2000.0) == [cast("Waiter", everybody[0])]
    assert sum(one.looks for one in everybody) == before


def test_who_waits_for_as_long_as_it_takes_is_no_work() -> None:
    """Nobody ever tells it that it waits in vain."""
    times, one = TurnTimes(LEASE), Looked()
    times.add(cast("Waiter", one), math.inf)
    assert times.hopeless(times.begin(), math.inf) == []
    assert one.looks == 0
