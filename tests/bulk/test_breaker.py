"""The breaker: what opens it, what it lets through, what closes it; by lists of results and a clock of numbers."""

from typing import Any

import pytest

from omeda_async._result import Result
from omeda_async.bulk._breaker import Breaker, BreakerState
from omeda_async.errors import (
    AnswerLost,
    AuthenticationFailed,
    BadRequest,
    BatchRejected,
    ClosedError,
    ConnectionFailed,
    LimitWaitExceeded,
    NotAuthorized,
    NotFound,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    UnreadableAnswer,
)

GOOD: Result[Any] = Result(receipt="ok")
DOWN = ConnectionFailed("nobody listens", cause="refused")


def bad(error: OmedaAsyncError) -> Result[Any]:
    return Result(error=error)


@pytest.mark.parametrize("error", [AuthenticationFailed("no", status=401), DOWN], ids=["credentials", "connection"])
def test_one_request_that_meets_a_common_cause_opens_it(error: OmedaAsyncError) -> None:
    """Nothing is admitted for five seconds, and the cause is told."""
    breaker = Breaker()
    assert breaker.ended(10.0, [bad(error)])
    assert (breaker.state, breaker.cause, breaker.wait(12.0)) == (BreakerState.OPEN, error, 3.0)
    assert not breaker.admits(14.9)
    refusal = breaker.refusal(12.0, "omeda")
    assert (refusal.retry_in, refusal.sent, refusal.__cause__) == (3.0, False, error)
    assert type(error).__name__ in str(refusal)


@pytest.mark.parametrize(
    "error",
    [
        AnswerLost("gone"),
        ServerError("oops", status=500),
        UnreadableAnswer("a page", status=200),
        NotFound("", status=404),
        BadRequest("elsewhere", status=302),
    ],
)
def test_silence_opens_it_at_the_second_request_in_a_row(error: OmedaAsyncError) -> None:
    """One request may have met it for what it holds; a success in between begins the count anew."""
    breaker = Breaker()
    for results in ([bad(error)], [GOOD], [bad(error)]):
        breaker.ended(0.0, results)
        assert breaker.admits(0.0)
    assert breaker.ended(0.0, [bad(error)])
    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(
    "error",
    [
        BatchRejected("no valid brands", status=400),
        RateLimited("slowly", status=429),
        ClosedError("stopped"),
        LimitWaitExceeded("too long"),
    ],
)
def test_what_is_one_records_own_or_our_own_never_opens_it(error: OmedaAsyncError) -> None:
    """A refusal in words, a limit, or a stop of ours tells nothing of the next record."""
    breaker = Breaker()
    for _ in range(10):
        assert not breaker.ended(0.0, [bad(error)])
    assert breaker.admits(0.0)


def test_one_record_with_the_providers_word_shows_that_it_is_there() -> None:
    """A request some of whose records broke off does not count against it."""
    breaker = Breaker()
    for _ in range(10):
        breaker.ended(0.0, [bad(AnswerLost("gone")), bad(BatchRejected("no such brand", status=400))])
    assert breaker.state is BreakerState.CLOSED


def test_what_the_operation_knows_to_meet_everyone_opens_it_whatever_it_is() -> None:
    """The provider's own words, too: that the address of the queue is wrong, that this client may not."""
    breaker, error = Breaker(), NotAuthorized("this client may not", status=400)
    assert breaker.ended(0.0, [bad(error), bad(ClosedError("stopped"))], common=error)
    assert (breaker.state, breaker.cause) == (BreakerState.OPEN, error)
    assert breaker.admits(5.0)
    assert breaker.ended(5.0, [bad(error)], probe=True, common=error)
    assert breaker.wait(5.0) == 10.0


def test_one_probe_goes_and_a_failure_doubles_the_wait_up_to_a_minute() -> None:
    """5, 10, 20, 40, 60, 60 seconds; while the probe is on its way nothing else is admitted."""
    breaker, now, waits = Breaker(), 0.0, []
    breaker.ended(now, [bad(DOWN)])
    for _ in range(6):
        waits.append(breaker.wait(now))
        now = breaker.opens_at
        assert breaker.admits(now)
        assert breaker.state is BreakerState.HALF_OPEN
        assert not breaker.admits(now + 1000)
        assert breaker.ended(now, [bad(DOWN)], probe=True)
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_that_succeeds_closes_it_and_the_next_pause_is_short_again() -> None:
    """The provider is back: all are admitted; should it go again, the first pause is the first one."""
    breaker = Breaker()
    breaker.ended(0.0, [bad(DOWN)])
    breaker.admits(5.0)
    breaker.ended(5.0, [bad(DOWN)], probe=True)
    breaker.admits(15.0)
    assert breaker.ended(15.0, [GOOD], probe=True)
    assert (breaker.state, breaker.cause) == (BreakerState.CLOSED, None)
    breaker.ended(20.0, [bad(DOWN)])
    assert breaker.wait(20.0) == 5.0


def test_requests_that_were_under_way_when_it_opened_do_not_prolong_it() -> None:
    """Ten that fail within a second are one failure; one that goes through closes it at once."""
    breaker = Breaker()
    for tenth in range(10):
        breaker.ended(tenth / 10, [bad(DOWN)])
    assert breaker.opens_at == 5.0
    assert breaker.ended(1.0, [GOOD])
    assert breaker.admits(1.0)


@pytest.mark.parametrize("how", ["gone", "stopped"])
def test_a_probe_that_shows_nothing_makes_room_for_the_next(how: str) -> None:
    """Its caller has gone, or it was stopped by us: another record is tried at once."""
    breaker = Breaker()
    breaker.ended(0.0, [bad(DOWN)])
    breaker.admits(5.0)
    if how == "gone":
        breaker.probe_is_gone(6.0)
    else:
        breaker.ended(6.0, [bad(ClosedError("stopped"))], probe=True)
    assert breaker.admits(6.0)
    assert breaker.state is BreakerState.HALF_OPEN
