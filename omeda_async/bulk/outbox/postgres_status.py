"""Reading outboxes that are kept in PostgreSQL."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from omeda_async._postgres_blocking import run
from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.status import NOT_DONE, JournalCause
from omeda_async.bulk.outbox.postgres_link import reading
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.bulk.outbox.url import OutboxUrl
from omeda_async.outcomes import OutcomeStatus

CAUSES: Final = 20
SURVEY: Final = 600.0
"""Seconds that a statement may take that looks at all records; there may be many millions."""
_STATUS: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT state, status, count(*) FROM omeda_async_outbox_records WHERE outbox = %(outbox)s GROUP BY state, status;
SELECT extract(epoch FROM min(put))::float8, coalesce(sum((tries > 0)::int), 0)::bigint,
    CASE WHEN bool_or(state = 0) THEN extract(epoch FROM greatest(
        min(due) FILTER (WHERE state = 0), clock_timestamp(),
        (SELECT held_until FROM omeda_async_outboxes WHERE id = %(outbox)s AND until > clock_timestamp())
    ))::float8 END
    FROM omeda_async_outbox_records WHERE outbox = %(outbox)s AND state <> 2;
SELECT count(*) FROM omeda_async_outbox_records WHERE outbox = %(outbox)s AND state = 2 AND NOT told;
SELECT CASE WHEN until > clock_timestamp() THEN holder END FROM omeda_async_outboxes WHERE id = %(outbox)s;
SELECT status, answer, count(*) FROM omeda_async_outbox_records
    WHERE outbox = %(outbox)s AND status = ANY(%(codes)s::smallint[]) GROUP BY status, answer;
COMMIT
"""


def read_status(url: OutboxUrl) -> OutboxStatus:
    """Return what an outbox holds at one moment, also while it is written; nothing about it is changed.

    Raises:
        OutboxError: It cannot be read, or there is none.
    """
    with reading(url, SURVEY) as (connection, box):
        values = {"outbox": box.id, "codes": [STATUS_CODES[status] for status in NOT_DONE]}
        numbers, ((oldest, retrying, due),), ((untold,),), ((delivering,),), causes = run(connection, _STATUS, values)
    states: Counter[int] = Counter()
    counts: Counter[OutcomeStatus] = Counter()
    for state, status, number in numbers:
        states[state] += number
        if state == 2:
            counts[STATUSES[status]] += number
    identity = box.identity
    return OutboxStatus(
        place=str(url),
        provider=identity.pop("provider"),
        operation=identity.pop("operation"),
        base_url=identity.pop("base_url"),
        keeps_records=identity.pop("pii") == "keep",
        scope=identity,
        total=states.total(),
        waiting=states[0],
        under_way=states[1],
        retrying=retrying,
        oldest=_moment(oldest),
        next_due=_moment(due),
        counts={status: counts[status] for status in OutcomeStatus if status in counts},
        untold=untold,
        delivering=delivering,
        causes=tuple(_causes(causes)),
    )


def _moment(seconds: float | None) -> datetime | None:
    """Return a moment that is told in seconds: how dates are written is a matter of each session."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _causes(rows: Iterable[tuple[Any, ...]]) -> Iterator[JournalCause]:
    """Add up what has the same words; two errors may differ in what is not shown."""
    numbers: Counter[tuple[int, str, str]] = Counter()
    for code, answer, number in rows:
        if error := orjson.loads(answer)["error"]:
            numbers[code, error.get("__class__", "").rpartition(".")[-1], error.get("message") or ""] += number
    for (code, name, message), number in numbers.most_common(CAUSES):
        yield JournalCause(status=STATUSES[code], error=name, message=message, records=number)
