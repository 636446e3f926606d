"""Reading what an outbox holds, wherever it is kept."""

from pathlib import Path

from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.bulk.outbox.url import OutboxUrl, Where


def read_status(where: Where, now: float) -> OutboxStatus:
    """Return what an outbox holds, also while it is written; nothing about it is changed.

    Args:
        where: Where it is.
        now: The calendar time in seconds, where it is a file: a database has its own.

    Raises:
        OutboxError: It cannot be read, or is none.
    """
    if isinstance(where, OutboxUrl):
        from omeda_async.bulk.outbox import postgres_status  # noqa: PLC0415 only a URL needs psycopg

        return postgres_status.read_status(where)
    from omeda_async.bulk.outbox import sqlite_status  # noqa: PLC0415 and only a file SQLite

    return sqlite_status.read_status(where, now)


def is_file_of_outbox(path: Path) -> bool:
    """Whether a file is an outbox; nothing about it is changed."""
    from omeda_async.bulk.outbox import sqlite_status  # noqa: PLC0415 the same

    return sqlite_status.is_outbox(path)
