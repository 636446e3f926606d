"""What is read from headers, and that nonsense reads as nothing."""

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async._retry_after import read_retry_after as retry_after
from omeda_async.limits._headers import Advice, read_advice, read_retry_after

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def test_the_three_headers_are_read_whatever_their_case() -> None:
    """Limit, remaining and reset come out as numbers; whole seconds may be off by one."""
    upper = {"X-RateLimit-Limit": "150", "X-RateLimit-Remaining": " 149", "X-RateLimit-Reset": "42"}
    assert read_advice(upper) == Advice(150, 149, 42.0, 1.0)
    assert read_advice({name.lower(): value for name, value in upper.items()}) == Advice(150, 149, 42.0, 1.0)


@pytest.mark.parametrize(("text", "reset", "slack"), [("42.5", 42.5, 0.1), ("0.25", 0.25, 0.01), ("soon", None, 0.0)])
def test_the_digits_of_a_reset_tell_its_rounding(text: str, reset: float | None, slack: float) -> None:
    """Each digit behind the point makes the reset ten times as sharp; what is no number is not there."""
    headers = {"X-RateLimit-Limit": "150", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": text}
    assert read_advice(headers) == Advice(150, 1, reset, slack)


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [("150", "150"), ("150", "151"), ("-1", "0"), ("0", "0"), ("x", "1"), ("150", ""), ("1e3", "5"), ("150", "NaN")],
)
def test_numbers_that_make_no_sense_are_no_advice(limit: str, remaining: str) -> None:
    """More left than the limit less the call itself, and what is no count, is dropped."""
    assert read_advice({"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-1", -1.0),
        ("0", 0.0),
        ("-2", None),
        ("later", None),
        ("inf", None),
        ("nan", None),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("9999999", 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:59:30 GMT", 0.0),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 0.0),
        ("Sun, 01 Mar 9999 11:59:30 GMT", 86_400.0),
    ],
)
def test_retry_after_is_seconds_a_date_or_too_many_in_flight(text: str, seconds: float | None) -> None:
    """Seconds and dates are waits of a day at most, -1 stands for itself, the rest is nothing."""
    assert read_retry_after({"Retry-After": text}, NOON) == seconds


WORDS = ["", " 7 ", "0", "-0.0", "-1", "-1.0", "-2", "86401", "1e99", "inf", "-inf", "nan", "soon", "1_0"]
MOMENTS = ["Sun, 01 Mar 2026 12:00:30 GMT", "Sun, 01 Mar 2026 11:59:59 GMT", "Sun, 01 Mar 9999 12:00:00 -0000"]
ANY_WAIT = st.sampled_from([*WORDS, *MOMENTS]) | st.floats().map(str) | st.datetimes().map(format_datetime) | st.text()


@settings(max_examples=300, derandomize=True)
@given(ANY_WAIT, st.sampled_from(["Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 12:00:00 -0000"]))
def test_the_error_tells_the_wait_that_the_limiter_keeps(wait: str, date: str) -> None:
    """There are two readers of ``Retry-After``, with and without a clock: beside the answer's date they agree."""
    headers = {"Retry-After": wait, "Date": date}
    assert read_retry_after(headers, NOON) == retry_after(headers)


def test_a_date_is_compared_with_the_providers_own_clock() -> None:
    """Where the answer tells its own time, ours does not matter."""
    headers = {"Retry-After": "Sun, 01 Mar 2026 15:00:05 GMT", "Date": "Sun, 01 Mar 2026 15:00:00 GMT"}
    assert read_retry_after(headers, NOON) == 5.0


@settings(max_examples=200, derandomize=True)
@given(st.text(), st.text(), st.text())
def test_any_text_is_read_without_an_error(limit: str, reset: str, wait: str) -> None:
    """Whatever a server sends, reading it gives something sensible or nothing."""
    advice = read_advice({"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    assert advice is None or advice.limit >= 1
    seconds = read_retry_after({"Retry-After": wait}, NOON)
    assert seconds is None or seconds == -1 or 0 <= seconds <= 86_400
