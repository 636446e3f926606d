"""A single call, as the clients make it: its receipt, or its error raised."""

from collections.abc import Mapping
from typing import TypedDict, TypeVar

from omeda_async._account import Account
from omeda_async._call import Call
from omeda_async._call_options import CallOptions
from omeda_async._checks import check_duration, check_one_of
from omeda_async._operation import Operation
from omeda_async._secret import Secret
from omeda_async.errors import ClosedError
from omeda_async.limits import Priority
from omeda_async.settings import RetryPolicy

P = TypeVar("P")
R = TypeVar("R")
INTERACTIVE = Priority.INTERACTIVE
USUAL = CallOptions()


class SingleOptions(TypedDict, total=False):
    """What every single call takes."""

    priority: Priority | None
    """The lane at the limiter; interactive by default."""
    max_wait: float | None
    """Seconds the limiter may make the call wait; passing it raises LimitWaitExceeded at once."""
    deadline: float | None
    """Seconds for the call in all, waits, retries and reads included; no attempt begins in the last of them (of less
    than two seconds: in the second half). Passing it raises AnswerLost with ``sent=True`` if the request may have gone,
    else what kept it from going, with ``sent=False``: LimitWaitExceeded, or why no connection could be made."""
    timeout: float | None
    """Seconds for one attempt; by default the settings' ``timeout``."""
    headers: Mapping[str, str | Secret] | None
    """Further headers of this call; those that sign a request, frame it or tell its content are not the caller's."""


class ClientOptions(TypedDict, total=False):
    """What ``with_options`` of a client takes: of each call, and of each record's call in bulk runs."""

    timeout: float | None
    """Seconds for one attempt."""
    deadline: float | None
    """Seconds for a call in all, also instead of what ``retry`` says."""
    headers: Mapping[str, str | Secret] | None
    """Further headers, in addition to those of the settings; those that sign a request are not the caller's."""
    priority: Priority | None
    """The lane at the limiter, of single calls and of bulk runs."""
    retry: RetryPolicy | None
    """How long a call is tried for."""


async def call(
    account: Account,
    operation: Operation[P, R],
    params: P,
    *,
    explain: bool = True,
    priority: Priority | None = None,
    max_wait: float | None = None,
    deadline: float | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 of an attempt: the transport's
    headers: Mapping[str, str | Secret] | None = None,
) -> R:
    """Make one call, and return its receipt.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        ClosedError: There is no session to send it with; nothing was.
        OmedaAsyncError: It is not done; ``sent`` tells whether it may have been carried out all the same.

    Cancelling it while an attempt is in flight leaves unknown whether that was carried out.
    """
    if deadline is not None or timeout is not None or headers is not None:
        account = account.with_options(deadline=deadline, timeout=timeout, headers=headers)
    if priority is None:
        priority = account.priority or INTERACTIVE
    elif not isinstance(priority, Priority):
        check_one_of("priority", priority, Priority)
    if max_wait is not None:
        check_duration("max_wait", max_wait, zero=True)
    usual = explain and max_wait is None and priority is INTERACTIVE
    how = USUAL if usual else CallOptions(explain=explain, priority=priority, max_wait=max_wait)
    _check_session(account, operation)
    with account.activity:
        result = await Call(account, operation, params, how).run()
    error, receipt = result.error, result.receipt
    if error is None:
        return receipt  # type: ignore[return-value]  # a result without an error has its receipt
    try:
        raise error
    finally:
        del error, result  # its traceback leads here: it would hold itself, and all that the caller has at hand


def _check_session(account: Account, operation: Operation[P, R]) -> None:
    """See to it that there is a session, before a turn at the limiter is waited for."""
    try:
        account.transport.session()
    except ClosedError as error:
        error.provider, error.operation = account.provider, operation.name
        raise
