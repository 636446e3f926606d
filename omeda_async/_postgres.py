"""One connection to a PostgreSQL server, for an event loop, on which nothing takes longer than it may.

Statements go as plain text, several at a time, and nothing is kept at the server between two of them, so that they
pass a pooler in transaction mode. What is late is not cancelled, as that would wait for the server: its socket is cut.
"""

import asyncio
import re
from asyncio import Task
from collections.abc import Callable, Mapping, Sequence
from socket import SHUT_RDWR, fromfd
from typing import Any, Final, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from omeda_async._bounded import bounded

Rows = list[tuple[Any, ...]]
_MISTAKEN: Final = re.compile(
    r"authentication failed|no password supplied|(role|user|database) \"[^\"]*\" does not exist|no pg_hba\.conf entry"
    r"|certificate|no such (database|user)|does not support SSL|not permitted to log in|SSL (is|was) required",
)
"""What a connection is refused for until somebody changes a setting: libpq tells no code of it."""
_PASSES: Final = re.compile(r"(08|40|53|57|58)...|25P0[23]|55P03|XX000")
"""The SQLSTATEs of errors that go away by themselves, or with the connection."""
_HOST: Final = re.compile(r"[^@\s]*")
_DATABASE: Final = re.compile(r"[^@:/\s]*")
_READ_ONLY: Final = {"25006", "55000"}
"""A transaction that only reads; a server in recovery."""
Meaning = Literal["away", "read-only", "mistaken"]


class PostgresError(Exception):
    """The server does not answer, or not as it should.

    Args:
        text: What is wrong; no secret.
        meaning: Whether it may go away by itself, needs a server that may be written to, or a change of the settings.
        code: Its SQLSTATE; empty where there is none.
    """

    def __init__(self, text: str, meaning: Meaning = "away", code: str = "") -> None:
        super().__init__(text)
        self.meaning: Meaning = meaning
        self.code = code


class PostgresLate(PostgresError):
    """It has not answered in good time."""


class Address:
    """Where the server is: no secret is shown of it.

    Raises:
        ValueError: The address is none; the message does not show it.
    """

    def __init__(self, url: str) -> None:
        places, database, self._secrets = _read(url)
        self._url = url
        self.name = f"postgresql://{','.join(places)}/{database}"

    def __repr__(self) -> str:
        return f"Address({self.name!r})"

    def masked(self, text: str) -> str:
        """Return a text without the secrets of the address."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def connect(self, within: float) -> "Link":
        """Open a connection, which may take so many seconds.

        Raises:
            PostgresError: There is none.
        """
        work = psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.AsyncClientCursor,
            connect_timeout=max(2, round(within)),
            application_name="omeda-async",
            client_encoding="utf8",
        )
        try:
            # While it connects, cancelling it ends it at once.
            return Link(self, await bounded(work, within, PostgresLate, end=Task.cancel, ended=_close_unused))
        except (psycopg.Error, OSError) as error:
            raise self.explained(error) from None

    def explained(self, error: Exception) -> PostgresError:
        """Return what an error means."""
        code = getattr(error, "sqlstate", None) or ""
        text = self.masked(" ".join(str(error).split())[:200]) or type(error).__name__
        if code in _READ_ONLY:
            return PostgresError(text, "read-only", code)
        if code and not _PASSES.fullmatch(code):
            return PostgresError(text, "mistaken", code)
        if not code and (not isinstance(error, psycopg.OperationalError | OSError) or _MISTAKEN.search(text)):
            return PostgresError(text, "mistaken")
        return PostgresError(text, "away", code)


def _read(url: str) -> tuple[list[str], str, list[str]]:
    """Return the places of an address, its database, and its secrets.

    Raises:
        ValueError: It is none; also where what is special in a password has made it something else.
    """
    try:
        options = {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    except psycopg.Error:
        options = {"port": "none"}
    usual = {one.keyword.decode(): one.val.decode() for one in Conninfo.get_defaults() if one.val}  # PGHOST and others
    where = options if "host" in options or "hostaddr" in options else usual
    hosts = (where.get("host") or where.get("hostaddr") or "localhost").split(",")
    ports = [port or "5432" for port in options.get("port", usual.get("port", "")).split(",")]
    database = options.get("dbname", usual.get("dbname", ""))
    places_read = all(port.isdecimal() for port in ports) and all(_HOST.fullmatch(host) for host in hosts)
    if not (places_read and _DATABASE.fullmatch(database)):
        raise ValueError(
            "it must read postgresql://host:5432/database?sslmode=verify-full, with the user and the password before "
            "the host, in which what is special is written as %40 for an at sign, %2F for a slash, and so on"
        )
    ports += ports[-1:] * (len(hosts) - len(ports))
    places = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=False)]
    return places, database, [options[name] for name in ("password", "sslpassword") if name in options]


class Link:
    """An open connection.

    Args:
        address: Where it leads.
        connection: psycopg's.
    """

    def __init__(self, address: Address, connection: psycopg.AsyncConnection[Any]) -> None:
        self._address = address
        self._connection = connection
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._on_notice: Callable[[str], None] | None = None
        self._is_busy = self._is_cut = False

    @property
    def process(self) -> int:
        """The number of the server's process that was told when it was opened; a pooler makes one up."""
        return self._connection.pgconn.backend_pid

    async def run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = (), *, within: float) -> list[Rows]:
        """Carry out statements in one round trip, and return the rows of each that has some.

        Raises:
            PostgresError: One of them has failed, or it took too long; then the connection is of no use any more.
        """
        self._unwatch()
        try:
            work = self._run(sql, values)
            found = await bounded(work, within, PostgresLate, end=lambda _: self._shut(), ended=lambda _: None)
        except (psycopg.Error, OSError) as error:
            raise self._address.explained(error) from None
        self._watch()
        return found

    def listen(self, on_notice: Callable[[str], None]) -> None:
        """Have something called with the payload of every notification, and with an empty one when the link breaks."""
        self._on_notice = on_notice
        self._connection.add_notify_handler(lambda notice: on_notice(notice.payload))
        self._watch()

    def cut(self) -> None:
        """Let go of the connection at once."""
        self._unwatch()
        self._on_notice = None
        if self._is_busy:
            self._is_cut = True
            self._shut()
        else:
            self._connection.pgconn.finish()

    def _shut(self) -> None:
        """Let what waits for the server fail now; closed before that, its socket's number could be another's."""
        try:
            with fromfd(self._connection.pgconn.socket, -1, -1) as socket:
                socket.shutdown(SHUT_RDWR)
        except (psycopg.Error, OSError):
            pass  # it is not connected any more

    async def _run(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Rows]:
        cursor, found = self._connection.cursor(), list[Rows]()
        self._is_busy, failed = True, True
        try:
            await cursor.execute(sql.encode(), values or None)
            while True:
                if cursor.description is not None:
                    found.append(await cursor.fetchall())
                if not cursor.nextset():
                    failed = False
                    return found
        finally:
            self._is_busy = False
            if failed or self._is_cut:  # what it waited for may have come all the same
                self._connection.pgconn.finish()

    def _watch(self) -> None:
        """Look after what comes while nothing is asked."""
        if self._on_notice is not None and self._watched is None:
            self._watched = asyncio.get_running_loop(), self._connection.pgconn.socket
            self._watched[0].add_reader(self._watched[1], self._readable)

    def _unwatch(self) -> None:
        if self._watched is not None:
            loop, socket = self._watched
            self._watched = None
            if not loop.is_closed():
                loop.remove_reader(socket)

    def _readable(self) -> None:
        server = self._connection.pgconn
        if self._on_notice is None:
            return
        try:
            server.consume_input()
            while (notice := server.notifies()) is not None:
                self._on_notice(notice.extra.decode(errors="replace"))
        except psycopg.Error:
            self._unwatch()  # the next statement tells
            self._on_notice("")


def _close_unused(task: "Task[psycopg.AsyncConnection[Any]]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().pgconn.finish()
