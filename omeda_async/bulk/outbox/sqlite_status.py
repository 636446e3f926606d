"""Reading outboxes that are kept in SQLite files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from omeda_async.bulk.journal.sqlite_connection import ForkedError, connect, connect_to_read
from omeda_async.bulk.journal.sqlite_mark import goes_by_its_log
from omeda_async.bulk.outbox.sqlite_file import (
    APPLICATION,
    SCHEMA,
    check_format,
    check_mark,
    check_untouched,
    noted,
    unusable,
    usable,
    whose,
)
from omeda_async.bulk.outbox.status import NOT_DONE_CODES, OutboxStatus, status_of
from omeda_async.errors import OutboxError

_COUNTS: Final = "SELECT state, status, count(*) FROM entries GROUP BY state, status"
_SUMMARY: Final = """
SELECT min(put), ifnull(sum(tries > 0), 0), max(min(due) FILTER (WHERE state = 0), :now, ifnull((
    SELECT value FROM meta WHERE name = 'held_until' AND (SELECT until FROM lease) > :now
), 0)), (SELECT count(*) FROM entries WHERE state = 2 AND NOT told), (SELECT holder FROM lease WHERE until > :now)
FROM entries WHERE state != 2
"""
_CAUSES: Final = """
SELECT status, answer, count(*) FROM entries WHERE status IN (SELECT value FROM json_each(?)) GROUP BY status, answer
"""


def is_outbox(path: Path) -> bool:
    """Whether a file is an outbox; nothing about it is changed.

    Raises:
        OutboxError: This process was forked from one that had it open.
    """
    # All of a young one may be in the log beside it, which is not read where nothing may change.
    modes = ("ro&immutable=1", "ro") if Path(f"{path.resolve()}-wal").exists() else ("ro&immutable=1",)
    for mode in modes:
        try:
            with closing(connect(path, mode=mode)) as connection:
                if found := connection.execute("PRAGMA application_id").fetchone()[0]:
                    return bool(found == APPLICATION)
        except ForkedError as error:
            raise unusable(path, error) from error
        except sqlite3.Error:
            break  # while a log is copied into it, the file alone is not whole
    return path.is_file() and goes_by_its_log(path, APPLICATION, SCHEMA)


def read_status(path: Path, now: float) -> OutboxStatus:
    """Return what an outbox holds, also while it is written; nothing about it is changed.

    Raises:
        OutboxError: It cannot be read, or is none.
    """
    if not path.is_file():
        raise OutboxError(f"there is no outbox {path}")
    with usable(path):
        check_untouched(path)
        mark = noted(path)  # before what is read, which may be written meanwhile
        with closing(connect_to_read(path, check_format)) as connection:
            connection.execute("BEGIN")
            if not check_format(connection, path):
                raise OutboxError(
                    f"the outbox {path} is empty: nobody has opened it yet, or the -wal beside it is lost"
                )
            check_mark(connection, path, whose(connection)[1], mark)
            return survey(connection, path, now)


def survey(connection: sqlite3.Connection, path: Path, now: float) -> OutboxStatus:
    """Return what an outbox that is open holds."""
    numbers, causes = connection.execute(_COUNTS), connection.execute(_CAUSES, (str(NOT_DONE_CODES),))
    return status_of(path, whose(connection)[0], numbers, causes, connection.execute(_SUMMARY, {"now": now}).fetchone())
