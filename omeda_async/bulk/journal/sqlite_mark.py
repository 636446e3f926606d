"""How far a journal has come, noted beside it: SQLite does not miss a -wal that is lost, or cut, or of another file."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from struct import Struct
from typing import Any, Final

from omeda_async.bulk.journal.sqlite_connection import connect, has_log, head_of
from omeda_async.bulk.journal.sqlite_sums import damaged
from omeda_async.errors import JournalError

MARK: Final = Struct("<dqq")
"""When the first run of the journal began, by which it is known; the last run, and how often that has written."""
_HAS: Final = """
SELECT (SELECT started FROM runs ORDER BY id LIMIT 1) = ? AND EXISTS (SELECT * FROM runs WHERE (id, writes) >= (?, ?))
"""
# https://www.sqlite.org/fileformat.html 1.3: how a file begins, whose it is, and what says that it has no log.
_MAGIC: Final = b"SQLite format 3\0"
_WHOSE: Final = Struct(">60xi4xi")
_NO_LOG: Final = b"\1\1"
_A_LOG: Final = b"\2\2"


def mark_of(path: Path) -> Path:
    """Name the file beside a journal that is there while a run writes it, and after one that was killed."""
    return Path(f"{path.resolve()}-mark")


def open_mark(path: Path) -> int:
    """Open the file in which a run notes how far it has come."""
    return os.open(mark_of(path), os.O_CREAT | os.O_RDWR, 0o600)


def close_mark(file: int) -> None:
    """Close it; what was written counts, whatever that says."""
    with suppress(OSError):
        os.close(file)


def noted(path: Path) -> tuple[Any, ...] | None:
    """Read how far a journal has come, where that is known.

    Raises:
        JournalError: What has the name of the file is something else.
    """
    mark = mark_of(path)
    if not mark.exists():
        return None
    if not mark.is_file() or mark.stat().st_size not in {0, MARK.size}:
        raise JournalError(f"{mark} is not what a run notes beside its journal; give another file")
    return MARK.unpack(content) if (content := mark.read_bytes()) else None


def check_mark(connection: sqlite3.Connection, path: Path, mark: tuple[Any, ...] | None, *, filled: bool) -> None:
    """Check that a journal has come as far as was noted, before it was read.

    Raises:
        JournalError: What was written last is missing.
    """
    if mark is not None and not (filled and connection.execute(_HAS, mark).fetchone()[0]):
        lost = "what was written last is missing: the -wal beside it is lost or another's, or the -mark is another's"
        raise damaged(path, lost)


def check_log(path: Path) -> None:
    """Check that a log beside a journal can be its own; SQLite would take any.

    Raises:
        JournalError: It is another's.
    """
    if has_log(path) and (head_of(path, 20) or b"")[18:] == _NO_LOG and has_log(path):
        raise damaged(path, "the -wal beside it is not its own")


def lacks_log(path: Path) -> bool:
    """Whether a file says that it has a log, and there is none."""
    return (head_of(path, 20) or b"")[18:] == _A_LOG and not has_log(path)


def goes_by_its_log(path: Path, application: int, schema: int) -> bool:
    """Whether a file says that it is of this kind, and has a log that is being copied into it, or was to be.

    Until that has ended, even what its header says of its size need not be so: only both together are whole.
    """
    if not has_log(path):
        return False
    head = head_of(path, _WHOSE.size)
    if head is None:
        with closing(connect(path, mode="ro")) as connection:  # which this process has opened, so that it is whole
            found = tuple(
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
            )
        return found == (schema, application)
    return head.startswith(_MAGIC) and len(head) == _WHOSE.size and _WHOSE.unpack(head) == (schema, application)
