"""What to do after a failed attempt: pure, and read from what the operation declares."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from omeda_async._operation import Operation
from omeda_async.errors import (
    AnswerLost,
    ApiError,
    ConnectionFailed,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    SessionLost,
    UnreadableAnswer,
)
from omeda_async.settings import RetryPolicy

JITTER = 0.25
_BY_STATUS = (ServerError, UnreadableAnswer)
"""Whose status tells what may have become of the request, whether or not the answer could be read whole."""


@attrs.frozen
class Retry:
    """Send it again, after a wait."""

    wait: float
    """Seconds."""


@attrs.frozen
class Settle:
    """Find out what became of it, after a wait."""

    wait: float
    """Seconds."""


@attrs.frozen
class Stop:
    """Report the error: nothing that may be done would help."""


Step = Retry | Settle | Stop


def in_doubt(error: OmedaAsyncError, *, idempotent: bool = True) -> bool:
    """Whether the request may have been carried out all the same.

    Args:
        error: What the attempt ended with.
        idempotent: Whether the operation is. If not, a 503 counts as doubtful: it may come from a proxy that had
            passed the request on.
    """
    if isinstance(error, AnswerLost):
        return True
    if isinstance(error, SessionLost):
        return error.sent  # a bare page under a 2xx: a proxy may have put it in the place of the answer
    if not isinstance(error, _BY_STATUS) or (isinstance(error, UnreadableAnswer) and 400 <= error.status <= 499):
        return False
    return error.status != 503 or not idempotent


def gave_up_waiting(error: OmedaAsyncError) -> bool:
    """Whether we, or a gateway, stopped waiting for the provider: it may still be at work on the request."""
    if isinstance(error, AnswerLost):
        return error.timed_out
    return isinstance(error, _BY_STATUS) and error.status == 504


def refused_unseen(error: OmedaAsyncError) -> bool:
    """Whether the request was certainly not carried out, for a reason that may pass."""
    if isinstance(error, _BY_STATUS):
        return error.status == 503
    return isinstance(error, ConnectionFailed | RateLimited)


def chance() -> float:
    """Return a number between 0 and 1: the only source of chance, so that a test can put another in its place."""
    return random.random()  # noqa: S311 jitter is no secret


def backoff(attempt: int, policy: RetryPolicy, uniform: Callable[[], float] = chance) -> float:
    """Return the seconds to wait after the given attempt (from 1): doubling, bounded, with positive jitter."""
    pause: float = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt - 1, 60))
    return pause * (1 + JITTER * uniform())


def decide(
    operation: Operation[Any, Any],
    errors: Sequence[OmedaAsyncError],
    policy: RetryPolicy,
    uniform: Callable[[], float] = chance,
) -> Step:
    """Decide what follows a failed attempt.

    Args:
        operation: What was attempted; it declares how safe it is to repeat.
        errors: What each attempt so far ended with, the latest last.
        policy: How long a call is tried for.
        uniform: A source of numbers between 0 and 1, for the jitter.
    """
    error, attempt = errors[-1], len(errors)
    last = attempt >= policy.attempts
    wait = _wait(error, attempt, policy, uniform)
    if not in_doubt(error, idempotent=operation.idempotent):
        return Retry(wait) if refused_unseen(error) and not last else Stop()
    if not operation.idempotent or last or _second_500(errors):
        return Settle(wait)
    return Retry(wait) if operation.repeat_tells else Settle(wait)


def may_repeat(operation: Operation[Any, Any], errors: Sequence[OmedaAsyncError], policy: RetryPolicy) -> bool:
    """Whether an attempt that a read says was not carried out may be made again."""
    return operation.idempotent and len(errors) < policy.attempts and not _second_500(errors)


def _second_500(errors: Sequence[OmedaAsyncError]) -> bool:
    # Omeda on 500: "submitting additional requests may not be advisable". Once more, then no further.
    return sum(isinstance(error, _BY_STATUS) and error.status == 500 for error in errors) > 1


def _wait(error: OmedaAsyncError, attempt: int, policy: RetryPolicy, uniform: Callable[[], float]) -> float:
    if isinstance(error, RateLimited):
        return 0.0  # the limiter holds the whole account back; waiting here too would do it twice
    asked = error.retry_after if isinstance(error, ApiError) else None
    pause = backoff(attempt, policy, uniform)
    return max(pause, asked * (1 + JITTER * uniform() / 10)) if asked and asked > 0 else pause
