"""What is read from headers, and that nonsense reads as nothing."""

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async.limits._headers import Advice, read_advice
from tests.campaigns import cases


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


@settings(max_examples=cases(200), derandomize=True)
@given(st.text(), st.text())
def test_any_text_is_read_without_an_error(limit: str, reset: str) -> None:
    """Whatever a server sends, reading it gives something sensible or nothing."""
    advice = read_advice({"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    assert advice is None or advice.limit >= 1
