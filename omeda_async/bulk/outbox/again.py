"""Whether a record is tried again, and when: pure."""

import attrs

from omeda_async._result import Result
from omeda_async.errors import ClosedError
from omeda_async.outcomes import OutcomeStatus

FIRST_WAIT = 1.0
"""Seconds before a record is tried again; doubled each time."""
LONGEST_WAIT = 300.0
_NOT_YET = frozenset({OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT})


@attrs.frozen
class Again:
    """A record that is to be tried again."""

    seconds: float
    """From now."""
    tries: int
    """In vain, so far."""


def again(result: Result[object], *, tries: int, age: float, give_up_after: float | None) -> Again | None:
    """Return when a record is to be tried again; None where the result is its outcome.

    Args:
        result: What it has ended with this time.
        tries: How often it was tried in vain before.
        age: Seconds since it was put.
        give_up_after: Seconds after which the result is the outcome, whatever it is; None: never.
    """
    if result.status not in _NOT_YET or (give_up_after is not None and age >= give_up_after):
        return None
    if result.status is OutcomeStatus.NOT_SENT and isinstance(result.error, ClosedError):
        return Again(0.0, tries)  # it was not its turn yet
    return Again(min(FIRST_WAIT * 2.0 ** min(tries, 20), LONGEST_WAIT), tries + 1)


def longest_wait(attempt: float) -> float:
    """Return how many seconds ahead a record can be due: when it is tried again, or what was sent can have ended.

    Args:
        attempt: Seconds that an attempt may take.
    """
    return max(LONGEST_WAIT, attempt) + 1.0


def seconds_until(due_in: float, attempt: float) -> float:
    """Return the seconds until a record can be claimed: none where it is due later than it can be.

    Then the clock has been put back.
    """
    return 0.0 if due_in > longest_wait(attempt) else max(0.0, due_in)
