"""Looking up what became of a lost attempt: some reads, one after the other, and what they say together."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from omeda_async._decide import Looked
from omeda_async._operation import Inquiry, Verdict, Verification
from omeda_async._result import Result
from omeda_async.errors import NotFound

P = TypeVar("P")


async def look_up(
    verification: Verification[P], params: P, ask: Callable[[Inquiry[P] | Verification[P], P], Awaitable[Result[Any]]]
) -> tuple[Looked, P, Any]:
    """Return what the reads say, the parameters with what was learnt, and what the last read found.

    Args:
        verification: Which reads.
        params: The parameters of the call in doubt.
        ask: Makes a read.
    """
    for inquiry in verification.first:
        result = await ask(inquiry, params)
        if result.error is not None:
            return Looked(Verdict.UNDECIDED, result.error), params, None
        params = inquiry.learn(params, result.receipt)
    known = verification.known(params)
    if known is not Verdict.UNDECIDED:
        return Looked(known), params, None
    result = await ask(verification, params)
    if result.error is not None and not isinstance(result.error, NotFound):
        return Looked(Verdict.UNDECIDED, result.error), params, None
    return Looked(verification.judge(params, result.error or result.receipt)), params, result.receipt
