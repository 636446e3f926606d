"""Reading outboxes that are kept in PostgreSQL."""

from contextlib import closing
from typing import Final

from omeda_async._postgres_blocking import PostgresFailed, connect, failing, run
from omeda_async.bulk.journal.postgres_link import DAMAGE
from omeda_async.bulk.outbox.postgres_link import box_at, damaged, unusable
from omeda_async.bulk.outbox.postgres_tables import has_tables
from omeda_async.bulk.outbox.status import NOT_DONE_CODES, OutboxStatus, status_of
from omeda_async.bulk.outbox.url import OutboxUrl
from omeda_async.errors import OutboxError

SURVEY: Final = 600.0
"""Seconds that a statement may take that looks at all records; there may be many millions."""
_STATUS: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT state, status, count(*) FROM omeda_async_outbox_records WHERE outbox = %(outbox)s GROUP BY state, status;
SELECT extract(epoch FROM min(put))::float8, coalesce(sum((tries > 0)::int), 0)::bigint,
    CASE WHEN bool_or(state = 0) THEN extract(epoch FROM greatest(
        min(due) FILTER (WHERE state = 0), clock_timestamp(),
        (SELECT held_until FROM omeda_async_outboxes WHERE id = %(outbox)s AND until > clock_timestamp())
    ))::float8 END,
    (SELECT count(*) FROM omeda_async_outbox_records WHERE outbox = %(outbox)s AND state = 2 AND NOT told),
    (SELECT holder FROM omeda_async_outboxes WHERE id = %(outbox)s AND until > clock_timestamp())
    FROM omeda_async_outbox_records WHERE outbox = %(outbox)s AND state <> 2;
SELECT status, answer, count(*) FROM omeda_async_outbox_records
    WHERE outbox = %(outbox)s AND status = ANY(%(codes)s::smallint[]) GROUP BY status, answer;
COMMIT
"""


def read_status(url: OutboxUrl) -> OutboxStatus:
    """Return what an outbox holds at one moment, also while it is written; nothing about it is changed.

    Raises:
        OutboxError: It cannot be read, or there is none.
    """
    try:
        with closing(connect(url.server)) as connection, failing(connection):
            connection.within = SURVEY
            box = box_at(connection, url) if has_tables(connection) else None
            if box is None:
                raise OutboxError(f"there is no outbox {url}: nobody has opened one of this name there")
            values = {"outbox": box.id, "codes": NOT_DONE_CODES}
            numbers, [summary], causes = run(connection, _STATUS, values)
            return status_of(url, box.identity, numbers, causes, summary)
    except PostgresFailed as error:
        raise unusable(url, error) from None
    except DAMAGE as error:
        raise damaged(url, error) from error
