"""What a limit is: windows of calls per seconds, attempts in flight, a pace."""

import enum
import functools
import math
import re
from collections.abc import Callable
from typing import Any, Self

import attrs

from omeda_async._checks import MOST_SECONDS, check_whole, is_number, shown
from omeda_async.errors import ConfigurationError

INTERACTIVE_RESERVE = 2
_LEAST = 1 / MOST_SECONDS
_WINDOW = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class Priority(enum.Enum):
    """The lane a call waits in."""

    INTERACTIVE = "interactive"
    """Ahead of bulk: someone is waiting for it."""
    BULK = "bulk"
    """Behind interactive calls, with at least one grant in ten of its own."""


def _positive(field: str, value: object) -> None:
    if not is_number(value, MOST_SECONDS) or value < _LEAST:
        raise ConfigurationError(
            f"{field} must be a finite number above 0, from {_LEAST:g} to {MOST_SECONDS:g}, not {shown(value)}"
        )


@attrs.frozen
class Window:
    """What a provider allows: ``calls`` requests in ``seconds``, however it counts them.

    Args:
        calls: How many, 1 or more.
        seconds: The length of the window in seconds.

    Raises:
        ConfigurationError: Either is out of range; the message names it.
    """

    calls: int
    seconds: float

    def __attrs_post_init__(self) -> None:
        check_whole("Window.calls", self.calls)
        _positive("Window.seconds", self.seconds)

    def __str__(self) -> str:
        return f"{self.calls} per {self.seconds:g} s"


_OTHERS: dict[str, tuple[Callable[[str], float], Callable[[str, object], None]]] = {
    "parallel": (int, check_whole),
    "pace": (float, _positive),
    "interactive_reserve": (int, functools.partial(check_whole, least=0)),
}


def _read(part: str, windows: list[Window], others: dict[str, Any]) -> None:
    """Read one part of a limit that is written as text."""
    if match := _WINDOW.fullmatch(part):
        windows.append(Window(int(match[1]), float(match[2])))
        return
    name, _, value = (piece.strip() for piece in part.partition("="))
    if name not in _OTHERS:
        raise ConfigurationError(
            "there is neither calls/seconds, such as 150/60 for 150 a minute, nor parallel=10, "
            "pace=0.05 or interactive_reserve=2: separate such parts by commas"
        )
    number, check = _OTHERS[name]
    if not _NUMBER.fullmatch(value) or (number is int and "." in value):
        raise ConfigurationError(f"{name} must be a {'whole ' if number is int else ''}number in digits, not {value!r}")
    if name in others:
        raise ConfigurationError(f"{name} is given twice: leave one of them out")
    others[name] = number(value)
    check(f"RateLimit.{name}", others[name])


def implies(one: Window, other: Window) -> bool:
    """Whether a client that keeps to ``one`` can never break ``other``."""
    laps = math.ceil(other.seconds / one.seconds * (1 - 1e-9))
    return one.calls * laps <= other.calls


def _check_windows(windows: tuple[object, ...]) -> None:
    for position, window in enumerate(windows):
        if not isinstance(window, Window):
            raise ConfigurationError(f"RateLimit.windows must be Window(calls, seconds), not {shown(window)}")
        for binding in (*windows[:position], *windows[position + 1 :]):
            if isinstance(binding, Window) and implies(binding, window):
                raise ConfigurationError(
                    f"RateLimit.windows: {window} can never bind, as {binding} is always the tighter one"
                )


@attrs.frozen(init=False, repr=False)
class RateLimit:
    """The limit of one account: every window at once, and a cap on the attempts in flight.

    Args:
        windows: What the provider allows; any number of them, all hold at once.
        parallel: The most attempts in flight at once; None for as many as the windows allow.
        pace: The least seconds from one attempt to the next; None for bursts as large as the windows allow.
        interactive_reserve: How many slots of each window, and of ``parallel``, bulk leaves free for calls that
            somebody waits for: never more than half, and more of a long window when many such calls come; 0 for none.

    Raises:
        ConfigurationError: A value is out of range, or a window can never bind; the message names the field.
    """

    windows: tuple[Window, ...]
    parallel: int | None
    pace: float | None
    interactive_reserve: int

    def __init__(
        self,
        *windows: Window,
        parallel: int | None = None,
        pace: float | None = None,
        interactive_reserve: int = INTERACTIVE_RESERVE,
    ) -> None:
        _check_windows(windows)
        if parallel is not None:
            check_whole("RateLimit.parallel", parallel)
        if pace is not None:
            _positive("RateLimit.pace", pace)
        check_whole("RateLimit.interactive_reserve", interactive_reserve, least=0)
        if not windows and parallel is None and pace is None:
            raise ConfigurationError("RateLimit.windows: give at least one window, or use RateLimit.courtesy")
        self.__attrs_init__(windows, parallel, pace, interactive_reserve)

    @classmethod
    def courtesy(cls, per_second: float, parallel: int) -> Self:
        """Make a pace without a promise, for a provider that publishes no limit.

        Args:
            per_second: Attempts a second, evenly spread.
            parallel: The most attempts in flight at once.

        Raises:
            ConfigurationError: Either is out of range; the message names it.
        """
        _positive("RateLimit.courtesy per_second", per_second)
        return cls(parallel=parallel, pace=1.0 / per_second)

    @classmethod
    def parse(cls, text: str, *, called: str = "rate limit") -> Self:
        """Read a limit that is written as ``10/1,150/60,parallel=10``: calls per seconds, and the other arguments.

        Args:
            text: The limit.
            called: What errors call it.

        Raises:
            ConfigurationError: A part is none, or is out of range; the message names it.
        """
        windows, others = list[Window](), dict[str, Any]()
        for part in map(str.strip, text.split(",")):
            try:
                _read(part, windows, others)
            except ConfigurationError as error:
                raise ConfigurationError(f"{called} {text!r}: in {part!r}, {error.message}") from None
        try:
            return cls(*windows, **others)
        except ConfigurationError as error:
            raise ConfigurationError(f"{called} {text!r}: {error.message}") from None

    def tighter(self, other: Self) -> Self:
        """Return the limit that keeps to both."""
        calls: dict[float, int] = {}
        for window in (*self.windows, *other.windows):
            calls[window.seconds] = min(window.calls, calls.get(window.seconds, window.calls))
        windows = [Window(count, seconds) for seconds, count in calls.items()]
        binding = [one for one in windows if not any(implies(two, one) for two in windows if two is not one)]
        return type(self)(
            *binding,
            parallel=min((one.parallel for one in (self, other) if one.parallel is not None), default=None),
            pace=max((one.pace for one in (self, other) if one.pace is not None), default=None),
            interactive_reserve=max(self.interactive_reserve, other.interactive_reserve),
        )

    def reserve_of(self, calls: int) -> int:
        """Return how many of so many slots bulk leaves free at least."""
        return min(self.interactive_reserve, calls // 2)

    @property
    def steady(self) -> float:
        """The attempts a second that it allows for ever."""
        return min(self._rates, default=math.inf)

    @property
    def briskest(self) -> float:
        """The attempts a second that it allows for a while."""
        return max(self._rates, default=math.inf)

    @property
    def shortest(self) -> float:
        """The seconds of the shortest window; 1 without windows."""
        return min((window.seconds for window in self.windows), default=1.0)

    @property
    def longest(self) -> float:
        """The seconds of the longest window; 60 without windows."""
        return max((window.seconds for window in self.windows), default=60.0)

    @property
    def _rates(self) -> list[float]:
        rates = [window.calls / window.seconds for window in self.windows]
        return rates or ([1.0 / self.pace] if self.pace else [])

    def __repr__(self) -> str:
        parts = [f"Window({window.calls}, {window.seconds:g})" for window in self.windows]
        parts += [] if self.parallel is None else [f"parallel={self.parallel}"]
        parts += [] if self.pace is None else [f"pace={self.pace:g}"]
        if self.interactive_reserve != INTERACTIVE_RESERVE:
            parts.append(f"interactive_reserve={self.interactive_reserve}")
        return f"RateLimit({', '.join(parts)})"
