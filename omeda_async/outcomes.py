"""What became of records: one outcome each, and the sums over a run."""

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Generic

import attrs

from omeda_async._generic import Receipt_co, Record_co
from omeda_async._masking import masked_repr
from omeda_async.errors import OmedaAsyncError

FAILURES_KEPT = 1000


class OutcomeStatus(enum.StrEnum):
    """What became of one record. A string too: ``OutcomeStatus.DONE == "done"``."""

    DONE = "done"
    """The provider said so, to us."""
    ALREADY_DONE = "already_done"
    """It was so before: by someone else, or by an attempt of ours whose answer was lost and has been settled."""
    PARTLY_DONE = "partly_done"
    """An opt-out with several ids: some accepted, some refused; ``error.culprits`` says which."""
    TOO_LATE = "too_late"
    """The target has gone past it: sent, completed."""
    REJECTED = "rejected"
    """The provider refused this record for a reason of its own, or it is invalid locally."""
    FAILED = "failed"
    """Attempts were made, and certainly none was applied: worth trying again later."""
    UNKNOWN = "unknown"
    """An attempt may have been applied, and nothing has settled it."""
    NOT_SENT = "not_sent"
    """No attempt was left for it: interrupted, run stopped, or limiter refused."""

    __hash__ = str.__hash__  # as the string it equals; and an enumeration's own hash a million records would feel

    @property
    def is_done(self) -> bool:
        """Whether the record is in the state that was asked for."""
        return self in DONE


DONE = frozenset({OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE})
UNSETTLED = frozenset({OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT})
"""What a run that goes on tries again, or settles."""


def _number_of(outcomes: Sequence[Any]) -> str:
    return f"<{len(outcomes)} outcomes>"


class AsJson:
    """What is written as plain JSON values, also where FastAPI and pydantic do it."""

    __slots__ = ()

    def to_dict(self, *, mask: bool = True) -> dict[str, Any]:
        """Return all fields as plain JSON values, which ``json`` and orjson write as they are.

        Args:
            mask: Whether e-mail addresses are masked, wherever they stand: in records, keys, receipts and errors.
        """
        from omeda_async._plain import plain  # noqa: PLC0415 most programs write none

        fields: dict[str, Any] = plain(self, mask=mask)
        return fields

    def keys(self) -> Iterable[str]:
        """Return the names of the fields: ``dict(outcome)`` is ``outcome.to_dict()``, as FastAPI's encoder asks for."""
        return [field.name for field in attrs.fields(type(self))]  # type: ignore[arg-type]  # its classes are of attrs

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        # In pydantic's own words, which it also gives as functions: it need not be there. It takes our objects only,
        # and writes what ``to_dict`` gives.
        written = {"type": "dict", "keys_schema": {"type": "str"}}
        return {
            "type": "is-instance",
            "cls": cls,
            "serialization": {"type": "function-plain", "function": cls.to_dict, "return_schema": written},
        }


@attrs.frozen
class Outcome(AsJson, Generic[Record_co, Receipt_co]):
    """What became of one record of a bulk run. Its repr names the record by position and key only."""

    record: Record_co = attrs.field(repr=False)
    """The record as it was given."""
    key: Any = attrs.field(repr=masked_repr)
    """The caller's key; for cancels without one, the id."""
    position: int
    """The place in the input, from 0."""
    status: OutcomeStatus
    attempts: int = 0
    """HTTP requests this record took part in."""
    receipt: Receipt_co | None = None
    """The provider's receipt, where it gave one."""
    error: OmedaAsyncError | None = None
    """Why it is not done; None when it is."""


@attrs.frozen(kw_only=True)
class BulkReport(AsJson, Generic[Record_co, Receipt_co]):
    """The sums over a bulk run: always ``total == sum(counts.values())``."""

    total: int
    """Records with an outcome; once complete, the records read."""
    counts: dict[OutcomeStatus, int]
    """How many records ended in each status; statuses nobody ended in are absent."""
    requests: int
    """HTTP requests made, those for retries, isolation and settling included."""
    duration: float
    """Seconds from the first record read to the last outcome."""
    failures: tuple[Outcome[Record_co, Receipt_co], ...] = attrs.field(repr=_number_of)
    """The outcomes that are not done, at most the first 1,000; a journal keeps them all."""
    complete: bool
    """Whether the run has ended, and every record that was read has its one outcome; a stopped run may not have read
    its input to the end: ``stopped_by`` tells."""
    stopped_by: OmedaAsyncError | None = None
    """Why the run was stopped before it was through; None while it was not, and where it came to its end."""

    def _repr_html_(self) -> str:
        from omeda_async._notebook import report_table  # noqa: PLC0415 only a notebook asks

        return report_table(self)


@attrs.frozen(kw_only=True)
class Plan(AsJson, Generic[Record_co, Receipt_co]):
    """What a run would do, found out without sending anything."""

    records: int
    """Records in the input."""
    requests: int
    """Requests it takes when nothing goes wrong."""
    seconds: float
    """How long those requests take under the limits: an estimate of ours, which a provider's headers may shorten."""
    duplicates: int
    """Records that repeat an earlier one, and will not be sent again."""
    refused: tuple[Outcome[Record_co, Receipt_co], ...] = attrs.field(repr=_number_of)
    """Records that are invalid locally, at most the first 1,000."""
    refused_total: int
    """All the records that are invalid locally."""
    isolation_requests: int
    """Requests that finding the culprits of refused batches may cost at worst, where each record has one id."""
    late: tuple[Outcome[Record_co, Receipt_co], ...] = attrs.field(default=(), repr=_number_of)
    """Records whose ``scheduled_for`` comes before their turn under the limits, at most the first 1,000."""
    settled: int = 0
    """Records that the journal says an earlier run has settled; they will be reported again, and not be sent."""

    def _repr_html_(self) -> str:
        from omeda_async._notebook import plan_table  # noqa: PLC0415 the same

        return plan_table(self)


class Tally:
    """The fold over the stream of outcomes that makes a report."""

    def __init__(self) -> None:
        self.counts: Counter[OutcomeStatus] = Counter()
        self.failures: list[Outcome] = []
        self.requests = 0

    def keep(self, failures: Sequence[Outcome]) -> None:
        """Keep outcomes that are not done, for the report."""
        self.failures += failures[: FAILURES_KEPT - len(self.failures)]

    def report(self, *, duration: float, complete: bool, stopped_by: OmedaAsyncError | None = None) -> BulkReport:
        """Return the sums so far."""
        return BulkReport(
            total=self.counts.total(),
            counts=dict(self.counts),
            requests=self.requests,
            duration=duration,
            failures=tuple(self.failures),
            complete=complete,
            stopped_by=stopped_by,
        )
