"""What became of a call, and the outcome that means for its record."""

from typing import Generic, TypeVar

from omeda_async._decide import refused_unseen
from omeda_async._quick import quick
from omeda_async.errors import (
    AlreadyDone,
    AuthenticationFailed,
    ClosedError,
    ConfigurationError,
    LimitWaitExceeded,
    OmedaAsyncError,
    ServerError,
    SessionLost,
    TooLate,
    TransportError,
    UnreadableAnswer,
)
from omeda_async.outcomes import OutcomeStatus

R = TypeVar("R")


@quick(kw_only=True, eq=False)
class Result(Generic[R]):
    """What became of a call."""

    receipt: R | None = None
    error: OmedaAsyncError | None = None
    attempts: int = 0
    settled: bool = False
    doubtful: bool = False
    """Whether an attempt may have been carried out, with nothing to settle it."""
    lost: bool = False
    """Whether an attempt was lost before another was refused. For a cause of the records' own, both were refused."""
    known: OutcomeStatus | None = None
    """The outcome, where it is known already, or does not follow from the rest."""

    @property
    def status(self) -> OutcomeStatus:
        """Return it as the outcome of a record."""
        if self.known is not None:
            return self.known
        if self.error is None:
            return OutcomeStatus.ALREADY_DONE if self.settled else OutcomeStatus.DONE
        return status_of(self.error, doubtful=self.doubtful)


def status_of(error: OmedaAsyncError, *, doubtful: bool) -> OutcomeStatus:
    """Return the outcome that an error means for its record."""
    if isinstance(error, AlreadyDone):
        return OutcomeStatus.ALREADY_DONE
    if isinstance(error, TooLate):
        return OutcomeStatus.TOO_LATE
    if doubtful:
        return OutcomeStatus.UNKNOWN
    if isinstance(error, LimitWaitExceeded | ClosedError | ConfigurationError):
        return OutcomeStatus.NOT_SENT
    passing = isinstance(error, ServerError | AuthenticationFailed | SessionLost | TransportError | UnreadableAnswer)
    return OutcomeStatus.FAILED if passing or refused_unseen(error) else OutcomeStatus.REJECTED
