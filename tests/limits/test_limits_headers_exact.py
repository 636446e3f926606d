"""Where sense ends in what headers say of limits."""

import pytest

from omeda_async.limits._headers import Advice, read_advice
from tests.limits.limits_help import advice


@pytest.mark.parametrize(("reset", "seconds"), [("86400", 86_400.0), ("86400.1", None), ("86401", None)])
def test_a_reset_is_a_day_at_the_most(reset: str, seconds: float | None) -> None:
    """What is longer is nonsense, and counts as none."""
    assert read_advice(advice(7, 10, reset)) == Advice(10, 7, seconds, 0.0 if seconds is None else 1.0)
