"""What limits may say, to the last value that is allowed, and what they make of it."""

import math

import pytest

from omeda_async.errors import ConfigurationError
from omeda_async.limits import RateLimit, Window

LEAST = 1e-9
"""Seconds: no window is shorter, and no pace."""


def test_the_shortest_window_and_pace_are_allowed_and_nothing_shorter() -> None:
    """The number that errors name is one of those that may be given."""
    assert Window(1, LEAST).seconds == LEAST
    assert RateLimit(pace=LEAST).pace == LEAST
    for shorter in (math.nextafter(LEAST, 0.0), LEAST / 2, 0.0, -LEAST):
        with pytest.raises(ConfigurationError, match=r"Window\.seconds must be a finite number above 0, from 1e-09"):
            Window(1, shorter)
        with pytest.raises(ConfigurationError, match=r"RateLimit\.pace must be a finite number above 0, from 1e-09"):
            RateLimit(pace=shorter)


def test_a_limit_needs_one_of_windows_cap_and_pace() -> None:
    """A reserve of nothing is none."""
    for limit in (RateLimit(Window(1, 1.0)), RateLimit(parallel=1), RateLimit(pace=0.5)):
        assert limit.interactive_reserve == 2
    with pytest.raises(ConfigurationError, match="give at least one window"):
        RateLimit(interactive_reserve=1)


def test_a_reserve_may_be_none_but_not_less() -> None:
    """However it is given."""
    limit = RateLimit(Window(10, 1.0), interactive_reserve=0)
    assert RateLimit.parse("10/1,interactive_reserve=0") == limit
    with pytest.raises(ConfigurationError, match="interactive_reserve"):
        RateLimit(Window(10, 1.0), interactive_reserve=-1)
    with pytest.raises(ConfigurationError, match="interactive_reserve must be a whole number in digits, not '-1'"):
        RateLimit.parse("10/1,interactive_reserve=-1")


@pytest.mark.parametrize(("calls", "left"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (100, 2)])
def test_a_reserve_is_half_of_the_slots_at_the_most(calls: int, left: int) -> None:
    """Two of four or more."""
    assert RateLimit(Window(calls, 1.0)).reserve_of(calls) == left


def test_the_tighter_of_two_limits_has_the_longer_pace_the_lower_cap_and_the_larger_reserve() -> None:
    """Whichever of them each is from, and whichever comes first."""
    one = RateLimit(pace=0.5, parallel=3, interactive_reserve=1)
    two = RateLimit(pace=0.2, parallel=2, interactive_reserve=4)
    both = RateLimit(pace=0.5, parallel=2, interactive_reserve=4)
    assert one.tighter(two) == two.tighter(one) == both
    assert one.tighter(RateLimit(Window(1, 1.0), interactive_reserve=0)) == RateLimit(
        Window(1, 1.0), pace=0.5, parallel=3, interactive_reserve=1
    )


def test_a_repr_shows_what_is_given_and_no_usual_reserve() -> None:
    """It can be pasted."""
    window = "RateLimit(Window(10, 1)"
    assert repr(RateLimit(Window(10, 1.0), parallel=3, pace=0.5)) == f"{window}, parallel=3, pace=0.5)"
    assert repr(RateLimit(Window(10, 1.0), interactive_reserve=2)) == f"{window})"
    assert repr(RateLimit(Window(10, 1.0), interactive_reserve=3)) == f"{window}, interactive_reserve=3)"
