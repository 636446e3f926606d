"""How far an outbox has come, noted beside it: SQLite does not miss a -wal that is lost, or cut, or of another file."""

import os
import sqlite3
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from omeda_async.bulk.journal.sqlite_mark import mark_of
from omeda_async.errors import OutboxError

_MARK: Final = Struct("<8sq")
_WRITES: Final = "SELECT value FROM meta WHERE name = 'writes'"
ONE_MORE: Final = "UPDATE meta SET value = value + 1 WHERE name = 'writes'"
"""What every transaction does."""


class Mark(NamedTuple):
    """How far an outbox has come: as far at least, as of many processes the last one may note it late."""

    name: str
    """The outbox."""
    writes: int
    """Transactions."""


def note(file: int, connection: sqlite3.Connection, name: str) -> None:
    """Note how far an outbox has come."""
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, _MARK.pack(name.encode(), connection.execute(_WRITES).fetchone()[0]))


def noted(path: Path) -> Mark | None:
    """Read how far an outbox had come, before it is read itself; None where that is not known.

    Raises:
        OutboxError: What has the name of the file is something else.
    """
    mark = mark_of(path)
    if not mark.exists():
        return None
    if not mark.is_file() or mark.stat().st_size not in {0, _MARK.size}:
        raise OutboxError(f"{mark} is not what is noted beside an outbox; give another file")
    if not (content := mark.read_bytes()):
        return None
    name, writes = _MARK.unpack(content)
    return Mark(name.decode("ascii", "replace"), writes)


def has_come_as_far(connection: sqlite3.Connection, name: str, mark: Mark | None) -> bool:
    """Whether an outbox holds all that was written into it, as far as that was noted."""
    return mark is None or (mark.name == name and connection.execute(_WRITES).fetchone()[0] >= mark.writes)
