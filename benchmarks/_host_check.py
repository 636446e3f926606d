"""What arrived at the sandbox, when outcomes were written, and whether the two agree with the report."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs

from benchmarks._host_worker import WORKER, Given
from benchmarks._killed import DONE, Job
from omeda_async import BulkReport, OutcomeStatus
from omeda_async.bulk.journal.codec import STATUSES
from omeda_async.bulk.journal.interface import SETTLED
from omeda_async.journal import read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from omeda_async.sandbox._message import Incoming
from tests.limits.postgres_service import OwnPostgres

NOTICE: Final = """
CREATE TABLE noticed (at float8, id bigint, status smallint);
CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noticed VALUES (extract(epoch FROM clock_timestamp()), NEW.id, NEW.status); RETURN NULL; END $$;
CREATE TRIGGER notice AFTER UPDATE OF status ON omeda_async_journal_records
    FOR EACH ROW WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION notice();
"""
"""Has the database say by itself when each outcome was written: what is rolled back was not."""
NOTICE_NO_MORE: Final = "DROP TRIGGER notice ON omeda_async_journal_records"
_OUTCOMES: Final = """
SELECT r.position, r.status FROM omeda_async_journal_records AS r JOIN omeda_async_journals AS j ON j.id = r.journal
WHERE j.name = '{0}'
UNION ALL
SELECT a.position, coalesce(a.status, r.status) FROM omeda_async_journal_asides AS a
JOIN omeda_async_journals AS j ON j.id = a.journal LEFT JOIN omeda_async_journal_records AS r ON r.id = a.repeated
WHERE j.name = '{0}'
"""
_NOTICED: Final = """
SELECT r.position, n.at, n.status FROM noticed AS n JOIN omeda_async_journal_records AS r ON r.id = n.id
JOIN omeda_async_journals AS j ON j.id = r.journal WHERE j.name = '{0}' ORDER BY n.at
"""
SLACK: Final = 0.002
"""Seconds by which the two clocks that are compared may differ."""


@attrs.define
class Seen:
    """What has arrived at the sandbox."""

    arrivals: dict[str, list[float]] = attrs.field(factory=dict)
    """When a record arrived, on the calendar's clock."""
    requests: Counter[str] = attrs.field(factory=Counter)
    """By operation."""
    last: dict[str, float] = attrs.field(factory=dict)
    """When a worker's last request arrived, on the monotonic clock."""

    def look_at(self, sandbox: Sandbox) -> None:
        """Take down whatever arrives at a sandbox from now on."""
        sandbox.fault(Fault(FaultKind.SLOW, match=self._arrived, times=None))

    def _arrived(self, incoming: Incoming) -> bool:
        now, at = time.time(), time.monotonic()
        self.last[incoming.headers.get(WORKER, "")] = at
        self.requests[incoming.operation] += 1
        for name in _names_in(incoming):
            self.arrivals.setdefault(name, []).append(now)
        return False


def _names_in(incoming: Incoming) -> Iterable[str]:
    """Return the records that a request is about; of one that only reads, none."""
    if incoming.operation == "campaigns.cancel":
        return [part for part in incoming.segments if part.startswith(("C", "missing-", "gone-"))]
    body = incoming.json_object or {}
    return [one["EmailAddress"].partition("@")[0] for entries in body.values() for one in entries]


@attrs.define
class Tally:
    """What the comparison has shown."""

    records: int = 0
    requests: int = 0
    """At the sandbox."""
    noted: int = 0
    """Requests by the report: what a worker that was killed had made since it last wrote is not known to it."""
    files: int = 0
    """On the disks of the hosts: what a run needs is not there."""
    done: int = 0
    not_done: int = 0
    """Records that could not be done, by the input's own fault."""
    lost: list[str] = attrs.field(factory=list)
    """Records without an outcome, not applied though reported so, or of which nothing has arrived."""
    wrong: int = 0
    """Records that ended as they must not, whose outcome has changed, or applied though reported otherwise."""
    off: int = 0
    """Sums of the report that are not those of the records."""
    again: int = 0
    """Records that arrived once more after their outcome had been written."""
    refusals: int = 0
    over: list[str] = attrs.field(factory=list)
    """Spans of arrivals, wherever they begin, in which there was more than a window allows."""
    repeats: int = 0
    """Applied, or refused as done, once more before an outcome was written: allowed, and without effect."""


async def reported(given: Given, job: Job, run: str) -> BulkReport:
    """Return the report of a run, as a process reads it that has had no part in it."""
    url = f"{given.database}?run={run}"
    async with given.manager() as manager:
        if job.kind == "opt-outs":
            return await manager.omeda.opt_outs.shared_run(url).report()
        return await manager.ocamba.campaigns.shared_run(url).report()


def check(
    tally: Tally, job: Job, run: str, *, sandbox: Sandbox, seen: Seen, database: OwnPostgres, report: BulkReport
) -> None:
    """Compare one run's journal, status and report with what the sandbox holds."""
    names, good, applied = job.names, job.good, job.applied(sandbox)
    ended = {int(str(at)): STATUSES[int(str(code))] for at, code in database.says(_OUTCOMES.format(run)) if code}
    status = read_status(f"{database.url}?run={run}")
    counts = Counter(ended.values())
    tally.records += len(names)
    tally.noted += status.requests
    tally.done += sum(one.value in DONE for one in ended.values())
    tally.not_done += sum(one.value not in DONE for one in ended.values())
    tally.lost += [f"{names[at]}: no outcome" for at in range(len(names)) if at not in ended]
    tally.lost += [f"{name}: not applied" for name in sorted(good - applied)]
    tally.wrong += sum(one.value not in job.allowed(names[at]) for at, one in ended.items())
    tally.wrong += len(applied - good - {name for name in names if "partly_done" in job.allowed(name)})
    tally.off += (status.counts != counts) + (status.total != len(names)) + (not status.complete)
    tally.off += status.under_way + (status.repeats != len(names) - len(set(names)))
    tally.off += _off(report, names, ended) + (report.requests != status.requests)
    tally.repeats += sum(times - 1 for times in job.processed(sandbox).values() if times)
    _check_written(tally, names, seen, database.says(_NOTICED.format(run)))


def _off(report: BulkReport, names: list[str], ended: dict[int, OutcomeStatus]) -> int:
    """Count what a report has otherwise than the records; of repeats it tells no failure."""
    failed = {at: one for at, one in ended.items() if one.value not in DONE and names.index(names[at]) == at}
    told = {one.position: one.status for one in report.failures}
    sums = (report.counts != Counter(ended.values())) + (report.total != len(names)) + (not report.complete)
    return sums + (told != failed) + (len(report.failures) != len(told)) + (report.stopped_by is not None)


def _check_written(tally: Tally, names: list[str], seen: Seen, noticed: list[tuple[object, ...]]) -> None:
    """Compare when outcomes were written with what arrived."""
    written: dict[int, tuple[float, int]] = {}
    for position, at, code in noticed:
        place, moment, status = int(str(position)), float(str(at)), int(str(code))
        if STATUSES[status] not in SETTLED:
            continue
        first = written.setdefault(place, (moment, status))
        tally.wrong += first[1] != status
    for place, (moment, status) in written.items():
        arrivals = seen.arrivals.get(names[place], [])
        if not arrivals and STATUSES[status].value in DONE:  # that it can not be done, a read may have told before
            tally.lost.append(f"{names[place]}: never arrived")
        tally.again += bool(arrivals) and max(arrivals) > moment + SLACK
