"""Connections to a PostgreSQL server for threads: each call blocks, and none for longer than it may."""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from omeda_async import _clock

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

WITHIN: Final = 30.0
"""Seconds that a statement may take."""
_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "application_name": "omeda-async",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": round(WITHIN * 1000),
}
"""What holds where the address does not say otherwise."""
_REFUSED: Final = re.compile(r"FATAL|password|certificate|SSL error|sslmode")
_BUSY: Final = re.compile(
    r"starting up|shutting down|in recovery mode|not yet accepting|too many|connection slots|cannot connect|try again"
)
UNDONE: Final = {"40001", "40P01"}
"""What the server ends a transaction with that was in another one's way: it can be done again."""
_SHUT_DOWN: Final = frozenset({"57P01", "57P02", "57P03"})
PARTED: Final = (
    "a pooler stands between that hands out the server's connections by transaction: give an address of the server "
    "itself, or of a pooler of sessions (PgBouncer: pool_mode = session)"
)
_UNPASSED: Final = "unsupported startup parameter"
_INSTEAD: Final = (
    " (a pooler that passes no options= on: leave them out, and give the role its search_path by ALTER ROLE … SET)"
)
_whole_sessions: Final[set[str]] = set()
"""Addresses of poolers that leave a connection to its client."""
_SECRET: Final = ("password", "sslpassword")


class PostgresFailed(Exception):
    """The server cannot do what it is to do, or does not answer.

    Args:
        text: Why; it holds nothing of an address's secrets, and of no row.
        code: The SQLSTATE; empty where there is none.
        is_away: Whether it may be there again in a while.
    """

    def __init__(self, text: str, code: str = "", *, is_away: bool = False) -> None:
        super().__init__(text)
        self.code, self.is_away = code, is_away


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements each end within a while, whatever became of the server."""

    within: float = WITHIN

    def wait(self, gen: Generator[Any, Any, T], *options: Any, **more: Any) -> T:
        """Wait for what is under way."""
        try:
            return super().wait(_ended(gen, _clock.monotonic() + self.within, self.within), *options, **more)
        except _Late:
            self.pgconn.finish()  # nothing more is said on it
            raise


class _Late(psycopg.OperationalError):
    """The server has not answered in good time."""


def _ended(waiting: Generator[Any, Any, T], until: float, within: float) -> Generator[Any, Any, T]:
    """Wait for the same, and give up at a time."""
    try:
        wish = next(waiting)
        while True:
            ready = yield wish
            if not ready and _clock.monotonic() > until:
                raise _Late(f"no answer within {within:g} s")
            wish = waiting.send(ready)
    except StopIteration as end:
        done: T = end.value
        return done


def connect(url: str) -> Connection:
    """Open a connection, whose statements commit by themselves unless a transaction was begun.

    Raises:
        PostgresFailed: There is none.
    """
    try:
        options = {**_DEFAULTS, **conninfo_to_dict(url), "client_encoding": "utf8"}
    except psycopg.Error:
        raise PostgresFailed("the address is not one that libpq understands") from None
    try:
        # What was prepared for tables that were empty would be carried out so when they are full.
        return Connection.connect(**options, autocommit=True, prepare_threshold=None)
    except (psycopg.Error, OSError) as error:
        text = words(error)
        for secret in filter(None, map(options.get, _SECRET)):
            text = text.replace(str(secret), "***")
        if _UNPASSED in text:
            text += _INSTEAD
        raise PostgresFailed(text, getattr(error, "sqlstate", None) or "", is_away=_is_away(text)) from None


def _is_away(text: str) -> bool:
    """Whether a server that gives no connection may give one in a while; libpq tells its refusals by words alone."""
    return not _REFUSED.search(text) or _BUSY.search(text) is not None


@contextmanager
def failing(connection: Connection) -> Iterator[None]:
    """Turn psycopg's errors into PostgresFailed; a connection that does not answer is closed.

    Of an error only its main sentence is told: its details show what is in a row.
    """
    try:
        yield
    except (psycopg.Error, OSError) as error:
        code = getattr(error, "sqlstate", None) or ""
        is_lost = isinstance(error, psycopg.OperationalError | OSError) and not code
        if is_lost:
            connection.close()
        raise PostgresFailed(words(error), code, is_away=is_lost or code in _SHUT_DOWN) from None


@contextmanager
def transaction(connection: Connection, *, at_once: bool = False) -> Iterator[None]:
    """Do something in one transaction; errors as of :func:`failing`.

    Args:
        connection: Where.
        at_once: Do not wait for a statement whose rows nobody asks for: its error comes later.
    """
    with failing(connection):
        try:
            with connection.pipeline() if at_once else nullcontext():
                connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                yield
                connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error, OSError):
                connection.execute("ROLLBACK")
            raise


def parts_sessions(connection: Connection, url: str) -> bool:
    """Whether what stands between hands out the server's connections by transaction, as far as that can be seen.

    A pooler tells a process number of its own; then another client is made to need a connection meanwhile. Of one that
    leaves it to its client for a session, that is asked once in a process.
    """
    own = _process_of(connection)
    if own == connection.info.backend_pid or url in _whole_sessions:
        return False
    with suppress(PostgresFailed):
        other = connect(url)
        other.within = 2.0  # a pool that is used up gives it none
        try:
            with failing(other):
                other.execute("BEGIN")
                if _process_of(other) == own or _process_of(connection) != own:
                    return True
        finally:
            other.close()
    _whole_sessions.add(url)
    return False


def _process_of(connection: Connection) -> int:
    with failing(connection):
        return int(row_of(connection, "SELECT pg_backend_pid()")[0])


def row_of(connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> tuple[Any, ...]:
    """Return the one row that a statement gives."""
    row = connection.execute(sql.encode(), values).fetchone()
    if row is None:
        raise PostgresFailed("rows are missing")
    return row


def run(connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Rows]:
    """Carry out statements in one message and one transaction, and return the rows of each that has some.

    The server never waits for more while a row is locked. Its log may show the values: nothing of a record.
    """
    cursor, found = psycopg.ClientCursor(connection), list[Rows]()
    cursor.execute(sql.encode(), values or None)
    while True:
        if cursor.description is not None:
            found.append(cursor.fetchall())
        if not cursor.nextset():
            return found


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of rows, as unnest takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def is_open(connection: Connection) -> bool:
    """Whether a connection, on which nothing is under way, is open still; nobody is asked but the socket."""
    if connection.closed:
        return False
    try:
        for _ in range(2):  # the server's last words, and that there are no more
            connection.pgconn.consume_input()
    except psycopg.Error:
        connection.close()
    return not connection.closed


def words(error: Exception) -> str:
    """Return what an error says, without what it tells of rows."""
    diagnosis = getattr(error, "diag", None)
    text = (diagnosis and diagnosis.message_primary) or str(error)
    return " ".join(text.split())[:300] or type(error).__name__
