"""What readers of journals tell, wherever these are kept, made of the rows that they find."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from omeda_async.bulk.journal.codec import RESULTS_REMEMBERED, STATUS_CODES, STATUSES, record_of, result_of
from omeda_async.bulk.journal.interface import Kept
from omeda_async.bulk.journal.status import JournalCause, JournalRecord, JournalRun, JournalStatus
from omeda_async.outcomes import OutcomeStatus

CAUSES: Final = 20


def codes_of(statuses: Iterable[OutcomeStatus]) -> list[int]:
    """Return statuses as journals keep them."""
    return [STATUS_CODES[status] for status in statuses]


def status_of(identity: dict[str, Any], counts: Counter[OutcomeStatus | None], **others: Any) -> JournalStatus:
    """Return what a journal holds, of whose run it is, how many records ended how, and the other fields.

    Of a record that was about to be sent there is no status.
    """
    named = {name: identity.pop(name) for name in ("provider", "operation", "base_url")}
    return JournalStatus(
        **named,
        keeps_records=identity.pop("journal_pii") == "keep",
        scope=identity,
        total=counts.total(),
        under_way=counts.pop(None, 0),
        counts={status: counts[status] for status in OutcomeStatus if status in counts},
        **others,
    )


def runs_of(rows: Iterable[tuple[Any, ...]]) -> tuple[JournalRun, ...]:
    """Return runs, whose moments are given in seconds since 1970."""
    return tuple(
        JournalRun(
            started=datetime.fromtimestamp(started, UTC),
            ended=None if ended is None else datetime.fromtimestamp(ended, UTC),
            requests=requests,
            complete=bool(complete),
            counts={OutcomeStatus(name): number for name, number in orjson.loads(counts).items()},
            cause=cause,
            version=version,
        )
        for started, ended, requests, complete, counts, cause, version in rows
    )


def causes_of(rows: Iterable[tuple[int, str, int]]) -> tuple[JournalCause, ...]:
    """Add up results that have the same words: each is a status, what is stored, and how many have it.

    Two errors may differ in what is not shown. Those that are as frequent stand in the order of their words.
    """
    numbers: Counter[tuple[int, str, str]] = Counter()
    for code, stored, number in rows:
        error = orjson.loads(stored)["error"] or {}
        numbers[code, error.get("__class__", "").rpartition(".")[-1], error.get("message") or ""] += number
    return tuple(
        JournalCause(status=STATUSES[code], error=name, message=message, records=number)
        for (code, name, message), number in sorted(numbers.items(), key=lambda one: (-one[1], one[0]))[:CAUSES]
    )


def records_of(rows: Iterable[tuple[int, str, int, int, str | None]]) -> Iterator[JournalRecord]:
    """Return records that are not done: of each its position, entry, status, attempts, and what is stored, if any."""
    results = lru_cache(RESULTS_REMEMBERED)(result_of)  # many failed for one reason
    for position, entry, code, attempts, stored in rows:
        status = STATUSES[code]
        error = None if stored is None else results(Kept(status, attempts, stored)).error
        yield JournalRecord(position=position, record=record_of(entry), status=status, attempts=attempts, error=error)
