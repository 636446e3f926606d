"""Cancelling a shared run from anywhere, and having it go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from omeda_async._postgres_blocking import Connection, failing, transaction
from omeda_async.bulk.journal.chunks import UNSETTLED
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.postgres_line import shared_at
from omeda_async.bulk.journal.postgres_link import opened, usable
from omeda_async.bulk.journal.postgres_tables import bring_up_to_date
from omeda_async.bulk.journal.url import JournalUrl

_CANCEL: Final = "UPDATE omeda_async_journals SET cancelled = %s WHERE id = %s"
_REOPEN: Final = """
UPDATE omeda_async_journal_chunks AS c SET done = false WHERE journal = %s AND done AND EXISTS (
    SELECT FROM omeda_async_journal_records AS r WHERE r.id BETWEEN c.first AND c.last AND r.record IS NOT NULL
        AND (r.status IS NULL OR r.status = ANY(%s))
)
"""
_TO_DO: Final = "SELECT number FROM omeda_async_journal_chunks WHERE journal = %s AND NOT done ORDER BY number"


def cancel(url: JournalUrl) -> None:
    """Have no chunk claimed any more, and have who holds one stop."""
    with _shared(url) as (connection, journal):
        connection.execute(_CANCEL, (True, journal))


def note_stop(url: JournalUrl, cause: str) -> None:
    """Note why nobody sends what is left, until a chunk is claimed or the input is read again."""
    with _shared(url) as (connection, journal):
        connection.execute("UPDATE omeda_async_journals SET stopped = %s WHERE id = %s", (cause, journal))


def reopen(url: JournalUrl) -> tuple[int, ...]:
    """Have it go on, and what failed or is unknown be tried again; give the chunks that are to be performed."""
    with _shared(url) as (connection, journal):
        connection.execute(_CANCEL, (False, journal))
        connection.execute(_REOPEN, (journal, [STATUS_CODES[status] for status in UNSETTLED]))
        return tuple(number for (number,) in connection.execute(_TO_DO, (journal,)))


@contextmanager
def _shared(url: JournalUrl) -> Iterator[tuple[Connection, int]]:
    with opened(url) as connection, usable(url):
        with failing(connection):
            bring_up_to_date(connection, url)
        with transaction(connection):
            yield connection, shared_at(connection, url).id
