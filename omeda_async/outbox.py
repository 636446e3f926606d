"""Reading the outboxes of opt-outs: how many wait, how the others ended, who delivers.

::

    status = read_status("opt-outs.sqlite3")
    print(status.waiting, status.counts, status.oldest, status.delivering)

Reading never changes an outbox, and may be done while it is written.
"""

from os import PathLike
from pathlib import Path

from omeda_async import _clock
from omeda_async._checks import check_path
from omeda_async.bulk.outbox import sqlite_status
from omeda_async.bulk.outbox.status import OutboxStatus

__all__ = ["OutboxStatus", "is_outbox", "read_status"]


def read_status(path: str | PathLike[str]) -> OutboxStatus:
    """Return what an outbox holds. It blocks: from a coroutine, use ``await outbox.status()``, or call it in a thread.

    Raises:
        OutboxError: It cannot be read, or is no outbox.
        ConfigurationError: It is no path.
    """
    return sqlite_status.read_status(Path(check_path("an outbox", path)), _clock.utc_now().timestamp())


def is_outbox(path: str | PathLike[str]) -> bool:
    """Whether a file is an outbox. It blocks."""
    return sqlite_status.is_outbox(Path(check_path("an outbox", path)))
