"""Jobs of chunks on a real queue: made once, performed, given back, swept, taken out; the runs are scripted."""

import asyncio
import logging
from typing import Any

import pytest
from procrastinate.jobs import JobDeferrer, Status

from omeda_async import (
    AuthenticationFailed,
    ChunkReport,
    ChunkStatus,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    JournalError,
    OcambaSettings,
    SessionManager,
)
from omeda_async.worker import _queue
from omeda_async.worker._again import FIRST, Later
from tests.worker.worker_help import Script, carry_out, opened, states, told, until, working

pytestmark = pytest.mark.real_clock  # the queue is another process's
OPERATION = "cancel-campaigns"


async def test_each_chunk_is_a_job_and_each_job_is_performed_once(database: str, script: Script, run: str) -> None:
    """Two workers share them; what is done is not kept in the queue."""
    async with opened(database) as jobs:
        deferred = await jobs.defer_rows(map(str, range(10)), OPERATION, run=run)
        assert (deferred.chunks, deferred.jobs) == (10, 10)
        async with working(jobs), working(jobs):
            await until(lambda: len(script.performed) == 10)
        assert sorted(script.performed) == [(run, number) for number in range(10)]
        assert await states(jobs, run) == {}


async def test_a_second_defer_of_the_same_run_makes_no_job_twice(database: str, script: Script, run: str) -> None:
    """Neither of what waits, nor of what is being performed, nor of what is done."""
    held = asyncio.Event()
    script.before = lambda number: held.wait() if number == 1 else None
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(4)), OPERATION, run=run)
        assert (await jobs.defer_rows(map(str, range(4)), OPERATION, run=run)).jobs == 0
        async with working(jobs, concurrency=1):
            await until(lambda: (run, 1) in script.performed)
            assert await states(jobs, run) == {1: "doing", 2: "todo", 3: "todo"}
            assert (await jobs.defer_rows(map(str, range(5)), OPERATION, run=run)).jobs == 1
            held.set()
            await until(lambda: len(script.performed) == 5)
    assert sorted(number for _, number in script.performed) == list(range(5))


async def test_jobs_with_more_priority_go_first(database: str, script: Script, run: str) -> None:
    """Whoever defers later with a higher one is served first."""
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=f"{run}-urgent", priority=5)
        await jobs.run_worker(concurrency=1, wait=False)
    assert [name for name, _ in script.performed] == [f"{run}-urgent"] * 3 + [run] * 3


async def test_jobs_that_wait_keep_their_priority_and_that_is_told(
    database: str, script: Script, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By one line, and not where it is the same."""
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run, priority=5)
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run, priority=5)
        assert not told(caplog)
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run, priority=99)
    assert told(caplog) == [f"{run}: its jobs that wait already keep their priority (5), and do not get 99"]
    assert not script.performed


async def test_a_job_whose_chunk_is_anothers_comes_again_when_that_may_be_over(
    database: str, script: Script, run: str
) -> None:
    """Not before, and as often as it takes."""
    taken = ChunkReport(number=0, status=ChunkStatus.TAKEN, retry_in=0.3)
    script.answers[0] = [taken, taken]
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        began = asyncio.get_running_loop().time()
        async with working(jobs):
            await until(lambda: len(script.performed) == 3)
        assert asyncio.get_running_loop().time() - began >= 0.6


async def test_whoever_asks_is_told_what_came_of_each_chunk(database: str, script: Script, run: str) -> None:
    """With its run, also where the chunk comes again; what that raises keeps no job from its end."""
    script.answers[1] = [ChunkReport(number=1, status=ChunkStatus.TAKEN, retry_in=0.1)]
    heard: list[tuple[str, int, ChunkStatus]] = []

    def tell(name: str, report: ChunkReport) -> None:
        heard.append((name, report.number, report.status))
        raise RuntimeError("nobody listens")

    async with opened(database, on_chunk=tell) as jobs:
        await jobs.defer_rows(map(str, range(2)), OPERATION, run=run)
        async with working(jobs, concurrency=1):
            await until(lambda: len(heard) == 3)
            await until(lambda: not_one_left(database, jobs._queue.name, "omeda_async.perform_chunk"))
    done = ChunkStatus.DONE
    assert heard == [(run, 0, done), (run, 1, ChunkStatus.TAKEN), (run, 1, done)]
    assert script.done == {0, 1}


ADDRESS = "a@x.com"


def slip(address: str) -> None:
    """Do what no program should."""
    raise AttributeError(address)


@pytest.mark.parametrize("is_met_by_the_journal", [False, True])
async def test_a_fault_of_the_program_is_told_with_its_way(
    database: str, script: Script, run: str, caplog: pytest.LogCaptureFixture, *, is_met_by_the_journal: bool
) -> None:
    """Line by line, and not what its error says, which may show a record."""
    script.before = lambda _: slip(ADDRESS)
    if is_met_by_the_journal:

        def before(_: int) -> None:
            try:
                slip(ADDRESS)
            except AttributeError as error:
                raise JournalError("the journal x cannot be used") from error

        script.before = before
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        await jobs.run_worker(wait=False)
    (said,) = [one for one in told(caplog) if ", in slip" in one]
    assert "raise AttributeError(address)" in said
    assert ("is tried again in" in said) is is_met_by_the_journal
    assert ADDRESS not in said


@pytest.mark.parametrize("error", [AuthenticationFailed("401: no", status=401), ConfigurationError("no token")])
async def test_what_would_meet_every_chunk_takes_the_run_out_of_the_queue(
    database: str, script: Script, run: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """One job fails, the others are not tried; a line of the log says so, and deferring again goes on."""
    left = ChunkReport(number=0, status=ChunkStatus.LEFT, stopped_by=error)  # type: ignore[arg-type]  # both are ours
    script.answers[0] = [left]
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)
        with caplog.at_level(logging.ERROR, "omeda_async"):
            async with working(jobs, concurrency=1):
                await until(lambda: "defer it again" in caplog.text)
        assert await states(jobs, run) == {0: "failed", 1: "cancelled", 2: "cancelled"}
        assert script.performed == [(run, 0)]
        assert "jobs that left the queue: 2" in caplog.text
        assert (await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)).jobs == 3
        await jobs.run_worker(wait=False)
    assert script.done == {0, 1, 2}


@pytest.mark.parametrize("missing", ["journal", "chunk"])
async def test_jobs_of_what_was_removed_end_at_once(
    database: str, script: Script, run: str, missing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason; those of a run's other chunks only where there is no run any more."""
    script.answers[0] = [JournalError("there is none", missing=missing)]
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)
        await jobs.run_worker(concurrency=1, wait=False)
        left = {"journal": {0: "failed", 1: "cancelled", 2: "cancelled"}, "chunk": {0: "failed"}}
        assert await states(jobs, run) == left[missing]
    assert len([one for one in told(caplog) if "there is none" in one]) == 1


async def test_a_run_whose_name_holds_an_address_is_not_deferred(database: str, script: Script) -> None:
    """Jobs are stored and logged by whoever runs the queue; the error does not show it."""
    async with opened(database) as jobs:
        with pytest.raises(ConfigurationError, match="run holds an e-mail address") as caught:
            await jobs.defer_rows(["1"], OPERATION, run="for ada@example.com")
        assert "ada" not in str(caught.value)
    assert not script.chunks


async def test_what_passes_is_tried_again_later(
    database: str, script: Script, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that is away leaves the job in the queue, for a while ahead; a line of the log says so."""
    script.answers[0] = [
        ChunkReport(number=0, status=ChunkStatus.LEFT, stopped_by=ConnectionFailed("no way there")),
    ]
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        await jobs.run_worker(wait=False)
        (job,) = await jobs._queue.jobs(Status.TODO, run)
        assert job.attempts == 1
        assert job.scheduled_at is not None
    assert f"{run}: chunk 0 is tried again in 15 s: no way there" in caplog.text


async def test_how_often_a_job_came_for_other_reasons_does_not_count(
    database: str, script: Script, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After many kills and stops, a provider that is away for a moment stops no run, and is not waited for longer."""
    script.answers[0] = [
        ChunkReport(number=0, status=ChunkStatus.LEFT, stopped_by=ConnectionFailed("no way there")),
    ]
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        (job,) = await jobs._queue.jobs(Status.TODO, run)
        carry_out(database, "UPDATE procrastinate_jobs SET attempts = 500 WHERE id = %s", job.id)
        await jobs.run_worker(wait=False)
        assert await states(jobs, run) == {0: "todo"}
    assert f"{run}: chunk 0 is tried again in 15 s: no way there" in caplog.text


async def test_a_chunk_is_waited_for_longer_each_time_until_it_was_performed(
    database: str, script: Script, run: str
) -> None:
    """Another one does not wait for that."""
    error = ConnectionFailed("no way there")
    done = ChunkReport(number=0, status=ChunkStatus.DONE)
    script.answers = {0: [error, error, done, error], 1: [error]}
    waits: list[float] = []
    async with opened(database) as jobs:
        for chunk in (0, 0, 1, 0, 0):
            try:
                await jobs._performing.perform(run=run, chunk=chunk, operation=OPERATION, options={})
            except Later as later:
                waits.append(later.retry_in)
    assert waits == [FIRST, 2 * FIRST, FIRST, FIRST]


@pytest.mark.parametrize("other", ["an option", "an operation"])
async def test_a_job_of_another_version_is_left_to_a_worker_that_knows_it(
    database: str, script: Script, run: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run's other jobs stay in the queue."""
    async with opened(database) as jobs:
        await jobs.defer_rows(["1", "2"], OPERATION, run=run)
        if other == "an option":
            script.unknown = "no option speed"
        else:
            carry_out(
                database,
                """UPDATE procrastinate_jobs SET args = args || '{"operation": "mend"}'
                WHERE args ->> 'run' = %s""",
                run,
            )
        await jobs.run_worker(wait=False)
        assert await states(jobs, run) == {0: "todo", 1: "todo"}
    assert not script.performed
    assert f"{run}: chunk 0 is tried again in 15 s: this version of omeda-async" in caplog.text


async def test_a_chunk_that_was_given_back_is_for_the_next_worker_at_once(
    database: str, script: Script, run: str
) -> None:
    """As a worker does that is stopped."""
    script.answers[0] = [ChunkReport(number=0, status=ChunkStatus.LEFT, stopped_by=ClosedError("stopped"))]
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        async with working(jobs):
            await until(lambda: len(script.performed) == 2)


async def test_the_job_of_a_worker_that_is_gone_is_swept_and_performed_by_another(
    database: str, script: Script, run: str
) -> None:
    """Its heartbeat has stopped; nobody has to write a task for that. What waits twice then is made one."""
    async with opened(database, stalled_after=1.0) as jobs:
        await jobs.defer_rows(map(str, range(2)), OPERATION, run=run)
        carry_out(
            database,
            "WITH gone AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') "
            "RETURNING id) UPDATE procrastinate_jobs SET status = 'doing', worker_id = gone.id FROM gone "
            "WHERE queue_name = %s",
            jobs._queue.name,
        )
        assert await states(jobs, run) == {0: "doing", 1: "doing"}
        async with working(jobs):
            await until(lambda: len(script.performed) == 2)
        assert await states(jobs, run) == {}


async def test_a_swept_job_for_whose_chunk_another_waits_goes_away(database: str, script: Script, run: str) -> None:
    """Two jobs never wait for one chunk."""
    async with opened(database, stalled_after=1.0) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        carry_out(database, "UPDATE procrastinate_jobs SET status = 'doing' WHERE queue_name = %s", jobs._queue.name)
        await jobs._queue.sweep(1.0, None)
        carry_out(
            database,
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
            "SELECT queue_name, task_name, args, 'doing' FROM procrastinate_jobs WHERE queue_name = %s",
            jobs._queue.name,
        )
        carry_out(
            database,
            "UPDATE procrastinate_jobs SET queueing_lock = %s WHERE queue_name = %s AND status = 'doing'",
            f"{jobs._queue.name} {run} 0",
            jobs._queue.name,
        )
        await jobs._queue.sweep(1.0, None)
        rows = carry_out(database, "SELECT status FROM procrastinate_jobs WHERE queue_name = %s", jobs._queue.name)
        assert rows == [("todo",)]
    assert script.performed == []


async def test_a_sweep_of_thousands_of_jobs_is_done_bit_by_bit(
    database: str, script: Script, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gives some of them back, and those of dead sweeps first; the last one the rest."""
    monkeypatch.setattr(_queue, "AT_ONCE", 40)
    async with opened(database, stalled_after=1.0) as jobs:
        await jobs.defer_rows(map(str, range(100)), OPERATION, run=run)
        carry_out(database, "UPDATE procrastinate_jobs SET status = 'doing' WHERE queue_name = %s", jobs._queue.name)
        assert [await jobs._queue.sweep(1.0, None) for _ in range(4)] == [40, 40, 20, 0]
        assert set((await states(jobs, run)).values()) == {"todo"}
        await jobs._queue.remove(run)
    assert not script.performed


@pytest.mark.usefixtures("script")
async def test_one_sweep_goes_on_in_a_worker_at_a_time(
    database: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second ends at once, so that a chunk can be performed beside the first."""
    held, begun = asyncio.Event(), list[str]()

    async def sweep(*_: Any) -> int:
        begun.append("sweep")
        await held.wait()
        return 0

    monkeypatch.setattr(_queue.Queue, "sweep", sweep)
    async with opened(database) as jobs, working(jobs, concurrency=2):
        await until(lambda: begun)
        await asyncio.sleep(2.5)  # two more were due meanwhile
        await jobs.defer_rows(["1"], OPERATION, run=run)
        await until(lambda: not_one_left(database, jobs._queue.name, "omeda_async.perform_chunk"), within=5.0)
        assert begun == ["sweep"]
        held.set()


def not_one_left(database: str, queue: str, task: str) -> bool:
    sql = "SELECT 1 FROM procrastinate_jobs WHERE queue_name = %s AND task_name = %s"
    return not carry_out(database, sql, queue, task)


async def test_a_worker_goes_on_when_the_database_was_away(
    database: str, script: Script, run: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The one of procrastinate ends then; it is begun anew, and a line of the log says so."""
    monkeypatch.setattr("omeda_async.worker._running.ANEW", 0.05)
    async with opened(database, stalled_after=0.3) as jobs:
        update = jobs._app.job_manager.update_heartbeat
        failures = [OSError("the database is away")]

        async def fails_once(worker_id: int) -> None:
            if failures:
                raise failures.pop()
            await update(worker_id)

        monkeypatch.setattr(jobs._app.job_manager, "update_heartbeat", fails_once)
        async with working(jobs):
            await until(lambda: "begins anew" in caplog.text)
            await jobs.defer_rows(["1"], OPERATION, run=run)
            await until(lambda: script.performed)


async def test_a_worker_without_a_manager_does_not_begin(database: str, script: Script, run: str) -> None:
    """What the factory raises is told at once, and no job is taken."""

    def factory() -> SessionManager:
        raise ConfigurationError("set OCAMBA_TOKEN")

    async with opened(database) as jobs, opened(database, factory, queue=jobs._queue.name) as lame:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        with pytest.raises(ConfigurationError, match="OCAMBA_TOKEN"):
            await lame.run_worker()
        assert await states(jobs, run) == {0: "todo"}
    assert script.performed == []


async def test_a_worker_that_is_cancelled_closes_its_manager_and_gives_back_its_job(
    database: str, script: Script, run: str
) -> None:
    """What it performs is told by the manager's end, within the grace; what heeds nothing is cancelled after it."""
    made: list[SessionManager] = []
    script.before = lambda _: asyncio.sleep(1000)

    def factory() -> SessionManager:
        made.append(SessionManager(ocamba=OcambaSettings(token="t")))
        return made[-1]

    async with opened(database, factory) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        async with working(jobs, grace=0.2):
            await until(lambda: script.performed)
        assert await states(jobs, run) == {0: "todo"}
    assert len(made) == 2  # one for the reading, and one for the worker and all that it does
    assert all(one._activity.closing.is_set for one in made)


async def test_a_worker_that_procrastinate_starts_performs_jobs_as_well(
    database: str, script: Script, run: str
) -> None:
    """As its command line does; each job then has a manager for as long as it takes."""
    async with opened(database) as jobs:
        await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)
        await jobs._app.run_worker_async(wait=False, install_signal_handlers=False)
    assert script.done == {0, 1, 2}


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_defer_that_is_cancelled_between_two_jobs_is_completed_by_the_same_call(
    database: str, run: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has a job keeps it."""
    made: list[int] = []
    defer = JobDeferrer.defer_async

    async def slow(deferrer: JobDeferrer, **given: Any) -> int:
        if len(made) == after:
            await asyncio.sleep(1000)
        made.append(await defer(deferrer, **given))
        return made[-1]

    async with opened(database) as jobs:
        with monkeypatch.context() as patched:
            patched.setattr(JobDeferrer, "defer_async", slow)
            deferring = asyncio.create_task(jobs.defer_rows(map(str, range(3)), OPERATION, run=run))
            await until(lambda: len(made) == after and not deferring.done())
            await asyncio.sleep(0.05)
            deferring.cancel()
            await asyncio.wait({deferring})
            assert deferring.cancelled()
        assert len(await states(jobs, run)) == after
        assert (await jobs.defer_rows(map(str, range(3)), OPERATION, run=run)).jobs == 3 - after
        assert await states(jobs, run) == dict.fromkeys(range(3), "todo")
