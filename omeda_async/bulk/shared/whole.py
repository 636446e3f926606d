"""The report of a whole shared run, as its journal knows it."""

from collections import Counter
from itertools import islice

from omeda_async import _clock
from omeda_async.bulk._job import Work
from omeda_async.bulk._reader import read_item
from omeda_async.bulk.journal.postgres_link import Missing
from omeda_async.bulk.journal.postgres_reader import PostgresReader
from omeda_async.bulk.journal.status import NOT_DONE, JournalRecord
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError, OmedaAsyncError
from omeda_async.outcomes import FAILURES_KEPT, BulkReport, Outcome, OutcomeStatus


def read_report(url: JournalUrl, work: Work, stopped_by: OmedaAsyncError | None) -> BulkReport:
    """Read it; this blocks.

    Raises:
        JournalError: It cannot be read, or is none of a shared run.
    """
    reader = PostgresReader(url)
    status = reader.status()
    chunks, runs = status.chunks, status.runs
    if chunks is None:
        raise JournalError(f"the journal {url} is that of a plain run")
    counts = Counter(status.counts)
    counts[OutcomeStatus.UNKNOWN] += status.under_way + status.missing
    if any(missing := Missing(status.missing, chunks.missing)):
        stopped_by = stopped_by or JournalError(
            f"the journal {url} is damaged: {missing}. Restore it from a backup; what became of records that are not "
            "there nobody can tell"
        )
    until = (chunks.seen if chunks.complete else None) or _clock.utc_now()
    return BulkReport(
        total=status.total + status.missing,
        counts=dict(+counts),
        requests=status.requests,
        duration=max(0.0, (until - runs[0].started).total_seconds()) if runs else 0.0,
        failures=tuple(_outcome(work, one) for one in islice(reader.not_done(NOT_DONE), FAILURES_KEPT)),
        complete=chunks.complete and not status.missing,
        stopped_by=stopped_by,
    )


def _outcome(work: Work, one: JournalRecord) -> Outcome:
    key = None if one.record is None else read_item(work, one.record, one.position).key
    return Outcome(one.record, key, one.position, one.status, one.attempts, None, one.error)
