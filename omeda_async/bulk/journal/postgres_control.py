"""A shared run from anywhere: what of it is still to be performed, cancelling it, and having it go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from omeda_async._postgres_blocking import Connection, transaction
from omeda_async.bulk.journal.interface import UNSETTLED
from omeda_async.bulk.journal.postgres_line import shared
from omeda_async.bulk.journal.postgres_link import Stored, opened, stored_at
from omeda_async.bulk.journal.postgres_tables import bring_up_to_date
from omeda_async.bulk.journal.reading import codes_of
from omeda_async.bulk.journal.url import JournalUrl, url_of

_CANCEL: Final = "UPDATE omeda_async_journals SET cancelled = %s WHERE id = %s"
_REOPEN: Final = """
UPDATE omeda_async_journal_chunks AS c SET done = false WHERE journal = %s AND done AND EXISTS (
    SELECT FROM omeda_async_journal_records AS r WHERE r.id BETWEEN c.first AND c.last AND r.record IS NOT NULL
        AND (r.status IS NULL OR r.status = ANY(%s))
)
"""
_TO_DO: Final = "SELECT number FROM omeda_async_journal_chunks WHERE journal = %s AND NOT done ORDER BY number"


class ToDo(NamedTuple):
    """What there is to do."""

    chunks: tuple[int, ...]
    """Those that are not done, also where somebody performs them."""
    is_cancelled: bool


def to_do(journal: str) -> ToDo:
    """Read it; this blocks.

    Raises:
        JournalError: It cannot be read, or there is no such run.
    """
    with _shared(url_of(journal)) as (connection, stored):
        return ToDo(_chunks_left(connection, stored.id), stored.cancelled)


def cancel(url: JournalUrl) -> None:
    """Have no chunk claimed any more, and have who holds one stop."""
    with _shared(url) as (connection, stored):
        connection.execute(_CANCEL, (True, stored.id))


def note_stop(url: JournalUrl, cause: str) -> None:
    """Note why nobody sends what is left, until a chunk is claimed or the input is read again."""
    with _shared(url) as (connection, stored):
        connection.execute("UPDATE omeda_async_journals SET stopped = %s WHERE id = %s", (cause, stored.id))


def reopen(url: JournalUrl) -> tuple[int, ...]:
    """Let the run go on, and try again what failed or is unknown; return the chunks that are to be performed."""
    with _shared(url) as (connection, stored):
        connection.execute(_CANCEL, (False, stored.id))
        connection.execute(_REOPEN, (stored.id, codes_of(UNSETTLED)))
        return _chunks_left(connection, stored.id)


@contextmanager
def _shared(url: JournalUrl) -> Iterator[tuple[Connection, Stored]]:
    with opened(url) as connection:
        bring_up_to_date(connection)
        with transaction(connection):
            yield connection, shared(stored_at(connection, url), url)


def _chunks_left(connection: Connection, journal: int) -> tuple[int, ...]:
    return tuple(number for (number,) in connection.execute(_TO_DO, (journal,)))
