"""One window, to the moment: what its slots and the headers say together."""

import math

import pytest

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._gate import Gate
from omeda_async.limits._header_evidence import MARGIN, HeaderEvidence
from omeda_async.limits._reserve import Reserve
from omeda_async.limits._slots import DRIFT, Slots
from tests.limits.evidence_help import believed

WINDOW = Window(4, 60.0)
ENDS = 40.0
"""When the provider's window ends, by what the headers say."""
SLACK = 0.01 + 60.0 * DRIFT
FIRST, LAST = ENDS - SLACK, ENDS + SLACK + MARGIN
"""The two moments between which it does."""


def gate(
    *answered: float,
    window: Window = WINDOW,
    in_flight: int = 0,
    reserve: int = 0,
    evidence: HeaderEvidence | None = None,
) -> Gate:
    """Make the gate of a window whose attempts were answered at some moments, others being in flight."""
    slots = Slots(window)
    for _ in range(len(answered) + in_flight):
        slots.take()
    for at in answered:
        slots.cool(at, answered=True)
    limit = RateLimit(window, interactive_reserve=reserve)
    return Gate(slots, evidence or believed(window.seconds, ends=ENDS), Reserve.of(limit, window))


def test_the_span_of_these_tests_is_what_the_headers_prove() -> None:
    """What all responses agree on, and a margin."""
    assert believed(60.0, ends=ENDS).reset_span(20.0) == pytest.approx((FIRST, LAST))


def test_somebody_may_find_out_only_if_the_last_went_before_the_window_can_have_ended() -> None:
    """One that went at the first moment at which it can end may be of the next window."""
    asked = gate(3.0)
    first, last = asked.evidence.reset_span(20.0) or (0.0, 0.0)
    assert asked.probe_at(20.0, math.nextafter(first, 0.0)) == last
    assert asked.probe_at(20.0, first) == math.inf


def test_somebody_may_find_out_only_if_an_answer_came_before_the_window_can_have_ended() -> None:
    """Where none did, the slots in use may all be of the next window."""
    assert gate(39.0).probe_at(50.0, 30.0) == pytest.approx(LAST)
    assert gate(41.0).probe_at(50.0, 30.0) == math.inf
    assert gate(in_flight=1).probe_at(50.0, 30.0) == math.inf


def test_a_window_has_ended_at_the_last_moment_at_which_it_can_end() -> None:
    """Not before it."""
    asked = gate(3.0)
    _, last = asked.evidence.reset_span(20.0) or (0.0, 0.0)
    assert asked.has_ended(last)
    assert not asked.has_ended(math.nextafter(last, 0.0))


@pytest.mark.parametrize(
    ("ahead", "begins"),
    [(0, FIRST), (3, FIRST), (4, FIRST + 60.0 * (1 - DRIFT)), (7, FIRST + 60.0 * (1 - DRIFT))],
)
def test_headers_may_free_a_full_window_when_the_provider_s_ends(ahead: int, begins: float) -> None:
    """Whoever has more before it than go in one window waits for a whole one more."""
    assert gate(20.0, 20.0, 20.0, 20.0).earliest(21.0, ahead) == pytest.approx(begins)


@pytest.mark.parametrize(("ahead", "begins"), [(1, 21.0), (2, FIRST), (5, FIRST), (6, FIRST + 60.0 * (1 - DRIFT))])
def test_what_is_free_goes_before_the_provider_s_window_ends(ahead: int, begins: float) -> None:
    """Those for whom there are slots now wait for no window."""
    assert gate(20.0, 20.0).earliest(21.0, ahead) == pytest.approx(begins)


def test_without_a_known_end_headers_may_free_a_window_at_any_moment() -> None:
    """Then the earliest moment is now; for more than one window, a whole one later."""
    asked = gate(20.0, 20.0, 20.0, 20.0, evidence=believed(60.0))
    assert [asked.earliest(21.0, ahead) for ahead in (0, 4)] == [21.0, pytest.approx(21.0 + 60.0 * (1 - DRIFT))]


def test_without_proof_only_the_slots_count() -> None:
    """A slot comes back a window after its answer."""
    asked = gate(17.0, 18.0, 19.0, 20.0, evidence=HeaderEvidence(60.0))
    assert [asked.earliest(21.0, ahead) for ahead in (0, 1, 4)] == pytest.approx([77.06, 78.06, 137.12])


def test_slots_come_back_one_by_one_and_the_rest_when_the_provider_s_window_has_ended() -> None:
    """What would come back later does not count any more."""
    asked = gate(-30.0, -21.0, 3.0, 4.0)
    assert list(asked.returns(20.0)) == pytest.approx([30.06, 39.06, LAST])


@pytest.mark.parametrize(
    ("answered", "in_flight", "at"),
    [
        ((), 0, -math.inf),
        ((17.0,), 0, -math.inf),
        ((17.0, 18.0), 0, 77.06),
        ((17.0, 18.0, 19.0), 0, 78.06),
        ((17.0, 18.0), 1, 78.06),
        ((17.0,), 2, 20.0 + 60.06),
        ((), 3, 20.0 + 60.06),
    ],
)
@pytest.mark.parametrize("seconds", [60.0, 0.0])
def test_bulk_waits_until_the_slots_it_leaves_are_back(
    answered: tuple[float, ...], in_flight: int, at: float, seconds: float
) -> None:
    """Where no interactive calls come, that is a fixed number; where nobody knows when, it is a window from now."""
    asked = gate(*answered, in_flight=in_flight, reserve=2, evidence=HeaderEvidence(60.0))
    asked.reserve = Reserve(2, 2, seconds)
    assert asked.opens_to_bulk_at(20.0, 0.0) == pytest.approx(at)


def test_a_short_window_leaves_the_same_however_many_calls_come() -> None:
    """Nobody waits long for it."""
    asked = gate(19.5, in_flight=2, window=Window(4, 1.0), reserve=2, evidence=HeaderEvidence(1.0))
    assert asked.opens_to_bulk_at(20.0, 5.0) == pytest.approx(20.0 + 1.001)


@pytest.mark.parametrize(
    ("answered", "reserve", "probe_at", "frees_in"),
    [
        ((), 0, 35.0, None),
        ((17.0,), 0, 35.0, 57.06),
        ((17.0, 17.0, 17.0, 17.0), 0, 35.0, 15.0),
        ((17.0, 17.0, 17.0, 17.0), 0, 15.0, 0.0),
        ((17.0, 17.0, 17.0), 2, 35.0, LAST - 20.0),
        ((17.0, 17.0), 2, 35.0, LAST - 20.0),
        ((17.0,), 2, 35.0, 57.06),
    ],
)
def test_a_view_tells_when_the_next_slot_is_free(
    answered: tuple[float, ...], reserve: int, probe_at: float, frees_in: float | None
) -> None:
    """A full window is free when somebody may find out; and what bulk waits for, when the provider's has ended."""
    view = gate(*answered, reserve=reserve).view(20.0, probe_at, 0.0)
    assert view.frees_in == (None if frees_in is None else pytest.approx(frees_in))
    assert (view.window, view.used, view.free) == (WINDOW, len(answered), 4 - len(answered))


def test_a_view_tells_what_is_left_to_interactive_calls() -> None:
    """Two of a window, and nothing where nothing is left."""
    assert [gate(17.0, reserve=reserve).view(20.0, math.inf, 0.0).reserved for reserve in (0, 1, 2)] == [0, 1, 2]
