"""Outcomes, their sums, and the clock that tests move."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from omeda_async import BulkReport, Outcome, OutcomeStatus, errors
from omeda_async._clock import now, sleep, utc_now
from omeda_async._result import Result, status_of
from omeda_async.outcomes import FAILURES_KEPT, Tally
from omeda_async.testing import MovedClockLoop, run_moved

D = OutcomeStatus
CERTAIN = [
    (errors.AlreadyDone("x"), D.ALREADY_DONE),
    (errors.TooLate("x"), D.TOO_LATE),
    (errors.BadRequest("x", status=400), D.REJECTED),
    (errors.NotFound("x", status=404), D.REJECTED),
    (errors.MethodNotAllowed("x", status=405), D.REJECTED),
    (errors.Conflict("x", status=409), D.REJECTED),
    (errors.NotAuthorized("x", status=403), D.REJECTED),
    (errors.BatchRejected("x", status=400), D.REJECTED),
    (errors.InvalidRecord("x"), D.REJECTED),
    (errors.AuthenticationFailed("x", status=401), D.FAILED),
    (errors.SessionLost("x"), D.FAILED),
    (errors.SessionLost("a page", status=200, sent=True), D.FAILED),
    (errors.RateLimited("x", status=429), D.FAILED),
    (errors.ServerError("x", status=503), D.FAILED),
    (errors.ServerError("x", status=500), D.FAILED),
    (errors.ConnectionFailed("x"), D.FAILED),
    (errors.AnswerLost("x"), D.FAILED),
    (errors.UnreadableAnswer("x", status=200), D.FAILED),
    (errors.LimitWaitExceeded("x"), D.NOT_SENT),
    (errors.ClosedError("x"), D.NOT_SENT),
    (errors.ConfigurationError("x"), D.NOT_SENT),
]


@pytest.mark.parametrize(("error", "status"), CERTAIN, ids=repr)
def test_each_error_means_one_outcome_and_doubt_means_unknown(error: errors.OmedaAsyncError, status: D) -> None:
    """Without doubt the error's class decides; with doubt only what settles it does."""
    assert status_of(error, doubtful=False) is status
    settles = status in {D.ALREADY_DONE, D.TOO_LATE}
    assert status_of(error, doubtful=True) is (status if settles else D.UNKNOWN)
    assert Result(error=error).status is status


def test_a_receipt_is_done_or_settled() -> None:
    """A receipt of a settled attempt is already done; what is known otherwise goes before all."""
    assert Result(receipt=1).status is D.DONE
    assert Result(receipt=1, settled=True).status is D.ALREADY_DONE
    assert Result(error=errors.BadRequest("x"), known=D.PARTLY_DONE).status is D.PARTLY_DONE


def _outcome(status: D, position: int = 0, key: Any = None) -> Outcome:
    return Outcome({"email_address": "someone.private@omeda.com"}, key, position, status)


def _add(tally: Tally, outcome: Outcome) -> None:
    tally.counts[outcome.status] += 1
    if not outcome.status.is_done:
        tally.keep([outcome])


@given(st.lists(st.sampled_from(D), max_size=50))
def test_a_report_always_adds_up(statuses: list[D]) -> None:
    """The total is the sum of the counts at every moment, and the failures are those not done, in order."""
    tally = Tally()
    for position, status in enumerate(statuses):
        _add(tally, _outcome(status, position))
        report: BulkReport = tally.report(duration=1.0, complete=False)
        assert report.total == sum(report.counts.values()) == position + 1
    report = tally.report(duration=1.0, complete=True)
    assert [one.position for one in report.failures] == [at for at, one in enumerate(statuses) if not one.is_done]
    assert set(report.counts) == set(statuses)


def test_a_report_keeps_no_more_failures_than_it_says() -> None:
    """Its memory is bounded, its counts are whole."""
    tally = Tally()
    for position in range(FAILURES_KEPT + 5):
        _add(tally, _outcome(D.FAILED, position))
    report = tally.report(duration=1.0, complete=True)
    assert (len(report.failures), report.total) == (FAILURES_KEPT, FAILURES_KEPT + 5)


@pytest.mark.parametrize(
    ("key", "shown"), [("FOO1", "'FOO1'"), (7, "7"), ("someone.private@omeda.com", "'s***@omeda.com'")]
)
def test_an_outcome_shows_neither_its_record_nor_an_address(key: Any, shown: str) -> None:
    """Position and key name the record; a key that is an address is masked."""
    text = repr(_outcome(D.DONE, 3, key))
    assert "someone" not in text
    assert f"key={shown}" in text
    assert "position=3" in text


def test_the_moved_clock_jumps_to_the_next_timer() -> None:
    """Hours pass at once, in order, from nought; the clock never stands still."""

    async def main() -> list[float]:
        moments = [now()]
        await asyncio.gather(sleep(7200), sleep(3600))
        moments.append(now())
        await asyncio.sleep(0)
        moments.append(now())
        return moments

    started = time.monotonic()
    first, second, third = run_moved(main())
    assert time.monotonic() - started < 5
    assert 0 <= first < 1e-3
    assert 7200 <= second < third < 7200.01


def test_the_moved_clock_waits_for_a_thread() -> None:
    """Work in another thread is given the time to end before the clock jumps past its time-out."""

    async def main() -> str:
        async with asyncio.timeout(3600):
            return await asyncio.to_thread(lambda: "done")

    assert run_moved(main(), patience=30.0) == "done"


async def test_every_test_runs_on_the_moved_clock() -> None:
    """The loop is ours, in debug mode, and the calendar is the real one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovedClockLoop)
    assert loop.get_debug()
    assert utc_now().tzinfo is not None
    assert abs(utc_now().timestamp() - time.time()) < 60


@pytest.mark.real_clock
async def test_a_test_that_asks_for_it_has_a_real_clock() -> None:
    """Other processes do not wait for a moved one."""
    assert not isinstance(asyncio.get_running_loop(), MovedClockLoop)
