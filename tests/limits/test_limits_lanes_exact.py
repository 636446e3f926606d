"""The two lanes, one by one: who is first, who is before whom, and what is kept of those who have left."""

import asyncio
import math

import pytest

from omeda_async.limits import Priority
from omeda_async.limits._lanes import Lanes, Waiter

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


def join(lanes: Lanes, priority: Priority = INTERACTIVE, deadline: float = math.inf, *, first: bool = False) -> Waiter:
    """Stand in a lane."""
    waiter: Waiter = asyncio.get_running_loop().create_future()
    lanes.join(waiter, priority, deadline, first=first)
    return waiter


def go(lanes: Lanes, waiter: Waiter, priority: Priority = INTERACTIVE) -> None:
    """Let somebody's wait be over."""
    waiter.set_result(None)
    lanes.leave(priority)


def kept(lanes: Lanes) -> tuple[int, int, int]:
    """Count what is kept of each lane, and of the deadlines, those that have ended included."""
    return len(lanes._interactive.queue), len(lanes._bulk.queue), len(lanes._deadlines)


async def test_those_who_wait_are_counted_in_their_lane() -> None:
    """And no more when they have left."""
    lanes = Lanes()
    assert (lanes.waiters, lanes.bulk, lanes.waiting()) == (0, 0, {INTERACTIVE: 0, BULK: 0})
    one, two, three = join(lanes), join(lanes, BULK), join(lanes, BULK)
    assert (lanes.waiters, lanes.bulk, lanes.waiting()) == (3, 2, {INTERACTIVE: 1, BULK: 2})
    assert lanes.everybody() == [one, two, three]
    go(lanes, two, BULK)
    assert (lanes.waiters, lanes.bulk, lanes.waiting()) == (2, 1, {INTERACTIVE: 1, BULK: 1})
    go(lanes, one)
    assert (lanes.waiters, lanes.bulk, lanes.waiting()) == (1, 1, {INTERACTIVE: 0, BULK: 1})
    assert lanes.everybody() == [three]


@pytest.mark.parametrize(
    ("interactive", "bulk", "in_a_row", "ahead"),
    [
        (0, 0, 0, 0),
        (3, 0, 0, 3),
        (20, 0, 0, 9),
        (20, 0, 4, 5),
        (20, 0, 9, 0),
        (20, 0, 12, 0),
        (20, 1, 0, 19),
        (30, 2, 3, 26),
    ],
)
async def test_nine_interactive_calls_at_most_go_before_each_of_bulk(
    interactive: int, bulk: int, in_a_row: int, ahead: int
) -> None:
    """Those that have gone in a row count; before an interactive call, only others of its lane go for certain."""
    lanes = Lanes()
    for count, lane in ((interactive, INTERACTIVE), (bulk, BULK)):
        assert len([join(lanes, lane) for _ in range(count)]) == count
    assert lanes.ahead(BULK, in_a_row) == ahead
    assert lanes.ahead(INTERACTIVE, in_a_row) == interactive


async def test_interactive_calls_are_first_unless_bulk_is_due() -> None:
    """Whoever has ended is skipped."""
    lanes = Lanes()
    assert lanes.first() is None
    assert lanes.first(bulk_is_due=True) is None
    bulk = [join(lanes, BULK) for _ in range(2)]
    assert lanes.first() == lanes.first(bulk_is_due=True) == (bulk[0], BULK)
    interactive = [join(lanes) for _ in range(2)]
    assert lanes.first() == (interactive[0], INTERACTIVE)
    assert lanes.first(bulk_is_due=True) == (bulk[0], BULK)
    interactive[0].cancel()
    bulk[0].cancel()
    assert lanes.first() == (interactive[1], INTERACTIVE)
    assert lanes.first(bulk_is_due=True) == (bulk[1], BULK)
    bulk[1].cancel()
    assert lanes.first(bulk_is_due=True) == (interactive[1], INTERACTIVE)
    interactive[1].cancel()
    assert lanes.first() is None


async def test_the_first_of_a_lane_is_whoever_still_waits_in_it() -> None:
    """The other lane does not matter."""
    lanes = Lanes()
    assert [lanes.first_of(lane) for lane in Priority] == [None, None]
    one, two, three = join(lanes), join(lanes), join(lanes, BULK)
    assert [lanes.first_of(lane) for lane in (INTERACTIVE, BULK)] == [one, three]
    one.cancel()
    assert lanes.first_of(INTERACTIVE) is two
    two.cancel()
    assert [lanes.first_of(lane) for lane in (INTERACTIVE, BULK)] == [None, three]


async def test_who_comes_back_may_stand_first() -> None:
    """In its own lane, before those who came since."""
    lanes = Lanes()
    before = [join(lanes, lane) for lane in (INTERACTIVE, BULK)]
    again = [join(lanes, lane, first=True) for lane in (INTERACTIVE, BULK)]
    assert [lanes.first_of(lane) for lane in (INTERACTIVE, BULK)] == again
    assert lanes.everybody() == [again[0], before[0], again[1], before[1]]


@pytest.mark.parametrize("lane", [INTERACTIVE, BULK])
async def test_what_has_ended_is_thrown_out_before_it_is_more_than_what_waits(lane: Priority) -> None:
    """Of queues and deadlines; of six that wait, three may have ended."""
    lanes = Lanes()
    waiters = [join(lanes, lane, 10.0 + number) for number in range(6)]
    other = 1 if lane is BULK else 0
    for index, left in enumerate((6, 6, 6, 2, 2, 0)):
        go(lanes, waiters[5 - index], lane)
        assert kept(lanes) == ((left, 0, left) if not other else (0, left, left))
        assert lanes.next_deadline() == (10.0 if left else math.inf)


async def test_deadlines_stay_in_order_when_what_has_ended_is_thrown_out() -> None:
    """Those of the others come one after the other."""
    lanes = Lanes()
    waiters = {deadline: join(lanes, deadline=deadline) for deadline in (1.0, 6.0, 2.0, 8.0, 7.0, 3.0, 5.0)}
    for deadline in (1.0, 2.0, 6.0, 7.0):
        go(lanes, waiters[deadline])
    assert kept(lanes) == (3, 0, 3)
    order = []
    while lanes.next_deadline() < math.inf:
        order.append(lanes.next_deadline())
        assert lanes.expired(order[-1]) == [waiters[order[-1]]]
    assert order == [3.0, 5.0, 8.0]


async def test_nobody_is_returned_before_its_deadline_because_another_has_ended() -> None:
    """The last of them, here."""
    lanes = Lanes()
    one, two = join(lanes, deadline=5.0), join(lanes, deadline=9.0)
    two.cancel()
    assert lanes.expired(1.0) == []
    assert lanes.expired(5.0) == [one]


async def test_who_does_not_say_otherwise_stands_at_the_end() -> None:
    """And none in a row have gone before."""
    lanes = Lanes()
    one, two = (asyncio.get_running_loop().create_future() for _ in range(2))
    for waiter in (one, two):
        lanes.join(waiter, INTERACTIVE, math.inf)
    bulk = [join(lanes, BULK)]
    interactive = [join(lanes) for _ in range(20)]
    assert lanes.everybody() == [one, two, *interactive, *bulk]
    assert lanes.ahead(BULK) == 1 + 18


async def test_who_has_waited_until_its_deadline_is_returned_once() -> None:
    """At that moment, the earliest first; of two equal ones, who came first. Who has ended is not."""
    lanes = Lanes()
    late, ended, one, two, never = (join(lanes, deadline=deadline) for deadline in (9.0, 1.0, 5.0, 5.0, math.inf))
    assert (lanes.next_deadline(), kept(lanes)[2]) == (1.0, 4)
    ended.cancel()
    assert lanes.expired(math.nextafter(5.0, 0.0)) == []
    assert lanes.next_deadline() == 5.0
    assert lanes.expired(5.0) == [one, two]
    assert lanes.expired(5.0) == []
    late.cancel()
    assert lanes.expired(6.0) == []
    assert lanes.next_deadline() == math.inf
    assert lanes.everybody() == [one, two, never]
