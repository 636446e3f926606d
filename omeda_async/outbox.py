"""Reading the outboxes of opt-outs: how many wait, how the others ended, who delivers.

::

    status = read_status("opt-outs.sqlite3")
    print(status.waiting, status.counts, status.oldest, status.delivering)

Reading never changes an outbox, and may be done while it is written. One in PostgreSQL has a URL in the place of the
file.
"""

from os import PathLike
from pathlib import Path

from omeda_async import _clock
from omeda_async._checks import check_path
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.bulk.outbox.url import WANTED, OutboxUrl, names_outbox, where_of

__all__ = ["OutboxStatus", "is_outbox", "read_status"]


def read_status(path: str | PathLike[str]) -> OutboxStatus:
    """Return what an outbox holds. It blocks: from a coroutine, use ``await outbox.status()``, or call it in a thread.

    Args:
        path: Its file, or ``postgresql://host/database?outbox=NAME``.

    Raises:
        OutboxError: It cannot be read, or is no outbox.
        ConfigurationError: It is neither a path nor such a URL.
    """
    where = where_of(path)
    if isinstance(where, OutboxUrl):
        from omeda_async.bulk.outbox import postgres_status  # noqa: PLC0415 only a URL needs psycopg

        return postgres_status.read_status(where)
    from omeda_async.bulk.outbox import sqlite_status  # noqa: PLC0415 and only a file SQLite

    return sqlite_status.read_status(where, _clock.utc_now().timestamp())


def is_outbox(path: str | PathLike[str]) -> bool:
    """Whether a file is an outbox; whether a URL names one, be it there or not. It blocks.

    Raises:
        ConfigurationError: It is neither a path nor a URL.
        OutboxError: This process was forked from one that had it open.
    """
    text = check_path("an outbox", path, WANTED)
    if names_outbox(text):
        return True
    from omeda_async.bulk.outbox import sqlite_status  # noqa: PLC0415 the same

    return sqlite_status.is_outbox(Path(text))
