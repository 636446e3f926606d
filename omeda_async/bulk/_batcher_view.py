"""What a batcher tells of itself."""

import attrs

from omeda_async.errors import LimitWaitExceeded, OmedaAsyncError


@attrs.frozen(kw_only=True)
class BatcherView:
    """A batcher at one moment."""

    waiting: int
    """Records that no request has taken yet."""
    in_flight: int
    """Records in requests under way."""
    max_waiting: int | None
    breaker: str
    """``"closed"``, ``"open"`` (records are refused at once) or ``"half-open"`` (one is tried, others are refused)."""
    retry_in: float
    """Seconds until the next record is tried, while it is open; else 0."""
    cause: OmedaAsyncError | None
    """What it is open for."""


def too_long(max_wait: float, next_slot_in: float | None) -> LimitWaitExceeded:
    """Return the error of a record that would wait for the limit for longer than it may."""
    said = f"would pass max_wait={max_wait:g} s: {_next(next_slot_in)}"
    return LimitWaitExceeded(f"the record's wait for the limit {said}", max_wait=max_wait, next_slot_in=next_slot_in)


def passed(deadline: float, next_slot_in: float | None) -> LimitWaitExceeded:
    """Return the error of a record that has waited for the limit for as long as a call may take."""
    said = f"has passed the call's deadline of {deadline:g} s: {_next(next_slot_in)}"
    return LimitWaitExceeded(f"the record's wait for the limit {said}", max_wait=deadline, next_slot_in=next_slot_in)


def _next(next_slot_in: float | None) -> str:
    free = "hangs on answers to come" if next_slot_in is None else f"is free in {next_slot_in:.3f} s at the earliest"
    return f"the next slot {free}"
