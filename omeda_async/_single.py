"""A single call, as the clients make it: its receipt, or its error raised."""

from typing import TypedDict, TypeVar

from omeda_async._account import Account
from omeda_async._call import Call, CallOptions
from omeda_async._checks import check_duration, check_one_of
from omeda_async._operation import Operation
from omeda_async.errors import ClosedError
from omeda_async.limits import Priority

P = TypeVar("P")
R = TypeVar("R")
INTERACTIVE = Priority.INTERACTIVE
USUAL = CallOptions()


class SingleOptions(TypedDict, total=False):
    """What every single call takes."""

    priority: Priority
    """The lane at the limiter; interactive by default."""
    max_wait: float | None
    """Seconds the limiter may make the call wait; passing it raises LimitWaitExceeded at once."""


async def call(
    account: Account,
    operation: Operation[P, R],
    params: P,
    *,
    explain: bool = True,
    priority: Priority = Priority.INTERACTIVE,
    max_wait: float | None = None,
) -> R:
    """Make one call, and give its receipt.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        ClosedError: There is no session to send it with; nothing was.
        OmedaAsyncError: It is not done; ``sent`` tells whether it may have been carried out all the same.

    Cancelling it while an attempt is in flight leaves unknown whether that was carried out.
    """
    if not isinstance(priority, Priority):
        check_one_of("priority", priority, Priority)
    if max_wait is not None:
        check_duration("max_wait", max_wait, zero=True)
    usual = explain and max_wait is None and priority is INTERACTIVE
    how = USUAL if usual else CallOptions(explain=explain, priority=priority, max_wait=max_wait)
    _check_session(account, operation)
    with account.activity:
        result = await Call(account, operation, params, how).run()
    if result.error is not None:
        raise result.error
    return result.receipt  # type: ignore[return-value]  # a result without an error has its receipt


def _check_session(account: Account, operation: Operation[P, R]) -> None:
    """See to it that there is a session, before a turn at the limiter is waited for."""
    try:
        account.transport.session()
    except ClosedError as error:
        error.provider, error.operation = account.provider, operation.name
        raise
