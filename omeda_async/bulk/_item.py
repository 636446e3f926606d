"""What bulk runs are made of: records on their way, and what a provider has to bring to have them sent."""

import math
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from copy import copy
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

import attrs

from omeda_async._account import Account
from omeda_async._call import Call, CallOptions
from omeda_async._checks import check_whole
from omeda_async._operation import Request
from omeda_async._result import Result
from omeda_async._row import Row
from omeda_async.errors import InvalidRecord, OmedaAsyncError
from omeda_async.outcomes import Outcome, OutcomeStatus

Records: TypeAlias = Iterable[Any] | AsyncIterable[Any]
Closed: TypeAlias = tuple[Sequence["Item"], Result[Any]]
"""Items, and the result they share."""
WITNESSES = 4
"""Records that have to meet with the same, one by one, before that is put down to no record of its own."""


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
    """May an earlier run or request have carried it out, with nothing to settle it?"""
    twins: list["Item"] | None = None
    """Later records that ask for the same thing, and share the outcome."""

    def outcome(self, result: Result[Any]) -> Outcome:
        """Say what became of this record."""
        return Outcome(
            record=self.raw,
            key=self.key,
            position=self.position,
            status=result.status,
            attempts=result.attempts,
            receipt=result.receipt,
            error=result.error,
        )


class Job(Protocol):
    """Where work on some items reports to."""

    @property
    def stopped(self) -> bool:
        """Is nothing new to be sent?"""

    def options(self, *, doubtful: bool = False) -> CallOptions:
        """Return the options for the calls of this work."""

    async def run(self, call: Call[Any, Any]) -> Result[Any]:
        """Make a call so that stopping the run finds it."""

    def close(self, items: Sequence[Item], result: Result[Any]) -> None:
        """Say what became of some items; each is closed once."""

    def spend_isolation(self) -> bool:
        """Ask for one more request to isolate culprits; False when the run's budget for them is used up."""

    def stop(self, cause: OmedaAsyncError) -> None:
        """Stop the run for a cause that would meet every record."""


class Work(Protocol):
    """What a provider brings for a bulk run of one operation."""

    account: Account
    name: str
    """The operation's name, such as ``"campaigns.cancel_many"``."""
    max_entries: int
    """Records in one request at the most."""
    max_bytes: int
    """Bytes of one request at the most, by the items' sizes."""
    concurrency: int
    """Calls under way at the most, unless the run says otherwise."""
    look_ahead: int
    """Records read ahead to find those that are due first; 0 sends them as they come."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """Return what holds for every record of the run (brand, client, reason …): a journal belongs to one such."""

    def read(self, raw: Any) -> Item:
        """Turn a record into an item.

        Raises:
            InvalidRecord: It cannot be sent.
        """

    async def perform(self, items: list[Item], job: Job) -> None:
        """Send items that share a request, and close every one of them at the job."""


def check_sizes(work: Work) -> None:
    """Check how large a request may be.

    Raises:
        ConfigurationError: ``max_entries`` or ``max_bytes`` is no whole number from 1.
    """
    check_whole("max_entries", work.max_entries)
    check_whole("max_bytes", work.max_bytes)


def read_item(work: Work, raw: Any) -> Item | InvalidRecord:
    """Turn a record into an item, or into the error that says why it is none. Not even the oddest record ends a run."""
    try:
        return work.read(raw)
    except Exception as error:  # noqa: BLE001 the record is the caller's: reading it may raise anything
        return refusal_of(work, error)


def key_of(raw: Any) -> Any:
    """Return the caller's key of a record that cannot be read otherwise; None where it shows none."""
    try:
        if isinstance(raw, Row):
            return raw.key_alone()
        return raw.get("key") if isinstance(raw, Mapping) else getattr(raw, "key", None)
    except Exception:  # noqa: BLE001 the record is the caller's: looking into it may raise anything
        return None


def refusal_of(work: Work, error: Exception) -> InvalidRecord:
    """Return the error of a record that cannot be read."""
    invalid = error
    if not isinstance(invalid, InvalidRecord):
        invalid = InvalidRecord.of(None, f"cannot be read: {type(error).__name__}")
        invalid.__cause__ = error
    invalid.provider, invalid.operation = work.account.provider, work.name
    return invalid


def still_doubtful(item: Item, result: Result[Any]) -> Result[Any]:
    """Return the result of an item nothing more is done for: not that it was not sent, if it may have been before."""
    if not item.doubtful or result.error is None:
        return result
    error = copy(result.error)  # others may have the same one, and are not in doubt
    error.sent = True
    return attrs.evolve(result, error=error, known=None, doubtful=True)


def in_vain(result: Result[Any]) -> Result[Any]:
    """Return the result of an item refused for a cause that is not its own: not done, and worth trying again later."""
    return attrs.evolve(result, known=OutcomeStatus.FAILED) if result.status is OutcomeStatus.REJECTED else result


def not_sent(error: OmedaAsyncError, attempts: int = 0) -> Result[Any]:
    """Make the result of an item that nothing more is sent for, and nothing was applied for."""
    if error.sent or error.attempts != attempts:  # it is another record's, which says nothing of this one
        error = copy(error)
        error.sent, error.attempts = False, attempts
    return Result(error=error, attempts=attempts, known=OutcomeStatus.NOT_SENT)


def fingerprint(*parts: str) -> bytes:
    """Return the same bytes for records that ask for the same thing."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
