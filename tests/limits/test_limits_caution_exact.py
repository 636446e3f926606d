"""What refusals teach, to the moment and the number: by hand, without a loop."""

import math

import pytest

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._caution import Caution, Pace, Stage, middle

BOTH = RateLimit(Window(10, 1.0), Window(150, 60.0))
TOO_MANY = -1.0


def caution(limit: RateLimit = BOTH) -> Caution:
    """Make a caution whose pauses are as long as they are asked for."""
    return Caution(limit, lambda: 0.0)


def careful(left: int | None = None, limit: RateLimit = BOTH) -> Caution:
    """Make one that was refused at 10 s, paused for 5 s, and was accepted at 15 s."""
    made = caution(limit)
    assert made.refused(9.0, 10.0, 5.0, 0, left) == 5.0
    made.accepted(15.0, 15.0)
    assert made.stage is Stage.CAREFUL
    return made


def test_the_middle_of_all_chances_is_one_half() -> None:
    """What jitters by it, jitters by half."""
    assert middle() == 0.5
    assert Caution(BOTH).pause(0.0, 5.0) == 5.25


def test_before_a_refusal_nothing_is_held_back() -> None:
    """Neither by a pause nor by a pace; what is left is enough as long as it is something."""
    new = caution(RateLimit(parallel=3))
    assert (new.parallel, new.refusals, new.stage, new.pace(None), new.pace(5)) == (3, 0, Stage.FREE, None, None)
    assert [new.opens_at(in_flight) for in_flight in (0, 1)] == [-math.inf, -math.inf]
    assert [new.is_enough(left) for left in (0, 1)] == [False, True]


# A learned pace


def test_a_pace_goes_on_from_when_the_next_attempt_may_go() -> None:
    """Or from now, if that is later."""
    pace = Pace(2.0, 60.0)
    assert pace.next_at == 0.0
    pace.rest(10.0)
    pace.spend(10.0)
    assert pace.next_at == 10.5
    pace.spend(10.2)
    assert pace.next_at == 11.0
    pace.spend(20.0)
    assert pace.next_at == 20.5


def test_a_pace_grows_by_a_twentieth_of_its_first_rate_after_each_while_without_a_refusal() -> None:
    """Each while begins when the one before is over."""
    pace = Pace(2.0, 60.0)
    pace.rest(10.0)
    rates = []
    for at in (69.9, 70.0, 129.9, 130.0, 130.1):
        pace.spend(at)
        rates.append(pace.rate)
    assert rates == pytest.approx([2.0, 2.1, 2.1, 2.2, 2.2])


def test_the_first_while_begins_with_the_clock() -> None:
    """Where there was no rest."""
    pace = Pace(2.0, 60.0)
    pace.spend(59.5)
    assert pace.rate == 2.0
    pace.spend(60.0)
    assert pace.rate == pytest.approx(2.1)


def test_a_pace_that_was_refused_loses_what_it_has_grown_or_else_a_fifth() -> None:
    """And grows more slowly."""
    pace = Pace(2.0, 60.0)
    pace.spend(60.0)
    pace.spend(120.0)
    assert pace.rate == pytest.approx(2.2)
    pace.slow_down()
    assert (pace.rate, pace.patience) == pytest.approx((2.0, 120.0))
    pace.slow_down()
    assert (pace.rate, pace.patience) == pytest.approx((1.6, 240.0))
    pace.slow_down()
    assert (pace.rate, pace.patience) == pytest.approx((1.28, 480.0))


def test_a_pace_does_not_fall_below_a_twentieth_and_waits_an_hour_at_most() -> None:
    """However often it is refused."""
    pace = Pace(2.0, 60.0)
    for _ in range(50):
        pace.slow_down()
    assert (pace.rate, pace.patience) == pytest.approx((0.1, 3600.0))


# A refusal


def test_a_refusal_pauses_all_and_lets_one_go_at_a_time() -> None:
    """Until one that was granted then or later is accepted."""
    made = caution()
    assert made.refused(9.0, 10.0, 5.0, 2, None) == 5.0
    assert (made.refusals, made.stage) == (1, Stage.ONE_BY_ONE)
    assert [made.opens_at(in_flight) for in_flight in (0, 1)] == [15.0, math.inf]
    stages = []
    for granted_at in (9.9, 10.0):
        made.accepted(granted_at, 15.1)
        stages.append(made.stage)
    assert stages == [Stage.ONE_BY_ONE, Stage.CAREFUL]
    assert [made.opens_at(in_flight) for in_flight in (0, 1)] == [15.0, 15.0]


def test_pauses_that_nobody_asked_for_double_with_each_refusal_of_one_that_went_after_the_last() -> None:
    """Up to a minute; those of one burst are one refusal."""
    made, now, pauses = caution(), 10.0, []
    for _ in range(9):
        pauses.append(made.refused(now, now, None, 0, None))
        assert made.refused(now - 1.0, now, None, 0, None) == pauses[-1]
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(2000):
        now += made.refused(now, now, None, 0, None)
    assert made.paused_until == now


def test_after_one_was_accepted_pauses_begin_anew() -> None:
    """With a second."""
    made = caution()
    now = 10.0 + made.refused(10.0, 10.0, None, 0, None)
    now += made.refused(now, now, None, 0, None)
    made.accepted(now, now)
    assert made.refused(now, now, None, 0, None) == 1.0


def test_one_that_went_before_a_pause_is_no_refusal_of_its_own() -> None:
    """Where nothing has been refused before, it begins one, from now on."""
    made = caution()
    made.pause(8.0, 4.0)
    assert made.refused(9.0, 10.0, None, 0, None) == 2.0
    assert (made.stage, made.steady) == (Stage.ONE_BY_ONE, None)
    stages = []
    for granted_at in (9.5, 10.0):
        made.accepted(granted_at, 12.0)
        stages.append(made.stage)
    assert stages == [Stage.ONE_BY_ONE, Stage.CAREFUL]


def test_one_that_went_at_the_end_of_a_pause_is_a_refusal_of_its_own() -> None:
    """It went by what is known."""
    made = caution()
    assert made.refused(10.0, 10.0, 5.0, 0, None) == 5.0
    made.accepted(15.0, 15.0)
    assert made.steady is not None
    rate = made.steady.rate
    assert made.refused(15.0, 15.0, 5.0, 0, None) == 5.0
    assert made.steady.rate == pytest.approx(0.8 * rate)


def test_a_late_refusal_of_an_earlier_one_leaves_where_the_episode_began() -> None:
    """What is accepted after that still ends it."""
    made = careful()
    made.refused(14.0, 20.0, 1.0, 0, None)
    stages = [made.stage]
    made.accepted(15.0, 20.5)
    assert [*stages, made.stage] == [Stage.ONE_BY_ONE, Stage.CAREFUL]


@pytest.mark.parametrize(("asked", "longer"), [(5.0, 0.5), (10.0, 1.0), (50.0, 1.0)])
def test_a_pause_is_longer_by_a_tenth_or_a_second_at_most(asked: float, longer: float) -> None:
    """With the greatest chance."""
    assert Caution(BOTH, lambda: 1.0).pause(0.0, asked) == asked + longer


# Careful


def test_without_headers_what_the_windows_allow_for_ever_is_the_pace() -> None:
    """After a breather of four attempts; it can grow after the longest window."""
    made = careful()
    assert made.steady is not None
    assert (made.brisk, made.pace(None), made.pace(5)) == (None, made.steady, None)
    assert (made.steady.rate, made.steady.patience) == (2.5, 60.0)
    assert made.steady.next_at == 15.0 + 4 / 2.5


def test_with_something_left_the_pace_is_less_than_the_briskest_by_a_fifth() -> None:
    """That of the headers' absence stays unknown."""
    made = careful(left=5)
    assert made.brisk is not None
    assert (made.steady, made.pace(5), made.pace(None)) == (None, made.brisk, None)
    assert (made.brisk.rate, made.brisk.patience) == (8.0, 60.0)
    assert made.brisk.next_at == 15.0 + 4 / 8.0


def test_with_nothing_left_it_is_no_matter_of_the_brisk_pace() -> None:
    """The headers have said so."""
    made = careful(left=0)
    assert made.brisk is None
    assert made.steady is not None


def test_without_windows_the_pace_is_less_than_the_one_that_was_set_by_a_fifth() -> None:
    """That one was too fast."""
    made = careful(limit=RateLimit(pace=0.5))
    assert made.steady is not None
    assert made.steady.rate == 1.6


def test_a_careful_limiter_leaves_one_to_others() -> None:
    """Of what remains by the headers."""
    made = careful()
    assert [made.is_enough(left) for left in (1, 2)] == [False, True]


def test_each_attempt_goes_by_the_pace_that_applies() -> None:
    """The other one does not move."""
    made = careful()
    made.refused(20.0, 20.0, 1.0, 0, 5)
    made.accepted(21.0, 21.0)
    assert made.steady is not None
    assert made.brisk is not None
    steady, brisk = made.steady.next_at, made.brisk.next_at
    assert (steady, brisk) == (21.0 + 4 / 2.5, 21.0 + 4 / 8.0)
    made.granted(30.0, 5)
    assert (made.steady.next_at, made.brisk.next_at) == (steady, 30.0 + 1 / 8.0)
    made.granted(30.0, None)
    assert (made.steady.next_at, made.brisk.next_at) == (30.0 + 1 / 2.5, 30.0 + 1 / 8.0)


def test_while_one_goes_at_a_time_no_pace_applies_and_a_refusal_says_nothing_of_it() -> None:
    """That one was refused before the pace counted."""
    made = careful()
    made.refused(20.0, 20.0, 1.0, 0, None)
    assert made.steady is not None
    assert (made.pace(None), made.steady.rate) == (None, 2.0)
    made.refused(21.0, 21.0, 1.0, 0, None)
    assert made.steady.rate == 2.0


# Too many in flight


@pytest.mark.parametrize(("in_flight", "parallel"), [(9, 5), (8, 4), (2, 1), (1, 1), (0, 1)])
def test_too_many_in_flight_halves_the_cap(in_flight: int, parallel: int) -> None:
    """Of those that are in flight and the refused one, and never to less than one."""
    made = caution(RateLimit(parallel=20))
    pause = made.refused(9.0, 10.0, TOO_MANY, in_flight, None)
    assert (made.parallel, made.refusals, made.stage) == (parallel, 1, Stage.FREE)
    assert pause == (0.0 if in_flight else 0.5)
    assert made.opens_at(1) == (math.inf if in_flight else 10.5)
    assert made.opens_at(0) == (-math.inf if in_flight else 10.5)


def test_a_pause_for_too_many_with_none_in_flight_is_up_to_a_second_and_its_jitter() -> None:
    """With the greatest chance."""
    made = Caution(RateLimit(parallel=20), lambda: 1.0)
    assert made.refused(9.0, 10.0, TOO_MANY, 0, None) == pytest.approx(1.1)


@pytest.mark.parametrize("how", ["accepted", "ended"])
def test_after_too_many_the_next_goes_when_one_has_ended(how: str) -> None:
    """With an answer or without."""
    made = caution(RateLimit(parallel=20))
    made.refused(9.0, 10.0, TOO_MANY, 9, None)
    assert made.opens_at(8) == math.inf
    if how == "accepted":
        made.accepted(9.0, 11.0)
    else:
        made.ended()
    assert made.opens_at(8) == -math.inf


def test_a_cap_is_halved_once_for_those_that_went_before() -> None:
    """One that went at the moment of the first refusal went before it."""
    made = caution(RateLimit(parallel=20))
    made.refused(9.0, 10.0, TOO_MANY, 9, None)
    made.refused(10.0, 10.5, TOO_MANY, 0, None)
    assert made.parallel == 5
    assert made.opens_at(1) == 11.0
    made.refused(10.1, 12.0, TOO_MANY, 3, None)
    assert made.parallel == 2


def test_a_cap_that_was_halved_grows_by_one_after_as_many_as_it_is_were_accepted() -> None:
    """Up to what was set; another refusal begins anew."""
    made, caps = caution(RateLimit(parallel=4)), []
    made.refused(9.0, 10.0, TOO_MANY, 3, None)
    for _ in range(7):
        caps.append(made.parallel)
        made.accepted(9.0, 11.0)
    assert caps == [2, 2, 3, 3, 3, 4, 4]
    assert made.parallel == 4
    made.refused(12.0, 12.0, TOO_MANY, 3, None)
    made.accepted(12.0, 13.0)
    made.refused(13.0, 13.0, TOO_MANY, 3, None)
    made.accepted(13.0, 14.0)
    assert made.parallel == 2
    made.accepted(13.0, 14.0)
    assert made.parallel == 3


def test_a_cap_that_was_not_set_grows_on() -> None:
    """The provider has said that there is one."""
    made = caution()
    assert made.parallel is None
    made.refused(9.0, 10.0, TOO_MANY, 1, None)
    for _ in range(3):
        made.accepted(9.0, 11.0)
    assert made.parallel == 3
