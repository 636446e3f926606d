"""The state of an account, to the moment: by hand, without a loop."""

import math
from typing import Any

import pytest

from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._headers import Advice
from omeda_async.limits._reserve import Demand, Reserve
from omeda_async.limits._state import LimiterState, Permit

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
BOTH = RateLimit(Window(10, 1.0), Window(150, 60.0))


class Hands:
    """A state, and what one does with it, without anything that is random."""

    def __init__(self, *windows: Window, limit: RateLimit | None = None, **how: Any) -> None:
        self.state = LimiterState(limit or RateLimit(*windows, **how), lambda: 0.0)

    def take(self, now: float, lane: Priority = INTERACTIVE) -> Permit:
        """Grant an attempt that may go."""
        assert self.state.opens_at(now, lane) <= now
        return self.state.take(now, lane)

    def end(
        self, permit: Permit, now: float, status: int | None = 204, advice: Advice | None = None, **how: Any
    ) -> float:
        """End an attempt, and give the pause."""
        return self.state.complete(
            permit, now, **{"sent": True, "status": status, "advice": advice, "wait": None, **how}
        )

    def attempt(self, now: float, lane: Priority = INTERACTIVE, **how: Any) -> float:
        """Make an attempt that is answered at once, and give the pause."""
        return self.end(self.take(now, lane), now, **how)

    def believe(self, calls: int, ends: float | None = None) -> float:
        """Make ten attempts a second apart, so that the headers of a window are believed; give the time."""
        for count in range(1, 11):
            reset = None if ends is None else ends - count
            self.attempt(float(count), advice=Advice(calls, calls - count, reset, 0.01))
        return 10.0

    def headers(self, now: float) -> list[str]:
        """Say what the headers of each window are worth."""
        return [window.headers for window in self.state.view(now, {}, 1).windows]

    def held(self, now: float) -> list[int]:
        """Say what is held of each window."""
        return [window.held for window in self.state.view(now, {}, 1).windows]


def test_a_permit_can_be_used_until_it_is_given_back() -> None:
    """It does not lapse."""
    permit = Permit(INTERACTIVE, 5.0)
    assert (permit.lapses, permit.done, permit.is_over(), permit.probes) == (False, False, False, False)
    hands = Hands(limit=BOTH)
    permit = hands.take(5.0)
    hands.end(permit, 6.0)
    assert permit.done


def test_a_state_that_is_new_has_nothing_in_use() -> None:
    """Anybody may go."""
    hands = Hands(limit=BOTH)
    state, view = hands.state, hands.state.view(3.0, {}, 1)
    assert (state.in_flight, state.in_a_row, view.in_flight, view.refusals, view.paused_for) == (0, 0, 0, 0, 0.0)
    assert [state.opens_at(3.0, lane) for lane in Priority] == [-math.inf, -math.inf]
    assert (view.next_slot_in, view.next_bulk_in, view.pace, view.spacing) == (0.0, 0.0, None, 0.0)


# The reserve


@pytest.mark.parametrize("calls", [4, 5, 6])
def test_what_is_left_to_interactive_calls_goes_by_those_since_the_first_grant(calls: int) -> None:
    """They are remembered for three of the longest window; those of bulk are none."""
    hands, demand = Hands(Window(100, 60.0), Window(50, 10.0)), Demand(180.0)
    demand.begin(0.0)
    hands.attempt(0.0, BULK)
    times = [100.0 + 3.0 * number for number in range(calls)]
    for at in times:
        hands.attempt(at)
        demand.granted(at)
    now = times[-1] + 10.0
    kept = Reserve(2, 50, 60.0).kept(now, demand.rate(now), [at + 60.06 for at in times])
    assert kept > 2
    assert hands.state.view(now, {}, 1).windows[0].reserved == kept


def test_bulk_that_waits_for_the_reserve_looks_again_halfway() -> None:
    """It melts when no more interactive calls come."""
    hands = Hands(Window(10, 60.0))
    for at in range(6):
        hands.attempt(float(at))
    waits = hands.state.next_slot_in(10.0, BULK)
    assert waits is not None
    assert waits > 2.0
    assert hands.state.opens_at(10.0, BULK) == pytest.approx(10.0 + waits / 2)


def test_bulk_that_waits_for_a_reserve_that_does_not_melt_looks_again_when_slots_are_back() -> None:
    """No interactive calls come."""
    hands = Hands(Window(4, 60.0))
    for at in (1.0, 2.0):
        hands.attempt(at, BULK)
    assert hands.state.opens_at(10.0, BULK) == pytest.approx(61.06)
    assert hands.state.opens_at(10.0, INTERACTIVE) == -math.inf


@pytest.mark.parametrize(("answered", "at"), [(-0.001, 1.0), (0.0, 1.001)])
def test_bulk_that_waits_a_second_at_the_most_does_not_look_before(answered: float, at: float) -> None:
    """At 0.001 s the slot is back in exactly a second, or sooner."""
    hands = Hands(Window(4, 1.0))
    permits = [hands.take(-0.002) for _ in range(2)]
    for permit in permits:
        hands.end(permit, answered)
    assert hands.state.opens_at(0.001, BULK) == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize(("in_a_row", "waits"), [(0, True), (8, True), (9, False)])
def test_after_nine_interactive_grants_in_a_row_bulk_need_not_leave_anything(in_a_row: int, waits: bool) -> None:
    """Of ten it gets one, whatever is left."""
    hands = Hands(Window(4, 60.0))
    for at in (1.0, 2.0):
        hands.attempt(at, BULK)
    hands.state.in_a_row = in_a_row
    assert (hands.state.opens_at(10.0, BULK) > 10.0) == waits


def test_the_reserve_holds_at_the_moment_at_which_a_pause_ends() -> None:
    """It ends for interactive calls; those of bulk wait for slots."""
    hands = Hands(Window(4, 60.0))
    hands.attempt(1.0, BULK)
    assert hands.attempt(2.0, BULK, status=503, wait=3.0) == 3.0
    assert hands.state.opens_at(4.0, BULK) == hands.state.opens_at(4.0, INTERACTIVE) == 5.0
    assert hands.state.opens_at(5.0, INTERACTIVE) == 5.0
    assert hands.state.opens_at(5.0, BULK) == pytest.approx(61.06)


@pytest.mark.parametrize(
    ("parallel", "interactive", "bulk", "opens"),
    [
        (4, 0, 1, True),
        (4, 0, 2, False),
        (4, 1, 1, False),
        (4, 2, 0, True),
        (4, 3, 0, True),
        (5, 0, 2, True),
        (5, 0, 3, False),
    ],
)
def test_bulk_leaves_two_of_those_in_flight(parallel: int, interactive: int, bulk: int, opens: bool) -> None:
    """Unless none of it is in flight: then it may have one, whatever is left."""
    hands = Hands(parallel=parallel)
    for lane, count in ((BULK, bulk), (INTERACTIVE, interactive)):
        for _ in range(count):
            hands.take(0.0, lane)
    assert (hands.state.opens_at(1.0, BULK) <= 1.0) == opens
    assert hands.state.opens_at(1.0, INTERACTIVE) <= 1.0
    assert (hands.state.next_slot_in(1.0, BULK) is not None) == opens


def test_bulk_that_has_ended_or_was_passed_on_is_not_in_flight() -> None:
    """Two interactive ones alone do not keep bulk away."""
    hands = Hands(parallel=4)
    first, second = hands.take(0.0, BULK), hands.take(0.0, BULK)
    assert hands.state.opens_at(1.0, BULK) == math.inf
    hands.state.pass_on(first, 1.0)
    assert first.priority is INTERACTIVE
    assert hands.state.opens_at(1.0, BULK) == math.inf
    hands.state.pass_on(second, 1.0)
    assert hands.state.opens_at(1.0, BULK) <= 1.0
    third = hands.take(1.0, BULK)
    hands.end(first, 2.0)
    assert hands.state.opens_at(2.0, BULK) == math.inf
    hands.end(third, 2.0)
    hands.take(2.0)
    assert hands.state.opens_at(2.0, BULK) <= 2.0


def test_a_permit_that_is_passed_on_counts_as_an_interactive_call() -> None:
    """It is one that came."""
    hands, demand = Hands(Window(100, 60.0)), Demand(180.0)
    demand.begin(0.0)
    permits = [hands.take(0.0, BULK) for _ in range(9)]
    for permit in permits:
        hands.state.pass_on(permit, 0.0)
        demand.granted(0.0)
    kept = Reserve(2, 50, 60.0).kept(10.0, demand.rate(10.0), [70.06])
    assert kept > 2
    assert hands.state.view(10.0, {}, 1).windows[0].reserved == kept


# To find out whether the provider's window has ended


@pytest.mark.parametrize(
    ("reserve", "lane", "asks"), [(1, BULK, True), (2, BULK, True), (0, BULK, False), (2, INTERACTIVE, False)]
)
def test_one_of_bulk_finds_out_whether_the_window_has_ended_where_it_leaves_some(
    reserve: int, lane: Priority, asks: bool
) -> None:
    """Once; whoever has a slot in any case does not ask."""
    hands = Hands(Window(40, 60.0), interactive_reserve=reserve)
    hands.believe(40, ends=30.0)
    assert not hands.state.take(29.0, BULK).probes
    assert hands.state.take(31.0, lane).probes == asks
    assert not hands.state.take(31.0, lane).probes


def test_one_finds_out_at_a_time_and_the_next_when_it_has_ended() -> None:
    """While it is under way, nobody else goes without a slot."""
    hands = Hands(Window(10, 60.0))
    now = hands.believe(10, ends=30.0)
    ends = 30.0 + 0.07 + 0.05
    assert hands.state.opens_at(now, INTERACTIVE) == pytest.approx(ends)
    probe = hands.state.take(31.0, INTERACTIVE)
    assert probe.probes
    assert hands.state.opens_at(31.0, INTERACTIVE) == pytest.approx(61.06)
    for at in range(63, 72):
        permit = hands.take(float(at))
        assert not permit.probes
        hands.end(permit, float(at), advice=Advice(10, 10 - (at - 62), 90.0 - at, 0.01))
    assert hands.state.opens_at(72.0, INTERACTIVE) == pytest.approx(63.0 + 60.06)
    hands.end(probe, 72.0, status=None)
    assert hands.state.opens_at(72.0, INTERACTIVE) == pytest.approx(90.0 + 0.07 + 0.05)


# A pace


def test_with_a_pace_one_waits_for_its_turn_at_a_time() -> None:
    """The next one is granted when that has gone, or has given up; its turn comes then."""
    hands = Hands(pace=0.5)
    permit = hands.take(1.0)
    assert hands.state.opens_at(1.0, INTERACTIVE) == math.inf
    hands.state.went(permit, 2.0)
    assert (permit.granted_at, hands.state.opens_at(2.0, INTERACTIVE)) == (2.0, -math.inf)
    assert [hands.state.turn_at(2.1, ahead) for ahead in (0, 1, 3)] == [2.5, 3.0, 4.0]
    assert [hands.state.turn_at(9.0, ahead) for ahead in (0, 1)] == [9.0, 9.5]
    gives_up = hands.take(2.2)
    hands.end(permit, 2.3)
    assert hands.state.opens_at(2.3, INTERACTIVE) == math.inf
    hands.end(gives_up, 2.4, sent=False)
    assert hands.state.opens_at(2.4, INTERACTIVE) == -math.inf
    assert hands.state.turn_at(2.4) == 2.5


@pytest.mark.parametrize(
    ("waits", "comes", "in_a_row", "ahead"),
    [
        (BULK, INTERACTIVE, 0, 0),
        (BULK, INTERACTIVE, 8, 0),
        (BULK, INTERACTIVE, 9, 1),
        (BULK, BULK, 0, 1),
        (INTERACTIVE, INTERACTIVE, 0, 1),
        (INTERACTIVE, BULK, 0, 1),
    ],
)
def test_an_interactive_call_takes_the_turn_of_one_of_bulk(
    waits: Priority, comes: Priority, in_a_row: int, ahead: int
) -> None:
    """Unless nine of them have gone in a row; nobody else overtakes."""
    hands = Hands(pace=0.5)
    hands.state.went(hands.take(1.0), 1.0)
    hands.take(1.0, waits)
    hands.state.in_a_row = in_a_row
    assert hands.state.earliest(1.1, 0, comes) == pytest.approx(1.5 + 0.5 * ahead)
    assert hands.state.earliest(1.1, 2, comes) == pytest.approx(2.5 + 0.5 * ahead)
    slot = LimiterState.next_slot_in(hands.state, 1.1, comes)
    assert slot == pytest.approx(0.4 + 0.5 * ahead)


# What was before


def test_what_is_remembered_holds_slots_until_it_is_a_window_old() -> None:
    """Of the minute it is held when the second is over."""
    hands = Hands(limit=BOTH)
    hands.state.remember(20, 0.5, 10.0)
    assert hands.held(10.0) == [10, 20]
    assert hands.state.opens_at(10.0, INTERACTIVE) == pytest.approx(10.501)
    assert hands.held(10.6) == [0, 20]
    assert hands.held(69.5) == [0, 20]
    assert hands.held(69.57) == [0, 0]


def test_what_is_remembered_does_not_make_less_of_what_is_held() -> None:
    """The larger number counts; what is exactly a window old by then holds nothing, and frees nothing."""
    hands = Hands(Window(100, 64.0))
    hands.state.remember(3, 0.0, 10.0)
    hands.state.remember(2, 4.0, 10.0)
    assert hands.held(10.0) == [3]
    lap = 64.0 * 1.001
    hands.state.remember(5, lap, 10.0)
    hands.state.remember(5, lap + 1.0, 10.0)
    assert hands.held(10.0) == [3]
    hands.state.remember(5, 0.0, 10.0)
    assert hands.held(10.0) == [5]


# What ends


def test_what_never_left_costs_nothing() -> None:
    """Neither a slot nor a place in flight, nor a pause."""
    hands = Hands(Window(1, 60.0), parallel=1)
    assert hands.end(hands.take(1.0), 1.0, sent=False) == 0.0
    assert hands.end(hands.take(1.0), 1.0, sent=False, status=None) == 0.0
    assert hands.state.view(1.0, {}, 1).used == hands.state.in_flight == 0


def test_what_was_not_answered_keeps_its_slot_for_a_window() -> None:
    """And asks for no pause."""
    hands = Hands(Window(1, 60.0))
    assert hands.attempt(1.0, status=None) == 0.0
    assert hands.state.opens_at(5.0, INTERACTIVE) == pytest.approx(61.06)


def test_a_wait_of_nothing_is_no_pause() -> None:
    """And tells nothing of one that goes on."""
    hands = Hands(limit=BOTH)
    first, second, third = (hands.take(1.0) for _ in range(3))
    assert hands.end(first, 1.0, status=503, wait=5.0) == 5.0
    assert hands.end(second, 2.0, status=503, wait=0.0) == 0.0
    assert hands.end(third, 2.0, status=503) == 0.0
    assert hands.state.view(2.0, {}, 1).paused_for == 4.0
    assert hands.state.opens_at(2.0, INTERACTIVE) == 6.0


@pytest.mark.parametrize(
    ("wait", "doubted"),
    [
        (None, [True, True]),
        (0.0, [True, True]),
        (0.5, [True, False]),
        (2.0, [True, False]),
        (2.1, [True, True]),
        (-1.0, [False, False]),
    ],
)
def test_a_short_wait_says_nothing_against_the_headers_of_a_longer_window(
    wait: float | None, doubted: list[bool]
) -> None:
    """One for too many in flight says nothing against any; the others, against all."""
    hands = Hands(Window(10, 2.0), Window(150, 60.0))
    refused = hands.take(1.0)
    hands.attempt(1.0, advice=Advice(10, 8, None, 0.0))
    hands.attempt(1.1, advice=Advice(150, 147, None, 0.0))
    hands.end(refused, 1.2, status=429, wait=wait)
    assert [one == "doubted" for one in hands.headers(1.2)] == doubted
    if doubted == [True, True]:
        assert hands.headers(1.2 + 2.01) == ["advice", "doubted"]
        assert hands.headers(1.2 + 60.07) == ["advice", "advice"]


@pytest.mark.parametrize(("wait", "doubted"), [(1.0, [True, False]), (1.1, [True, True])])
def test_a_second_is_short_though_the_shortest_window_is_shorter(wait: float, doubted: list[bool]) -> None:
    """Providers round to whole seconds."""
    hands = Hands(Window(10, 0.5), Window(150, 60.0))
    refused = hands.take(1.0)
    hands.attempt(1.0, advice=Advice(10, 8, None, 0.0))
    hands.attempt(1.1, advice=Advice(150, 147, None, 0.0))
    hands.end(refused, 1.2, status=429, wait=wait)
    assert [one == "doubted" for one in hands.headers(1.2)] == doubted


def test_after_a_refusal_the_learned_pace_is_kept_to() -> None:
    """Each attempt uses a part of it; before the refusal there is none."""
    hands = Hands(limit=BOTH)
    hands.attempt(0.0)
    assert hands.state.view(0.0, {}, 1).pace is None
    assert hands.attempt(0.0, status=429, wait=2.0) == 2.0
    assert hands.state.opens_at(1.0, INTERACTIVE) == 2.0
    one = hands.take(2.0)
    assert hands.state.opens_at(2.0, INTERACTIVE) == math.inf
    hands.end(one, 3.0)
    view = hands.state.view(3.0, {}, 1)
    assert (view.refusals, view.pace) == (1, 2.5)
    assert hands.state.opens_at(3.0, INTERACTIVE) == pytest.approx(3.0 + 4 / 2.5)
    hands.take(5.0)
    assert hands.state.opens_at(5.0, INTERACTIVE) == pytest.approx(5.0 + 1 / 2.5)
    hands.take(6.0)
    assert hands.state.opens_at(6.0, INTERACTIVE) == pytest.approx(6.0 + 1 / 2.5)


# What headers say


def test_what_a_window_counts_beyond_ours_is_held_for_others() -> None:
    """For a window; our own that cool or are in flight explain the rest."""
    hands = Hands(limit=BOTH)
    in_flight = hands.take(1.0)
    hands.attempt(1.0)
    hands.attempt(2.0, advice=Advice(150, 140, None, 0.0))
    assert hands.held(2.0) == [0, 7]
    hands.attempt(3.0, advice=Advice(150, 148, None, 0.0))
    assert hands.held(3.0) == [0, 0]
    hands.end(in_flight, 4.0, advice=Advice(150, 100, None, 0.0))
    assert hands.held(4.0) == [0, 0]


def test_headers_that_are_believed_free_what_the_provider_does_not_count() -> None:
    """It counts one, and two more have been answered since that left: three may be in its window, and one in flight."""
    hands = Hands(Window(40, 60.0), interactive_reserve=0)
    hands.believe(40, ends=30.0)
    probe = hands.take(31.0)
    hands.attempt(31.0)
    hands.attempt(31.0)
    hands.take(31.0)
    hands.end(probe, 31.5, advice=Advice(40, 39, 58.5, 0.01))
    assert hands.headers(31.5) == ["trusted"]
    assert hands.state.view(31.5, {}, 1).used == 4


@pytest.mark.parametrize(("growth", "headers"), [(9, "trusted"), (10, "advice")])
def test_many_more_than_ours_since_the_last_response_discredit_the_headers(growth: int, headers: str) -> None:
    """Two of ours may have been counted between: twice as many, and five."""
    hands = Hands(Window(100, 60.0))
    hands.believe(100)
    hands.attempt(11.0, advice=Advice(100, 90 - growth, None, 0.0))
    assert hands.headers(11.0) == [headers]


@pytest.mark.parametrize(("growth", "headers"), [(13, "trusted"), (14, "advice")])
def test_those_in_flight_may_have_been_counted_too(growth: int, headers: str) -> None:
    """Two of them."""
    hands = Hands(Window(100, 60.0))
    hands.believe(100)
    one, *_ = [hands.take(11.0) for _ in range(3)]
    hands.end(one, 11.0, advice=Advice(100, 90 - growth, None, 0.0))
    assert hands.headers(11.0) == [headers]


@pytest.mark.parametrize(("counted", "headers"), [(13, "doubted"), (14, "trusted")])
def test_a_counter_that_shows_no_more_than_was_counted_before_has_begun_anew(counted: int, headers: str) -> None:
    """Though it is more than the last response said; before its time that is doubtful."""
    hands = Hands(Window(100, 60.0))
    hands.believe(100, ends=60.0)
    for before, permit in enumerate([hands.take(11.0) for _ in range(3)], 11):
        hands.end(permit, 11.0, advice=Advice(100, 100 - before, 49.0, 0.01))
    hands.attempt(12.0, advice=Advice(100, 100 - counted, 48.0, 0.01))
    assert hands.headers(12.0) == [headers]


def test_a_counter_that_begins_anew_may_have_counted_what_is_in_flight() -> None:
    """So that what comes then is more than nothing, and does not begin anew again."""
    hands = Hands(Window(40, 60.0))
    hands.believe(40, ends=30.0)
    late, *_ = (hands.take(31.0) for _ in range(3))
    first = hands.take(31.0)
    hands.end(first, 31.5, advice=Advice(40, 39, 58.5, 0.01))
    hands.end(late, 32.0, advice=Advice(40, 38, 58.0, 0.01))
    hands.attempt(33.0, advice=Advice(40, 38, 57.0, 0.01))
    assert hands.headers(33.0) == ["trusted"]


def test_a_response_from_before_the_limits_were_tightened_says_nothing() -> None:
    """It speaks of other windows; one of a later attempt does."""
    hands = Hands(Window(40, 60.0))
    old = hands.take(1.0)
    hands.state.tighten(RateLimit(Window(30, 60.0)), 1.0)
    new = hands.take(1.0)
    hands.end(old, 2.0, advice=Advice(30, 20, None, 0.0))
    assert hands.headers(2.0) == ["unseen"]
    hands.end(new, 2.0, advice=Advice(30, 20, None, 0.0))
    assert hands.headers(2.0) == ["advice"]


@pytest.mark.parametrize(
    ("reset", "slack", "seconds"), [(None, 0.0, 1.0), (5.0, 0.0, 5.0), (5.0, 1.0, 6.0), (500.0, 0.0, 60.0)]
)
def test_a_limit_of_no_window_of_ours_holds_until_its_reset(reset: float | None, slack: float, seconds: float) -> None:
    """For the shortest window where it says none, and the longest at most; at that moment it is over."""
    hands = Hands(limit=BOTH)
    hands.attempt(2.0, advice=Advice(7, 0, reset, slack))
    until = 2.0 + seconds
    assert hands.state.opens_at(2.0, INTERACTIVE) == until
    assert hands.state.opens_at(math.nextafter(until, 0.0), INTERACTIVE) == until
    assert hands.state.opens_at(until, INTERACTIVE) == -math.inf


def test_such_a_limit_holds_though_another_reading_is_over() -> None:
    """At the moment at which the second's is."""
    hands = Hands(limit=BOTH)
    hands.attempt(0.0, advice=Advice(10, 9, None, 0.0))
    hands.attempt(0.5, advice=Advice(7, 0, 5.0, 0.0))
    assert hands.state.opens_at(0.6, INTERACTIVE) == 1.0 * 1.001
    assert hands.state.opens_at(1.0 * 1.001, INTERACTIVE) == 5.5


def test_such_a_limit_lets_go_what_it_says_is_left() -> None:
    """Less what was in flight when it left."""
    hands = Hands(limit=BOTH)
    hands.take(2.0)
    hands.attempt(2.0, advice=Advice(7, 3, 5.0, 0.0))
    for _ in range(2):
        hands.take(2.0)
    assert hands.state.opens_at(2.0, INTERACTIVE) == 7.0


def test_after_a_refusal_headers_leave_one_to_others_until_they_are_over() -> None:
    """Those of all windows and of none of ours, whichever says least."""
    hands = Hands(Window(10, 4.0), Window(100, 60.0), interactive_reserve=0)
    hands.attempt(0.0, status=429, wait=0.25)
    hands.attempt(0.25, advice=Advice(10, 3, None, 0.0))
    hands.attempt(0.25, advice=Advice(100, 50, None, 0.0))
    assert hands.state.opens_at(0.25, INTERACTIVE) < 4.0
    hands.state.take(0.25, INTERACTIVE)
    assert hands.state.opens_at(0.25, INTERACTIVE) == pytest.approx(0.25 + 4.004)


def test_after_a_refusal_a_limit_of_no_window_of_ours_is_kept_to_likewise() -> None:
    """At the moment at which it is over, the learned pace counts alone."""
    hands = Hands(limit=BOTH)
    hands.attempt(0.0, status=429, wait=1.0)
    hands.attempt(1.0, advice=Advice(7, 1, 19.0, 0.0))
    assert hands.state.opens_at(5.0, INTERACTIVE) == 20.0
    assert hands.state.opens_at(20.0, INTERACTIVE) < 20.0
    assert [hands.state.view(at, {}, 1).pace for at in (19.0, 20.0)] == [None, 2.5]


def test_a_limiter_that_was_refused_with_something_left_goes_on_briskly_while_that_lasts() -> None:
    """And steadily when the headers say nothing of the present."""
    hands = Hands(limit=BOTH)
    two = [hands.take(0.0) for _ in range(2)]
    hands.end(two[0], 0.0, advice=Advice(150, 100, None, 0.0))
    hands.end(two[1], 0.1, status=429, wait=1.0)
    hands.attempt(1.1, advice=Advice(150, 99, None, 0.0))
    assert hands.state.view(1.2, {}, 1).pace == pytest.approx(8.0)
    assert hands.state.view(62.0, {}, 1).pace is None


def test_another_source_of_chance_jitters_the_pauses() -> None:
    """From then on."""
    hands = Hands(limit=BOTH)

    def greatest() -> float:
        return 1.0

    hands.state.draw_from(greatest)
    assert hands.state.uniform is greatest
    assert hands.attempt(1.0, status=503, wait=5.0) == 5.5


def test_a_window_that_is_new_holds_what_has_ended_before() -> None:
    """When that went is not known any more: it counts for a window, and what is in flight counts on."""
    hands = Hands(Window(40, 60.0))
    hands.state.tighten(RateLimit(Window(30, 30.0)), 1.0)
    assert hands.held(1.0) == [0]
    hands = Hands(Window(40, 60.0))
    hands.attempt(1.0)
    hands.attempt(1.0)
    hands.take(1.0)
    hands.state.tighten(RateLimit(Window(30, 20.0)), 2.0)
    assert hands.held(2.0)[0] == 2
    assert hands.state.view(2.0, {}, 1).windows[0].used == 1
    assert hands.held(2.0 + 20.01)[0] == 2
    assert hands.held(2.0 + 20.03)[0] == 0
