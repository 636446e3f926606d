"""A circuit breaker: after a cause that meets every record, nothing is sent for a while. Pure: time is an argument."""

import enum
from collections.abc import Iterable

import attrs

from omeda_async._operation import hits_everyone
from omeda_async._result import Result
from omeda_async.bulk._common_cause import kind_of
from omeda_async.errors import ApiError, ClosedError, LimitWaitExceeded, OmedaAsyncError, ProviderUnavailable

FIRST_PAUSE = 5.0
"""Seconds that a breaker is open at first; each probe that fails doubles it."""
LONGEST_PAUSE = 60.0
SILENT_REQUESTS = 2
"""Requests in a row that get no answer of the provider's before it opens: one may be due to what is in it."""


class BreakerState(enum.StrEnum):
    """Whether records are taken."""

    CLOSED = "closed"
    """As ever."""
    OPEN = "open"
    """None is taken: what the last requests ended with would meet each."""
    HALF_OPEN = "half-open"
    """One is on its way, to find out whether that is over."""


@attrs.define
class Breaker:
    """Says whether a record may be sent, by what the requests before have ended with."""

    state: BreakerState = BreakerState.CLOSED
    cause: OmedaAsyncError | None = None
    """What opened it; None while it is closed."""
    opens_at: float = 0.0
    """When a probe may go, while it is open."""
    _pause: float = 0.0
    _silent: int = 0

    def admits(self, now: float) -> bool:
        """Whether a record may be sent; while the breaker is not closed, the first one admitted is the probe."""
        if self.state is BreakerState.OPEN and now >= self.opens_at:
            self.state = BreakerState.HALF_OPEN
            return True
        return self.state is BreakerState.CLOSED

    def wait(self, now: float) -> float:
        """Return the seconds until the next probe may go; 0 when it may, or when one is on its way."""
        return max(0.0, self.opens_at - now) if self.state is BreakerState.OPEN else 0.0

    def ended(
        self,
        now: float,
        results: Iterable[Result[object]],
        *,
        probe: bool = False,
        common: OmedaAsyncError | None = None,
    ) -> bool:
        """Note what the records of a request ended with; return whether the state has changed.

        Args:
            now: The time.
            results: Of its records.
            probe: Whether it was the probe: others that were under way when the breaker opened do not prolong it.
            common: What is known to meet every record of this operation.
        """
        before, cause = self.state, common
        for result in results:
            error = result.error
            if error is None or (common is None and _is_own_word(error)):
                self.state, self.cause, self._pause, self._silent = BreakerState.CLOSED, None, 0.0, 0
                return before is not self.state
            if not isinstance(error, ClosedError | LimitWaitExceeded):
                cause = common or error
        if cause is None or not (probe or before is BreakerState.CLOSED):
            self.probe_is_gone(now, probe=probe)
        elif probe or common is not None or self._is_enough(cause):
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self.state, self.cause, self.opens_at = BreakerState.OPEN, cause, now + self._pause
        return before is not self.state

    def probe_is_gone(self, now: float, *, probe: bool = True) -> None:
        """Let another record be the probe, as nothing was learned from the last."""
        if probe and self.state is BreakerState.HALF_OPEN:
            self.state, self.opens_at = BreakerState.OPEN, now

    def refusal(self, now: float, provider: str) -> ProviderUnavailable:
        """Make the error for a record that is not taken."""
        wait, cause = self.wait(now), self.cause
        again = f"in {wait:.1f} s" if wait else "when the one that is on its way has ended"
        error = ProviderUnavailable(
            f"refused at once, as the last requests ended with {type(cause).__name__}: {getattr(cause, 'message', '')} "
            f"(the next one is tried {again})",
            provider=provider,
            retry_in=wait,
        )
        error.__cause__ = cause
        return error

    def _is_enough(self, cause: OmedaAsyncError) -> bool:
        if hits_everyone(cause) or kind_of(cause) == "unreached":
            return True
        self._silent += 1
        return self._silent >= SILENT_REQUESTS


def _is_own_word(error: OmedaAsyncError) -> bool:
    """Whether an error is the provider's answer about a record: then the provider is there, and knows us."""
    return isinstance(error, ApiError) and not hits_everyone(error) and kind_of(error) is None and not error.sent
