"""What an outbox in PostgreSQL is written and read by: a connection for each thread, made anew when it was lost."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from weakref import finalize

import orjson

from omeda_async._postgres_blocking import (
    PARTED,
    Connection,
    PostgresFailed,
    Rows,
    connect,
    failing,
    is_open,
    parts_sessions,
    run,
)
from omeda_async.bulk.journal.postgres_link import DAMAGE
from omeda_async.bulk.outbox.interface import Identity
from omeda_async.bulk.outbox.postgres_tables import make
from omeda_async.bulk.outbox.url import OutboxUrl
from omeda_async.errors import OutboxError

T = TypeVar("T")

WITHIN: Final = 10.0
"""Seconds that a statement may take."""
PATIENCE = 2.0
"""Seconds that a lock is waited for: somebody else's transaction may be putting the same key."""
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply';
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false);
SET datestyle = ISO; SET standard_conforming_strings = on; SET enable_seqscan = off; SET jit = off
"""
"""Tables that have just begun to grow have no statistics: other plans would be chosen, which read all of them.

A role or a database may have set other forms of dates and bytes than those that are read.
"""
_SERVER: Final = "SELECT pg_is_in_recovery(), current_setting('server_encoding')"
_BEGIN: Final = """
INSERT INTO omeda_async_outboxes (name, label, identity, salt) VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO NOTHING
"""
_BOX: Final = """
SELECT id, label, identity, salt, (
    SELECT quote_ident(nspname) FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid
    WHERE pg_class.oid = 'omeda_async_outboxes'::regclass
) FROM omeda_async_outboxes WHERE name = %s
"""


class Box(NamedTuple):
    """An outbox that exists."""

    id: int
    label: str
    """Tells its tickets from those of others."""
    identity: dict[str, Any]
    salt: bytes | None
    schema: str
    """Where its tables are, as SQL names it."""


class Line:
    """A connection for one thread, made anew when it was lost.

    Args:
        url: Where the outbox is.
    """

    def __init__(self, url: OutboxUrl) -> None:
        self._url = url
        self._connection: Connection | None = None

    def do(self, work: Callable[[Connection], T], *, puts: bool = False) -> T:
        """Do something by it.

        Args:
            work: What.
            puts: Whether it puts a record, which may be there all the same where its end is not heard of.

        Raises:
            OutboxError: The database does not do it, or cannot be reached.
        """
        connection = None
        try:
            connection = self._opened()
            with failing(connection):
                return work(connection)
        except PostgresFailed as error:
            lost = connection is not None and (connection.closed or error.code[:2] in {"08", "57", "58"})
            raise unusable(self._url, error, unheard=lost, puts=puts) from None
        except DAMAGE as error:
            raise damaged(self._url, error) from error

    def said(self, sql: str, values: Mapping[str, Any]) -> list[Rows]:
        """Carry out statements in one message, and return the rows of each that has some; errors as of :meth:`do`."""
        return self.do(lambda connection: run(connection, sql, values))

    def rows(self, sql: str, values: Mapping[str, Any]) -> Rows:
        """Carry out one statement, whose values no log shows, and return its rows; errors as of :meth:`do`."""
        return self.do(lambda connection: connection.execute(sql.encode(), values).fetchall())

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()

    def _opened(self) -> Connection:
        if self._connection is None or not is_open(self._connection):
            self._connection = connection = connect(self._url.server)
            connection.within = WITHIN
            finalize(self, connection.close)  # also where nobody closes the outbox
            if parts_sessions(connection, self._url.server):
                connection.close()
                raise PostgresFailed(PARTED)
            with failing(connection):
                run(connection, _SETTINGS, (f"{PATIENCE * 1000:.0f}", f"{WITHIN * 1000:.0f}"))
        return self._connection


def begin(connection: Connection, url: OutboxUrl, identity: Identity) -> Box:
    """Make what is missing, and return the outbox.

    Raises:
        PostgresFailed: The server is not fit for it.
        OutboxError: It is another one.
    """
    standby, encoding = connection.execute(_SERVER).fetchone() or (True, "")
    if standby:
        raise PostgresFailed("the server is a standby, which cannot be written: give the address of its primary")
    if encoding != "UTF8":
        raise PostgresFailed(f"the database's encoding is {encoding}: give one whose encoding is UTF8")
    make(connection)
    box = box_at(connection, url)
    if box is None:
        salt = secrets.token_bytes(32) if identity.pii == "hash" else None
        values = url.outbox, secrets.token_hex(8), orjson.dumps(identity.kept()).decode(), salt
        connection.execute(_BEGIN, values)
        box = box_at(connection, url)
    if box is None:
        raise PostgresFailed("it was removed in this moment")
    identity.check(box.identity, str(url), "give each its own name")
    return box


def box_at(connection: Connection, url: OutboxUrl) -> Box | None:
    """Return the outbox, if somebody has opened it before."""
    row = connection.execute(_BOX, (url.outbox,)).fetchone()
    return None if row is None else Box(row[0], row[1], orjson.loads(row[2]), row[3], row[4])


def unusable(url: OutboxUrl, error: PostgresFailed, *, unheard: bool = False, puts: bool = False) -> OutboxError:
    """Make the error for an outbox whose database does not do what it is to do.

    Args:
        url: Where it is.
        error: What happened.
        unheard: Whether it may have been done all the same.
        puts: Whether a record was to be put.
    """
    after = ""
    if puts:
        after = "; what was put with it is not there"
        if unheard:
            after = "; what was put with it may be there all the same: put it again with the same key"
    return OutboxError(f"the outbox {url} cannot be used: {error}{after}", sent=unheard)


def damaged(url: OutboxUrl, error: Exception) -> OutboxError:
    """Make the error for an outbox whose rows are not as they were written."""
    return OutboxError(f"the outbox {url} cannot be used: it is damaged (reading it met with {type(error).__name__})")
