"""The proof about hosts: what it compares in the end, it notices when it is not as it must be."""

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from benchmarks import hosts
from benchmarks._host import Host, hosts as hosts_in
from benchmarks._host_check import NOTICE, Seen, Tally, check
from benchmarks._host_crew import Faults
from benchmarks._host_worker import LEASE, Given
from benchmarks._killed import Job
from omeda_async import OutcomeStatus
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

    def tally(self) -> Tally:
        """Compare."""
        found = Tally()
        check(found, self.job, self.run, sandbox=self.sandbox, seen=self.seen, database=self.server)
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
    return Played(job, sandbox, seen, server)


@pytest.mark.parametrize("kind", ["opt-outs", "campaigns"])
async def test_a_run_that_nobody_disturbs_is_found_to_be_right(
    sandbox: Sandbox, server: OwnPostgres, kind: str
) -> None:
    """Every record has its outcome, all sums agree, and nothing was sent twice."""
    one = await played(sandbox, server, Job(kind, 1, 16))
    found = one.tally()
    assert (found.records, found.done, found.not_done) == (16, 14, 2)
    assert (found.lost, found.wrong, found.off, found.again) == (0, 0, 0, 0)
    assert found.noted == one.seen.requests.total()


async def test_what_is_not_as_it_must_be_is_counted(sandbox: Sandbox, server: OwnPostgres) -> None:
    """A record that arrived again, one that ended otherwise, one without an outcome, and those not applied."""
    one = await played(sandbox, server, Job("opt-outs", 2, 40))
    name = one.job.names[0]
    one.seen.arrivals[name].append(time.time())
    assert one.tally().again == 1
    one.seen.arrivals[name].pop()
    one.says(UPDATE.format(list(OutcomeStatus).index(OutcomeStatus.REJECTED) + 1))
    assert one.tally().wrong >= 2
    one.says(UPDATE.format("NULL"))
    found = one.tally()
    assert (found.lost, found.off) == (2, 3)  # itself and its repeat; the sums, what is under way, what is complete
    one.sandbox.omeda.opt_outs.clear()
    assert one.tally().lost == len(one.job.good) + 2


def test_what_was_not_tried_is_no_success() -> None:
    """Too few kills, no suspension, no stop; and a loss is told first."""
    assert "lost: 1" in hosts.failures(Tally(lost=1), Faults(), hosts.SHORT)[0]
    assert "not all was tried" in hosts.failures(Tally(), Faults(), hosts.SHORT)[0]


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
