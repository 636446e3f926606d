"""The programs that perform a shared run on other engines (extra ``recipes``)."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.sharing.stores import FilePlace, Place, RedisPlace, know
from omeda_async import OcambaSettings, RateLimit
from omeda_async.journal import read_status
from omeda_async.sandbox import Sandbox
from tests.core.web_load import EXAMPLES
from tests.limits.redis_service import OwnServer

pytestmark = pytest.mark.real_clock
FOLDER = EXAMPLES / "engines"
IDS = [str(number) for number in range(1, 31)]
CHUNK = 10
WINDOWS = ((5, 0.5), (150, 60.0))
"""What the sandbox allows all workers together: less than two of them send that keep to it by themselves."""
LIMIT = "5/0.5,150/60,parallel=10"
WORKERS = {
    "arq": "arq arq_cancels.WorkerSettings",
    "celery": "celery -A celery_cancels worker --concurrency 2",
    "saq": "saq --verbose saq_cancels.settings",
    "taskiq": "taskiq worker taskiq_cancels:broker --workers 1 --max-async-tasks 2 --wait-tasks-timeout 0.5 "
    "--shutdown-timeout 40",
}
REQUIRED = os.environ.get("OMEDA_ASYNC_TEST_ENGINES") == "required"
NEEDED = {"arq": "arq", "celery": "celery", "saq": "saq", "taskiq": "taskiq_redis"}


@attrs.frozen
class Engine:
    """An engine, and the run that its workers perform."""

    name: str
    sandbox: Sandbox
    journal: str
    env: dict[str, str]
    log: Path

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        """Start a program in a group of processes of its own; what it writes is kept."""
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, env=self.env, cwd=FOLDER, start_new_session=True, stdout=log, stderr=log
            )

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Give a worker; whatever is left of it in the end is killed."""
        program, *options = WORKERS[self.name].split()
        process = await self.start(str(Path(sys.executable).parent / program), *options)
        try:
            yield process
        finally:
            kill(process)
            await process.wait()

    async def enqueue(self, ids: Path) -> None:
        """Make jobs of the run."""
        process = await self.start(sys.executable, f"{self.name}_cancels.py", str(ids))
        assert await process.wait() == 0

    async def until(self, so: Callable[["Engine"], bool]) -> None:
        """Wait for something to be so."""
        async with asyncio.timeout(90):
            while not await asyncio.to_thread(so, self):  # noqa: ASYNC110 it is another process's
                await asyncio.sleep(0.1)

    @property
    def is_done(self) -> bool:
        """Whether all records are."""
        return done(self.journal) == len(IDS)

    def accepted(self) -> Counter[str]:
        """Return how often each cancel was."""
        return Counter(request.path for request in self.sandbox.requests if request.status == 204)

    def assert_kept(self) -> None:
        """Fail unless each cancel was accepted, none twice, and no limit was passed."""
        assert self.accepted() == Counter(f"/v1/hood/campaigns/{one}/cancel" for one in IDS)
        self.sandbox.assert_never_over_limit()


def needed(module: str) -> Any:
    """Return a module; without it, the test is skipped, or fails where nothing may be missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        what = f"{error}: it comes with the extra recipes"
    if REQUIRED:
        pytest.fail(f"{what} (OMEDA_ASYNC_TEST_ENGINES=required)")
    pytest.skip(what)


def done(journal: str) -> int:
    """Return how many records are done."""
    return sum(number for status, number in read_status(journal).counts.items() if status.is_done)


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a worker with all of its processes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def under_way(journal: str) -> None:
    """Wait until records are."""
    while not read_status(journal).under_way:  # noqa: ASYNC110 it is a table's
        await asyncio.sleep(0.02)


async def env_of(sandbox: Sandbox, journal: str, limits: Place) -> dict[str, str]:
    """Return the environment of the programs: with short times, and one budget, which has been in use for long."""
    account = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url, rate_limit=RateLimit.parse(LIMIT))
    await asyncio.to_thread(know, limits, credential=sandbox.ocamba_token, ocamba=account)
    times = {"CHUNK": str(CHUNK), "CHUNK_AT_MOST": "8", "LEASE": "1.5", "TIMEOUT": "1", "HEARTBEAT": "12"}
    shared = {"JOURNAL": journal, "OMEDA_ASYNC_SHARE_LIMITS": limits.where, "OCAMBA_RATE_LIMIT": LIMIT}
    return sandbox.settings_env() | times | shared


@pytest.fixture(params=sorted(WORKERS))
async def engine(request: pytest.FixtureRequest, journal_url: str, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with a job for each chunk of a run."""
    name = request.param
    needed(NEEDED[name])
    (tmp_path / "ids.txt").write_text("\n".join(IDS), "utf-8")
    server, log = OwnServer(tmp_path), tmp_path / "log"
    log.touch()
    try:
        async with Sandbox(latency=0.05, ocamba_windows=WINDOWS) as sandbox:
            sandbox.ocamba.seed_campaigns(IDS)
            env = await env_of(sandbox, journal_url, RedisPlace(server)) | {"BROKER": server.url}
            path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
            made = Engine(name, sandbox, journal_url, os.environ | env | {"PYTHONPATH": path}, log)
            await made.enqueue(tmp_path / "ids.txt")
            yield made
    finally:
        server.kill()
        sys.stdout.write(log.read_text("utf-8", "replace")[-10_000:])  # shown where a test fails


def has_begun(engine: Engine) -> bool:
    """Whether some cancels were accepted, and others were not."""
    return len(engine.accepted()) > 3


async def test_a_worker_that_is_stopped_leaves_the_rest_to_another(engine: Engine) -> None:
    """And no cancel is accepted twice."""
    async with engine.worker() as first:
        await engine.until(has_begun)
        first.terminate()
        async with asyncio.timeout(45):
            await first.wait()
    assert not engine.is_done
    async with engine.worker():
        await engine.until(lambda engine: engine.is_done)
    engine.assert_kept()


async def test_two_workers_at_once_keep_to_one_budget(engine: Engine) -> None:
    """Each by itself would spend the whole."""
    async with engine.worker():
        if engine.name == "saq":  # a worker that starts sweeps what another has just fetched, and may lose the job
            await engine.until(has_begun)
        async with engine.worker():
            await engine.until(lambda engine: engine.is_done)
    engine.assert_kept()


@pytest.mark.parametrize("engine", ["saq", "taskiq"], indirect=True)
async def test_what_a_killed_worker_held_is_performed_by_another(engine: Engine) -> None:
    """As the engine finds its jobs; no cancel is accepted twice. arq and Celery need longer for it."""
    async with engine.worker() as first:
        await engine.until(has_begun)
        kill(first)
        async with engine.worker():
            await engine.until(lambda engine: engine.is_done)
    engine.assert_kept()


@pytest.mark.parametrize("engine", ["saq"], indirect=True)
async def test_a_job_that_was_lost_with_a_sweep_is_found_again(engine: Engine) -> None:
    """SAQ's sweep takes a job out of all lists, and puts it back after 5 s: not if its worker has died by then."""
    queue = import_module("saq").Queue.from_url(engine.env["BROKER"], name="cancels")
    await queue.connect()
    job = await queue.dequeue(timeout=5)
    await queue.abort(job, "swept")
    assert [await queue.count(kind) for kind in ("incomplete", "active", "queued")] == [2, 0, 2]
    await queue.disconnect()
    async with engine.worker():
        await engine.until(lambda engine: engine.is_done)
    engine.assert_kept()


@pytest.fixture
async def temporal(journal_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, Any]]:
    """The program for Temporal, and the environment of an activity: there is no server."""
    testing = needed("temporalio.testing")
    (tmp_path / "ids.txt").write_text("\n".join(IDS), "utf-8")
    async with Sandbox(ocamba_windows=WINDOWS) as sandbox:
        sandbox.ocamba.seed_campaigns(IDS)
        for name, value in (await env_of(sandbox, journal_url, FilePlace(tmp_path / "limits.sqlite3"))).items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(FOLDER)
        for name in ("cancels", "temporal_cancels"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        program = import_module("temporal_cancels")
        assert len(await program.cancels.fill(str(tmp_path / "ids.txt"))) == 3
        yield program, testing.ActivityEnvironment()
        for name in ("cancels", "temporal_cancels"):
            sys.modules.pop(name, None)


async def test_an_activity_performs_a_chunk_and_comes_again_where_another_holds_it(
    temporal: tuple[Any, Any], journal_url: str
) -> None:
    """When, is in its error; while it is performed, it is heard of."""
    program, environment = temporal
    beats: list[Any] = []
    environment.on_heartbeat = beats.append
    async with program.cancels.manager() as manager, program.cancels.manager() as other:
        activities = program.Activities(manager)
        await environment.run(activities.perform, 0)
        assert done(journal_url) == 10
        holder = asyncio.create_task(program.cancels.perform(other, 1))
        await under_way(journal_url)
        with pytest.raises(program.ApplicationError) as caught:
            await environment.run(activities.perform, 1)
        assert await holder is None
    assert timedelta(0) < caught.value.next_retry_delay <= timedelta(seconds=3.5)


async def test_an_activity_that_is_cancelled_gives_its_chunk_back(temporal: tuple[Any, Any], journal_url: str) -> None:
    """Another performs it at once."""
    program, environment = temporal
    async with program.cancels.manager() as manager, program.cancels.manager() as other:
        performing = asyncio.create_task(environment.run(program.Activities(manager).perform, 0))
        await under_way(journal_url)
        performing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await performing
        assert await program.cancels.perform(other, 0) is None
    assert done(journal_url) == 10


@pytest.mark.parametrize(
    ("chunks", "ended", "under_way"), [(0, 0, 0), (3, 0, 3), (3, 3, 0), (20, 0, 8), (20, 5, 8), (20, 20, 0)]
)
async def test_a_workflow_has_each_chunk_performed_once_and_eight_at_a_time(
    temporal: tuple[Any, Any], chunks: int, ended: int, under_way: int
) -> None:
    """It is loaded and run as by a worker, and does what the history of such a run says."""
    program, _ = temporal
    replay = needed("tests.core.temporal_replay")
    history = replay.history("Cancels", chunks, at_once=8, ended=ended, is_over=ended == chunks)
    asked = await replay.replayed(program.Cancels, history)
    assert [(one.activity, *one.args) for one in asked] == [("perform", chunk) for chunk in range(ended + under_way)]
    assert all(one.start_to_close_timeout == timedelta(seconds=8) for one in asked)
    assert all(one.heartbeat_timeout == program.HEARTBEAT for one in asked)


async def test_a_workflow_that_does_not_what_its_history_says_is_seen(temporal: tuple[Any, Any]) -> None:
    """A run that ended before all of its chunks had is none of ours."""
    program, _ = temporal
    replay = needed("tests.core.temporal_replay")
    with pytest.raises(Exception, match="Nondeterminism"):
        await replay.replayed(program.Cancels, replay.history("Cancels", 20, at_once=8, ended=10, is_over=True))
