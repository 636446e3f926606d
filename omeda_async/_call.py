"""One call under way: it carries out what ``_decide`` says, and knows at any moment what is certain."""

import logging
import math
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from omeda_async import _clock, events
from omeda_async._account import Account
from omeda_async._auth import Headers
from omeda_async._call_options import CallOptions, too_near
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
from omeda_async._result import Result
from omeda_async._shown import shown_headers, shown_url
from omeda_async._telling import CallEvents, common_fields
from omeda_async._verify import look_up
from omeda_async.errors import ClosedError, InvalidRecord, LimitWaitExceeded, OmedaAsyncError, UnreadableAnswer
from omeda_async.events import logger
from omeda_async.limits import Permit
from omeda_async.outcomes import OutcomeStatus

P = TypeVar("P")
R = TypeVar("R")
_SEND = Send()
_UNTRIED = State()


class Call(Generic[P, R]):
    """One call under way. Its state tells at any moment what is certain about it.

    Args:
        account: Whose limits and credentials it uses.
        operation: What is asked for.
        params: With which parameters.
        options: How the call is made.
        request: The request, where ``operation`` has built it of the parameters already.
    """

    deadline: float | None = None
    """When it has to end, by the loop's clock; None until that is known."""
    _headers: Headers = {}  # noqa: RUF012 never changed, only replaced: what the attempt before was signed with
    _awaits_response = False
    _is_late: Callable[[], bool] | None = None
    """Tells that the permit must not be used any more; None where it does not lapse."""
    _events: CallEvents | None = None
    """Tells the events of this call; None where nobody listens."""
    sent_at = _read_at = float("-inf")
    """When the last attempt of this call was made, and the last one of a read for it."""
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
        """Make the call, and return what became of it.

        Raises:
            InvalidRecord: The parameters cannot be sent; nothing was.

        Cancelling it closes the connection of the attempt in flight; :meth:`interrupted` tells what is certain then.
        """
        hooks = self._account.hooks  # an event made for nobody only costs time
        if self._events is None and (hooks.is_watched or (hooks.is_logged and logger.isEnabledFor(logging.DEBUG))):
            return await self._told()
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
                    self.attempts -= 1
                    self._options.tally.requests -= 1
                    step = _SEND  # with another permit: others may have the slots of this one by now
                else:
                    step = self._next(Ended(result, self._now()))
            elif isinstance(step, Verify):
                step = self._next(await self._look())
            elif isinstance(step, Finish):
                return self._result(step)
            else:
                step = step.then if await self._pause(step.seconds) else step.otherwise

    async def _told(self) -> Result[R]:
        """Make the call, and tell when it begins and how it ends."""
        account, options = self._account, self._options
        common = common_fields(account.provider, self._operation, run_id=options.run_id)
        self._events = CallEvents(account.hooks, account.url, common, self._operation.records(self._params))
        return await self._events.of(self.run, self._certain, options.made_for)

    def interrupted(self) -> Result[R]:
        """Return what is certain about a call that was stopped in the middle."""
        self._end_read()
        return self._result(self._finish())

    def _finish(self) -> Finish:
        return when_interrupted(self._rules(), self.state, in_flight=self._awaits_response)

    def _certain(self, error: BaseException) -> Result[R]:
        """Return what is certain after the call has raised an error, and change nothing."""
        if isinstance(error, InvalidRecord):
            return Result(error=error, doubtful=error.sent)
        finish = self._finish()
        attempts, doubtful = self.attempts, finish.doubtful
        return Result(error=finish.error, attempts=attempts, settled=True, doubtful=doubtful, known=finish.known)

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
            return too_near(account.retry.deadline)
        self._headers = account.credentials.headers
        self.attempts += 1
        self._options.tally.requests += 1
        self._awaits_response = True
        tells = self._events
        waited = sent - asked if tells is None else self._tell_started(tells, permit, sent - asked)
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
        except BaseException as error:
            account.limiter.release(permit)
            self._tell_broken_off(error, seconds=self._now() - sent, waited=waited)
            raise
        else:
            status = response.status
            release = account.limiter.release if status < 400 else self._release_refused
            release(permit, status=status, headers=response.headers)
            result = read_response(self._operation, response, account.credentials.secrets, self._params)
        self._awaits_response = False
        if tells is not None:
            tells.attempt_ended(self.attempts, result, status=status, seconds=self._now() - sent, waited=waited)
        return result

    def _tell_started(self, tells: CallEvents, permit: Permit, waited: float) -> float:
        """Tell that an attempt begins. Return how long it has waited, also for a permit that the options hold."""
        waited += self._options.waited if permit is self._options.permit else 0.0
        tells.attempt_started(self.attempts, waited)
        return waited

    def _tell_broken_off(self, error: BaseException, *, seconds: float, waited: float) -> None:
        if self._events is not None:
            self._events.attempt_ended(self.attempts, error, status=None, seconds=seconds, waited=waited)

    def _release_refused(self, permit: Permit, *, status: int, headers: Mapping[str, str]) -> None:
        """Release the permit of a refused attempt. If the account has to pause now, that event names this call."""
        account = self._account
        common = common_fields(account.provider, self._operation, run_id=self._options.run_id)
        account.hooks.cause = common if self._events is None else self._events.common
        try:
            account.limiter.release(permit, status=status, headers=headers)
        finally:
            account.hooks.cause = {}

    async def _ready(self) -> None:
        if self.deadline is None:  # it is set at the first permit, and a login before that may hang
            began, seconds = self._now(), self._account.retry.deadline
            try:
                return await self._account.credentials.ready(seconds)
            except OmedaAsyncError:
                self.deadline = began + seconds
                raise
        return await self._account.credentials.ready(self._time_to_log_in())

    def _time_to_log_in(self) -> float:
        """Return the seconds that a login may take, so that enough time is left for an attempt after it.

        Raises:
            LimitWaitExceeded: There is no time for a login.
        """
        account = self._account
        deadline = self.deadline if self.deadline is not None else self._now() + account.retry.deadline
        seconds = deadline - self._now() - account.shortest_attempt
        if seconds <= 0:
            raise too_near(account.retry.deadline)
        return seconds

    async def _permit(self, now: float) -> Permit:
        options = self._options
        permit = options.permit
        if permit is None or permit.done:
            account, max_wait, left = self._account, options.max_wait, math.inf
            if self.deadline is not None:
                left = max(0.0, self.deadline - now - account.shortest_attempt)
                max_wait = left if max_wait is None else min(left, max_wait)
            try:
                permit = await account.limiter.acquire(priority=options.priority, max_wait=max_wait)
            except LimitWaitExceeded as error:
                raise options.explained(error, left, account.retry.deadline) from None
        lapses = permit.is_over if permit.lapses else None
        self._is_late = lapses if options.is_late is None else options.lateness(lapses)
        return permit

    async def _renew(self, refusal: ShutOut) -> OmedaAsyncError | None:
        """Get new credentials. Return None, or why there are none: the refusal itself where new ones would not help."""
        if self._stop.is_set:
            return refusal
        try:
            renewed = await self._account.credentials.renew(refusal, self._headers, self._time_to_log_in())
        except OmedaAsyncError as error:
            return error
        return None if renewed else refusal

    async def _look(self) -> Looked:
        verification, looked = self._operation.verification, Looked(Verdict.UNDECIDED)
        if verification is not None:
            looked, self._params, self._found = await look_up(verification, self._params, self._ask)
            looked = attrs.evolve(looked, at=self._read_at)
        if self._events is not None:
            self._events.tell(events.Settled, verdict=looked.verdict.value)
        return looked

    async def _ask(self, read: Inquiry[P] | Verification[P], params: P) -> Result[Any]:
        options = attrs.evolve(
            self._options,
            max_wait=None,
            deadline_from_first_permit=False,
            doubtful=False,
            permit=None,
            fail_fast=False,
            is_hopeless=None,
            made_for=() if self._events is None else (self._events.call_id,),
        )
        try:
            call = self._read = Call(self._account, read.operation, read.question(params), options)
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
        """Wait, and return whether to go on. Where there is no time for that, return False at once."""
        left = self._account.retry.deadline if self.deadline is None else self.deadline - self._now()
        if left <= seconds or self._is_over():
            return False
        if seconds > 0:
            if self._events is not None:
                cause = type(self.state.errors[-1]).__name__
                self._events.tell(events.RetryPlanned, attempt=self.attempts, wait=seconds, error=cause)
            if self._stop.is_set:
                return False  # a hook that was told of the retry has stopped the run
            await _clock.sleep(seconds)
        return not self._is_over()

    def _is_over(self) -> bool:
        """Whether no other attempt is to be made."""
        hopeless = self._options.is_hopeless
        return self._stop.is_set or (hopeless is not None and self.state.doubt is None and hopeless())


def read_response(
    operation: Operation[P, R], response: Response, secrets: tuple[str, ...], params: P | None = None
) -> R | OmedaAsyncError:
    """Parse a response, and hide the secrets that it may repeat.

    They are hidden in the body, which is then parsed again: an error's text is cut, and may hold a part of a secret.
    In a success a secret shorter than ``LEAST_SECRET`` is not hidden: a value may hold the same characters by chance.
    A response that names something else than ``params`` is unreadable; without these that is not checked.
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
