"""Reading the outboxes of opt-outs: how many wait, how the others ended, who delivers.

::

    status = read_status("opt-outs.sqlite3")
    print(status.waiting, status.counts, status.oldest, status.delivering)

Reading never changes an outbox, and may be done while it is written.
"""

from os import PathLike
from pathlib import Path

from omeda_async.bulk.outbox.place import known_as_outbox, status_at
from omeda_async.bulk.outbox.status import OutboxStatus

__all__ = ["OutboxStatus", "is_outbox", "read_status"]


def read_status(path: str | PathLike[str]) -> OutboxStatus:
    """Return what an outbox holds. It blocks: from a coroutine, use ``await outbox.status()``, or call it in a thread.

    Raises:
        OutboxError: It cannot be read, or is no outbox.
    """
    return status_at(Path(path))


def is_outbox(path: str | PathLike[str]) -> bool:
    """Whether a file is an outbox."""
    return known_as_outbox(Path(path))
