"""Processes on one run that are killed, suspended, or lose their database."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from omeda_async import JournalError, OutcomeStatus, SharedRun
from omeda_async.journal import read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk.journal_help import asked
from tests.bulk.postgres_journals import at
from tests.bulk.sandboxed import manager_on
from tests.bulk.shared_help import adds_up, names, shared, standing, work_of
from tests.limits.postgres_service import OwnPostgres

pytestmark = pytest.mark.real_clock
S = OutcomeStatus
LEASE = 1.0
HELD = """
SELECT c.number FROM omeda_async_journal_chunks AS c WHERE c.journal = %(journal)s AND c.holder LIKE %(holder)s
    AND NOT c.done AND c.lease_until > clock_timestamp() AND EXISTS (
    SELECT FROM omeda_async_journal_records AS r WHERE r.id BETWEEN c.first AND c.last AND r.status IS NULL
)
"""
FENCES = "SELECT number, fence FROM omeda_async_journal_chunks WHERE journal = %(journal)s"


@asynccontextmanager
async def filled(url: str, number: int, chunk: int) -> AsyncIterator[tuple[Sandbox, SharedRun]]:
    """Give a sandbox with deployments, and the shared run that cancels them."""
    async with Sandbox(latency=0.02) as sandbox, manager_on(sandbox) as manager:
        ids = [f"FOO{place}" for place in range(number)]
        for one in ids:
            sandbox.omeda.seed_deployment(one)
        run = manager.omeda.deployments.shared_run(url, lease=LEASE)
        await run.fill(ids, chunk=chunk)
        yield sandbox, run


async def started(sandbox: Sandbox, url: str, rate: str = "1000/1,parallel=4") -> asyncio.subprocess.Process:
    """Start a process that works on the run."""
    given = (sandbox.url, url, str(LEASE), rate, sandbox.app_id, sandbox.brand, sandbox.user_id)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bulk.shared_worker", *given, stdout=asyncio.subprocess.PIPE
    )


async def cancels(sandbox: Sandbox, at_least: int, process: asyncio.subprocess.Process) -> None:
    """Wait until so many cancels have come, or the process has ended."""
    while came(sandbox) < at_least and process.returncode is None:  # noqa: ASYNC110 the sandbox tells nobody
        await asyncio.sleep(0.005)


def came(sandbox: Sandbox) -> int:
    """Count the cancels that came."""
    return sum(one.operation == "deployments.cancel" for one in sandbox.requests)


def all_cancelled(sandbox: Sandbox) -> bool:
    """Whether each deployment is."""
    return {one.status for one in sandbox.omeda.deployments.values()} == {"Cancelled"}


async def stopped_in(url: str, process: asyncio.subprocess.Process) -> int:
    """Suspend a process while it holds a chunk and a request for it is under way; give the number of the chunk."""
    while process.returncode is None:
        process.send_signal(signal.SIGSTOP)
        if held := asked(url, HELD, holder=f"%, process {process.pid} (%"):
            return int(held[0][0])
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.02)
    pytest.fail("the process has ended")


async def test_processes_that_are_killed_lose_nothing(journal_url: str) -> None:
    """Several in the middle of a chunk, beside one that lives on: all is done, and the report adds up."""
    async with filled(journal_url, 200, 20) as (sandbox, run):
        sandbox.fault(Fault(FaultKind.SLOW, seconds=0.5, times=None))  # there is enough left for each
        survivor = await started(sandbox, journal_url)
        victims = [await started(sandbox, journal_url) for _ in range(3)]
        hit = set[int]()
        for victim in victims:
            hit.add(await stopped_in(journal_url, victim))
            victim.kill()
            await victim.wait()
        sandbox.faults.clear()
        out, _err = await survivor.communicate()
        assert out == b"200\n"
        report = await run.report()
        assert report.total == 200
        assert report.complete
        assert set(report.counts) <= {S.DONE, S.ALREADY_DONE}
        assert all_cancelled(sandbox)
        assert adds_up(journal_url, 200)
    claims = {number: fence - 1 for number, fence in asked(journal_url, FENCES)}  # one was for giving it back
    assert all(claims[number] > 1 for number in hit)


async def test_a_process_suspended_beyond_its_lease_sends_and_writes_nothing_more(journal_url: str) -> None:
    """Another takes its chunk over meanwhile; when it wakes up, what had been intended and waited is not sent."""
    async with filled(journal_url, 60, 60) as (sandbox, run):
        sleeper = await started(sandbox, journal_url, "6/1,parallel=4")
        await cancels(sandbox, 12, sleeper)
        await asyncio.sleep(0.3)  # the next wait for the limiter by now
        begun = standing(journal_url)["begun"]
        assert begun
        sleeper.send_signal(signal.SIGSTOP)
        report = await run.work()
        assert report.total == 60
        assert report.complete
        assert set(report.counts) <= {S.DONE, S.ALREADY_DONE}
        before, counts = len(sandbox.requests), read_status(journal_url).counts
        sleeper.send_signal(signal.SIGCONT)
        out, _err = await sleeper.communicate()
        assert out == b"60\n"
        assert len(sandbox.requests) == before
        assert read_status(journal_url).counts == counts


@pytest.mark.parametrize("away", [0.5, 4.0])
async def test_a_database_that_is_away_for_some_seconds_is_waited_for(server: OwnPostgres, away: float) -> None:
    """Within the lease the chunk is gone on with; beyond it, it is claimed again: what was in flight is in doubt."""
    url = f"{server.url}?connect_timeout=2&run=away{away}"
    await shared(url).fill(names(60), chunk=30)
    work = work_of(concurrency=2, answer_time=lambda _items: 0.1)
    task = asyncio.create_task(shared(url, work, lease=2.0).work())
    await asyncio.sleep(0.3)
    server.stop(signal.SIGINT)
    await asyncio.sleep(away)
    server.start()
    report = await asyncio.wait_for(task, 60.0)
    assert report.counts == {S.DONE: 60}
    assert set(work.sent) == set(names(60))
    twice = {name for name, times in Counter(work.sent).items() if times > 1}
    assert twice <= set(work.doubtful)
    assert adds_up(url, 60)


async def test_a_database_that_does_not_come_back_ends_the_chunk(server: OwnPostgres) -> None:
    """After the lease: it says so, nothing is sent that is not noted, and what was in flight is settled later."""
    url = f"{server.url}?connect_timeout=2&run=gone"
    await shared(url).fill(names(20))
    work = work_of(concurrency=1, answer_time=at(2, lambda: server.stop(signal.SIGKILL)))
    with pytest.raises(JournalError, match="cannot be used"):
        await shared(url, work, lease=0.5).perform(0)
    assert len(work.sent) <= 15
    server.start()
    assert standing(url)["done"] >= 5
    again = work_of()
    assert (await shared(url, again).work()).counts == {S.DONE: 20}
    assert set(again.sent) & set(work.sent) <= set(again.doubtful)
