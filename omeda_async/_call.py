"""One call under way: it carries out what ``_decide`` says, and knows at any moment what is certain."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from omeda_async import _clock, events
from omeda_async._account import Account
from omeda_async._auth import Headers
from omeda_async._decide import (
    Ended,
    Event,
    Finish,
    Looked,
    Rules,
    Send,
    ShutOut,
    State,
    Step,
    Verify,
    first_step,
    may_have_left,
    next_step,
    when_interrupted,
)
from omeda_async._masking import LEAST_SECRET, encoded_forms, hide_secrets
from omeda_async._operation import Inquiry, Lapsed, Operation, Request, Response, Verdict, Verification
from omeda_async._quick import quick
from omeda_async._result import Result
from omeda_async._shown import shown_headers, shown_url
from omeda_async._stop import Stop
from omeda_async.errors import (
    ClosedError,
    InvalidRecord,
    LimitWaitExceeded,
    NotFound,
    OmedaAsyncError,
    UnreadableAnswer,
)
from omeda_async.events import logger
from omeda_async.limits import Permit, Priority
from omeda_async.outcomes import OutcomeStatus, Tally

P = TypeVar("P")
R = TypeVar("R")
_SEND = Send()
_UNTRIED = State()


@quick(kw_only=True, eq=False, repr=False)
class CallOptions:
    """How one call is made."""

    priority: Priority = Priority.INTERACTIVE
    max_wait: float | None = None
    """Seconds the limiter may make each attempt wait; None for as long as the deadline allows."""
    explain: bool = True
    """Whether a read finds out what an ambiguous refusal meant."""
    deadline_from_first_permit: bool = False
    """Whether the deadline starts with the first turn at the limiter, not with the call."""
    doubtful: bool = False
    """Whether an earlier run may have made this call already."""
    tally: Tally | None = None
    """Where every HTTP request made is counted."""
    permit: Permit | None = None
    """What the limiter has granted already, for whichever attempt is the first."""
    fail_fast: bool = False
    """Whether the first failure that leaves a doubt is the last: something smaller is to be tried instead."""
    stop: Stop | None = None
    """Looked at before every attempt and after every wait; None looks at whether the manager is being closed."""


class Call(Generic[P, R]):
    """One call under way. Its state tells at any moment what is certain about it.

    Args:
        account: Whose limits and credentials it uses.
        operation: What is asked for.
        params: With which parameters.
        options: How.
        request: What ``operation`` builds of the parameters, where that has been done.
    """

    deadline: float | None = None
    """The time by which it has to end; None until it begins."""
    _headers: Headers = {}  # noqa: RUF012 never changed, only replaced: what the attempt before was signed with
    _awaits_response = False
    _is_late: Callable[[], bool] | None = None
    """Whether the permit may not be used any more, where it lapses at all."""
    sent_at = _read_at = float("-inf")
    """When the last attempt was made, and that of the last read."""
    _read: "Call[Any, Any] | None" = None
    _found: Any = None

    def __init__(
        self,
        account: Account,
        operation: Operation[P, R],
        params: P,
        options: CallOptions,
        request: Request | None = None,
    ) -> None:
        self.attempts = 0
        self.state = State.of_earlier_run() if options.doubtful else _UNTRIED
        self._account = account
        self._operation = operation
        self._params = params
        self._options = options
        self._stop = options.stop or account.activity.closing
        self._request = request

    @property
    def in_flight(self) -> bool:
        """Whether an attempt of this call, or a read for it, is waiting for its response."""
        return self._awaits_response or (self._read is not None and self._read.in_flight)

    async def run(self) -> Result[R]:
        """Make the call, and say what became of it.

        Raises:
            InvalidRecord: The parameters cannot be sent; nothing was.

        Cancelling it closes the connection of the attempt in flight; :meth:`interrupted` tells what is certain then.
        """
        try:
            request = self._request = self._request or self._operation.build(self._params)
        except InvalidRecord as error:
            raise self._signed(error, doubtful=self.state.doubt is not None) from None
        self._now = get_running_loop().time
        if self.deadline is None and not self._options.deadline_from_first_permit:
            self.deadline = self._now() + self._account.retry.deadline
        step: Step = first_step(self._rules(), self.state) if self._options.doubtful else _SEND
        while True:
            if isinstance(step, Send):
                renewal = None if step.renew is None else await self._renew(step.renew)
                result = renewal or await self._attempt(request)
                if not isinstance(result, OmedaAsyncError):
                    return Result(receipt=result, attempts=self.attempts, known=OutcomeStatus.DONE)
                if isinstance(result, Lapsed):
                    self._uncount()
                    step = _SEND  # with another permit: others may have the slots of this one by now
                else:
                    step = self._next(Ended(result, self._now()))
            elif isinstance(step, Verify):
                step = self._next(await self._look())
            elif isinstance(step, Finish):
                return self._result(step)
            else:
                step = step.then if await self._pause(step.seconds) else step.otherwise

    def interrupted(self) -> Result[R]:
        """Say what is certain about a call that was stopped in the middle."""
        self._end_read()
        return self._result(when_interrupted(self._rules(), self.state, in_flight=self._awaits_response))

    def _rules(self) -> Rules:
        options = self._options
        return Rules(
            operation=self._operation, policy=self._account.retry, explain=options.explain, fail_fast=options.fail_fast
        )

    def _next(self, event: Event) -> Step:
        self.state, step = next_step(self._rules(), self.state, event)
        return step

    async def _attempt(self, request: Request) -> R | OmedaAsyncError:
        account = self._account
        if self._stop.is_set:
            return ClosedError("stopped: nothing more is sent")
        try:
            if not account.credentials.is_ready:
                await self._ready()
            asked = self._now()
            permit = await self._permit(asked)
        except OmedaAsyncError as error:
            return error
        sent = self.sent_at = self._now()
        if self.deadline is None:
            self.deadline = sent + account.retry.deadline
        left = self.deadline - sent
        if left < account.shortest_attempt:
            account.limiter.release(permit, sent=False)
            return _too_near(account.retry.deadline)
        self._headers = account.credentials.headers
        self._count()
        self._awaits_response = True
        status: int | None = None
        result: R | OmedaAsyncError
        try:
            response = await account.transport.send(
                account.url,
                request,
                self._headers,
                timeout=min(left, account.timeout),
                connect_timeout=account.connect_timeout,
                is_late=self._is_late,
            )
        except OmedaAsyncError as error:
            result = error
            account.limiter.release(permit, sent=may_have_left(error))
        except BaseException:
            account.limiter.release(permit)
            raise
        else:
            status = response.status
            account.limiter.release(permit, status=status, headers=response.headers)
            result = read_response(self._operation, response, account.credentials.secrets, self._params)
        self._awaits_response = False
        if account.is_watched or logger.isEnabledFor(logging.DEBUG):  # an event made for nobody only costs time
            self._tell_ended(result, status=status, seconds=self._now() - sent, waited=sent - asked)
        return result

    async def _ready(self) -> None:
        if self.deadline is None:  # what begins with the first turn at the limiter may begin with a login that hangs
            began, seconds = self._now(), self._account.retry.deadline
            try:
                return await self._account.credentials.ready(seconds)
            except OmedaAsyncError:
                self.deadline = began + seconds
                raise
        return await self._account.credentials.ready(self._time_to_log_in())

    def _time_to_log_in(self) -> float:
        """Return the seconds that credentials may take: less would be left for the attempt than one may begin with.

        Raises:
            LimitWaitExceeded: There are none.
        """
        account = self._account
        deadline = self.deadline if self.deadline is not None else self._now() + account.retry.deadline
        seconds = deadline - self._now() - account.shortest_attempt
        if seconds <= 0:
            raise _too_near(account.retry.deadline)
        return seconds

    def _count(self) -> None:
        self.attempts += 1
        if self._options.tally is not None:
            self._options.tally.requests += 1

    def _uncount(self) -> None:
        self.attempts -= 1
        if self._options.tally is not None:
            self._options.tally.requests -= 1

    async def _permit(self, now: float) -> Permit:
        options = self._options
        permit = options.permit
        if permit is None or permit.done:
            max_wait = options.max_wait
            if self.deadline is not None:
                left = max(0.0, self.deadline - now - self._account.shortest_attempt)
                max_wait = left if max_wait is None else min(left, max_wait)
            permit = await self._account.limiter.acquire(priority=options.priority, max_wait=max_wait)
        self._is_late = permit.is_over if permit.lapses else None
        return permit

    async def _renew(self, refusal: ShutOut) -> OmedaAsyncError | None:
        """Get new credentials; return why there are none: the refusal itself, where others would not help."""
        if self._stop.is_set:
            return refusal
        try:
            renewed = await self._account.credentials.renew(refusal, self._headers, self._time_to_log_in())
        except OmedaAsyncError as error:
            return error
        return None if renewed else refusal

    async def _look(self) -> Looked:
        verification = self._operation.verification
        looked = Looked(Verdict.UNDECIDED) if verification is None else await self._judged(verification)
        self._tell(events.Settled, verdict=looked.verdict.value)
        return looked

    async def _judged(self, verification: Verification[P]) -> Looked:
        for inquiry in verification.first:
            result = await self._ask(inquiry)
            if result.error is not None:
                return Looked(Verdict.UNDECIDED, result.error)
            self._params = inquiry.learn(self._params, result.receipt)
        known = verification.known(self._params)
        if known is not Verdict.UNDECIDED:
            return Looked(known, at=self._read_at)
        result = await self._ask(verification)
        if result.error is not None and not isinstance(result.error, NotFound):
            return Looked(Verdict.UNDECIDED, result.error)
        self._found = result.receipt
        return Looked(verification.judge(self._params, result.error or result.receipt), at=self._read_at)

    async def _ask(self, read: Inquiry[P] | Verification[P]) -> Result[Any]:
        options = attrs.evolve(
            self._options, max_wait=None, deadline_from_first_permit=False, doubtful=False, permit=None, fail_fast=False
        )
        try:
            call = self._read = Call(self._account, read.operation, read.question(self._params), options)
            call.deadline = self.deadline
            call.state = State(renewed=self.state.renewed)
            result = await call.run()
        except InvalidRecord as error:
            result = Result(error=error)
        self._end_read()
        return result

    def _end_read(self) -> None:
        read, self._read = self._read, None
        if read is not None:
            self.attempts += read.attempts
            self._read_at = read.sent_at
            self.state = attrs.evolve(self.state, renewed=read.state.renewed)

    def _result(self, finish: Finish) -> Result[R]:
        if finish.error is None:
            make = self._operation.settled
            receipt = make(self._params, self._found) if make else None
            return Result(receipt=receipt, attempts=self.attempts, settled=True)
        return Result(
            error=self._signed(finish.error, doubtful=finish.doubtful),
            attempts=self.attempts,
            doubtful=finish.doubtful,
            lost=finish.lost,
            known=finish.known,
        )

    def _signed(self, error: OmedaAsyncError, *, doubtful: bool) -> OmedaAsyncError:
        error.provider = self._account.provider
        error.operation = self._operation.name
        error.attempts = self.attempts
        error.sent = doubtful
        if self._request is not None:
            error.method = self._request.method
            error.url = shown_url(self._account.url, self._request.path)
        return error.without(self._account.credentials.secrets)

    async def _pause(self, seconds: float) -> bool:
        """Wait; return whether to go on after it: at once False where there is no time for it."""
        left = self._account.retry.deadline if self.deadline is None else self.deadline - self._now()
        if left <= seconds or self._stop.is_set:
            return False
        if seconds > 0:
            cause = type(self.state.errors[-1]).__name__
            self._tell(events.RetryPlanned, attempt=self.attempts, wait=seconds, error=cause)
            if self._stop.is_set:
                return False  # a hook that was told of the retry has stopped the run
            await _clock.sleep(seconds)
        return not self._stop.is_set

    def _tell_ended(self, result: object, *, status: int | None, seconds: float, waited: float) -> None:
        error = type(result).__name__ if isinstance(result, OmedaAsyncError) else None
        self._tell(
            events.AttemptEnded, attempt=self.attempts, status=status, seconds=seconds, waited=waited, error=error
        )

    def _tell(self, kind: type[events.Event], **values: Any) -> None:
        event = kind(provider=self._account.provider, operation=self._operation.name, **values)
        events.emit(self._account.hooks, event)


def _too_near(deadline: float) -> LimitWaitExceeded:
    return LimitWaitExceeded("the call's deadline is too near for another attempt", max_wait=deadline)


def read_response(
    operation: Operation[P, R], response: Response, secrets: tuple[str, ...], params: P | None = None
) -> R | OmedaAsyncError:
    """Parse a response, with the secrets hidden that a provider may echo.

    An error's text is cut and masked: hiding them only afterwards would leave a part of one. Of a success every value
    counts: a password too short to be told from chance is no reason to change one.

    Args:
        operation: What was asked for.
        response: What came.
        secrets: What it may echo.
        params: With which parameters it was asked for: a response that names something else is none. None for any.
    """
    result = _parsed(operation, response, params)
    least = 1 if isinstance(result, OmedaAsyncError) else LEAST_SECRET
    for form in encoded_forms(secrets, least):
        if form in response.body:
            break
    else:
        return result
    clean = hide_secrets(response.body.decode("utf-8", "surrogateescape"), secrets, least=least)
    again = _parsed(operation, attrs.evolve(response, body=clean.encode("utf-8", "surrogateescape")), params)
    return again if type(again) is type(result) else result


def _parsed(operation: Operation[P, R], response: Response, params: P | None) -> R | OmedaAsyncError:
    result, confirms = operation.parse(response), operation.confirms
    if isinstance(result, OmedaAsyncError):
        result.headers = shown_headers(response.headers)
        return result
    if confirms is None or params is None or confirms(params, result, response):
        return result
    reason = f"answered {response.status}, and names something else than what was asked for"
    seen = shown_headers(response.headers)
    return UnreadableAnswer(reason, sent=True, headers=seen, status=response.status, body=response.body)
