"""How jobs end on a real queue: what two of one chunk do, and what one does whose end nobody could write."""

import asyncio
import secrets
from typing import Any

import pytest
from procrastinate import exceptions
from procrastinate.jobs import Status

from omeda_async import ChunkReport, ChunkStatus
from omeda_async.worker import BulkJobs, _jobs
from tests.worker.worker_help import Script, carry_out, opened, states, until, working

pytestmark = pytest.mark.real_clock  # the queue is another process's
OPERATION = "cancel-campaigns"
TAKEN = ChunkReport(number=0, status=ChunkStatus.TAKEN, retry_in=0.1)
CANCELLED = ChunkReport(number=0, status=ChunkStatus.CANCELLED)


async def nothing_left(jobs: BulkJobs, run: str) -> None:
    async def is_empty() -> bool:
        return not await states(jobs, run)

    await until(is_empty)


async def test_a_job_for_whose_chunk_another_waits_leaves_it_to_that_one(
    database: str, script: Script, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two hosts have deferred the run at once; the queue takes no two that wait, and none is left over."""
    held = asyncio.Event()
    script.before = lambda _: held.wait() if len(script.performed) == 1 else None
    script.answers[0] = [TAKEN]
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        async with working(jobs, concurrency=1):
            await until(lambda: script.performed)
            assert await jobs._queue.add(run, [0], OPERATION, {}, 0, anew=True) == 1
            held.set()
            await nothing_left(jobs, run)
    assert script.performed == [(run, 0)] * 2
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("end", ["retry_job", "finish_job"])
async def test_a_job_whose_end_cannot_be_written_comes_again_while_its_worker_lives(
    database: str, script: Script, run: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No sweep finds it: the heartbeat of its worker goes on."""
    script.answers[0] = [TAKEN]
    async with opened(database, stalled_after=0.5, sweep_every=59) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        write, failures = getattr(jobs._app.job_manager, end), [exceptions.ConnectorException("away")]

        async def fails_once(**given: Any) -> None:
            if failures and given["job"].task_kwargs.get("run") == run:
                raise failures.pop()
            await write(**given)

        async with working(jobs, concurrency=1):
            setattr(jobs._app.job_manager, end, fails_once)
            await until(lambda: not failures)
            setattr(jobs._app.job_manager, end, write)
            await nothing_left(jobs, run)
    assert script.performed[-1] == (run, 0)
    assert len(script.performed) >= 2
    assert script.done == {0}
    assert "its end could not be told to the queue" in caplog.text


async def test_a_job_that_has_ended_and_is_anothers_by_now_is_left_to_that_one(
    database: str, script: Script, run: str
) -> None:
    """A sweep was faster, and another worker has it."""
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        (job,) = await jobs._app.job_manager.list_jobs_async(queue=jobs._queue.name)
        with jobs._ended.after(job):
            pass
        carry_out(
            database,
            "WITH other AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id) "
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = other.id FROM other WHERE queue_name = %s",
            jobs._queue.name,
        )
        await jobs._ended.give_back(0.0)
        assert await states(jobs, run) == {0: "doing"}
    assert not script.performed


async def test_a_run_that_is_reopened_while_a_chunk_stops_is_performed(
    database: str, script: Script, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job that is being performed began before, and ends as cancelled; another one waits for the chunk."""
    held = asyncio.Event()
    script.before = lambda _: held.wait() if len(script.performed) == 1 else None
    script.answers[0] = [CANCELLED]
    monkeypatch.setattr(_jobs, "reopen_run", lambda journal: script.to_do(journal).chunks)
    async with opened(database) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        async with working(jobs, concurrency=1):
            await until(lambda: script.performed)
            assert (await jobs.defer_rows(["1"], OPERATION, run=run, reopen=True)).jobs == 1
            held.set()
            await until(lambda: script.done == {0})
            await nothing_left(jobs, run)


async def test_a_job_that_was_swept_while_its_worker_stood_still_is_not_left_to_itself(
    database: str, script: Script, run: str
) -> None:
    """What its worker finds out later must not take it out of the queue: it waits for another one."""
    held = asyncio.Event()
    script.before = lambda _: held.wait()
    script.answers[0] = [TAKEN]
    async with opened(database, sweep_every=59) as jobs:
        await jobs.defer_rows(["1"], OPERATION, run=run)
        async with working(jobs, concurrency=1):
            await until(lambda: script.performed)
            (job,) = await jobs._queue.jobs(Status.DOING)
            await jobs._queue.give_back(job, "its worker is gone")
            held.set()
            await until(lambda: script.done == {0})
            await nothing_left(jobs, run)


@pytest.mark.usefixtures("script")
async def test_queues_and_runs_whose_names_run_into_each_other_have_their_own_jobs(database: str, run: str) -> None:
    """``a b`` has ``c``, and ``a`` has ``b c``."""
    queue = f"queue-{secrets.token_hex(4)}"
    async with opened(database, queue=f"{queue} of") as jobs, opened(database, queue=queue) as others:
        assert (await jobs.defer_rows(["1"], OPERATION, run=run)).jobs == 1
        assert (await others.defer_rows(["1"], OPERATION, run=f"of {run}")).jobs == 1
        assert await jobs._queue.remove(run) == await others._queue.remove(f"of {run}") == 1
