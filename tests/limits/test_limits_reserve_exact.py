"""What bulk leaves free, to the slot and the moment: the arithmetic by hand."""

import math

import pytest

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._reserve import Demand, Reserve

MEMORY = 180.0
LONG = Reserve(2, 20, 60.0)
"""Of a minute of 40 calls: two at least, half at most."""


def remembered(calls: float, seconds: float) -> float:
    """Return the slots a second of so many calls of the last seconds, when nine of ten grants are theirs."""
    return calls / (MEMORY * (1 - math.exp(-seconds / MEMORY))) * 10 / 9


def test_who_has_asked_for_nothing_is_expected_to_ask_for_nothing() -> None:
    """Before the first grant, and where all were of bulk."""
    demand = Demand(MEMORY)
    assert demand.rate(5.0) == 0.0
    demand.begin(5.0)
    assert demand.rate(5.0) == demand.rate(50.0) == 0.0


def test_calls_count_for_less_the_longer_ago_they_were() -> None:
    """By a part of e after the time for which they are remembered; asking changes nothing."""
    demand = Demand(MEMORY)
    demand.begin(100.0)
    for _ in range(3):
        demand.granted(100.0)
    assert demand.rate(160.0) == pytest.approx(remembered(3, 60.0))
    for later in (160.0, 340.0, 340.0):
        assert demand.rate(later) == pytest.approx(remembered(3 * math.exp((160.0 - later) / MEMORY), later - 100.0))


def test_in_the_first_second_the_calls_are_those_of_a_second() -> None:
    """A burst at the beginning is no rate yet."""
    demand = Demand(MEMORY)
    demand.begin(100.0)
    demand.granted(100.0)
    for seconds in (0.0, 0.5, 1.0, 2.0):
        calls = math.exp(-seconds / MEMORY)
        assert demand.rate(100.0 + seconds) == pytest.approx(remembered(calls, max(1.0, seconds)))


@pytest.mark.parametrize(("second", "weight"), [(101.0, 2.0), (101.01, 2.0 * math.exp((101.01 - 110.0) / MEMORY))])
def test_calls_of_one_second_are_weighed_together(second: float, weight: float) -> None:
    """Those of more than a second are weighed when the next one comes."""
    demand = Demand(MEMORY)
    demand.begin(100.0)
    demand.granted(100.5)
    demand.granted(second)
    assert demand.rate(110.0) == pytest.approx(remembered(weight, 10.0))


@pytest.mark.parametrize(
    ("window", "reserve", "made"),
    [
        (Window(40, 60.0), 2, Reserve(2, 20, 60.0)),
        (Window(3, 60.0), 2, Reserve(1, 1, 60.0)),
        (Window(10, 1.0), 2, Reserve(2, 5, 0.0)),
        (Window(10, 1.01), 0, Reserve(0, 5, 1.01)),
    ],
)
def test_the_reserve_of_a_window_is_half_of_it_at_the_most(window: Window, reserve: int, made: Reserve) -> None:
    """Of a second or less it is a fixed number."""
    assert Reserve.of(RateLimit(window, interactive_reserve=reserve), window) == made


@pytest.mark.parametrize(
    ("spare", "returns", "at"),
    [
        (19, [100.0], -math.inf),
        (11, [100.0], 100.0 - 4.0 / 0.15),
        (11, [100.0, 110.0], 110.0 - 4.624 / 0.15),
        (11, [100.0, 130.0], 130.0 - 4.624 / 0.15),
        (2, [100.0], 99.0),
        (1, [100.0], 100.0),
        (0, [100.0, 101.0], 101.0),
        (18, [100.0, 500.0], 100.0 - 8.648 / 0.15),
    ],
)
def test_bulk_goes_when_what_is_left_is_likely_to_do_until_slots_come_back(
    spare: int, returns: list[float], at: float
) -> None:
    """Nine calls that are to be expected are 17 at most: as likely, nine left beyond two are used by four."""
    assert LONG.opens_at(spare, 9.0 / 60.0, returns) == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize(("spare", "at"), [(20, -math.inf), (19, 100.0 - 1.0)])
def test_bulk_leaves_half_of_a_window_at_the_most(spare: int, at: float) -> None:
    """However many calls are to be expected."""
    assert LONG.opens_at(spare, 1000.0, [100.0]) == at


@pytest.mark.parametrize(("spare", "at"), [(2, -math.inf), (1, 100.0), (0, 110.0)])
def test_without_interactive_calls_bulk_leaves_the_fixed_number(spare: int, at: float) -> None:
    """It waits for as many slots as are missing."""
    assert LONG.opens_at(spare, 0.0, [100.0, 110.0, 120.0]) == at


@pytest.mark.parametrize(
    ("rate", "returns", "kept"),
    [
        (0.0, [14.0], 2),
        (1.0, [14.0], 11),
        (1.0, [14.0, 19.0], 18),
        (1.0, [14.0, 14.0, 14.0], 11),
        (1.0, [14.0, 19.0, 26.0], 20),
        (1.0, [6.0], 2),
        (1.0, [10.0], 2),
    ],
)
def test_what_is_left_is_what_is_needed_until_slots_come_back(rate: float, returns: list[float], kept: int) -> None:
    """Each that comes back before is one less to be left; what has come back counts as none."""
    assert LONG.kept(10.0, rate, returns) == kept


def test_a_short_window_keeps_a_fixed_number() -> None:
    """However many calls come until slots are back."""
    assert Reserve(2, 5, 0.0).kept(10.0, 100.0, [11.0]) == 2
