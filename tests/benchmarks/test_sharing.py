"""How scenes of shared limits are judged: by what has arrived at the server."""

import random
from pathlib import Path

import attrs
import pytest

from benchmarks.sharing.herd import Plan, settings
from benchmarks.sharing.scene import Played, Scene
from benchmarks.sharing.single_calls import used
from omeda_async.limits import share_limiter
from omeda_async.limits._store_limiter import StoreLimiter

SCENE = Scene(processes=2, windows=3.0, faster=10.0)
LAP = SCENE.lap


def played(
    counts: list[tuple[int, int]], *, faulted: tuple[float, float] | None = None, refused: bool = False
) -> Played:
    """Make what came of it, from how much each of two processes got in each window."""
    arrivals = [
        (100.0 + place * LAP + number * 0.001, name, refused)
        for place, both in enumerate(counts)
        for name, count in zip("ab", both, strict=True)
        for number in range(count)
    ]
    return Played(SCENE, 100.0, arrivals, {}, faulted)


def test_the_budget_is_counted_by_windows_without_what_was_refused() -> None:
    """Each whole window has its own part."""
    assert played([(75, 75), (75, 60), (0, 0)]).used() == [1.0, 0.9, 0.0]
    assert played([(75, 75), (75, 60), (0, 0)], refused=True).used() == [0.0, 0.0, 0.0]
    assert played([(75, 75)], refused=True).refused == 150


def test_windows_that_a_fault_had_to_do_with_do_not_count() -> None:
    """Until a lease and a window after it."""
    counts = [(75, 75), (10, 10), (75, 0)]
    assert played(counts).undisturbed() == {0: 1.0, 1: 20 / 150, 2: 0.5}
    assert played(counts, faulted=(100.0 + 1.1 * LAP, 100.0 + 1.1 * LAP)).undisturbed() == {0: 1.0}
    assert played(counts, faulted=(100.0 + 0.1 * LAP, 100.0 + 0.1 * LAP)).undisturbed() == {2: 0.5}
    assert played(counts, faulted=(100.0 + 0.1 * LAP, 100.0 + 0.9 * LAP)).undisturbed() == {}


def test_parts_are_compared_from_the_second_window_on() -> None:
    """Who comes first finds nobody else; who gets nothing is no equal part."""
    assert played([(150, 0), (60, 90), (60, 90)]).spread() == 1.5
    assert played([(75, 75), (150, 0), (150, 0)]).spread() == float("inf")


def test_the_longest_silence_begins_with_the_scene() -> None:
    """A hold shows in it."""
    assert round(played([(0, 0), (1, 0), (0, 1)]).silence(), 3) == LAP


def test_a_machine_that_is_late_shows_in_the_window_in_which_it_is() -> None:
    """As the part of it for which the server had to wait."""
    late = [
        (100.0, 0.0),
        (100.0 + 0.5 * LAP, 0.1 * LAP),
        (100.0 + 1.5 * LAP, 0.2 * LAP),
        (100.0 + 1.9 * LAP, 0.3 * LAP),
    ]
    assert attrs.evolve(played([]), late=late).kept_waiting() == pytest.approx([0.1, 0.5, 0.0])


@pytest.mark.parametrize("faster", [1.0, 10.0, 20.0])
def test_a_scene_knows_the_lease_that_its_processes_have(faster: float, tmp_path: Path) -> None:
    """Until it is over, and a window besides, nothing is said of the budget."""
    scene = Scene(faster=faster)
    plan = Plan(
        names=[], url="http://127.0.0.1:1", limit=scene.limit, where=None, timeout=scene.timeout / faster, lasts=1.0
    )
    given = settings(plan)
    limiter = share_limiter(
        given.rate_limit,
        tmp_path,
        ("ocamba", "host", 1, b""),
        timeout=given.timeout,
        connect_timeout=given.connect_timeout,
        on_pause=None,
        uniform=random.random,
    )
    assert isinstance(limiter, StoreLimiter)
    assert scene.lease == limiter._told.lease
    assert scene.held_for == scene.lease + 60.06 / faster


def test_the_budget_beside_single_calls_is_that_of_the_server_s_own_minutes() -> None:
    """However late in the first of them it began; the first and the last are cut, and do not count."""
    begins = [110.0, 130.0, 190.0, 250.0, 310.0]  # the minutes begin at 130
    calls = [99, 150, 144, 150, 7]
    arrived = [at + 0.1 * number for at, count in zip(begins, calls, strict=True) for number in range(count)]
    assert used(sorted(arrived), 10.0) == (150 + 144 + 150) / 450
