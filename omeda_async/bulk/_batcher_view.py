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


def too_long(said: str, max_wait: float, next_slot_in: float | None) -> LimitWaitExceeded:
    """Return the error of a record that waits for the limit for longer than it may.

    Args:
        said: What its wait does, in words.
        max_wait: The seconds that it may wait.
        next_slot_in: When the limit has room.
    """
    free = "hangs on answers to come" if next_slot_in is None else f"is free in {next_slot_in:.3f} s at the earliest"
    text = f"the record's wait for the limit {said}: the next slot {free}"
    return LimitWaitExceeded(text, max_wait=max_wait, next_slot_in=next_slot_in)
