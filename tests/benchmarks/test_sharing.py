"""How scenes of shared limits are judged: by what has arrived at the server."""

from benchmarks.sharing.scene import Played, Scene

SCENE = Scene(processes=2, windows=3.0, faster=10.0)
LAP = SCENE.lap


def played(counts: list[tuple[int, int]], *, faulted_at: float | None = None, refused: bool = False) -> Played:
    """Make what came of it, from how much each of two processes got in each window."""
    arrivals = [
        (100.0 + place * LAP + number * 0.001, name, refused)
        for place, both in enumerate(counts)
        for name, count in zip("ab", both, strict=True)
        for number in range(count)
    ]
    return Played(SCENE, 100.0, arrivals, {}, faulted_at)


def test_the_budget_is_counted_by_windows_without_what_was_refused() -> None:
    """Each whole window has its own part."""
    assert played([(75, 75), (75, 60), (0, 0)]).used() == [1.0, 0.9, 0.0]
    assert played([(75, 75), (75, 60), (0, 0)], refused=True).used() == [0.0, 0.0, 0.0]
    assert played([(75, 75)], refused=True).refused == 150


def test_windows_that_a_fault_had_to_do_with_do_not_count() -> None:
    """Until a lease and a window after it."""
    counts = [(75, 75), (10, 10), (75, 0)]
    assert played(counts).undisturbed() == played(counts).used()
    assert played(counts, faulted_at=100.0 + 1.1 * LAP).undisturbed() == [1.0]
    assert played(counts, faulted_at=100.0 + 0.1 * LAP).undisturbed() == [0.5]


def test_parts_are_compared_from_the_second_window_on() -> None:
    """Who comes first finds nobody else; who gets nothing is no equal part."""
    assert played([(150, 0), (60, 90), (60, 90)]).spread() == 1.5
    assert played([(75, 75), (150, 0), (150, 0)]).spread() == float("inf")


def test_the_longest_silence_begins_with_the_scene() -> None:
    """A hold shows in it."""
    assert round(played([(0, 0), (1, 0), (0, 1)]).silence(), 3) == LAP
