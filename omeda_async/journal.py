"""Reading the journals of bulk runs: counts, requests, times, causes, and the records that are not done.

::

    status = read_status("run.sqlite3")
    print(status.counts, status.requests, status.complete)
    again = [one.record for one in read_not_done("run.sqlite3") if one.status is OutcomeStatus.FAILED]

A journal is written by a bulk run (``journal=``), and is resumed by the same call with the same input. Reading never
changes it, and may be done while a run is under way. One in PostgreSQL has a URL in the place of the file.
"""

from collections.abc import Iterable, Iterator
from os import PathLike

from omeda_async.bulk.journal.place import reader_at
from omeda_async.bulk.journal.status import (
    NOT_DONE,
    JournalCause,
    JournalChunks,
    JournalRecord,
    JournalRun,
    JournalStatus,
)
from omeda_async.bulk.journal.url import url_of, where_of
from omeda_async.outcomes import OutcomeStatus

__all__ = [
    "JournalCause",
    "JournalChunks",
    "JournalRecord",
    "JournalRun",
    "JournalStatus",
    "cancel_run",
    "read_not_done",
    "read_status",
    "reopen_run",
]


def read_status(path: str | PathLike[str]) -> JournalStatus:
    """Return what a journal holds. It blocks: from a coroutine, call it in a thread.

    Raises:
        JournalError: It cannot be read, or is no journal.
        ConfigurationError: It is neither a path nor a URL of PostgreSQL with the name of a run.
    """
    return reader_at(where_of(path)).status()


def read_not_done(path: str | PathLike[str], statuses: Iterable[OutcomeStatus] = NOT_DONE) -> Iterator[JournalRecord]:
    """Return the records that are not done, in the order of the input; repeats of one are left out.

    Those left under way by a run that was killed count as unknown. It blocks, like :func:`read_status`.

    Args:
        path: The journal: its file, or ``postgresql://host/database?run=NAME``.
        statuses: Only those that ended so.

    Raises:
        JournalError: It cannot be read, or is no journal.
        ConfigurationError: It is neither a path nor a URL of PostgreSQL with the name of a run.
    """
    return reader_at(where_of(path)).not_done(frozenset(statuses))


def cancel_run(url: str | PathLike[str]) -> None:
    """Cancel a run that several processes share: no chunk is claimed any more, and who holds one stops.

    Attempts in flight may end, and are noted. :func:`reopen_run` undoes it. It blocks, like :func:`read_status`.

    Args:
        url: ``postgresql://host/database?run=NAME``.

    Raises:
        JournalError: It cannot be written, or there is no such run.
        ConfigurationError: It is no URL of PostgreSQL with the name of a run.
    """
    from omeda_async.bulk.journal.postgres_control import cancel  # noqa: PLC0415 only a URL needs psycopg

    cancel(url_of(url))


def reopen_run(url: str | PathLike[str]) -> tuple[int, ...]:
    """Have a shared run go on that was cancelled, and what failed or is unknown be tried again.

    It blocks, like :func:`read_status`.

    Args:
        url: ``postgresql://host/database?run=NAME``.

    Returns:
        The numbers of the chunks that are to be performed.

    Raises:
        JournalError: It cannot be written, or there is no such run.
        ConfigurationError: It is no URL of PostgreSQL with the name of a run.
    """
    from omeda_async.bulk.journal.postgres_control import reopen  # noqa: PLC0415 the same

    return reopen(url_of(url))
