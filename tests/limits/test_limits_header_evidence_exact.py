"""What headers prove, to the count and the moment."""

import math

import pytest

from omeda_async.limits._header_evidence import HeaderEvidence, Reading
from omeda_async.limits._headers import Advice
from tests.limits.evidence_help import believed, reading

MINUTE = 60.0
SLACK = 0.01 + 60.0 * 0.001
"""A hundredth for the rounding, and a thousandth of the minute for the clocks."""
MARGIN = 0.05


def said(reset: float, slack: float = 0.01) -> Advice:
    """Make what a response says of the end of the window."""
    return Advice(40, 1, reset, slack)


def climbs(evidence: HeaderEvidence) -> int:
    """Count the rising counts that are missing until the counter is believed, from the last reading on."""
    last, missing = evidence.last, 0
    assert last is not None
    while not evidence.trusted(math.inf):
        missing += 1
        now = reading(last.counted + 1, last.sent + 1.0, last.known)
        evidence.learn(now, last, possible=1, known=last.known + 1)
        last = now
    return missing


def test_what_is_left_by_a_response_is_less_what_was_in_flight_and_what_went_since() -> None:
    """All of these are to be counted yet."""
    said = Reading(10, 30, 1.0, 2.0, grants=7, in_flight=4, released=0, known=0)
    assert [said.left(grants) for grants in (7, 8, 30)] == [26, 25, 3]


def test_a_counter_is_believed_when_it_has_risen_eight_times_in_a_row() -> None:
    """The first count is none yet."""
    evidence = HeaderEvidence(MINUTE)
    assert evidence.state(0.0) == "unseen"
    evidence.learn(reading(1, 0.5, 0), None, possible=1, known=1)
    assert evidence.state(0.5) == "advice"
    assert climbs(evidence) == 8
    assert evidence.state(8.5) == "trusted"


def test_a_count_that_is_not_higher_than_any_before_does_not_count_as_rising() -> None:
    """Two responses in flight at once come in any order."""
    evidence, first = HeaderEvidence(MINUTE), reading(1, 1.0, 0)
    evidence.learn(first, None, possible=1, known=1)
    for counted in (5, 4, 5):
        evidence.learn(reading(counted, 2.0, 1), first, possible=3, known=2)
    assert climbs(evidence) == 7


@pytest.mark.parametrize(
    ("possible", "growth", "missing"), [(1, 7, 7), (1, 8, 8), (3, 11, 7), (3, 12, 8), (0, 5, 7), (0, 6, 8)]
)
def test_a_counter_that_counts_many_more_than_ours_is_not_believed(possible: int, growth: int, missing: int) -> None:
    """Twice as many as ours, and five of others, are no surprise; after one more it has to prove itself anew."""
    evidence, first = HeaderEvidence(MINUTE), reading(1, 1.0, 0)
    evidence.learn(first, None, possible=1, known=1)
    evidence.learn(reading(1 + growth, 2.0, 1), first, possible=possible, known=2)
    assert climbs(evidence) == missing


def test_after_too_many_the_highest_count_is_that_one() -> None:
    """One that came late is below it, and does not count as rising."""
    evidence, first = HeaderEvidence(MINUTE), reading(1, 1.0, 0)
    evidence.learn(first, None, possible=1, known=1)
    evidence.learn(reading(20, 2.0, 1), first, possible=1, known=2)
    evidence.learn(reading(8, 1.5, 1), first, possible=1, known=2)
    assert climbs(evidence) == 8


@pytest.mark.parametrize("counted", [10, 4])
def test_a_counter_that_begins_anew_when_its_window_may_have_ended_is_believed_on(counted: int) -> None:
    """It does so when it counts less than one more, or no more than what has been counted for certain."""
    evidence = believed(MINUTE)
    before = evidence.last
    evidence.learn(reading(counted, 50.0, 10), before, possible=1, known=11)
    assert evidence.state(50.0) == "trusted"


def test_a_counter_that_begins_anew_before_it_is_proved_begins_anew_with_its_proof() -> None:
    """What it has risen so far was perhaps chance."""
    evidence, first, second = HeaderEvidence(MINUTE), reading(1, 1.0, 0), reading(2, 2.0, 1)
    evidence.learn(first, None, possible=1, known=1)
    evidence.learn(second, first, possible=1, known=2)
    evidence.learn(reading(2, 3.0, 1), second, possible=1, known=3)
    assert evidence.state(3.0) == "advice"
    assert climbs(evidence) == 8


def test_what_was_counted_for_certain_is_in_a_counter_that_has_not_begun_anew() -> None:
    """One count more than that is needed each time; after it has begun anew, all of it is gone."""
    evidence = believed(MINUTE)
    evidence.learn(reading(10, 50.0, 10), evidence.last, possible=1, known=11)
    assert evidence.trusted(50.0)
    first = reading(2, 51.0, 12)
    evidence.learn(first, None, possible=1, known=13)
    assert evidence.trusted(51.0)
    evidence.learn(reading(2, 52.0, 13), None, possible=1, known=14)
    assert evidence.state(52.0) == "doubted"


def test_what_left_before_the_counter_began_anew_says_nothing_any_more() -> None:
    """It may have come late; what left at the same moment is heard."""
    evidence = believed(MINUTE)
    last = evidence.last
    evidence.learn(reading(1, 50.0, 10), last, possible=1, known=11)
    begun = evidence.last
    late = Reading(30, 10, math.nextafter(50.0, 0.0), 55.0, grants=12, in_flight=0, released=11, known=11)
    evidence.learn(late, begun, possible=1, known=12)
    assert evidence.last is begun
    assert evidence.trusted(55.0)
    at_once = Reading(30, 10, 50.0, 55.0, grants=12, in_flight=0, released=11, known=11)
    evidence.learn(at_once, begun, possible=1, known=12)
    assert not evidence.trusted(55.0)
    assert evidence.last is begun


def test_a_response_is_not_compared_with_one_from_before_the_counter_began_anew() -> None:
    """They count different windows."""
    evidence = believed(MINUTE)
    last = evidence.last
    evidence.learn(reading(1, 50.0, 10), last, possible=1, known=11)
    evidence.learn(reading(30, 51.0, 11), last, possible=1, known=12)
    assert evidence.trusted(51.0)
    assert evidence.last is not None
    assert evidence.last.counted == 30


@pytest.mark.parametrize(("sooner", "state"), [(True, "doubted"), (False, "trusted")])
def test_a_counter_that_says_when_it_ends_does_not_begin_anew_before(sooner: bool, state: str) -> None:
    """At the first moment at which it may end, it may."""
    evidence = believed(MINUTE, ends=40.0)
    first, _ = evidence.reset_span(20.0) or (0.0, 0.0)
    assert first == pytest.approx(40.0 - SLACK)
    at = math.nextafter(first, 0.0) if sooner else first
    evidence.learn(reading(1, at, 10), evidence.last, possible=1, known=11)
    assert evidence.state(at) == state


def test_a_counter_that_begins_anew_too_soon_is_not_believed_for_a_window_and_has_to_prove_itself_anew() -> None:
    """Whatever it says meanwhile."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.learn(reading(1, 20.0, 10), evidence.last, possible=1, known=11)
    assert evidence.reset_span(20.0) is None
    assert evidence.state(math.nextafter(80.0, 0.0)) == "doubted"
    assert evidence.state(80.0) == "advice"
    assert climbs(evidence) == 8
    assert [evidence.trusted(at) for at in (math.nextafter(80.0, 0.0), 80.0)] == [False, True]


@pytest.mark.parametrize(("counted", "state"), [(12, "doubted"), (13, "trusted")])
def test_a_counter_that_counts_no_more_than_what_was_counted_before_has_begun_anew(counted: int, state: str) -> None:
    """The response itself is one more."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.learn(reading(counted, 20.0, 12), None, possible=1, known=13)
    assert evidence.state(20.0) == state


def test_a_doubt_forgets_when_the_window_ends() -> None:
    """When it is over, that has to be proved anew."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.doubt(20.0)
    assert (evidence.state(20.0), evidence.reset_span(20.0)) == ("trusted", None)


def test_a_doubt_is_not_shortened_by_another() -> None:
    """The later end counts."""
    evidence = believed(MINUTE)
    evidence.doubt(90.0)
    evidence.doubt(80.0)
    assert [evidence.state(at) for at in (85.0, 90.0)] == ["doubted", "trusted"]


def test_a_counter_may_begin_anew_again_a_window_after_what_was_before_it_began_anew() -> None:
    """Where nothing was before, the one earlier counts on."""
    evidence = believed(MINUTE)
    evidence.learn(reading(1, 50.0, 10), evidence.last, possible=1, known=11)
    evidence.learn(reading(1, 75.0, 12), None, possible=1, known=13)
    assert evidence.state(75.0) == "trusted"
    evidence.learn(reading(1, 80.0, 14), None, possible=1, known=15)
    assert evidence.state(80.0) == "trusted"


def test_the_latest_reading_is_the_one_that_left_last() -> None:
    """One that left at the same moment does not replace it; only it tells of others."""
    evidence, first, same, later = HeaderEvidence(MINUTE), reading(1, 1.0, 0), reading(2, 1.0, 0), reading(3, 1.5, 0)
    for one, last in ((first, first), (same, first), (later, later), (first, later)):
        evidence.learn(one, None, possible=1, known=1)
        assert evidence.last is last
        assert evidence.tells_of_others(one) == (one is last)


@pytest.mark.parametrize(("later", "known"), [(0.0, False), (0.0001, True)])
def test_an_end_is_known_when_a_number_that_stands_still_would_have_contradicted_itself(
    later: float, known: bool
) -> None:
    """From the first response that said so, twice the slack and a margin have to pass."""
    evidence = believed(MINUTE)
    evidence.learn_reset(Reading(1, 1, 10.0, 12.0, grants=1, in_flight=0, released=0, known=0), said(30.0))
    sent = 12.0 + 2 * SLACK + MARGIN + later
    evidence.learn_reset(Reading(1, 1, sent, sent, grants=1, in_flight=0, released=0, known=0), said(42.0 - sent))
    assert (evidence.reset_span(20.0) is not None) == known


def test_an_end_that_is_known_stays_known() -> None:
    """A response that left early and agrees does not take it back."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.learn_reset(reading(1, 1.0, 0), said(39.0))
    assert evidence.reset_span(20.0) is not None


def test_a_response_without_an_end_says_nothing_of_it() -> None:
    """What was known stays."""
    evidence = believed(MINUTE, ends=40.0)
    before = evidence.reset_span(20.0)
    evidence.learn_reset(reading(1, 11.0, 0), Advice(40, 1, None, 0.0))
    assert evidence.reset_span(20.0) == before == pytest.approx((40.0 - SLACK, 40.0 + SLACK + MARGIN))


def test_an_end_lies_where_all_responses_agree() -> None:
    """Between when an attempt left and when its response came, each may have been written at any moment."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.learn_reset(Reading(1, 1, 11.0, 11.0, grants=1, in_flight=0, released=0, known=0), said(29.1))
    assert evidence.reset_span(20.0) == pytest.approx((40.1 - SLACK, 40.0 + SLACK + MARGIN))
    evidence.learn_reset(Reading(1, 1, 11.0, 13.0, grants=1, in_flight=0, released=0, known=0), said(26.98))
    assert evidence.reset_span(20.0) == pytest.approx((40.1 - SLACK, 39.98 + SLACK + MARGIN))


@pytest.mark.parametrize(("ends", "agrees"), [(40.139, True), (40.141, False), (39.861, True), (39.859, False)])
def test_an_end_that_contradicts_all_before_begins_anew(ends: float, agrees: bool) -> None:
    """It has to be confirmed again."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.learn_reset(reading(1, 11.0, 0), said(ends - 11.0))
    assert (evidence.reset_span(20.0) is not None) == agrees


@pytest.mark.parametrize("later", [True, False])
def test_two_spans_that_touch_agree(later: bool) -> None:
    """At that one moment."""
    evidence = HeaderEvidence(64.0)
    for count in range(10):
        evidence.learn(reading(count + 1, float(count), count), evidence.last, possible=1, known=count)
    slack = 0.5 - 64.0 * 0.001
    for at, ends in ((0.0, 40.0), (8.0, 41.0 if later else 39.0)):
        evidence.learn_reset(reading(1, at, 0), Advice(40, 1, ends - at, slack))
    span = evidence.reset_span(20.0)
    assert span is not None
    assert span == pytest.approx((40.5 if later else 39.5, (40.5 if later else 39.5) + MARGIN))


def test_an_end_is_forgotten_once_an_attempt_goes_because_of_it() -> None:
    """One is enough to find out."""
    evidence = believed(MINUTE, ends=40.0)
    evidence.spend_reset()
    assert evidence.reset_span(20.0) is None


def test_a_reading_is_of_the_present_until_its_window_is_over() -> None:
    """A window after it came, or when the provider's has ended for certain, if that is sooner."""
    assert HeaderEvidence(MINUTE).fresh_until(20.0) == 0.0
    assert believed(MINUTE).fresh_until(20.0) == pytest.approx(10.0 + 60.06)
    assert believed(MINUTE, ends=40.0).fresh_until(20.0) == pytest.approx(40.0 + SLACK + MARGIN)
    assert believed(MINUTE, ends=90.0).fresh_until(20.0) == pytest.approx(10.0 + 60.06)
