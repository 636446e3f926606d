"""``Retry-After``: seconds, dates, and that nonsense reads as nothing."""

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async._retry_after import read_retry_after
from tests.campaigns import cases

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
AT_NOON = "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-1", -1.0),
        ("-1.0", -1.0),
        ("0", 0.0),
        ("-2", None),
        ("", None),
        ("later", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("9999999", 86_400.0),
        ("1e99", 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:59:30 GMT", 0.0),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 0.0),
        ("Sun, 01 Mar 9999 11:59:30 GMT", 86_400.0),
    ],
)
def test_a_wait_is_seconds_a_date_or_too_many_in_flight(text: str, seconds: float | None) -> None:
    """Seconds and dates are waits of a day at most, -1 stands for itself, the rest is nothing."""
    assert read_retry_after({"Retry-After": text}, NOON) == seconds
    assert read_retry_after({"retry-after": text}, NOON) == seconds
    assert read_retry_after({"Retry-After": text, "Date": AT_NOON}) == seconds


def test_no_header_is_no_wait() -> None:
    """Most responses have none."""
    assert read_retry_after({}, NOON) is None


def test_a_date_is_compared_with_the_providers_own_clock() -> None:
    """Where the response tells its own time, ours does not matter; where neither is known, a date says nothing."""
    headers = {"Retry-After": "Sun, 01 Mar 2026 15:00:05 GMT", "Date": "Sun, 01 Mar 2026 15:00:00 GMT"}
    assert read_retry_after(headers, NOON) == 5.0
    assert read_retry_after({**headers, "Date": "yesterday"}, NOON) == 10_805.0
    assert read_retry_after({**headers, "Date": "yesterday"}) is None
    assert read_retry_after({"Retry-After": "Sun, 01 Mar 2026 15:00:05 GMT"}) is None


WORDS = ["", " 7 ", "0", "-0.0", "-1", "-1.0", "-2", "86401", "1e99", "inf", "-inf", "nan", "soon", "1_0"]
MOMENTS = ["Sun, 01 Mar 2026 12:00:30 GMT", "Sun, 01 Mar 2026 11:59:59 GMT", "Sun, 01 Mar 9999 12:00:00 -0000"]
ANY_WAIT = st.sampled_from([*WORDS, *MOMENTS]) | st.floats().map(str) | st.datetimes().map(format_datetime) | st.text()


@settings(max_examples=cases(300), derandomize=True)
@given(ANY_WAIT, st.sampled_from([AT_NOON, "Sun, 01 Mar 2026 12:00:00 -0000"]))
def test_the_error_tells_the_wait_that_the_limiter_keeps(wait: str, date: str) -> None:
    """The limiter reads with a clock and the error without: beside the answer's date they agree."""
    headers = {"Retry-After": wait, "Date": date}
    assert read_retry_after(headers, NOON) == read_retry_after(headers)


@settings(max_examples=cases(200), derandomize=True)
@given(ANY_WAIT, st.text() | st.just(AT_NOON), st.sampled_from([NOON, None]))
def test_any_text_is_read_without_an_error(wait: str, date: str, now: dt.datetime | None) -> None:
    """Whatever a server sends, reading it gives something sensible or nothing."""
    seconds = read_retry_after({"Retry-After": wait, "Date": date}, now)
    assert seconds is None or seconds == -1 or 0 <= seconds <= 86_400
