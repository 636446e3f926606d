"""Which chunks of a shared run are still to be performed."""

from typing import Final, NamedTuple

from omeda_async._postgres_blocking import failing
from omeda_async.bulk.journal.postgres_line import shared_at
from omeda_async.bulk.journal.postgres_link import opened, usable
from omeda_async.bulk.journal.url import url_of

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
    url = url_of(journal)
    with opened(url) as connection, usable(url), failing(connection):
        stored = shared_at(connection, url)
        return ToDo(tuple(number for (number,) in connection.execute(_TO_DO, (stored.id,))), stored.cancelled)
