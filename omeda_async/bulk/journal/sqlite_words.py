"""What SQLite's errors mean for who meets them, and what to do."""

import sqlite3
from typing import Final

_NO_DISK: Final = "the disk, or the way to it, has failed: see the system's log, and give a file on a disk of this host"
_MAY_NOT: Final = (
    "this user may not write it, its folder, or what stands beside it (-wal, -shm, -lock): run as its owner, or have "
    "them be this user's to write to"
)
_NO_ROOM: Final = "make room on its disk, and on that for temporary files"
_OPEN_ELSEWHERE: Final = "another program has it open, such as a backup or a database browser: close that one"
_MEANINGS: Final = {
    sqlite3.SQLITE_READONLY: _MAY_NOT,
    sqlite3.SQLITE_PERM: _MAY_NOT,
    sqlite3.SQLITE_AUTH: _MAY_NOT,
    sqlite3.SQLITE_CANTOPEN: (
        "it, its folder, or what stands beside it (-wal, -shm, -lock) is not there, or not this user's to read and "
        "write to; or the process has too many files open"
    ),
    sqlite3.SQLITE_BUSY: _OPEN_ELSEWHERE,
    sqlite3.SQLITE_LOCKED: _OPEN_ELSEWHERE,
    sqlite3.SQLITE_FULL: _NO_ROOM,
    sqlite3.SQLITE_IOERR: _NO_DISK,
    sqlite3.SQLITE_IOERR_SHMSIZE: _NO_ROOM,
    sqlite3.SQLITE_PROTOCOL: _NO_DISK,
    sqlite3.SQLITE_NOMEM: "the process has no memory left: give it more",
    sqlite3.SQLITE_TOOBIG: "a record is larger than SQLite takes: leave that one out",
}
_DAMAGE: Final = {
    sqlite3.SQLITE_ERROR,  # a table or a column is missing
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
}


def in_words(error: Exception) -> str:
    """Return the words of the operating system, or those of SQLite with what they mean and what to do."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    meaning = _MEANINGS.get(_code_of(error)) or _MEANINGS.get(_kind_of(error))
    return f"{error}: {meaning}" if meaning else str(error)


def is_damage(error: Exception) -> bool:
    """Whether SQLite finds that a file of its own is damaged."""
    return _kind_of(error) in _DAMAGE


def is_foreign(error: Exception) -> bool:
    """Whether SQLite finds that a file is not one of its own."""
    return _kind_of(error) == sqlite3.SQLITE_NOTADB


def is_busy(error: Exception) -> bool:
    """Whether somebody else has a file locked."""
    return _kind_of(error) == sqlite3.SQLITE_BUSY


def _kind_of(error: Exception) -> int:
    return _code_of(error) & 0xFF


def _code_of(error: Exception) -> int:
    """Return the result code of an error of SQLite's; 0 for other errors."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code
