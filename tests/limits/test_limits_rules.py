"""What may stand in a limit, and what is refused with the name of its field."""

import math
import pickle
from typing import Any

import pytest

from omeda_async.errors import ConfigurationError
from omeda_async.limits import RateLimit, Window, make_limiter


@pytest.mark.parametrize("calls", [0, -1, 1.5, True, "10", None])
def test_a_window_without_calls_is_refused_by_name(calls: Any) -> None:
    """Calls are a whole number, one or more."""
    with pytest.raises(ConfigurationError, match=r"Window\.calls"):
        Window(calls, 1.0)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf, True, "1", None])
def test_a_window_without_seconds_is_refused_by_name(seconds: Any) -> None:
    """Seconds are a finite number above 0."""
    with pytest.raises(ConfigurationError, match=r"Window\.seconds"):
        Window(10, seconds)


@pytest.mark.parametrize("parallel", [0, -3, 2.0, True, "2"])
def test_parallel_below_one_is_refused_by_name(parallel: Any) -> None:
    """At least one attempt must be allowed in flight."""
    with pytest.raises(ConfigurationError, match=r"RateLimit\.parallel"):
        RateLimit(Window(10, 1.0), parallel=parallel)


@pytest.mark.parametrize("pace", [0, -0.1, math.nan, True])
def test_a_pace_of_no_time_is_refused_by_name(pace: Any) -> None:
    """A pace is a finite number of seconds above 0."""
    with pytest.raises(ConfigurationError, match=r"RateLimit\.pace"):
        RateLimit(Window(10, 1.0), pace=pace)


@pytest.mark.parametrize("per_second", [0, -1, math.inf])
def test_a_courtesy_without_a_rate_is_refused_by_name(per_second: float) -> None:
    """A courtesy limit needs a rate."""
    with pytest.raises(ConfigurationError, match="per_second"):
        RateLimit.courtesy(per_second, 2)


@pytest.mark.parametrize(
    "windows",
    [
        (Window(100, 1.0), Window(10, 60.0)),
        (Window(10, 1.0), Window(600, 60.0)),
        (Window(10, 1.0), Window(10, 1.0)),
        (Window(10, 1.0), Window(10, 60.0)),
        (Window(10, 1.0), Window(150, 60.0), Window(9000, 3600.0)),
    ],
)
def test_a_window_that_can_never_bind_is_refused(windows: tuple[Window, ...]) -> None:
    """A window that another always keeps from filling is a mistake, in either order."""
    for order in (windows, windows[::-1]):
        with pytest.raises(ConfigurationError, match=r"RateLimit\.windows.*can never bind"):
            RateLimit(*order)


@pytest.mark.parametrize(
    ("calls", "minute"), [(1, 15), (3, 60), (10, 150), (75, 700), (350, 3500)], ids=["A", "B", "C", "D", "E"]
)
def test_every_class_of_ocamba_is_a_good_limit(calls: int, minute: int) -> None:
    """Both windows of each class can bind."""
    assert len(RateLimit(Window(calls, 1.0), Window(minute, 60.0), parallel=10).windows) == 2


@pytest.mark.parametrize("nothing", [(), ("10/s",)])
def test_a_limit_of_nothing_is_refused(nothing: tuple[Any, ...]) -> None:
    """A limit needs a window, a cap or a pace, and a window is a Window."""
    with pytest.raises(ConfigurationError, match=r"RateLimit\.windows"):
        RateLimit(*nothing)


def test_a_limit_reads_as_it_is_written_and_survives_a_pickle() -> None:
    """The repr is the call that makes it; equal limits are equal."""
    limit = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, pace=0.05)
    assert repr(limit) == "RateLimit(Window(10, 1), Window(150, 60), parallel=10, pace=0.05)"
    assert pickle.loads(pickle.dumps(limit)) == limit  # noqa: S301 our own bytes
    assert RateLimit.courtesy(per_second=4, parallel=2) == RateLimit(parallel=2, pace=0.25)


def test_a_limiter_can_be_made_and_shown_without_a_loop() -> None:
    """Nothing is bound before the first wait."""
    view = make_limiter(RateLimit(Window(3, 1.0))).view()
    assert (view.free, view.used, view.next_slot_in, view.refusals) == (3, 0, 0.0, 0)


def test_a_limit_tells_the_rates_and_the_spans_of_its_windows() -> None:
    """Attempts a second that it allows for ever and for a while, and the seconds of its windows; a pace is one rate."""
    limit = RateLimit(Window(10, 1.0), Window(150, 60.0))
    assert (limit.steady, limit.briskest, limit.shortest, limit.longest) == (2.5, 10.0, 1.0, 60.0)
    paced = RateLimit.courtesy(4.0, 2)
    assert (paced.steady, paced.briskest, paced.shortest, paced.longest) == (4.0, 4.0, 1.0, 60.0)
    assert RateLimit(parallel=1).steady == RateLimit(parallel=1).briskest == math.inf


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10/1", RateLimit(Window(10, 1.0))),
        ("10/1,150/60", RateLimit(Window(10, 1.0), Window(150, 60.0))),
        (" 10 / 1 , 150/60.0 ,parallel=10", RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10)),
        ("pace = 0.25,parallel=2", RateLimit.courtesy(per_second=4, parallel=2)),
    ],
)
def test_a_limit_can_be_read_from_a_text(text: str, limit: RateLimit) -> None:
    """Windows are calls per seconds, the rest goes by its name, and spaces do not matter."""
    assert RateLimit.parse(text) == limit


@pytest.mark.parametrize(
    ("text", "part", "reason"),
    [
        ("", "in ''", "there is neither calls/seconds"),
        ("10/1,", "in ''", "there is neither calls/seconds"),
        ("10/1,150", "in '150'", "such as 150/60 for 150 a minute"),
        ("10/1;150/60", "in '10/1;150/60'", "separate such parts by commas"),
        ("10/1s", "in '10/1s'", "there is neither calls/seconds"),
        ("10/1,x/60", "in 'x/60'", "there is neither calls/seconds"),
        ("-1/60", "in '-1/60'", "there is neither calls/seconds"),
        ("1.5/60", "in '1.5/60'", "there is neither calls/seconds"),
        ("\u0661/60", "in '\u0661/60'", "there is neither calls/seconds"),
        ("10/1/60", "in '10/1/60'", "there is neither calls/seconds"),
        ("10/1,0/60", "in '0/60'", "Window.calls must be a whole number from 1"),
        ("10/0", "in '10/0'", "Window.seconds must be a finite number above 0"),
        ("10/1,paralel=3", "in 'paralel=3'", "nor parallel=10"),
        ("10/1,parallel", "in 'parallel'", "parallel must be a whole number in digits, not ''"),
        ("10/1,parallel=2.5", "in 'parallel=2.5'", "parallel must be a whole number"),
        ("10/1,parallel=0", "in 'parallel=0'", "RateLimit.parallel must be a whole number from 1"),
        ("10/1,pace=nan", "in 'pace=nan'", "pace must be a number in digits, not 'nan'"),
        ("10/1,pace=0", "in 'pace=0'", "RateLimit.pace must be a finite number above 0"),
        ("parallel=1,parallel=2", "in 'parallel=2'", "parallel is given twice"),
        ("10/1,10/60", "OCAMBA_RATE_LIMIT '10/1,10/60': RateLimit.windows", "can never bind"),
    ],
)
def test_a_part_of_a_text_that_is_no_limit_is_named(text: str, part: str, reason: str) -> None:
    """The error says where the text came from, which part is wrong, and what it may be."""
    with pytest.raises(ConfigurationError) as caught:
        RateLimit.parse(text, called="OCAMBA_RATE_LIMIT")
    assert caught.value.message.startswith(f"OCAMBA_RATE_LIMIT {text!r}: ")
    assert part in caught.value.message
    assert reason in caught.value.message
