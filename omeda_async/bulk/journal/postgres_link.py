"""What the writing and the reading of journals in PostgreSQL share: connecting, errors, records found and missing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson

from omeda_async._postgres_blocking import Connection, PostgresFailed, connect, failing, parts_sessions, row_of
from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES, STATUSES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Kept, Known
from omeda_async.bulk.journal.postgres_tables import format_of, ids_of
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError

DAMAGE: Final = (ValueError, TypeError, LookupError)
"""What reading rows may raise, besides errors of PostgreSQL, if somebody else has written them."""
_JOURNAL: Final = """
SELECT id, identity, salt, chunk, filled, cancelled, records, asides, stopped FROM omeda_async_journals WHERE name = %s
"""
# Each is looked up by itself: by statistics of before a journal was begun, reading all of the index would seem cheaper.
_FIND: Final = """
SELECT place - 1, r.id, r.position, r.status, r.attempts, a.answer FROM generate_series(1, %(count)s) AS place
CROSS JOIN LATERAL (
    SELECT * FROM omeda_async_journal_records
    WHERE fingerprint = substr(%(fingerprints)b, 16 * place - 15, 16) AND journal = %(journal)s LIMIT 1
) AS r
LEFT JOIN omeda_async_journal_answers AS a ON a.id = r.answer ORDER BY place
"""
# Of a shared run; rows may be removed beside us.
_THERE: Final = """
SELECT (SELECT count(*) FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s),
    (SELECT count(*) FROM omeda_async_journal_asides WHERE journal = %(journal)s),
    (SELECT coalesce(sum(last - first + 1), 0)::bigint FROM omeda_async_journal_chunks WHERE journal = %(journal)s),
    (SELECT coalesce(max(last), %(first)s) - %(first)s FROM omeda_async_journal_chunks WHERE journal = %(journal)s)
"""
# Tables that have just begun to grow have no statistics: other plans would be chosen for them, of millions of steps.
_PLANS: Final = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"
# By these the server notices a host that is gone, and lets go of its lock.
_ALIVE: Final = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"

# In place of what a role or a database has set: dates and bytes are read as they come by default, several write at
# once, a connection has nothing to do for as long as a provider lets wait, and the client ends what takes too long.
_OWN: Final = """
SELECT set_config(name, value, false) FROM (VALUES
    ('datestyle', 'ISO'), ('standard_conforming_strings', 'on'), ('default_transaction_isolation', 'read committed'),
    ('lock_timeout', '0'), ('statement_timeout', '0'), ('transaction_timeout', '0'), ('idle_session_timeout', '0')
) AS own (name, value) WHERE current_setting(name, true) IS NOT NULL
"""


class Stored(NamedTuple):
    """A journal that exists."""

    id: int
    identity: dict[str, Any]
    salt: bytes | None
    chunk: int | None
    """How many records of a shared run are claimed at a time; None of any other."""
    filled: bool
    """Whether the input of a shared run has been read to its end."""
    cancelled: bool
    """Whether a shared run was cancelled."""
    records: int | None
    """How many were read into a shared run."""
    asides: int | None
    """And repeats and refused ones beside them."""
    stopped: str | None
    """Why nobody sends the chunks of a shared run that are left; None where somebody may."""

    @property
    def is_older(self) -> bool:
        """Whether a version may have filled it that did not note how many, nor how records were read."""
        return self.chunk is not None and self.records is None


class Missing(NamedTuple):
    """What is not there any more."""

    records: int
    """Records, repeats and refused ones included."""
    in_chunks: int
    """Records that no chunk holds."""

    def __str__(self) -> str:
        parts = [f"{self.records:,} of the records that were read into it are not there any more"] * bool(self.records)
        parts += [f"{self.in_chunks:,} are in no chunk any more"] * bool(self.in_chunks)
        return " and ".join(parts)


@contextmanager
def usable(url: JournalUrl) -> Iterator[None]:
    """Turn what the database says into a JournalError."""
    try:
        yield
    except PostgresFailed as error:
        raise JournalError(f"the journal {url} cannot be used: {error}") from None
    except DAMAGE as error:
        raise JournalError(
            f"the journal {url} cannot be used: it is damaged (reading it met with {type(error).__name__})"
        ) from error


@contextmanager
def opened(url: JournalUrl, within: float | None = None) -> Iterator[Connection]:
    """Open a connection for a journal, and close it when left; errors are JournalErrors.

    Args:
        url: Where.
        within: Seconds that a statement may take, if others than usual.
    """
    with usable(url), linked(url, within) as connection:
        yield connection


@contextmanager
def linked(url: JournalUrl, within: float | None = None) -> Iterator[Connection]:
    """Do the same; errors are PostgresFailed."""
    connection = connect(url.server)
    if within is not None:
        connection.within = within
    try:
        with failing(connection):
            if not parts_sessions(connection, url.server):  # else the next client would have them
                connection.execute(f"{_PLANS}; {_ALIVE}; {_OWN}".encode())
            yield connection
    finally:
        connection.close()


def stored_at(connection: Connection, url: JournalUrl) -> Stored | None:
    """Return the journal, if a run has begun it."""
    row = connection.execute(_JOURNAL, (url.run,)).fetchone() if format_of(connection) else None
    return None if row is None else Stored(row[0], orjson.loads(row[1]), *row[2:])


def check_identity(stored: Stored, identity: Identity, url: JournalUrl) -> None:
    """Check that a journal is a run's own.

    Raises:
        JournalError: It is another's.
    """
    identity.check(stored.identity, stored.salt, str(url), is_older=stored.is_older)


def missing_of(connection: Connection, stored: Stored) -> Missing:
    """Compare what is there of a shared run with what was noted."""
    if stored.chunk is None:
        return Missing(0, 0)
    records, asides, in_chunks, up_to = row_of(connection, _THERE, {"journal": stored.id, **ids_of(stored.id)})
    gone = max(0, (stored.records or 0) - records) + max(0, (stored.asides or 0) - asides)
    return Missing(gone, max(0, max(up_to, (stored.records or 0) if stored.filled else 0) - in_chunks))


def find(connection: Connection, journal: int, fingerprints: bytes, last: int) -> Sequence[Known]:
    """Return what is known of those records up to the last that are there, in the order asked for."""
    number = len(fingerprints) // FINGERPRINT_BYTES
    if not (number and last):
        return []
    values = {"journal": journal, "fingerprints": fingerprints, "count": number}
    rows = connection.execute(_FIND, values).fetchall()
    return [
        Known(place, record, position, None if code is None else Kept(STATUSES[code], attempts, stored))
        for place, record, position, code, attempts, stored in rows
        if record <= last
    ]
