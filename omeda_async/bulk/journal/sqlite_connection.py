"""Connections to the SQLite files of journals and outboxes, and how such a file is looked at beside them.

A process that closes a file lets go of all locks that it has on it, those of SQLite's connections among them
(https://www.sqlite.org/howtocorrupt.html, 2.2): so only SQLite opens what this process has open.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Final
from weakref import WeakSet

import attrs

from omeda_async.bulk.journal.sqlite_rollback import ENOUGH, LARGEST_PAGE, is_harmless

BUSY_SECONDS: Final = 5.0
TWO_NAMES: Final = (
    "it is a hard link of a file that may have a log beside its other name, where SQLite does not find it: give that "
    "name, or a copy"
)
_AS_IT_IS: Final = "immutable=1"
INODE: Final = attrgetter("st_dev", "st_ino")


class ForkedError(sqlite3.OperationalError):
    """A file was open in the process from which this one was forked."""


class _Connection(sqlite3.Connection):
    """One that is known to be open, and on which file."""

    inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Close it, unless it is that of a process from which this one was forked."""
        if self.inode not in _inherited:
            super().close()
            self.inode = None


@attrs.define
class _Locks:
    looking: threading.Lock = attrs.field(factory=threading.Lock)
    """Held while a file is looked at or opened, so that the one never comes within the other."""
    judging: threading.Lock = attrs.field(factory=threading.Lock)
    """Held while a file is opened to be read, so that others who do so do not keep it from being looked at."""


_locks: Final = _Locks()
_connections: Final[WeakSet[_Connection]] = WeakSet()
_inherited: Final[set[tuple[int, int] | None]] = set()
"""What was open when this process was forked: of that, SQLite takes the locks of the other process for its own."""


def connect(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
    """Open an SQLite file that exists; statements commit by themselves unless a transaction was begun."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    if _inherited and not mode.endswith(_AS_IT_IS) and path.exists() and INODE(path.stat()) in _inherited:
        raise ForkedError(
            "this process was forked from one that had it open: open it after the fork only, or use a process that is "
            "started anew"
        )
    with _locks.looking:
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        if not mode.endswith(_AS_IT_IS):  # which takes no locks
            try:
                connection.inode = INODE(path.stat())
            except OSError:
                connection.close()
                raise
            _connections.add(connection)
    return connection


def keep_log(connection: sqlite3.Connection) -> None:
    """Have SQLite keep a log beside the file; where it cannot, it goes on without one and does not say so."""
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError(
            "SQLite cannot make its log beside it; see that the disk has room, and is one of this host"
        )


def connect_to_read(path: Path, check: Callable[[sqlite3.Connection, Path], bool]) -> sqlite3.Connection:
    """Open an SQLite file that exists, to read it; one whose maker was killed in the midst of it is empty.

    Only who writes can bring that to its end. Then there is a -journal beside it, and later where a run was killed as
    it began or ended: it notes there that the file has a log, or has none any more.

    Args:
        path: Where it is.
        check: Whether a file has its tables.
    """
    with _locks.judging:
        for _ in range(2):  # others may have brought it to its end meanwhile
            connection = connect(path, mode="ro")
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except BaseException as error:  # of a damaged one, SQLite's own words may be no text
                connection.close()
                if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
            else:
                return connection
            connection = connect(path, mode=f"ro&{_AS_IT_IS}")
            is_whole = False
            try:
                is_whole = not has_log(path) and (not check(connection, path) or _takes_nothing_back(path))
            finally:
                if not is_whole:
                    connection.close()
            if is_whole:
                return connection
    raise sqlite3.OperationalError("the -journal beside it is not its own")


def _takes_nothing_back(path: Path) -> bool:
    """Whether a file stays what it is if the -journal beside it is believed."""
    head = head_of(path, LARGEST_PAGE)
    with suppress(FileNotFoundError), Path(f"{path.resolve()}-journal").open("rb") as file:
        return head is not None and is_harmless(file.read(ENOUGH), head, path.stat().st_size)
    return False


def head_of(path: Path, length: int) -> bytes | None:
    """Return how a file begins; None where this process has it open."""
    with _locks.looking:
        inode = INODE(path.stat())
        if any(one.inode == inode for one in _connections):
            return None
        with path.open("rb") as file:
            return file.read(length)


def has_log(path: Path) -> bool:
    """Whether there is a log beside a file, and something in it."""
    log = Path(f"{path.resolve()}-wal")
    return log.exists() and log.stat().st_size > 0


def _leave() -> None:
    """Leave to the process from which this one was forked what that has open."""
    _locks.looking, _locks.judging = threading.Lock(), threading.Lock()
    if left := [one for one in _connections if one.inode is not None]:
        from ctypes import py_object, pythonapi  # noqa: PLC0415 only a child needs it

        for one in left:
            _inherited.add(one.inode)
            pythonapi.Py_IncRef(py_object(one))  # a thread that is not here may be in it: who closes it waits forever
        _connections.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_leave)
