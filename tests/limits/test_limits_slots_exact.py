"""The slots of one window, to the moment: by hand, without a loop."""

import math

import pytest

from omeda_async.limits import Window
from omeda_async.limits._slots import Slots

LAP = 60.0 * 1.001
"""Seconds for which a slot of a minute stays in use: the provider's clock may run a thousandth slower."""


def slots(
    calls: int = 4, *, answered: tuple[float, ...] = (), unanswered: tuple[float, ...] = (), in_flight: int = 0
) -> Slots:
    """Make slots of which some cool from moments on, after a response or without one, and others are in flight."""
    made = Slots(Window(calls, 60.0))
    for _ in range(len(answered) + len(unanswered) + in_flight):
        made.take()
    for at in answered:
        made.cool(at, answered=True)
    for at in unanswered:
        made.cool(at, answered=False)
    return made


@pytest.mark.parametrize("how", ["answered", "unanswered"])
def test_a_slot_is_free_at_the_moment_at_which_its_window_is_over(how: str) -> None:
    """And not the least bit before; whether there was a response or not."""
    used = slots(1, answered=(0.0,)) if how == "answered" else slots(1, unanswered=(0.0,))
    before = math.nextafter(LAP, 0.0)
    assert (used.used(before), used.free(before), used.opens_at(before)) == (1, 0, LAP)
    assert (used.opens_at(LAP), used.used(LAP), used.free(LAP)) == (-math.inf, 0, 1)


def test_a_slot_in_flight_comes_back_when_a_response_decides() -> None:
    """Nobody knows when."""
    used = slots(1, in_flight=1)
    assert (used.opens_at(5.0), used.changes_at(5.0), used.free(5.0)) == (math.inf, math.inf, 0)
    used.give_back()
    assert (used.opens_at(5.0), used.used(5.0), used.free(5.0)) == (-math.inf, 0, 1)


def test_a_taken_slot_was_free_as_long_as_there_are_as_many() -> None:
    """One that is held for somebody else is not."""
    used = slots(3)
    used.hold(1, 10.0)
    assert [used.take() for _ in range(3)] == [True, True, False]


def test_slots_that_are_new_are_all_free() -> None:
    """None is held."""
    new = Slots(Window(1, 60.0))
    assert (new.held, new.has_half, new.free(0.0), new.used(0.0)) == (0, True, 1, 0)


@pytest.mark.parametrize(("calls", "in_use", "held", "has_half"), [(4, 1, 0, True), (4, 2, 0, False), (4, 1, 1, False)])
@pytest.mark.parametrize("more", [0, 1])
def test_half_of_the_slots_are_free_and_one_more(calls: int, in_use: int, held: int, has_half: bool, more: int) -> None:
    """Of an odd number the larger half has to be."""
    used = slots(calls + more, in_flight=in_use + more)
    used.hold(held, 10.0)
    assert used.has_half == has_half


def test_what_has_cooled_down_by_then_is_free_when_another_begins_to_cool() -> None:
    """So that nothing is kept longer than it counts; that of others in line stays."""
    used = slots(4, answered=(0.0, 0.0, 1.0), in_flight=1)
    assert not used.has_half
    used.cool(math.nextafter(LAP, 0.0), answered=True)
    assert not used.has_half
    used = slots(4, answered=(0.0, 0.0, 0.0), in_flight=1)
    used.cool(LAP, answered=True)
    assert used.has_half


def test_slots_are_held_until_a_moment_and_count_as_used_till_then() -> None:
    """At that moment all of them are free; what is used of our own is another thing."""
    used = slots(3, answered=(0.0,))
    used.hold(2, 30.0)
    before = math.nextafter(30.0, 0.0)
    assert (used.opens_at(before), used.changes_at(before), used.free(before), used.used(before)) == (30.0, 30.0, 0, 1)
    assert (used.held, used.free(30.0), used.held, used.changes_at(30.0)) == (2, 2, 0, LAP)


def test_more_held_than_there_are_leaves_nothing_free() -> None:
    """Never less than none."""
    used = slots(3, in_flight=3)
    used.hold(2, 30.0)
    assert used.free(0.0) == 0


def test_the_next_slot_that_comes_back_is_the_first_of_both_kinds_and_of_what_is_held() -> None:
    """Whichever of them it is."""
    assert slots(answered=(3.0, 4.0), unanswered=(5.0,)).changes_at(10.0) == 3.0 + LAP
    assert slots(answered=(5.0,), unanswered=(3.0, 4.0)).changes_at(10.0) == 3.0 + LAP
    used = slots(answered=(5.0,))
    used.hold(1, 70.0)
    assert used.changes_at(10.0) == 5.0 + LAP


@pytest.mark.parametrize(("count", "left"), [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2)])
def test_the_newest_answers_are_kept_and_no_others(count: int, left: int) -> None:
    """What was not answered stays, and so does what is in flight."""
    used = slots(6, answered=(1.0, 2.0), unanswered=(0.0,), in_flight=1)
    used.keep_newest(count)
    assert used.used(10.0) == 2 + left
    assert list(used.returns(10.0)) == [LAP, *[[], [2.0 + LAP], [1.0 + LAP, 2.0 + LAP]][left]]


def test_slots_come_back_in_the_order_of_their_ends() -> None:
    """Where none cools, a whole window from now at the earliest."""
    assert list(slots(answered=(1.0, 3.0), unanswered=(2.0,)).returns(10.0)) == [1.0 + LAP, 2.0 + LAP, 3.0 + LAP]
    assert list(slots(answered=(1.0, 3.0)).returns(10.0)) == [1.0 + LAP, 3.0 + LAP]
    assert list(slots(in_flight=2).returns(10.0)) == list(slots().returns(10.0)) == [10.0 + LAP]


def test_the_oldest_answer_is_that_of_the_slot_that_comes_back_first() -> None:
    """What has cooled down counts no more; what was not answered never does."""
    used = slots(answered=(1.0, 3.0), unanswered=(0.0,))
    assert used.oldest_received(10.0) == pytest.approx(1.0)
    assert used.oldest_received(1.0 + LAP) == pytest.approx(3.0)
    assert used.oldest_received(3.0 + LAP) == math.inf


@pytest.mark.parametrize(
    ("ahead", "at"),
    [
        (0, 10.0),
        (1, 1.0 + LAP),
        (2, 2.0 + LAP),
        (3, 3.0 + LAP),
        (4, 10.0 + LAP),
        (5, 1.0 + 2 * LAP),
        (9, 1.0 + 3 * LAP),
    ],
)
def test_whoever_comes_takes_the_slot_that_those_before_leave(ahead: int, at: float) -> None:
    """Each slot serves once in a window; the one that is free now serves first, and next in a window."""
    assert slots(answered=(1.0, 3.0), unanswered=(2.0,)).earliest(10.0, ahead) == pytest.approx(at)


@pytest.mark.parametrize(("ahead", "at"), [(0, 1.0 + LAP), (1, 10.0 + LAP), (2, 1.0 + 2 * LAP)])
def test_a_slot_in_flight_comes_back_a_window_from_now_at_the_earliest(ahead: int, at: float) -> None:
    """Its response may come at once."""
    assert slots(2, answered=(1.0,), in_flight=1).earliest(10.0, ahead) == pytest.approx(at)


def test_what_has_cooled_down_is_free_for_whoever_comes() -> None:
    """Though nobody has looked since."""
    used = slots(1, answered=(0.0,))
    assert used.earliest(math.nextafter(LAP, 0.0), 0) == LAP
    assert used.earliest(LAP, 0) == LAP
    assert used.earliest(LAP + 5.0, 0) == LAP + 5.0
    assert used.earliest(LAP + 5.0, 1) == LAP + 5.0 + LAP
