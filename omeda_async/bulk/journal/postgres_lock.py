"""Who alone may write the whole of a journal in PostgreSQL: a lock that goes with its connection."""

import secrets
from contextlib import ExitStack, suppress
from typing import Final
from weakref import finalize

import orjson

from omeda_async._postgres_blocking import PARTED, Connection, PostgresFailed, failing, parts_sessions, row_of
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
