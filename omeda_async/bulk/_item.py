"""One record on its way through a bulk run, and the results it may end with."""

import math
from collections.abc import AsyncIterable, Iterable, Sequence
from copy import copy
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

import attrs

from omeda_async._operation import Request
from omeda_async._result import Result
from omeda_async.errors import InvalidRecord, OmedaAsyncError
from omeda_async.outcomes import Outcome, OutcomeStatus

T = TypeVar("T")
Records: TypeAlias = Iterable[T] | AsyncIterable[T]
Closed: TypeAlias = tuple[Sequence["Item"], Result[Any]]
"""Items, and the result they share."""
WITNESSES = 4
"""Records that have to meet with the same error, one by one, before the cause counts as none of their own."""


@attrs.define(eq=False)
class Item:
    """One record on its way."""

    raw: Any = attrs.field(repr=False)
    """The record as it was given."""
    key: Any = attrs.field(repr=False)
    params: Any = attrs.field(repr=False)
    """The checked model."""
    fingerprint: bytes
    """The same for records that ask for the same thing."""
    size: int = 0
    """Bytes it takes in a request."""
    position: int = -1
    due: float = math.inf
    """When it has to be done by, as a POSIX time; the nearest goes first."""
    request: Request | None = None
    """The request for it alone, built once, where each record has its own."""
    doubtful: bool = False
    """Whether an earlier run or request may have carried it out, with nothing to settle it."""
    refusal: InvalidRecord | None = None
    """Why it cannot be sent; then it has neither parameters nor a fingerprint."""
    repeats: list["Item"] | None = attrs.field(default=None, repr=False)
    """Later records that ask for the same thing, and share the outcome."""

    def outcome(self, result: Result[Any]) -> Outcome:
        """Return what became of this record."""
        return Outcome(self.raw, self.key, self.position, result.status, result.attempts, result.receipt, result.error)


def refused(item: Item) -> Result[Any]:
    """Return the result of an item that cannot be sent."""
    return Result(error=item.refusal, known=OutcomeStatus.REJECTED)


def still_doubtful(item: Item, result: Result[Any]) -> Result[Any]:
    """Return the result of an item nothing more is done for: unknown, if it may have been sent before."""
    if not item.doubtful or result.error is None:
        return result
    error = copy(result.error)  # others may have the same one, and are not in doubt
    error.sent = True
    return attrs.evolve(result, error=error, known=None, doubtful=True)


def in_vain(result: Result[Any]) -> Result[Any]:
    """Return the result of an item refused for a cause that is not its own: failed, and worth trying again later."""
    return attrs.evolve(result, known=OutcomeStatus.FAILED) if result.status is OutcomeStatus.REJECTED else result


def not_sent(error: OmedaAsyncError, attempts: int = 0) -> Result[Any]:
    """Return the result of an item that nothing more is sent for, and nothing was applied for."""
    if error.sent or error.attempts != attempts:  # it is another record's, which says nothing of this one
        error = copy(error)
        error.sent, error.attempts = False, attempts
    return Result(error=error, attempts=attempts, known=OutcomeStatus.NOT_SENT)


def fingerprint(*parts: str) -> bytes:
    """Return the same bytes for records that ask for the same thing."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
