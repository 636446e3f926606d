"""The lock of an SQLite journal: a file beside it, which a run locks, and which notes whether a run has begun it."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from omeda_async._version import __version__
from omeda_async.bulk.journal.sqlite_connection import connect
from omeda_async.bulk.journal.sqlite_words import is_busy, is_damage, is_foreign
from omeda_async.errors import JournalError

APPLICATION: Final = 0x6F6D6A6C
SCHEMA: Final = 2
ONE_BYTE: Final = 1
"""A file of so much is somebody else's, and SQLite takes it for an empty one of its own."""
_LOCK: Final = "-lock"
_PEEK_MILLISECONDS: Final = 250  # whoever only looks whether it is locked is gone by then
_MARKS: Final = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")


def check_format(connection: sqlite3.Connection, path: Path) -> bool:
    """Check that a file is a journal that this version can read; return whether it holds anything yet.

    Raises:
        JournalError: It is something else.
    """
    application, schema, tables = (connection.execute(sql).fetchone()[0] for sql in _MARKS)
    if not (application or schema or tables):
        return False
    if application != APPLICATION:
        raise JournalError(f"{path} is an SQLite file, but no journal of this library; give another file")
    if schema != SCHEMA:
        age, remedy = ("n older", "finish it with that version") if schema < SCHEMA else (" newer", "upgrade")
        raise JournalError(
            f"the journal {path} was written by a{age} version of omeda-async (format {schema}; this version "
            f"{__version__} reads {SCHEMA}): {remedy}, or give another file"
        )
    if not tables:
        raise JournalError(f"{path} is what a run locks beside its journal, and no journal; give the journal itself")
    return True


def check_kind(path: Path) -> os.stat_result:
    """Check by its status that a file can be ours, and return that status.

    Raises:
        JournalError: It cannot.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(f"{path} is no file, and cannot be a journal; give the path of a file")
    if found.st_size == ONE_BYTE:
        raise JournalError(f"{path} is no journal of this library; give another file")
    if not found.st_size and hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise JournalError(f"{path} is an empty file of another user; give another file")
    return found


def create(path: Path, check: Callable[[Path], object]) -> None:
    """Make an empty file that only its owner may read, or check the one that is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        check(path)


def guarding(path: Path) -> Path:
    """Return the file that is locked in place of a journal, so that the journal itself stays readable.

    It is the same one for all symbolic links to a journal.
    """
    return Path(f"{path.resolve()}{_LOCK}")


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Keep a journal locked; the lock dies with the process, however that ends.

    Gives the connection to the lock file, for :func:`note`.
    """
    create(guarding(path), check_kind)
    with closing(connect(guarding(path))) as guard:
        guard.execute(f"PRAGMA busy_timeout = {_PEEK_MILLISECONDS}")
        try:
            guard.execute("BEGIN EXCLUSIVE")
            # Also while something is noted in it; set sooner, who waits for it would keep who is about to have it.
            guard.execute("PRAGMA locking_mode = EXCLUSIVE")
        except sqlite3.Error as error:
            if is_busy(error):
                raise JournalError(f"the journal {path} is in use by another run; wait until that has ended") from error
            _check_lock(path, error)
            raise
        yield guard


@contextmanager
def _looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the lock file to look at it, and wait for nobody."""
    with closing(connect(guarding(path), mode="ro")) as guard:
        guard.execute("PRAGMA busy_timeout = 0")
        yield guard


def in_use(path: Path) -> bool:
    """Whether a run has a journal open now."""
    if not guarding(path).exists():
        return False
    with _looking_at(path) as guard:
        try:
            guard.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            _check_lock(path, error)
            return is_busy(error)
    return False


def _check_lock(path: Path, error: sqlite3.Error) -> None:
    if is_foreign(error) or is_damage(error):
        raise JournalError(
            f"{guarding(path)} is not what a run makes beside its journal ({error}): remove it while none is under way"
        ) from error


def note(guard: sqlite3.Connection, *, begun: bool) -> None:
    """Note in the lock file, on disk, whether a journal was begun; earlier versions refuse any other note."""
    guard.execute(f"PRAGMA application_id = {APPLICATION * begun}")
    guard.execute(f"PRAGMA user_version = {SCHEMA * begun}")
    guard.execute("COMMIT")
    guard.execute("BEGIN EXCLUSIVE")


def is_begun(guard: sqlite3.Connection, path: Path) -> bool:
    """Whether the lock file notes that a journal was begun.

    Raises:
        JournalError: It is something else, such as a journal of that name.
    """
    begun, tables = (guard.execute(sql).fetchone()[0] for sql in _MARKS[1:])
    if tables:
        raise JournalError(
            f"{guarding(path)} is not what a run makes beside the journal {path}, but something else; give another file"
        )
    return bool(begun)


def was_begun(path: Path) -> bool:
    """Whether the lock file notes that a journal was begun; False while a run has it locked, too."""
    if not guarding(path).exists():
        return False
    with _looking_at(path) as guard:
        try:
            return is_begun(guard, path)
        except sqlite3.Error:
            return False
