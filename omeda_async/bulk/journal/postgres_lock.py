"""Who alone may write the whole of a journal in PostgreSQL: a lock that goes with its connection, and a run's row."""

import secrets
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Final
from weakref import finalize

import orjson

from omeda_async._postgres_blocking import PARTED, Connection, PostgresFailed, failing, parts_sessions, row_of
from omeda_async._version import __version__
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.postgres_link import Stored, check_identity, opened, stored_at, usable
from omeda_async.bulk.journal.postgres_tables import make_tables
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError

PATIENCE: Final = 1.0
"""Seconds in which the server lets go of a run that was just killed."""
_TAKEN: Final = "55P03"
_SERVER: Final = """
SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_setting('synchronous_commit')
"""
_BEGIN: Final = "INSERT INTO omeda_async_journals (name, identity, salt) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_LOCK: Final = "SELECT pg_advisory_lock('omeda_async_journals'::regclass::oid::bigint::bit(32)::int, %s)"
IS_HELD: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = 'omeda_async_journals'::regclass::oid AND objid = %s::bigint::oid
)
"""
"""Whether a run holds the lock of a journal; of a shared one, who fills it."""
_UNLOCK: Final = "SELECT pg_advisory_unlock_all()"
_BEGIN_RUN: Final = """
INSERT INTO omeda_async_journal_runs (journal, number, server_process, version)
SELECT %(journal)s, coalesce(max(number), 0) + 1, pg_backend_pid(), %(version)s
FROM omeda_async_journal_runs WHERE journal = %(journal)s RETURNING number
"""
# Nothing counts that is written without the lock: after another run has begun, or through a pooler's other connection.
_SO_FAR: Final = """
UPDATE omeda_async_journal_runs AS mine SET
    requests = coalesce(%(requests)s, requests), recent = coalesce(%(recent)s, recent),
    seen = CASE WHEN %(recent)s::bigint IS NULL THEN seen ELSE clock_timestamp() END
WHERE journal = %(journal)s AND number = %(run)s AND server_process = pg_backend_pid() AND NOT EXISTS (
    SELECT FROM omeda_async_journal_runs WHERE journal = %(journal)s AND number > %(run)s
)
RETURNING number
"""
_END: Final = """
UPDATE omeda_async_journal_runs SET ended = clock_timestamp(), complete = %s, counts = %s, cause = %s
WHERE journal = %s AND number = %s
"""


def connected(url: JournalUrl, owner: object, stack: ExitStack) -> Connection:
    """Connect to write the whole of a journal, and make what is missing.

    Args:
        url: Where.
        owner: Who uses the connection, which is closed when that is forgotten.
        stack: What lets go of the lock and closes the connection.
    """
    connection = stack.enter_context(opened(url))
    stack.callback(_unlock, connection)
    finalize(owner, connection.close)
    with usable(url), failing(connection):
        check_server(connection, url)
        make_tables(connection)
    return connection


def check_server(connection: Connection, url: JournalUrl) -> None:
    """Check that the server can keep a journal, and have each commit wait for its disk."""
    if parts_sessions(connection, url.server):
        raise PostgresFailed(PARTED)
    standby, encoding, commit = row_of(connection, _SERVER)
    if standby:
        raise PostgresFailed("the server is a standby, which cannot be written: give the address of its primary")
    if encoding != "UTF8":
        raise PostgresFailed(f"the database's encoding is {encoding}: give one whose encoding is UTF8")
    if commit != "remote_apply":
        connection.execute("SET synchronous_commit = on")


def locked(connection: Connection, url: JournalUrl, identity: Identity) -> Stored:
    """Begin the journal if there is none, and take its lock, which goes with the connection.

    Raises:
        JournalError: It is in use, or another run's.
    """
    salt = secrets.token_bytes(32) if identity.pii == "hash" else None
    kept = orjson.dumps(identity.kept(salt)).decode()
    connection.execute(_BEGIN, (url.run, kept, salt))
    stored = stored_at(connection, url)
    if stored is None:
        raise PostgresFailed("it was removed in this moment")
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{PATIENCE * 1000:.0f}ms",))
    try:
        with failing(connection):
            connection.execute(_LOCK, (stored.id,))
    except PostgresFailed as error:
        if error.code != _TAKEN:
            raise
        raise JournalError(
            f"the journal {url} is in use by another run; wait until that has ended. Of one whose host is "
            "gone the database lets go within two minutes"
        ) from None
    connection.execute("SET LOCAL lock_timeout = 0")
    check_identity(stored, identity, url)
    return stored


def _unlock(connection: Connection) -> None:
    """Let go of the lock before the server notices that the connection is closed."""
    with suppress(PostgresFailed), failing(connection):
        if not connection.closed:
            connection.execute(_UNLOCK)


def begin_run(connection: Connection, journal: int) -> int:
    """Note that a run begins, and return its number."""
    number: int = row_of(connection, _BEGIN_RUN, {"journal": journal, "version": __version__})[0]
    return number


def note_so_far(
    connection: Connection, journal: int, run: int, requests: int | None = None, recent: int | None = None
) -> None:
    """Note the requests of a run, unless they are to stay, in the same transaction as what it writes.

    Raises:
        PostgresFailed: It is not the one that may write any more.
    """
    values = {"journal": journal, "run": run, "requests": requests, "recent": recent}
    if connection.execute(_SO_FAR, values).fetchone() is None:
        raise PostgresFailed(f"another run has begun it meanwhile, or it was removed, or {PARTED}")


def end_run(connection: Connection, journal: int, run: int, counts: Mapping[str, int], cause: str | None) -> None:
    """Note how a run ended; without a cause, complete."""
    why = None if cause is None else cause.replace("\0", "\\0")
    connection.execute(_END, (cause is None, orjson.dumps(counts).decode(), why, journal, run))
