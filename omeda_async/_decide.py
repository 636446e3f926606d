"""How a call goes on: every decision, as pure functions of what has happened and what the operation declares.

``Call`` carries out the steps, and tells what came of each as an event; :func:`next_step` returns what is certain then,
and the next step. A success needs no decision: it ends the call.
"""

import math
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from omeda_async._operation import GAVE_UP, PASSING, Operation, Verdict
from omeda_async.errors import (
    AlreadyDone,
    AnswerLost,
    ApiError,
    AuthenticationFailed,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    LimitWaitExceeded,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    SessionLost,
    TooLate,
    UnreadableAnswer,
)
from omeda_async.outcomes import OutcomeStatus
from omeda_async.settings import RetryPolicy

JITTER = 0.25
ShutOut: TypeAlias = AuthenticationFailed | SessionLost
"""The errors that other credentials may resolve."""
_NOT_MADE = (LimitWaitExceeded, ClosedError, ConfigurationError)
"""The errors of an attempt that was not made: another one would not be made either."""
OWN_WORD = frozenset({500, 501})
"""The 5xx of the provider itself: what it has not done by then, it will not do. Any other may be a gateway's."""
_BY_STATUS = (ServerError, UnreadableAnswer)
"""The errors whose status tells what may have become of the request, also where the body could not be read."""


def chance() -> float:
    """Return a number between 0 and 1: the only source of chance, so that a test can put another in its place."""
    return random.random()  # noqa: S311 jitter is no secret


@attrs.frozen(kw_only=True, eq=False)
class Rules:
    """What decides how a call goes on, and does not change during it."""

    operation: Operation[Any, Any]
    policy: RetryPolicy
    explain: bool = True
    """Whether a read finds out what an ambiguous refusal meant."""
    fail_fast: bool = False
    """Whether the call ends with the first failure in doubt, as a smaller request is to be tried instead."""
    uniform: Callable[[], float] = chance
    """A source of numbers between 0 and 1, for the jitter."""


@attrs.frozen(eq=False)
class Doubt:
    """An attempt may have been carried out, and we do not know."""

    error: OmedaAsyncError
    """What the attempt in doubt ended with, the latest where there are several."""
    early: bool
    """Whether the provider may still carry it out: what a read does not show yet is read again after a while."""
    since: float = math.inf
    """When the attempt ended, by the loop's clock; infinity where that is not known."""


@attrs.frozen(kw_only=True, eq=False)
class State:
    """What is known of a call between two steps."""

    errors: tuple[OmedaAsyncError, ...] = ()
    """What each attempt so far ended with, the latest last."""
    doubt: Doubt | None = None
    """What is to be verified; None while it is certain that nothing was applied."""
    lost: bool = False
    """Whether an attempt was in doubt when another was refused."""
    renewed: bool = False
    """Whether the credentials have been renewed for this call."""

    @classmethod
    def of_earlier_run(cls) -> "State":
        """Return the state of a call that an earlier run may have made already, perhaps a moment ago."""
        return cls(doubt=Doubt(AnswerLost("an earlier run was interrupted before the answer came"), early=True))


@attrs.frozen(eq=False)
class Ended:
    """An attempt has failed, or could not be made."""

    error: OmedaAsyncError
    at: float = math.inf
    """When, by the loop's clock; infinity where that is not known."""


@attrs.frozen(eq=False)
class Looked:
    """A read has asked the provider what became of the call."""

    verdict: Verdict
    error: OmedaAsyncError | None = None
    """What the read failed with."""
    at: float = -math.inf
    """When the read began, by the loop's clock; minus infinity where that is not known."""


Event: TypeAlias = Ended | Looked


@attrs.frozen
class Send:
    """Make an attempt."""

    renew: ShutOut | None = None
    """The refusal of the last attempt, where the credentials are to be renewed first."""


@attrs.frozen
class Verify:
    """Ask the provider, by a read, what became of the call."""


@attrs.frozen(kw_only=True)
class Finish:
    """End the call with this."""

    error: OmedaAsyncError | None = None
    """None where an attempt of ours is verified as done."""
    doubtful: bool = False
    lost: bool = False
    known: OutcomeStatus | None = None
    """The outcome, where it does not follow from the error."""


@attrs.frozen
class Wait:
    """Wait, then take the step ``then``; ``otherwise`` where there is no time, or nothing more is to be sent."""

    seconds: float
    then: Send | Verify
    otherwise: Finish


Step: TypeAlias = Send | Wait | Verify | Finish


def first_step(rules: Rules, state: State) -> Step:
    """Return what a call begins with."""
    if state.doubt is None or rules.operation.repeat_tells:
        return Send()
    return _verify(rules, 0.0, _failed(state, state.doubt.error))


def next_step(rules: Rules, state: State, event: Event) -> tuple[State, Step]:
    """Return what is known after an event, and what to do next."""
    if isinstance(event, Ended):
        return _after_attempt(rules, state, event)
    return _after_read(rules, state, event)


def when_interrupted(rules: Rules, state: State, *, in_flight: bool) -> Finish:
    """Return what is certain about a call that was cancelled at one of its waits.

    Args:
        rules: Those of the call.
        state: Its state.
        in_flight: Whether an attempt was waiting for its response. A read does not count.
    """
    if in_flight or state.doubt is not None:
        return Finish(error=AnswerLost("interrupted while the answer was awaited"), doubtful=True)
    if not state.errors:
        return Finish(error=ClosedError("interrupted before it was sent"))
    error = state.errors[-1]
    return _failed(state, error, known=_left_unexplained(rules, error))


def in_doubt(error: OmedaAsyncError) -> bool:
    """Whether the request may have been carried out all the same."""
    if isinstance(error, AnswerLost | ServerError):
        return True
    if isinstance(error, UnreadableAnswer):
        return not 400 <= error.status <= 499 or error.status in GAVE_UP
    # A page in the place of an answer, or a 4xx that says that somebody stopped waiting.
    return isinstance(error, ApiError) and error.sent


def refused_unseen(error: OmedaAsyncError) -> bool:
    """Whether the request was certainly not carried out, for a reason that may pass."""
    if isinstance(error, ConnectionFailed | RateLimited):
        return isinstance(error, RateLimited) or error.retryable
    return type(error) is ApiError and error.status in PASSING  # a class of its own has it from the provider's words


def may_have_left(error: OmedaAsyncError) -> bool:
    """Whether an attempt without a response may have reached the provider, whose limits count it then."""
    return error.sent or not isinstance(error, ConnectionFailed | ConfigurationError | ClosedError)


def backoff(attempt: int, policy: RetryPolicy, uniform: Callable[[], float] = chance) -> float:
    """Return the seconds to wait after the given attempt (from 1): doubling, bounded, with positive jitter."""
    pause: float = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt - 1, 60))
    return pause * (1 + JITTER * uniform())


def _after_attempt(rules: Rules, state: State, ended: Ended) -> tuple[State, Step]:
    error = ended.error
    if isinstance(error, _NOT_MADE):
        return state, _failed(state, state.errors[-1] if state.errors else error)
    if _raises_doubt(rules, error):
        early = _came_from_in_between(error) or (state.doubt is not None and state.doubt.early)
        state = attrs.evolve(state, doubt=Doubt(error, early, ended.at))
    if isinstance(error, ShutOut) and not state.renewed:
        return attrs.evolve(state, renewed=True), Send(renew=error)
    state = attrs.evolve(state, errors=(*state.errors, error))
    if isinstance(error, AlreadyDone) and state.doubt is not None:
        return state, Finish()
    if _is_to_be_read(rules, state):
        return state, Verify()
    if _is_refusal(error) and not rules.operation.hits_everyone(error):
        # A repeat that is refused for what it asks shows that the attempts before it were refused, too.
        doubt = None if rules.operation.refusal_tells(error) else state.doubt
        state = attrs.evolve(state, lost=state.lost or state.doubt is not None, doubt=doubt)
    return state, _after_failure(rules, state, error)


def _after_failure(rules: Rules, state: State, error: OmedaAsyncError) -> Step:
    operation, give_up = rules.operation, _failed(state, error)
    passes = refused_unseen(error) or (_is_unavailable(error) and operation.idempotent)
    if passes and len(state.errors) < rules.policy.attempts:
        return Wait(_pause(rules, state), Send(), give_up)
    if not _raises_doubt(rules, error):
        return give_up if state.doubt is None else _verify(rules, 0.0, give_up)
    if rules.fail_fast:
        return _verify(rules, 0.0, give_up)
    if operation.repeat_tells and _may_repeat(rules, state) and not _redirects(error):
        return Wait(_pause(rules, state), Send(), give_up)
    return _verify(rules, _pause(rules, state), give_up)


def _after_read(rules: Rules, state: State, read: Looked) -> tuple[State, Step]:
    error, verdict, doubt = _latest(state), read.verdict, state.doubt
    if verdict is Verdict.DONE and doubt is not None:
        return state, Finish()
    if verdict in {Verdict.DONE, Verdict.TOO_LATE}:
        return state, _failed(state, _named(error, verdict), certain=True)
    refused = _is_to_be_read(rules, state)
    if refused and verdict is Verdict.UNDECIDED:
        return state, _unread(rules, state, error, read.error)
    early = doubt is not None and doubt.early
    believed = not early or _has_had_its_time(rules, state, read)
    give_up = _failed(state, error, certain=verdict is Verdict.NOT_DONE and believed)
    hopeless = isinstance(error, ShutOut) or (read.error is not None and _redirects(error))
    if not (refused or hopeless) and _may_repeat(rules, state):
        return state, Wait(0.0, Send(), give_up)
    if verdict is Verdict.NOT_DONE and doubt is not None and early:
        later = attrs.evolve(state, doubt=attrs.evolve(doubt, early=False))
        return later, Wait(rules.policy.settle_delay, Verify(), give_up)
    return state, give_up


def _has_had_its_time(rules: Rules, state: State, read: Looked) -> bool:
    """Whether a read began so long after the attempt in doubt that it counts if there is no time for a second."""
    since = math.inf if state.doubt is None else state.doubt.since
    return 0 < rules.policy.settle_delay <= read.at - since


def _unread(rules: Rules, state: State, error: OmedaAsyncError, failure: OmedaAsyncError | None) -> Finish:
    """Return the end of a call whose refusal no read could explain."""
    certain = rules.operation.absent(error)  # the provider knows no such target: nothing was done to it
    broken_off = isinstance(failure, ClosedError | LimitWaitExceeded)
    known = _left_unexplained(rules, error) if broken_off and (certain or state.doubt is None) else None
    return _failed(state, error, certain=certain, known=known)


def _failed(
    state: State, error: OmedaAsyncError, *, certain: bool = False, known: OutcomeStatus | None = None
) -> Finish:
    """Return the end of a call with an error; ``certain`` says that the doubt there was is cleared up."""
    doubtful = state.doubt is not None and not certain
    if _is_no_word(error) and not doubtful:
        known = OutcomeStatus.FAILED  # nobody has refused the record
    return Finish(error=error, doubtful=doubtful, lost=state.lost, known=known)


def _verify(rules: Rules, seconds: float, otherwise: Finish) -> Step:
    return otherwise if rules.operation.verification is None else Wait(seconds, Verify(), otherwise)


def _latest(state: State) -> OmedaAsyncError:
    return state.errors[-1] if state.errors or state.doubt is None else state.doubt.error


def _is_to_be_read(rules: Rules, state: State) -> bool:
    """Whether a read has to tell what the latest error, a refusal, means for what was asked."""
    error = _latest(state)
    if rules.operation.verification is None:
        return False
    if state.doubt is not None and _is_refusal(error) and not isinstance(error, TooLate):
        return True
    return rules.explain and rules.operation.unexplained(error)


def _is_refusal(error: OmedaAsyncError) -> bool:
    if not isinstance(error, ApiError) or in_doubt(error) or refused_unseen(error):
        return False
    return not isinstance(error, ShutOut)


def _left_unexplained(rules: Rules, error: OmedaAsyncError) -> OutcomeStatus | None:
    """Return the outcome of a refusal that no read has explained: it has failed, and may be asked for again."""
    return OutcomeStatus.FAILED if rules.explain and rules.operation.unexplained(error) else None


def _may_repeat(rules: Rules, state: State) -> bool:
    """Whether an attempt that may have been carried out may be made again."""
    if not rules.operation.idempotent or len(state.errors) >= rules.policy.attempts:
        return False
    return not (_second_500(state) or _is_page(_latest(state)))


def _redirects(error: OmedaAsyncError) -> bool:
    """Whether the response was a redirect. None is followed, and a repeat would be redirected, too."""
    return isinstance(error, ApiError | UnreadableAnswer) and 300 <= error.status <= 399


def _second_500(state: State) -> bool:
    # Omeda on 500: "submitting additional requests may not be advisable". Once more, then no further.
    return sum(isinstance(error, _BY_STATUS) and error.status == 500 for error in state.errors) > 1


def _raises_doubt(rules: Rules, error: OmedaAsyncError) -> bool:
    """Whether a request may have been carried out. A page that meets every record has kept it from the provider."""
    return in_doubt(error) and not (_is_page(error) and rules.operation.hits_everyone(error))


def _came_from_in_between(error: OmedaAsyncError) -> bool:
    """Whether the network, a gateway or our time-out ended it: the provider may still be at work on the request."""
    return not (isinstance(error, _BY_STATUS) and error.status in OWN_WORD)


def _is_no_word(error: OmedaAsyncError) -> bool:
    """Whether a 4xx says nothing about the record: it came with a page, or from a gateway that stopped waiting."""
    return isinstance(error, ApiError) and error.sent and 400 <= error.status <= 499


def _is_page(error: OmedaAsyncError) -> bool:
    """Whether a 4xx came with a page in the place of the provider's words: a repeat would get the same."""
    return _is_no_word(error) and getattr(error, "status", None) not in GAVE_UP


def _is_unavailable(error: OmedaAsyncError) -> bool:
    return isinstance(error, _BY_STATUS) and error.status == 503


def _pause(rules: Rules, state: State) -> float:
    error = state.errors[-1]
    if isinstance(error, RateLimited):
        return 0.0  # the limiter holds the whole account back; waiting here too would do it twice
    asked = error.retry_after if isinstance(error, ApiError) else None
    pause = backoff(len(state.errors), rules.policy, rules.uniform)
    return max(pause, asked * (1 + JITTER * rules.uniform() / 10)) if asked and asked > 0 else pause


def _named(error: OmedaAsyncError, verdict: Verdict) -> OmedaAsyncError:
    """Return a refusal as the class of what a read has shown of its target."""
    kind = AlreadyDone if verdict is Verdict.DONE else TooLate
    if isinstance(error, ApiError):
        return error.as_kind(kind)
    return kind(f"the provider's own record says so ({verdict.value}); {error.message}")
