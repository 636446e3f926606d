"""Whether a job comes again, and when: decided from what it met with, without I/O."""

import asyncio
from typing import Final

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job

from omeda_async.errors import (
    ClosedError,
    JournalError,
    LimitWaitExceeded,
    RateLimited,
    ServerError,
    TransportError,
    UnreadableAnswer,
)

FIRST, LONGEST = 15.0, 900.0
"""Seconds until a job comes again that met with what passes; each time twice as long, and never longer."""
OFTEN: Final = 100
"""How often one worker tries a chunk again for such a cause at the most: for about a day."""


class Later(Exception):
    """What a job met with passes, and it comes again. Raised to nobody but the engine."""

    def __init__(self, text: str, retry_in: float) -> None:
        super().__init__(text)
        self.retry_in = retry_in


def taken(retry_in: float) -> Later:
    """Say that a chunk is another's, or was and may still have a request on its way."""
    return Later(f"the chunk is held by another process; looked at again in {retry_in:.0f} s", retry_in)


class OtherVersion(Exception):  # nor is this raised to anybody else
    """A job was made by another version, for what this one does not know: there may be a worker that does."""


_PASSES: Final = (
    *(TransportError, ServerError, RateLimited, UnreadableAnswer, LimitWaitExceeded),
    *(JournalError, ConnectorException, OSError, OtherVersion),
)


def seconds_until_again(error: BaseException, failures: int) -> float | None:
    """Return the seconds after which a job comes again; None: never, as it would meet with the same.

    Args:
        error: What it met with.
        failures: How often its chunk has failed here before for what passes. Not how often the job has come: it also
            comes again where its worker was stopped or killed, or its chunk was another's.
    """
    if isinstance(error, Later):
        return error.retry_in
    if isinstance(error, ClosedError | asyncio.CancelledError):  # this worker was told to stop
        return 0.0
    if not isinstance(error, _PASSES) or failures >= OFTEN:
        return None
    if isinstance(error, JournalError) and error.missing is not None:  # there is nothing to perform any more
        return None
    return float(min(FIRST * 2 ** min(failures, 10), LONGEST))


class Again(BaseRetryStrategy):
    """The same for procrastinate."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Decide whether a job comes again."""
        del job
        seconds = seconds_until_again(exception, 0)
        return None if seconds is None else RetryDecision(retry_in={"milliseconds": round(seconds * 1000)})
