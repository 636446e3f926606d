"""Reading outboxes that are kept in SQLite files."""

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from omeda_async.bulk.journal.codec import STATUSES
from omeda_async.bulk.journal.sqlite_connection import ForkedError, connect, connect_to_read
from omeda_async.bulk.journal.sqlite_mark import goes_by_its_log
from omeda_async.bulk.journal.status import JournalCause
from omeda_async.bulk.outbox.sqlite_file import (
    APPLICATION,
    DAMAGE,
    ENDED,
    INTENDED,
    SCHEMA,
    WAITING,
    check_format,
    check_mark,
    check_untouched,
    unusable,
    whose,
)
from omeda_async.bulk.outbox.sqlite_mark import noted
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.errors import OutboxError
from omeda_async.outcomes import OutcomeStatus

_COUNTS: Final = "SELECT state, status, count(*) FROM entries GROUP BY state, status"
_OLDEST: Final = "SELECT min(put), ifnull(sum(tries > 0), 0) FROM entries WHERE state != 2"
_NEXT: Final = """
SELECT max(min(due), :now, ifnull((
    SELECT value FROM meta WHERE name = 'held_until' AND (SELECT until FROM lease) > :now
), 0)) FROM entries WHERE state = 0
"""
_UNTOLD: Final = "SELECT count(*) FROM entries WHERE state = 2 AND NOT told"
_CAUSES: Final = """
SELECT status, json_extract(answer, '$.error.__class__'), ifnull(json_extract(answer, '$.error.message'), ''), count(*)
FROM entries WHERE answer NOT NULL AND json_extract(answer, '$.error') NOT NULL
GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 20
"""
_LEASE: Final = "SELECT holder, until FROM lease"


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
    try:
        check_untouched(path)
        mark = noted(path)  # before what is read, which may be written meanwhile
        with closing(connect_to_read(path, check_format)) as connection:
            connection.execute("BEGIN")
            if not check_format(connection, path):
                raise OutboxError(
                    f"the outbox {path} is empty: nobody has opened it yet, or the -wal beside it is lost"
                )
            check_mark(connection, path, whose(connection)[1], mark)
            return status_of(connection, path, now)
    except (sqlite3.Error, OSError, *DAMAGE) as error:
        raise unusable(path, error) from error


def status_of(connection: sqlite3.Connection, path: Path, now: float) -> OutboxStatus:
    """Return what an outbox that is open holds."""
    identity, _ = whose(connection)
    states: Counter[int] = Counter()
    counts: Counter[OutcomeStatus] = Counter()
    for state, status, number in connection.execute(_COUNTS):
        states[state] += number
        if state == ENDED:
            counts[STATUSES[status]] += number
    oldest, retrying = connection.execute(_OLDEST).fetchone()
    holder, until = connection.execute(_LEASE).fetchone()
    return OutboxStatus(
        place=str(path),
        provider=identity.pop("provider"),
        operation=identity.pop("operation"),
        base_url=identity.pop("base_url"),
        keeps_records=identity.pop("pii") == "keep",
        scope=identity,
        total=states.total(),
        waiting=states[WAITING],
        under_way=states[INTENDED],
        retrying=retrying,
        oldest=_moment(oldest),
        next_due=_moment(connection.execute(_NEXT, {"now": now}).fetchone()[0]),
        counts={status: counts[status] for status in OutcomeStatus if status in counts},
        untold=connection.execute(_UNTOLD).fetchone()[0],
        delivering=holder if until > now else None,
        causes=tuple(_cause(*row) for row in connection.execute(_CAUSES)),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _cause(code: int, error: str | None, message: str, records: int) -> JournalCause:
    return JournalCause(
        status=STATUSES[code], error=(error or "").rpartition(".")[-1], message=message, records=records
    )
