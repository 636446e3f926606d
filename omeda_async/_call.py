"""One call: wait for the limit, send, parse, and then it is done, or settled, or tried again."""

from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from omeda_async import _clock, events
from omeda_async._account import Account
from omeda_async._auth import Headers
from omeda_async._operation import Inquiry, Operation, Request, Response, Verdict, Verification
from omeda_async._quick import quick
from omeda_async._result import Result, named, read_response
from omeda_async._retry import Retry, Settle, Stop, decide, gave_up_waiting, in_doubt, may_repeat, refused_unseen
from omeda_async.errors import (
    AlreadyDone,
    AnswerLost,
    ApiError,
    AuthenticationFailed,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    InvalidRecord,
    LimitWaitExceeded,
    NotFound,
    OmedaAsyncError,
    SessionLost,
    TooLate,
)
from omeda_async.limits import Permit, Priority
from omeda_async.outcomes import OutcomeStatus

P = TypeVar("P")
R = TypeVar("R")
BEGIN_BEFORE = 1.0
"""Seconds before its deadline that a call may begin an attempt at the latest."""
ShutOut: TypeAlias = AuthenticationFailed | SessionLost
"""What other credentials may mend."""


@quick(kw_only=True, eq=False, repr=False)
class CallOptions:
    """How one call is made."""

    priority: Priority = Priority.INTERACTIVE
    max_wait: float | None = None
    """Seconds the limiter may make each attempt wait; None for as long as the deadline allows."""
    explain: bool = True
    """Read once more to find out what an ambiguous refusal meant."""
    deadline_from_first_permit: bool = False
    """Start the deadline with the first turn at the limiter, not with the call."""
    doubtful: bool = False
    """May an earlier run have made this call already?"""
    on_request: Callable[[], Any] = lambda: None
    """Called for every HTTP request made."""
    permit: Permit | None = None
    """What the limiter has granted already, for the first attempt."""
    fail_fast: bool = False
    """Take the first failure that leaves a doubt for the last: something smaller is to be tried instead."""
    stopped: Callable[[], bool] | None = None
    """Asked before every attempt: is nothing new to be sent? None asks whether the manager is being closed."""


class Call(Generic[P, R]):
    """One call under way. Its state tells at any moment what is certain about it.

    Args:
        account: Whose limits and credentials it uses.
        operation: What is asked for.
        params: With which parameters.
        options: How.
        request: What ``operation`` builds of the parameters, where that has been done.
    """

    def __init__(
        self,
        account: Account,
        operation: Operation[P, R],
        params: P,
        options: CallOptions,
        request: Request | None = None,
    ) -> None:
        self.attempts = 0
        self._account = account
        self._operation = operation
        self._params = params
        self._options = options
        self._request = request
        self._policy = account.settings.retry
        # An attempt begun with less time than this would be given up by ourselves, and leave a doubt.
        self._least = min(BEGIN_BEFORE, account.settings.timeout, self._policy.deadline / 2)
        self._errors: list[OmedaAsyncError] = []
        self._doubt: OmedaAsyncError | None = None
        # After a time-out the provider may still be at work on it: what a read does not show yet stays unknown.
        self._may_be_at_work = False
        self._lost = False
        self._renewed = False
        self._now = _clock.now
        self._deadline: float | None = None
        self._used: Headers = {}
        self._flying = False
        self._question: Call[Any, Any] | None = None
        self._found: Any = None
        self._broken_off = False
        if options.doubtful:
            self._doubt = AnswerLost("an earlier run was interrupted before the answer came")

    @property
    def in_flight(self) -> bool:
        """Is an attempt of this call, or a read for it, waiting for its answer?"""
        return self._flying or (self._question is not None and self._question.in_flight)

    async def run(self) -> Result[R]:
        """Make the call, and say what became of it.

        Raises:
            InvalidRecord: The parameters cannot be sent; nothing was.
            ClosedError: There is no session to send it with; nothing was.

        Cancelling it closes the connection of the attempt in flight; :meth:`interrupted` tells what is certain then.
        """
        try:
            request = self._request or self._operation.build(self._params)
            self._account.transport.session()
        except (InvalidRecord, ClosedError) as error:
            raise self._signed(error, doubtful=self._doubt is not None) from None
        self._now = _clock.reader()
        if self._deadline is None and not self._options.deadline_from_first_permit:
            self._deadline = self._now() + self._policy.deadline
        if self._doubt is not None and not self._operation.repeat_tells:
            result = await self._settle(self._doubt, 0.0)
            if result is not None:
                return result
        while True:
            answer = await self._attempt(request)
            if isinstance(answer, ShutOut) and not self._renewed:
                answer = await self._renewed_attempt(request, answer)
            if not isinstance(answer, OmedaAsyncError):
                return Result(receipt=answer, attempts=self.attempts)
            result = await self._weigh(answer)
            if result is not None:
                return result

    def interrupted(self) -> Result[R]:
        """Say what is certain about a call that was stopped in the middle."""
        doubtful = self._flying or self._doubt is not None
        error: OmedaAsyncError
        if doubtful:
            error = AnswerLost("interrupted while the answer was awaited")
        elif self._errors:
            error = self._errors[-1]
        else:
            error = ClosedError("interrupted before it was sent")
        self.attempts += self._question.attempts if self._question is not None else 0
        self._question = None
        known = self._unexplained_yet() if self._errors and not doubtful else None
        signed = self._signed(error, doubtful=doubtful)
        return Result(error=signed, attempts=self.attempts, doubtful=doubtful, known=known)

    async def _weigh(self, error: OmedaAsyncError) -> Result[R] | None:
        if isinstance(error, LimitWaitExceeded | ClosedError | ConfigurationError):
            return self._failed(self._errors[-1] if self._errors else error)
        self._errors.append(error)
        if in_doubt(error, idempotent=self._operation.idempotent):
            self._doubt = error
            self._may_be_at_work = self._may_be_at_work or gave_up_waiting(error)
        if isinstance(error, AlreadyDone) and self._doubt:
            return self._settled()
        if self._needs_reading(error):
            return await self._explained(error)
        if self._is_refusal(error) and not self._operation.hits_everyone(error):
            self._lost = self._lost or self._doubt is not None
            if self._operation.refusal_tells(error):
                # The same request was refused for what it is: so were the attempts before it.
                self._doubt = None
        fail_fast = self._options.fail_fast and self._doubt is error
        step = Settle(0.0) if fail_fast else decide(self._operation, self._errors, self._policy)
        if isinstance(step, Retry):
            return None if await self._pause(step.wait) else self._failed(error)
        if isinstance(step, Stop):
            return await self._settle(error, 0.0) if self._doubt else self._failed(error)
        return await self._settle(error, step.wait)

    def _needs_reading(self, error: OmedaAsyncError) -> bool:
        if self._operation.verification is None:
            return False
        if self._doubt is not None and self._is_refusal(error) and not isinstance(error, TooLate):
            return True
        return self._options.explain and self._operation.unexplained(error)

    @staticmethod
    def _is_refusal(error: OmedaAsyncError) -> bool:
        if not isinstance(error, ApiError) or in_doubt(error) or refused_unseen(error):
            return False
        return not isinstance(error, ShutOut)

    async def _explained(self, error: OmedaAsyncError) -> Result[R]:
        verdict = await self._look()
        if verdict is Verdict.DONE and self._doubt:
            return self._settled()
        if verdict is Verdict.UNDECIDED:
            if self._operation.absent(error):
                self._doubt = None  # asked again, the provider says that there is no such thing: nothing was done to it
            return self._failed(error, known=self._unexplained_yet() if self._broken_off else None)
        if verdict is not Verdict.NOT_DONE or not self._may_be_at_work:
            self._doubt = None
        return self._failed(named(error, verdict))

    async def _settle(self, error: OmedaAsyncError, wait: float) -> Result[R] | None:
        if self._operation.verification is None or not await self._pause(wait):
            return self._failed(error)
        verdict = await self._look()
        if verdict is Verdict.DONE:
            return self._settled()
        if verdict is Verdict.TOO_LATE:
            self._doubt = None
            return self._failed(named(error, verdict))
        repeatable = may_repeat(self._operation, self._errors, self._policy) and not isinstance(error, ShutOut)
        if repeatable and await self._pause(0.0):
            return None
        if verdict is Verdict.NOT_DONE and not self._may_be_at_work:
            self._doubt = None
        return self._failed(error)

    async def _look(self) -> Verdict:
        settling = self._operation.verification
        verdict = Verdict.UNDECIDED if settling is None else await self._judged(settling)
        self._tell(events.Settled, verdict=verdict.value)
        return verdict

    async def _judged(self, settling: Verification[P]) -> Verdict:
        for inquiry in settling.first:
            result = await self._ask(inquiry)
            if result.error is not None:
                return Verdict.UNDECIDED
            self._params = inquiry.learn(self._params, result.receipt)
        known = settling.known(self._params)
        if known is not Verdict.UNDECIDED:
            return known
        result = await self._ask(settling)
        if result.error is not None and not isinstance(result.error, NotFound):
            return Verdict.UNDECIDED
        self._found = result.receipt
        return settling.judge(self._params, result.error or result.receipt)

    async def _ask(self, read: Inquiry[P] | Verification[P]) -> Result[Any]:
        options = attrs.evolve(
            self._options, max_wait=None, deadline_from_first_permit=False, doubtful=False, permit=None, fail_fast=False
        )
        try:
            question = Call(self._account, read.operation, read.question(self._params), options)
        except InvalidRecord as error:
            return Result(error=error)
        question._deadline, question._renewed = self._deadline, self._renewed
        self._question = question
        try:
            result = await question.run()
        except (ClosedError, InvalidRecord) as error:
            result = Result(error=error)
        self._question = None
        self._renewed = question._renewed
        self.attempts += question.attempts
        self._broken_off = isinstance(result.error, ClosedError | LimitWaitExceeded)
        return result

    def _settled(self) -> Result[R]:
        make = self._operation.settled
        receipt = make(self._params, self._found) if make else None
        return Result(receipt=receipt, attempts=self.attempts, settled=True)

    def _unexplained_yet(self) -> OutcomeStatus | None:
        """Return the outcome of a refusal that no read got to explain: not done by us, and to be asked again."""
        ambiguous = self._doubt is None and self._options.explain and self._operation.unexplained(self._errors[-1])
        return OutcomeStatus.FAILED if ambiguous else None

    def _failed(self, error: OmedaAsyncError, *, known: OutcomeStatus | None = None) -> Result[R]:
        doubtful = self._doubt is not None
        signed = self._signed(error, doubtful=doubtful)
        return Result(error=signed, attempts=self.attempts, doubtful=doubtful, lost=self._lost, known=known)

    def _signed(self, error: OmedaAsyncError, *, doubtful: bool) -> OmedaAsyncError:
        error.provider = self._account.provider
        error.operation = self._operation.name
        error.attempts = self.attempts
        error.sent = doubtful
        return error.without(self._account.credentials.secrets())

    def _left(self, now: float) -> float:
        return self._policy.deadline if self._deadline is None else self._deadline - now

    async def _pause(self, seconds: float) -> bool:
        if self._left(self._now()) <= seconds or self._stopped():
            return False
        if seconds > 0:
            self._tell(
                events.RetryPlanned,
                attempt=self.attempts,
                wait=seconds,
                error=type(self._errors[-1]).__name__,
            )
            if self._stopped():
                return False  # a hook that was told of the retry has stopped the run
            await _clock.sleep(seconds)
        return not self._stopped()

    def _stopped(self) -> bool:
        stopped = self._options.stopped
        return self._account.activity.closing if stopped is None else stopped()

    async def _renewed_attempt(self, request: Request, refusal: ShutOut) -> R | OmedaAsyncError:
        self._renewed = True
        if in_doubt(refusal, idempotent=self._operation.idempotent):
            self._doubt = refusal  # what follows may fail for certain, this one has not
        try:
            renewed = await self._account.credentials.renew(refusal, self._used)
        except OmedaAsyncError as error:
            return error
        return await self._attempt(request) if renewed else refusal

    async def _attempt(self, request: Request) -> R | OmedaAsyncError:
        account, options = self._account, self._options
        if self._stopped():
            return ClosedError("stopped: nothing more is sent")
        try:
            if not account.credentials.is_ready:
                await account.credentials.ready()
            asked = self._now()
            if options.permit is not None and not self.attempts:
                permit = options.permit
            else:
                permit = await account.limiter.acquire(priority=options.priority, max_wait=self._max_wait(asked))
        except OmedaAsyncError as error:
            return error
        sent = self._now()
        if self._deadline is None:
            self._deadline = sent + self._policy.deadline
        left = self._deadline - sent
        if left < self._least:
            account.limiter.release(permit, sent=False)
            return LimitWaitExceeded(
                "the call's deadline is too near for another attempt", max_wait=self._policy.deadline
            )
        self._used = account.credentials.headers()
        self.attempts += 1
        options.on_request()
        self._flying = True
        answer: Response | OmedaAsyncError | None = None
        try:
            answer = await account.transport.send(
                account.url,
                request,
                self._used,
                timeout=min(account.settings.timeout, left),
                connect_timeout=account.settings.connect_timeout,
            )
        except OmedaAsyncError as error:
            answer = error
        finally:
            self._release(permit, answer)
        self._flying = False
        result = answer if isinstance(answer, OmedaAsyncError) else self._read(answer)
        if events.is_heard(account.hooks):
            self._tell(
                events.AttemptEnded,
                attempt=self.attempts,
                status=answer.status if isinstance(answer, Response) else None,
                seconds=self._now() - sent,
                waited=sent - asked,
                error=type(result).__name__ if isinstance(result, OmedaAsyncError) else None,
            )
        return result

    def _max_wait(self, now: float) -> float | None:
        max_wait = self._options.max_wait
        if self._deadline is None:
            return max_wait
        left = max(0.0, self._deadline - now - self._least)
        return left if max_wait is None else min(max_wait, left)

    def _release(self, permit: Permit, answer: Response | OmedaAsyncError | None) -> None:
        limiter = self._account.limiter
        if isinstance(answer, Response):
            limiter.release(permit, status=answer.status, headers=answer.headers)
        elif answer is None or answer.sent:
            limiter.release(permit)
        else:
            limiter.release(permit, sent=not isinstance(answer, ConnectionFailed | ConfigurationError | ClosedError))

    def _read(self, answer: Response) -> R | OmedaAsyncError:
        return read_response(self._operation, answer, self._account.credentials.secrets())

    def _tell(self, kind: type[events.Event], **values: Any) -> None:
        event = kind(provider=self._account.provider, operation=self._operation.name, **values)
        events.emit(self._account.hooks, event)
