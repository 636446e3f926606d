"""Reading outboxes that are kept in PostgreSQL."""

from contextlib import closing
from typing import Final

from omeda_async._postgres_blocking import Connection, PostgresFailed, connect, failing, run
from omeda_async.bulk.outbox.postgres_link import DAMAGE, Box, box_at, damaged, unusable
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
    try:
        with closing(connect(url.server)) as connection, failing(connection):
            connection.within = SURVEY
            box = box_at(connection, url) if has_tables(connection) else None
            if box is None:
                raise OutboxError(f"there is no outbox {url}: nobody has opened one of this name there")
            return _survey(connection, url, box)
    except PostgresFailed as error:
        raise unusable(url, error) from None
    except DAMAGE as error:
        raise damaged(url, error) from error


def _survey(connection: Connection, url: OutboxUrl, box: Box) -> OutboxStatus:
    values = {"outbox": box.id, "codes": NOT_DONE_CODES}
    numbers, ((oldest, retrying, due),), ((untold,),), ((delivering,),), causes = run(connection, _STATUS, values)
    return status_of(
        url,
        box.identity,
        numbers,
        causes,
        oldest=oldest,
        next_due=due,
        retrying=retrying,
        untold=untold,
        delivering=delivering,
    )
