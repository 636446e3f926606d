"""The proof about hosts: what it compares in the end, it notices when it is not as it must be."""

import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks import hosts
from benchmarks._host import Host, hosts as hosts_in
from benchmarks._host_check import NOTICE, Seen, Tally, check, reported
from benchmarks._host_crew import MOMENTS, Faults
from benchmarks._host_worker import LEASE, Given
from benchmarks._killed import Job
from omeda_async import JournalError, OutcomeStatus
from omeda_async.sandbox import Sandbox
from omeda_async.worker import BulkJobs
from tests.limits.postgres_service import OwnPostgres, own_postgres

pytestmark = pytest.mark.real_clock  # the database is another process's
FIRST = """(
    SELECT min(r.id) FROM omeda_async_journal_records AS r JOIN omeda_async_journals AS j ON j.id = r.journal
    WHERE j.name = '{}'
)"""
UPDATE = "UPDATE omeda_async_journal_records SET status = {} WHERE id = {{chosen}}"


def name_of(job: Job) -> str:
    return f"{job.kind}-{job.number}"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@attrs.define
class Played:
    """A run that was performed, and what is said of it."""

    job: Job
    sandbox: Sandbox
    seen: Seen
    server: OwnPostgres
    given: Given

    async def tally(self, **changes: Any) -> Tally:
        """Compare, also with a report that has something otherwise."""
        found = Tally()
        report = attrs.evolve(await reported(self.given, self.job, self.run), **changes)
        check(found, self.job, self.run, sandbox=self.sandbox, seen=self.seen, database=self.server, report=report)
        return found

    @property
    def run(self) -> str:
        """Return its name."""
        return name_of(self.job)

    def says(self, sql: str) -> None:
        """Change the journal, behind everybody's back, at the record that comes first."""
        self.server.says(sql.format(chosen=FIRST.format(self.run)))


async def played(sandbox: Sandbox, server: OwnPostgres, job: Job) -> Played:
    """Perform a run by one worker that nobody disturbs."""
    given = Given(name="w", database=server.url, share_limits=None, url=sandbox.url, account="a", courtesy=False)
    seen = Seen()
    seen.look_at(sandbox)
    job.seed(sandbox)
    how = {"lease": LEASE, "chunk": 20} | ({} if job.kind == "opt-outs" else {"reason": "test"})
    await hosts.deferred(given, (job, name_of(job), how))
    if not server.says("SELECT 1 FROM pg_proc WHERE proname = 'notice'"):
        server.says(NOTICE)
    async with BulkJobs.at(server.url, partial(Given.manager, given)) as jobs:
        await jobs.run_worker(wait=False)
    return Played(job, sandbox, seen, server, given)


@pytest.mark.parametrize("kind", ["opt-outs", "campaigns"])
async def test_a_run_that_nobody_disturbs_is_found_to_be_right(
    sandbox: Sandbox, server: OwnPostgres, kind: str
) -> None:
    """Every record has its outcome, all sums agree, and nothing was sent twice."""
    one = await played(sandbox, server, Job(kind, 1, 16))
    found = await one.tally()
    assert (found.records, found.done, found.not_done) == (16, 14, 2)
    assert (found.lost, found.wrong, found.off, found.again) == ([], 0, 0, 0)
    assert found.noted == one.seen.requests.total()


@pytest.mark.parametrize("kind", ["opt-outs", "campaigns"])
async def test_a_report_that_has_anything_otherwise_is_counted(
    sandbox: Sandbox, server: OwnPostgres, kind: str
) -> None:
    """Each of its sums, whether it is complete, and which records have failed, and how."""
    one = await played(sandbox, server, Job(kind, 3, 16))
    report = await reported(one.given, one.job, one.run)
    failed = report.failures
    changes: list[dict[str, Any]] = [
        *({"counts": report.counts | {OutcomeStatus.DONE: 1}}, {"total": 15}, {"complete": False}, {"requests": 0}),
        *({"failures": failed[1:]}, {"failures": (failed[0], *failed)}),
        {"failures": (attrs.evolve(failed[0], position=0), *failed[1:])},
        {"failures": (attrs.evolve(failed[0], status=OutcomeStatus.UNKNOWN), *failed[1:])},
        {"stopped_by": JournalError("it failed")},
    ]
    assert [(await one.tally(**change)).off for change in changes] == [1] * len(changes)


async def test_what_is_not_as_it_must_be_is_counted(sandbox: Sandbox, server: OwnPostgres) -> None:
    """A record that arrived again, one that ended otherwise, one without an outcome, and those not applied."""
    one = await played(sandbox, server, Job("opt-outs", 2, 40))
    name = one.job.names[0]
    one.seen.arrivals[name].append(time.time())
    assert (await one.tally()).again == 1
    one.seen.arrivals[name].pop()
    one.says(UPDATE.format(list(OutcomeStatus).index(OutcomeStatus.REJECTED) + 1))
    assert (await one.tally()).wrong >= 2
    one.says(UPDATE.format("NULL"))
    found = await one.tally()
    # Itself and its repeat; the status's sums, what is under way, what is complete; the report's sums and failures.
    assert (len(found.lost), found.off) == (2, 5)
    one.sandbox.omeda.opt_outs.clear()
    assert len((await one.tally()).lost) == len(one.job.good) + 2


async def test_what_is_done_has_arrived(sandbox: Sandbox, server: OwnPostgres) -> None:
    """What cannot be done need not: after a kill, a read may have told so before anything was sent."""
    one = await played(sandbox, server, Job("campaigns", 4, 16))
    del one.seen.arrivals["gone-4"]
    assert (await one.tally()).lost == []
    del one.seen.arrivals["C4x0"]
    assert (await one.tally()).lost == ["C4x0: never arrived"]


def test_what_was_not_tried_is_no_success() -> None:
    """Too few kills, no suspension, no stop; and a loss is told first."""
    assert hosts.failures(Tally(lost=["C1: not applied"]), Faults(), hosts.SHORT)[0] == "lost: C1: not applied"
    assert "not all was tried" in hosts.failures(Tally(), Faults(), hosts.SHORT)[0]


@pytest.mark.parametrize("plan", [hosts.FULL, hosts.SHORT], ids=["full", "short"])
def test_only_kills_of_workers_that_have_sent_something_count(plan: hosts.Plan) -> None:
    """One more after the others is enough; of those before a first request none are."""
    before, under_way, between = MOMENTS
    killed = Counter({before: 1000, under_way: plan.kills - 2, between: 1})
    faults = Faults(killed=killed, suspended=plan.suspensions, stops=1)
    assert "not all was tried" in hosts.failures(Tally(), faults, plan)[0]
    killed[between] += 1
    assert hosts.failures(Tally(), faults, plan) == []


def test_a_host_sees_no_disk_but_its_own(tmp_path: Path) -> None:
    """Where the machine permits namespaces, its name is its own, too."""
    with hosts_in(tmp_path, "a", "b") as (_, found):
        for host in found:
            assert said_by(host, 'touch "$TMPDIR/$0" && ls "$TMPDIR"', host.name) == [host.name]
        if found[0].namespace is None:
            pytest.skip("this machine permits no namespaces")
        assert said_by(found[1], 'hostname; ls "$0"', str(tmp_path)) == ["b"]
    assert not list(tmp_path.glob("?/*"))


def said_by(host: Host, *script: str) -> list[str]:
    command = host.command("sh", "-c", *script)
    done = subprocess.run(command, env=host.environment(), capture_output=True, text=True, check=True)  # noqa: S603 our own
    return done.stdout.split()
