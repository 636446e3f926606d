"""Runs that workers share, end to end: a real queue, a real journal, and the sandbox."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from procrastinate import App, PsycopgConnector
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from omeda_async import ConfigurationError, JournalError, OmedaSettings, OutcomeStatus, SessionManager
from omeda_async.journal import JournalStatus, read_status
from omeda_async.providers.omeda._deployments import CONCURRENCY
from omeda_async.sandbox import Latency, Sandbox
from omeda_async.worker import BulkJobs
from omeda_async.worker._places import journal_of
from tests.limits.postgres_service import own_postgres, own_schema
from tests.worker.worker_help import carry_out, manager as nobodys_manager, opened, states, told, until, working
from tests.worker.worker_process import LEASE, STALLED_AFTER, manager_at

pytestmark = pytest.mark.real_clock  # the database is another process's
S = OutcomeStatus
DEPLOYMENTS = "cancel-deployments"


def run_name() -> str:
    return f"run-{secrets.token_hex(4)}"


@asynccontextmanager
async def serving(latency: float = 0.0) -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=Latency(latency)) as sandbox:
        yield sandbox


def seeded(sandbox: Sandbox, count: int) -> list[str]:
    ids = [f"FOO{number:05}" for number in range(count)]
    for track_id in ids:
        sandbox.omeda.seed_deployment(track_id)
    return ids


def cancels(sandbox: Sandbox) -> int:
    """Count the cancels that arrived."""
    return sum(one.operation == "deployments.cancel" for one in sandbox.requests)


async def settled(jobs: BulkJobs, run: str) -> JournalStatus:
    """Wait until a run is complete."""
    status: list[JournalStatus] = []

    async def complete() -> bool:
        status[:] = [await jobs.status(run)]
        return status[0].complete

    await until(complete, 60)
    return status[0]


async def at_rest(jobs: BulkJobs, run: str, *others: str) -> None:
    """Wait until no job of a run is performed, or in one of the other states."""

    async def rests() -> bool:
        return not {"doing", *others} & {str(one) for one in (await states(jobs, run)).values()}

    await until(rests)


async def test_a_file_is_deferred_and_two_workers_send_each_record_once(database: str, tmp_path: Path) -> None:
    """Its repeats and its bad rows are accounted for, and the sums hold."""
    file = tmp_path / "unsubscribed.csv"
    rows = [f"person{number}@example.com,XXG" for number in range(400)]
    file.write_text("\n".join(["email,brand_ids", *rows, rows[0], "no address,XXG"]) + "\n")
    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        run = run_name()
        deferred = await jobs.defer_file(file, "opt-out", run=run, chunk=40, max_entries=20)
        assert (deferred.records, deferred.repeats, deferred.refused) == (400, 1, 1)
        assert (deferred.chunks, deferred.jobs) == (10, 10)
        assert len(sandbox.requests) == 0
        async with working(jobs), working(jobs):
            status = await settled(jobs, run)
        assert status.counts == {S.DONE: 401, S.REJECTED: 1}
        assert status.requests == len(sandbox.requests) == 20
        assert set(sandbox.omeda.opt_outs.counter().values()) == {1}


@asynccontextmanager
async def own_app(**pool: Any) -> AsyncIterator[App]:
    """Open an app as its owner does, who has made its tables."""
    app = App(connector=PsycopgConnector(**pool))
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        yield app


async def test_an_app_without_procrastinates_tables_is_told_what_makes_them() -> None:
    """By one sentence, before anything is read; no worker tries for ever what cannot work."""
    with own_schema() as fresh:
        app = App(connector=PsycopgConnector(conninfo=fresh))
        async with app.open_async():
            jobs = BulkJobs(app, nobodys_manager)
            run = run_name()
            tables = r"procrastinate's tables are missing .* 'procrastinate --app=… schema --apply' makes them"
            with pytest.raises(ConfigurationError, match=tables):
                await jobs.defer_rows(["1"], "cancel-campaigns", run=run)
            with pytest.raises(JournalError, match="there is no journal"):
                await jobs.status(run)
            with pytest.raises(ConfigurationError, match=tables):
                await jobs.run_worker()
            await app.schema_manager.apply_schema_async()
            await jobs.defer_rows(["1"], "cancel-campaigns", run=run)
            carry_out(fresh, "DROP FUNCTION procrastinate_prune_stalled_workers_v1")  # as of another version
            with pytest.raises(
                ConfigurationError, match=r"cannot be used by .*: function .* does not exist: carry out"
            ):
                await jobs.run_worker()
            carry_out(fresh, "DROP TABLE procrastinate_jobs CASCADE")
            with pytest.raises(
                ConfigurationError, match=r"cannot be used by .*: relation .* does not exist: carry out"
            ):
                await jobs.cancel(run)


@pytest.mark.parametrize("is_told", [False, True], ids=["at the app's", "where that is said"])
async def test_an_app_of_ones_own_defers_works_tells_and_cancels(
    database: str, tmp_path: Path, *, is_told: bool
) -> None:
    """Its journals are where its queue is, if it was given as a URL, or where ``journal=`` says."""
    place: dict[str, Any] = {"kwargs": conninfo_to_dict(database)} if is_told else {"conninfo": database}
    journal, queue, run, other = (database if is_told else None), f"test-{run_name()}", run_name(), run_name()
    file = tmp_path / "ids.txt"
    async with serving() as sandbox, own_app(**place) as app:
        jobs = BulkJobs(app, partial(manager_at, sandbox.url), journal=journal, queue=queue)
        file.write_text("\n".join(seeded(sandbox, 30)))
        assert (await jobs.defer_file(file, DEPLOYMENTS, run=run, chunk=10)).jobs == 3
        assert (await jobs.defer_rows(["FOO00000"], DEPLOYMENTS, run=other)).jobs == 1
        assert await jobs.cancel(other) == 1
        async with working(jobs):
            status = await settled(jobs, run)
        assert (status.counts, cancels(sandbox)) == ({S.DONE: 30}, 30)
        kept = await asyncio.to_thread(read_status, journal_of(database, run))
        assert kept == status
        assert not (await jobs.status(other)).complete


@pytest.mark.parametrize("way", ["words", "a function", "parameters"])
async def test_an_app_whose_database_is_no_url_is_told_what_to_give(database: str, way: str) -> None:
    """Before anything is read, and without the password."""
    words = make_conninfo(database, password="hunter2")
    places: dict[str, dict[str, Any]] = {
        "words": {"conninfo": words},
        "a function": {"conninfo": lambda: words},
        "parameters": {"kwargs": conninfo_to_dict(words)},
    }
    async with own_app(**places[way]) as app:
        jobs = BulkJobs(app, partial(manager_at, "http://127.0.0.1:9"))
        with pytest.raises(ConfigurationError, match="cannot be told from the app: give BulkJobs") as caught:
            await jobs.defer_rows(iter_nothing(), DEPLOYMENTS, run=run_name())
        assert "hunter2" not in str(caught.value)


def iter_nothing() -> Iterator[str]:
    """Fail where it is read."""
    pytest.fail("it was read")
    yield ""


async def test_a_second_defer_of_the_same_run_changes_nothing(database: str) -> None:
    """Neither before it is sent nor after."""
    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        ids, run = seeded(sandbox, 30), run_name()
        first = await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)
        second = await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)
        assert second == attrs.evolve(first, jobs=0, added=0)
        async with working(jobs):
            await settled(jobs, run)
        third = await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)
        assert third == second
        assert await states(jobs, run) == {}
        assert cancels(sandbox) == len(ids)


async def test_a_cancelled_run_sends_nothing_new_and_goes_on_only_when_that_is_said(database: str) -> None:
    """Who performs a chunk stops; deferring it again without a word is refused."""
    async with serving(latency=0.02) as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        ids, run = seeded(sandbox, 160), run_name()
        await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=40, lease=LEASE)
        async with working(jobs, concurrency=1):
            await until(lambda: cancels(sandbox) >= 10)
            assert await jobs.cancel(run) == 3
            await at_rest(jobs, run)
            sent = cancels(sandbox)
            assert sent < 80
            with pytest.raises(JournalError, match="was cancelled"):
                await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=40, lease=LEASE)
            assert cancels(sandbox) == sent
            again = await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=40, lease=LEASE, reopen=True)
            assert again.jobs == 4
            status = await settled(jobs, run)
        assert status.counts == {S.DONE: 160}
        assert cancels(sandbox) == len(ids)


async def test_refused_credentials_stop_a_run_and_the_right_ones_let_it_go_on(database: str) -> None:
    """The provider is not asked again and again; the status says why, and deferring it again goes on."""

    def wrong(url: str) -> SessionManager:
        settings = OmedaSettings(app_id="wrong", brand="FOO", user_id="omailAccount1", base_url=url)
        return SessionManager(omeda=settings, log_events=False)

    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        ids, run = seeded(sandbox, 100), run_name()
        await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=20)
        async with opened(database, partial(wrong, sandbox.url), queue=jobs._queue.name) as lame, working(lame):
            await at_rest(jobs, run, "todo")
        assert len(sandbox.requests) < 60
        assert "failed" in (await states(jobs, run)).values()
        assert (await jobs.status(run)).causes[0].error == "AuthenticationFailed"
        await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=20)
        async with working(jobs):
            status = await settled(jobs, run)
        assert (status.total, all(one.is_done for one in status.counts)) == (100, True)


async def test_an_option_of_files_is_told_to_be_one(database: str) -> None:
    """It is no fault of what it holds."""
    async with opened(database) as jobs:
        with pytest.raises(ConfigurationError, match="columns is for files: give it to defer_file"):
            await jobs.defer_rows(["1"], "cancel-campaigns", run=run_name(), columns={"a": "b"})


async def test_an_option_that_is_none_is_told_when_the_run_is_deferred(database: str) -> None:
    """Not when its first job is performed."""
    async with opened(database, partial(manager_at, "http://127.0.0.1:9")) as jobs:
        with pytest.raises(TypeError, match="raison"):
            await jobs.defer_rows(["1"], DEPLOYMENTS, run=run_name(), raison="none")
        with pytest.raises(ConfigurationError, match="run must be the name"):
            await jobs.defer_rows(["1"], DEPLOYMENTS, run=" ")


async def test_the_chunk_of_a_killed_worker_is_swept_and_finished_by_another(database: str) -> None:
    """Nothing is lost, and nothing is sent again whose outcome was noted."""
    async with (
        serving(latency=0.01) as sandbox,
        opened(database, partial(manager_at, sandbox.url), stalled_after=STALLED_AFTER) as jobs,
    ):
        ids, run = seeded(sandbox, 120), run_name()
        await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=40, lease=LEASE)
        victim = subprocess.Popen(  # noqa: ASYNC220, S603 our own words
            [
                sys.executable,
                str(Path(__file__).with_name("worker_process.py")),
                database,
                jobs._queue.name,
                sandbox.url,
            ],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            await until(lambda: cancels(sandbox) >= 20)
            victim.send_signal(signal.SIGKILL)
        finally:
            victim.kill()
            await asyncio.to_thread(victim.wait)
        assert "doing" in (await states(jobs, run)).values()
        known = await jobs.status(run)
        async with working(jobs):
            status = await settled(jobs, run)
        assert sum(status.counts.values()) == 120
        assert all(one.is_done for one in status.counts)
        assert {one.status for one in sandbox.omeda.deployments.values()} == {"Cancelled"}
        assert cancels(sandbox) <= 120 + known.under_way


async def test_nothing_of_a_record_is_in_the_queue_and_with_a_hash_nothing_in_the_end(database: str) -> None:
    """``journal_pii="hash"``: what is done leaves no address; a job never holds one."""
    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        run = run_name()
        records = [{"email_address": f"person{number}@hidden-{run}.com"} for number in range(20)]
        await jobs.defer_rows(records, "opt-out", run=run, chunk=10, journal_pii="hash")
        kept = carry_out(database, "SELECT args::text FROM procrastinate_jobs WHERE queue_name = %s", jobs._queue.name)
        assert len(kept) >= 2
        assert "person" not in json.dumps(kept)
        async with working(jobs):
            status = await settled(jobs, run)
        assert status.counts == {S.DONE: 20}
        assert not status.keeps_records
        for (table,) in carry_out(
            database,
            "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = current_schema()",
        ):
            sql = f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE %s"  # noqa: S608 its own tables
            (found,) = carry_out(database, sql, f"%{run}.com%")
            assert found == (0,), table


async def test_a_defer_that_is_cancelled_while_it_reads_is_completed_by_the_same_call(database: str) -> None:
    """What had been read is not read into further chunks."""

    async def stalls() -> AsyncIterator[str]:
        for track_id in ids[:15]:
            yield track_id
        await asyncio.sleep(1000)

    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        ids, run = seeded(sandbox, 20), run_name()
        deferring = asyncio.create_task(jobs.defer_rows(stalls(), DEPLOYMENTS, run=run, chunk=10))
        await asyncio.sleep(0.3)
        deferring.cancel()
        await asyncio.wait({deferring})
        assert deferring.cancelled()
        deferred = await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)
        assert (deferred.records, deferred.chunks) == (20, 2)
        async with working(jobs):
            status = await settled(jobs, run)
        assert status.counts == {S.DONE: 20}
        assert cancels(sandbox) == 20


async def test_workers_go_on_when_the_database_was_stopped_and_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record has its outcome in the end, and nothing was sent again but what was in doubt."""
    monkeypatch.setattr("omeda_async.worker._running.ANEW", 0.2)
    monkeypatch.setattr("omeda_async.worker._again.FIRST", 0.2)
    with own_postgres() as server:
        async with (
            serving(latency=0.02) as sandbox,
            opened(server.url, partial(manager_at, sandbox.url), stalled_after=STALLED_AFTER) as jobs,
        ):
            ids, run = seeded(sandbox, 120), run_name()
            await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=40, lease=LEASE)
            async with working(jobs):
                await until(lambda: cancels(sandbox) >= 20)
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                await asyncio.to_thread(server.start)
                status = await settled(jobs, run)
            assert status.total == 120
            assert all(one.is_done for one in status.counts)
            assert cancels(sandbox) <= 120 + 2 * CONCURRENCY  # noted as about to be sent, in two chunks


async def test_the_jobs_of_a_journal_that_was_removed_end_at_once(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They are not tried again and again; deferred anew, the run begins anew."""
    async with serving() as sandbox, opened(database, partial(manager_at, sandbox.url)) as jobs:
        ids, run = seeded(sandbox, 30), run_name()
        await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)
        carry_out(database, "DELETE FROM omeda_async_journals WHERE name = %s", run)
        await jobs.run_worker(concurrency=1, wait=False)
        assert await states(jobs, run) == {0: "failed", 1: "cancelled", 2: "cancelled"}
        (said,) = [one for one in told(caplog) if "there is no journal" in one]
        assert "ends, as there is nothing left to perform: there is no journal" in said
        assert (await jobs.defer_rows(ids, DEPLOYMENTS, run=run, chunk=10)).jobs == 3
        await jobs.run_worker(wait=False)
        assert (await jobs.status(run)).complete
