"""What became of a call, and the outcome that means for its record."""

from typing import Any, Generic, TypeVar

from omeda_async._masking import LEAST_SECRET, hide_secrets, holds_secret
from omeda_async._operation import Operation, Response, Verdict
from omeda_async._quick import quick
from omeda_async._retry import refused_unseen
from omeda_async.errors import (
    AlreadyDone,
    ApiError,
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
    """May an attempt have been carried out, with nothing to settle it?"""
    lost: bool = False
    """Was an attempt lost before another was refused? The refusal tells of it too, if the cause is the records' own."""
    known: OutcomeStatus | None = None
    """The outcome, where it does not follow from the rest."""

    @property
    def status(self) -> OutcomeStatus:
        """Say it as the outcome of a record."""
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


def named(error: OmedaAsyncError, verdict: Verdict) -> OmedaAsyncError:
    """Return a refusal the class of what a read has shown of its target."""
    kind = {Verdict.DONE: AlreadyDone, Verdict.TOO_LATE: TooLate}.get(verdict)
    if kind is None:
        return error
    if isinstance(error, ApiError):
        return error.as_kind(kind)
    return kind(f"the provider's own record says so ({verdict.value}); {error.message}")


def read_response(operation: Operation[Any, R], answer: Response, secrets: tuple[str, ...]) -> R | OmedaAsyncError:
    """Parse an answer, with the secrets that a provider may echo hidden.

    An error's text is cut and masked: hiding them only afterwards would leave a part of one. Of a success every value
    counts: a password too short to be told from chance is no reason to change one.
    """
    result = operation.parse(answer)
    least = 1 if isinstance(result, OmedaAsyncError) else LEAST_SECRET
    if not holds_secret(answer.body, secrets, least=least):
        return result
    clean = hide_secrets(answer.body.decode("utf-8", "surrogateescape"), secrets, least=least)
    again = operation.parse(Response(answer.status, answer.headers, clean.encode("utf-8", "surrogateescape")))
    return again if type(again) is type(result) else result
