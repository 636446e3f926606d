"""The SQLite file in which the processes of one host keep the state of accounts: what its turns do, in a thread."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, TypeAlias
from weakref import WeakSet, finalize

import attrs

from omeda_async import _clock
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._host import host_id, network_of
from omeda_async.limits._store import Ask, Reply, StoreAway, StoreRefused
from omeda_async.limits._stored import dump_state, load_state
from omeda_async.limits._view import LimitsView

APPLICATION: Final = 0x6F6D6C73
SCHEMA: Final = 1
BUSY_SECONDS = 1.0
"""How long a turn waits for a file that another process has locked."""
ATTEMPTS = 3
_TABLES: Final = (
    "CREATE TABLE accounts (account TEXT PRIMARY KEY, called TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE hosts (account TEXT, host TEXT, PRIMARY KEY (account, host)) WITHOUT ROWID",
    "CREATE TABLE place (inode TEXT NOT NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA}",
)
_COUNT: Final = "SELECT count(*) FROM sqlite_schema"
_MARKS: Final = ("PRAGMA application_id", "PRAGMA user_version", _COUNT)
_VERSION: Final = "PRAGMA data_version"
_INODE: Final = attrgetter("st_dev", "st_ino")
_Inode: TypeAlias = tuple[int, int]
_KIND: Final = 0xFF
"""What of an error's code says its kind; the rest says more."""
_SHORT_OF: Final = {errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What somebody else may have taken, and may give back; and a folder that has vanished a moment ago."""
_NO_FOLDER: Final = "; what it is to be in is a file: give a folder"
_HINTS: Final[dict[int | None, str]] = {
    errno.EACCES: "; it and its folder have to be this user's to write to: run as their owner, or give another folder",
    errno.EROFS: "; give a folder on a disk that can be written to",
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
}
_FOR_NOW: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}
_making: Final = threading.Lock()
"""Held while a file is made: who closes one lets go of all locks that the process has on it."""
_files: Final[WeakSet["LimitsFile"]] = WeakSet()
_stopped: Final[list["LimitsFile"]] = []
"""Those that nobody may use for now, as the process forks."""


class LimitsFile:
    """One account in the file. Its methods block, and one thread calls them one after the other; ``view`` any may.

    Args:
        path: The file; it is made where there is none, in a folder that is made too.
        account: What the account is called in it.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
    """

    def __init__(self, path: Path, account: str, uniform: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = _clock.monotonic
        self.host = host_id()
        self._path = path
        self._account = account
        self._uniform = uniform
        self._connection: sqlite3.Connection | None = None
        self._inode: _Inode | None = None
        self._log_path = path
        self._log: _Inode | None = None
        self._lock = threading.Lock()
        """Held while the state changes, or is shown."""
        self._state: AccountState | None = None
        self._version: int | None = None
        self._seen: int | None = None
        """What the file's version was when the state was read or written, and when it was looked at last."""
        self._last = 0
        """The last permit that the file is known to have had: it never has fewer, unless it is an older one."""
        self._is_lost = False
        """Whether what the file had may be lost, and no turn has said so yet."""
        self.at_work = threading.RLock()
        """Held while something is done with the connection."""
        with _making:
            _files.add(self)

    def turn(self, ask: Ask) -> Reply:
        """Step the state.

        Raises:
            StoreAway: The file is locked, or cannot be written for now.
            StoreRefused: It cannot be used for this.
        """
        with self.at_work, self._errors():
            for _ in range(ATTEMPTS):
                connection = self._opened()
                connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
                try:
                    connection.execute("BEGIN IMMEDIATE")
                finally:
                    connection.execute("PRAGMA busy_timeout = 0")
                if self._is_in_place():
                    return self._step(connection, ask)
                self._give_up()
            raise StoreAway("it is removed again and again")

    def turn_at_once(self, ask: Ask) -> Reply | None:
        """Step the state where that takes no time: nobody has the file locked, and it is open; None otherwise."""
        if self._connection is None:
            return None
        with self.at_work, self._errors():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _code_of(error) & _KIND == sqlite3.SQLITE_BUSY:
                    return None
                raise
            if self._is_in_place():
                return self._step(self._connection, ask)
            self._connection.execute("ROLLBACK")
            return None

    def is_called(self, client: str) -> bool:
        """Whether a permit waits for a client in the file."""
        if self._connection is None or self._is_gone():
            return True
        with self.at_work, self._errors():
            if (version := _found(self._connection, _VERSION)) == self._seen:
                return False
            self._seen = version
            called = _found(self._connection, "SELECT called FROM accounts WHERE account = ?", self._account)
            return called is None or client in called.split()

    def view(self) -> LimitsView | None:
        """Return what the last turn has left."""
        with self._lock:
            return None if self._state is None else self._state.view(self.clock())

    def close(self) -> None:
        """Let go of the file."""
        with self.at_work:
            if self._connection is not None:
                self._close()
                self._connection = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Undo what has failed, and say what that means."""
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._version = None
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise self._told(error) from None
            if isinstance(error, OSError):
                kind = StoreAway if error.errno in _SHORT_OF else StoreRefused
                raise kind(f"it cannot be used: {error.strerror or error}{_HINTS.get(error.errno, '')}") from None
            raise

    def _told(self, error: sqlite3.Error) -> StoreAway | StoreRefused:
        code = _code_of(error)
        if code & _KIND == sqlite3.SQLITE_IOERR or code == sqlite3.SQLITE_READONLY_DBMOVED or self._is_gone():
            self._give_up()  # another connection may do; the file may be elsewhere
            return StoreAway(str(error))
        code &= _KIND
        if code == sqlite3.SQLITE_CANTOPEN and not self._may_open():
            return StoreRefused(
                "the files that SQLite keeps beside it (-wal, -shm) are another user's: run as that one"
            )
        if code in _FOR_NOW:
            return StoreAway(str(error))
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return StoreRefused(f"it is damaged, or no SQLite file ({error}): remove it, and another one is made")
        hint = _HINTS[errno.EACCES] if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM} else ""
        return StoreRefused(f"it cannot be used: {error}{hint}")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._inode, self._log = self._made(), None
            self._log_path = Path(f"{self._path.resolve()}-wal")
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",  # where it is gone by now, SQLite makes none
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            connection.execute("PRAGMA busy_timeout = 0")  # who may wait says so
            self._connection = connection
            self._close = finalize(self, connection.close)  # also where nobody closes the file
        return self._connection

    def _made(self) -> _Inode:
        """Make the file, and its folder, where there is none."""
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (network := network_of(folder)) is not None:
            raise StoreRefused(
                f"it is on a network file system ({network}), where SQLite's locks do not hold: "
                "give a folder on a disk of this host, or redis:// or postgresql:// for several hosts"
            )
        real = self._path.resolve()
        with _making, suppress(FileExistsError):
            os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # One that is there is not opened here: closing it would let go of the locks that this process has on it.
        found = real.stat()
        if not S_ISREG(found.st_mode) or found.st_size == 1:  # which SQLite takes for an empty file of its own
            raise StoreRefused("it is no SQLite file: give another one, or a folder")
        if found.st_nlink > 1:
            raise StoreRefused("it has another name as well, a hard link, by which nobody sees this one's turns")
        if not _may(real, os.R_OK | os.W_OK):
            reads_only = hasattr(os, "statvfs") and os.statvfs(real).f_flag & os.ST_RDONLY
            raise OSError(code := errno.EROFS if reads_only else errno.EACCES, os.strerror(code))
        if not _may(folder, os.W_OK | os.X_OK):
            raise StoreRefused("its folder cannot be written, and SQLite needs files beside it")
        return _INODE(found)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # In one transaction: somebody else may be making the tables.
        connection.execute("BEGIN")
        application, schema, tables = (_found(connection, sql) for sql in _MARKS)
        connection.execute("ROLLBACK")
        if (application or schema or tables) and application != APPLICATION:
            raise StoreRefused("it is an SQLite file of something else: give another one, or a folder")
        if application and schema != SCHEMA:
            raise StoreRefused(f"another version of omeda-async uses it (format {schema}, and this one's is {SCHEMA})")
        if _found(connection, "PRAGMA journal_mode = WAL") != "wal":
            raise StoreAway("SQLite cannot make its log beside it; see that the disk has room, and is one of this host")
        connection.execute("PRAGMA synchronous = OFF")  # a crash of the host is another boot, after which all is held
        connection.execute("BEGIN IMMEDIATE")
        if not _found(connection, _COUNT):
            for statement in _TABLES:
                connection.execute(statement)
        inode = str(self._inode)
        if _found(connection, "SELECT inode FROM place") != inode:
            # A copy that was put here says nothing about what has been sent since it was made.
            connection.execute("DELETE FROM accounts")
            connection.execute("DELETE FROM hosts")
            connection.execute("DELETE FROM place")
            connection.execute("INSERT INTO place VALUES (?)", (inode,))
        connection.execute("COMMIT")
        self._version = self._seen = None

    def _is_in_place(self) -> bool:
        """Whether what is at the path is what is open: the file, and SQLite's log beside it."""
        try:
            if _INODE(self._path.stat()) != self._inode:
                return False
            log = _INODE(self._log_path.stat())
        except FileNotFoundError:
            return False
        self._log = self._log or log
        return log == self._log

    def _is_gone(self) -> bool:
        """Whether the file is not where it was any more, so that what it has suffered does not matter."""
        try:
            return _INODE(self._path.stat()) != self._inode
        except OSError:
            return True

    def _may_open(self) -> bool:
        """Whether the files beside it are there to be opened, or not there."""
        beside = [self._log_path, self._log_path.with_name(self._log_path.name.removesuffix("wal") + "shm")]
        return all(os.access(one, os.R_OK | os.W_OK) for one in beside if one.exists())

    def _give_up(self) -> None:
        """Let go of a file that is elsewhere now, or is none: what it had may be lost."""
        self._is_lost = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._close()

    def _step(self, connection: sqlite3.Connection, ask: Ask) -> Reply:
        version = _found(connection, _VERSION)
        state = self._state if version == self._version else None
        if state is None:
            state = self._read(connection, ask)
        if self._is_lost or state.last < self._last:
            ask = attrs.evolve(ask, distrusts=True)
        with self._lock:
            self._state = state
            reply = state.turn(ask, self.clock(), self.host)
            text = dump_state(state)
        called = " ".join(state.called())
        connection.execute(
            "INSERT INTO accounts VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET called = excluded.called, state = excluded.state",
            (self._account, called, text),
        )
        connection.execute("COMMIT")
        self._version, self._seen, self._last, self._is_lost = version, None, state.last, False
        return reply

    def _read(self, connection: sqlite3.Connection, ask: Ask) -> AccountState:
        text = _found(connection, "SELECT state FROM accounts WHERE account = ?", self._account)
        if text is None:
            state = AccountState.begin(ask.rate_limit, self.host, self._uniform)
        else:
            state = load_state(text, self._uniform)
        if text is None or state.server != self.host:
            self._enter(connection)
        return state

    def _enter(self, connection: sqlite3.Connection) -> None:
        """Note that this host, since it was started, uses the file; one that comes back is another host."""
        hosts = {host for (host,) in connection.execute("SELECT host FROM hosts WHERE account = ?", (self._account,))}
        if self.host in hosts and hosts != {self.host}:
            raise StoreRefused(
                "two hosts use it: give a folder that only this host has, or redis:// or postgresql:// for several"
            )
        connection.execute("INSERT OR IGNORE INTO hosts VALUES (?, ?)", (self._account, self.host))


def _found(connection: sqlite3.Connection, sql: str, *values: object) -> Any:
    """Return the one value that a statement gives; None where there is no row."""
    return next((value for (value,) in connection.execute(sql, values).fetchall()), None)


def _code_of(error: sqlite3.Error) -> int:
    """Return SQLite's code of an error, which those of Python's module do not have."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code


def _may(path: Path, how: int) -> bool:
    """Whether this user may do that with a file or folder."""
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _stop_all() -> None:
    """Let nobody be in the middle of anything when the process forks."""
    _making.acquire()
    while late := [file for file in _files if file not in _stopped]:
        _making.release()
        for file in late:
            _stopped.append(file)
            file.at_work.acquire()
        _making.acquire()


def _go_on(*, is_child: bool = False) -> None:
    """Let everybody go on after a fork; the child lets go of what SQLite may not take across one."""
    _making.release()
    while _stopped:
        file = _stopped.pop()
        if is_child:
            file.close()
        file.at_work.release()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_stop_all, after_in_parent=_go_on, after_in_child=partial(_go_on, is_child=True))
