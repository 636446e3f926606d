"""What a view tells and foresees, to the number."""

from typing import Any

import pytest

from omeda_async.limits import LimitsView, Priority, Window, WindowView


def window(calls: int = 10, seconds: float = 2.0, **how: Any) -> WindowView:
    """Make the view of a window, all of which is free if nothing else is said."""
    return WindowView(
        window=Window(calls, seconds), **{"used": 0, "free": calls, "held": 0, "headers": "unseen", **how}
    )


def view(*windows: WindowView, **how: Any) -> LimitsView:
    """Make a view of an account that nobody uses, if nothing else is said."""
    usual = {"in_flight": 0, "parallel": None, "next_slot_in": 0.0, "paused_for": 0.0, "refusals": 0, "pace": None}
    return LimitsView(windows=windows, waiting=dict.fromkeys(Priority, 0), **{**usual, **how})


def test_what_is_not_said_is_that_of_one_limiter_without_a_store() -> None:
    """A view that is made by hand, as for a test, needs to name nothing of sharing, reserves and holds."""
    plain = view(window())
    assert (plain.next_bulk_in, plain.interactive_reserve, plain.held_for, plain.spacing) == (0.0, 0, 0.0, 0.0)
    assert (plain.clients, plain.shared_by, plain.store_reachable) == (1, "process", True)
    assert (plain.windows[0].reserved, plain.windows[0].frees_in) == (0, None)


@pytest.mark.parametrize(("in_flight", "free"), [(1, 2), (3, 0), (5, 0)])
def test_more_in_flight_than_the_cap_that_was_lowered_leaves_nothing_free(in_flight: int, free: int) -> None:
    """Never less than none."""
    assert view(parallel=3, in_flight=in_flight).free == free


def test_what_is_used_is_that_of_the_window_with_the_fewest_free() -> None:
    """Without windows it is what is in flight."""
    windows = window(10, used=1, free=9), window(20, used=15, free=5), window(30, used=2, free=28)
    assert view(*windows, in_flight=7).used == 15
    assert view(in_flight=7).used == 7


@pytest.mark.parametrize(("requests", "seconds"), [(1, 5.0), (10, 5.0), (11, 7.0), (25, 9.0)])
def test_after_a_pause_longer_than_the_window_all_of_it_is_free(requests: int, seconds: float) -> None:
    """Ten go at its end, and ten more after each window."""
    assert view(window(free=1, frees_in=1.5), paused_for=5.0).seconds_for(requests) == seconds


@pytest.mark.parametrize(("requests", "seconds"), [(10, 2.0), (13, 4.0)])
def test_after_a_pause_as_long_as_the_window_all_of_it_is_free(requests: int, seconds: float) -> None:
    """What was used before the pause has come back by then."""
    assert view(window(free=5, frees_in=1.0), paused_for=2.0).seconds_for(requests) == seconds


@pytest.mark.parametrize(("paused_for", "held_for", "seconds"), [(3.0, 7.0, 7.0), (7.0, 3.0, 7.0), (3.0, None, 3.0)])
def test_nothing_goes_before_both_a_pause_and_a_hold_are_over(
    paused_for: float, held_for: float | None, seconds: float
) -> None:
    """The longer of the two counts; a hold that is not known does not."""
    assert view(window(), paused_for=paused_for, held_for=held_for).seconds_for(1) == seconds


@pytest.mark.parametrize(
    ("calls", "reserve", "requests", "seconds"),
    [
        (10, 2, 8, 0.0),
        (10, 2, 9, 1.5),
        (10, 2, 16, 1.5),
        (10, 2, 17, 3.5),
        (3, 2, 2, 0.0),
        (3, 2, 3, 1.5),
        (2, 2, 2, 1.5),
    ],
)
def test_bulk_has_what_the_reserve_leaves_of_a_window(calls: int, reserve: int, requests: int, seconds: float) -> None:
    """The reserve takes half of a window at the most; when the first slot comes back, so do the others."""
    assert view(window(calls, frees_in=1.5), interactive_reserve=reserve).seconds_for(requests) == seconds


@pytest.mark.parametrize(("free", "seconds"), [(0, 1.5), (1, 1.5), (2, 1.5), (3, 0.0)])
def test_a_reserve_that_is_not_free_leaves_bulk_nothing_and_owes_nothing(free: int, seconds: float) -> None:
    """The first one waits for a slot, and the eighth of the eight that then come back goes with it."""
    used = view(window(free=free, frees_in=1.5), interactive_reserve=2)
    assert used.seconds_for(1) == seconds
    assert used.seconds_for(8 + max(0, free - 2)) == 1.5
    assert used.seconds_for(9 + max(0, free - 2)) == 3.5


def test_where_it_is_not_known_when_a_slot_comes_back_a_window_passes() -> None:
    """It depends on a response."""
    assert view(window(free=0)).seconds_for(1) == 2.0


@pytest.mark.parametrize(
    ("pace", "spacing", "seconds"),
    [(None, 0.0, 0.5), (4.0, 0.0, 1.25), (None, 0.5, 2.0), (4.0, 0.5, 2.0), (1.0, 0.5, 3.5)],
)
def test_what_is_slower_of_the_learned_pace_and_the_spacing_counts(
    pace: float | None, spacing: float, seconds: float
) -> None:
    """The first goes when the next slot is free, and three more one after the other."""
    assert view(pace=pace, spacing=spacing, next_slot_in=0.5).seconds_for(4) == seconds


@pytest.mark.parametrize("next_slot_in", [None, 0.0, 1.0])
def test_a_pace_begins_after_a_pause(next_slot_in: float | None) -> None:
    """Whatever is said of the next slot."""
    assert view(pace=4.0, paused_for=3.0, next_slot_in=next_slot_in).seconds_for(3) == 3.5
