"""The bounds of the benchmarks: what is over one is told, and the table keeps what was not measured anew."""

import pytest

from benchmarks import _targets
from benchmarks._targets import TARGETS


def test_what_is_over_its_bound_is_told_and_what_is_at_it_is_not() -> None:
    """With the figure and the bound; a figure that is no number is over any."""
    bound = TARGETS["way: calls"].gate
    assert bound is not None
    assert list(_targets.missed({"way: calls": bound})) == []
    assert list(_targets.missed({"way: calls": bound + 1})) == [
        f"one more row: calls: {bound + 1:.0f}, where {bound:g} is allowed"
    ]
    assert len(list(_targets.missed({"way: calls": float("nan")}))) == 1


def test_a_figure_that_nobody_looks_at_is_refused() -> None:
    """A name that is misspelt would leave its bound unused."""
    with pytest.raises(KeyError):
        list(_targets.missed({"way: cals": 1.0}))


def test_no_bound_of_the_short_form_is_under_its_target() -> None:
    """What is reached may be held, more is not asked for."""
    assert [name for name, one in TARGETS.items() if one.target and one.gate and one.gate < one.target] == []


def test_every_figure_has_words_of_its_own() -> None:
    """The table finds by them what it has to keep."""
    assert len({one.what for one in TARGETS.values()}) == len(TARGETS)


def test_the_table_keeps_what_was_not_measured_anew() -> None:
    """And takes over what was."""
    first = _targets.section({"way: calls": 100, "resume: µs": 9.87}, "")
    again = _targets.section({"way: calls": 90}, first)
    cells = {row[0]: row[1:] for line in again.splitlines() if len(row := line.strip("| ").split(" | ")) > 1}
    assert cells["one more row: calls"] == ["118", "≤ 75", "90"]
    assert cells["resume of a finished journal of a million"] == ["16.8 µs", "≤ 5 µs", "9.9 µs"]
    assert cells["what"] == list(_targets.HEAD[1:])
