"""Interactive calls beside bulk runs that would spend everything: they hardly wait, and the budget is used."""

import pytest

from benchmarks.budget import failures
from benchmarks.limits.sim_reserve import Scene, play

MINUTES = 20


@pytest.mark.parametrize("every", [10.0, 4.0, 2.0, None])
def test_interactive_calls_hardly_wait_and_the_budget_is_used(every: float | None) -> None:
    """Half of them go at once, 99 in 100 within half a second; at least 98 % are used, and nothing is refused."""
    assert failures(play(Scene(every, MINUTES))) == []


@pytest.mark.parametrize("every", [10.0, 4.0, 2.0, None])
def test_so_it_is_where_bulk_is_another_process_s(every: float | None) -> None:
    """They share the limits by a store, which knows of the demand of both."""
    assert failures(play(Scene(every, MINUTES, apart=True))) == []


def test_without_a_reserve_calls_wait_for_another_process_s_bulk() -> None:
    """The control: half of them wait for ten seconds and more."""
    found = play(Scene(2.0, MINUTES, apart=True, reserve=0))
    assert found.refused == 0
    assert found.wait(0.5) > 10


@pytest.mark.parametrize("every", [2.0, None])
def test_it_holds_without_headers_too(every: float | None) -> None:
    """Then the end of a window is when our own slots come back, which is one round trip later each time."""
    assert failures(play(Scene(every, MINUTES, headers=False)), least_used=0.97) == []


def test_without_a_reserve_interactive_calls_wait_for_the_next_minute() -> None:
    """The control: nothing is refused and everything is used, and half of them wait for ten seconds and more."""
    found = play(Scene(2.0, MINUTES, reserve=0))
    assert found.refused == 0
    assert found.used > 0.999
    assert found.wait(0.5) > 10
    assert found.wait(0.99) > 40
