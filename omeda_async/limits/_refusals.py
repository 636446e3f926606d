"""Why a limiter lets nobody go."""

from omeda_async._checks import shown
from omeda_async.errors import ClosedError, ConfigurationError, LimitWaitExceeded


def check_wait(max_wait: float) -> None:
    """Check a longest wait.

    Raises:
        ConfigurationError: It is negative or no number.
    """
    number = isinstance(max_wait, float) or (isinstance(max_wait, int) and not isinstance(max_wait, bool))
    if not (number and max_wait >= 0):
        raise ConfigurationError(f"max_wait must be 0 seconds or more, or None, not {shown(max_wait)}")


def closed() -> ClosedError:
    """Make the error for a limiter that is closed."""
    return ClosedError("the session was closed before this was sent")


def too_long(max_wait: float, next_slot_in: float | None) -> LimitWaitExceeded:
    """Make the error for a wait that would be too long."""
    free = "hangs on answers to come" if next_slot_in is None else f"is free in {next_slot_in:.3f} s at the earliest"
    return LimitWaitExceeded(
        f"the wait for the limit would pass max_wait={max_wait:g} s: the next slot {free}",
        max_wait=max_wait,
        next_slot_in=next_slot_in,
    )


def held_back(max_wait: float, store: str, held_for: float) -> LimitWaitExceeded:
    """Make the error for a wait that a hold makes too long."""
    return LimitWaitExceeded(
        f"the wait for the limit would pass max_wait={max_wait:g} s: nothing goes for another {held_for:.1f} s, as "
        f"{store} does not know what was sent before",
        max_wait=max_wait,
        next_slot_in=held_for,
    )


def away(max_wait: float, store: str, why: str) -> LimitWaitExceeded:
    """Make the error for a wait that ended while the store that shares the limit did not answer."""
    because = f": {why}" if why else ""
    return LimitWaitExceeded(
        f"the wait for the limit has passed max_wait={max_wait:g} s: {store}, which shares it with other processes, "
        f"does not answer{because}",
        max_wait=max_wait,
    )
