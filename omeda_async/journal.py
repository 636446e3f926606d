"""Reading the journals of bulk runs: counts, requests, times, causes, and the records that are not done.

::

    status = read_status("run.sqlite3")
    print(status.counts, status.requests, status.complete)
    again = [one.record for one in read_not_done("run.sqlite3") if one.status is OutcomeStatus.FAILED]

A journal is written by a bulk run (``journal=``), and is resumed by the same call with the same input. Reading never
changes it, and may be done while a run is under way.
"""

from omeda_async.bulk.journal.status import (
    JournalCause,
    JournalRecord,
    JournalRun,
    JournalStatus,
    read_not_done,
    read_status,
)

__all__ = ["JournalCause", "JournalRecord", "JournalRun", "JournalStatus", "read_not_done", "read_status"]
