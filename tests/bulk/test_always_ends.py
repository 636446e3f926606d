"""A run ends when it is told to: no wait depends on a cancellation that somebody may have swallowed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from omeda_async import OcambaSettings, OutcomeStatus, RetryPolicy, SessionManager
from omeda_async._result import Result
from omeda_async._thread import Worker
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import FakeWork, Watched, WatchedAsync, adds_up, run_of
from tests.bulk.journal_help import Work, journalled

TIMEOUT = 10.0


class _Silent:
    """A server that takes requests, and never answers."""

    def __init__(self, number: int) -> None:
        self.all_asked = asyncio.Event()
        self._left = number

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        self._left -= 1
        if not self._left:
            self.all_asked.set()
        await reader.read()
        writer.close()


def _manager(server: asyncio.Server) -> SessionManager:
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    retry = RetryPolicy(attempts=100, base_delay=1.0, deadline=10_000.0)
    return SessionManager(ocamba=OcambaSettings(token="secret-token", base_url=url, timeout=TIMEOUT, retry=retry))


def _cancel_with_the_timeout() -> None:
    """Break the run off in the very pass in which an attempt's own time is over, as an aborted task group would."""
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        for task in asyncio.all_tasks():
            if task.get_name().startswith("omeda_async"):
                task.cancel()

    # aiohttp's timers were set a moment ago, for TIMEOUT later: the run is to be broken off just before them.
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    at = min(timer.when() for timer in timers if timer.when() > loop.time() + 0.9 * TIMEOUT)
    loop.call_at(at - 1e-10, cancel)


async def test_a_cancellation_that_meets_an_attempts_timeout_still_ends_the_run() -> None:
    """Aiohttp swallows both: the stop is a state that the worker looks at, too."""
    silent = _Silent(3)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, _manager(server) as manager:
        run = manager.ocamba.campaigns.cancel_many(map(str, range(100, 200)), concurrency=3)
        task = asyncio.ensure_future(run)
        async with asyncio.timeout(1.0):
            await silent.all_asked.wait()
        _cancel_with_the_timeout()
        await asyncio.wait({task}, timeout=TIMEOUT + 5)
        assert task.done()
        assert run.report.counts[OutcomeStatus.UNKNOWN] == 3
        assert run.report.complete
        await manager.aclose(timeout=1.0)


async def _deaf() -> None:
    """Heed no cancellation but the third, so that the test itself ends."""
    for _ in range(2):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000.0)
    await asyncio.sleep(1000.0)


async def _stubborn() -> AsyncIterator[str]:
    """An input that heeds no cancellation, as one does whose own library swallows them."""
    yield "a"
    while True:
        await _deaf()
        yield "late"


async def test_an_input_that_heeds_no_cancellation_does_not_hold_a_close() -> None:
    """Closing ends by its time; what was read has its outcome, and what the input gives later was never read."""
    loop = asyncio.get_running_loop()
    work = FakeWork()
    run = run_of(work, _stubborn())
    task = asyncio.ensure_future(run)
    await asyncio.sleep(5)
    began = loop.time()
    await run.aclose(timeout=1.0)
    assert loop.time() - began < 3.0
    assert adds_up(run, 1)
    assert run.report.complete
    await task
    _stop_strays()


class _Sized(WatchedAsync):
    """An input that is read asynchronously, and whose length is known."""

    def __len__(self) -> int:
        return 1_000_000


class _Blocking(list[int]):
    """A list that holds the loop up for some seconds with each record."""

    seconds = 0.5

    def __iter__(self) -> Iterator[int]:
        loop: Any = asyncio.get_running_loop()
        for record in super().__iter__():
            loop._moving.now += self.seconds
            yield record


class _Endless(list[int]):
    """A list that never ends, whatever it says of itself."""

    def __iter__(self) -> Iterator[int]:
        return count()

    def __len__(self) -> int:
        return 1000


class _SlowToClose:
    """An input that takes very long to close."""

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number in count():
                await asyncio.sleep(0.1)
                yield number
        finally:
            await asyncio.sleep(10_000)


INPUTS: dict[str, Callable[[], Any]] = {
    "heeds no cancellation": _stubborn,
    "is slow to close": lambda: _SlowToClose().__aiter__(),
    "trickles, of known length": lambda: _Sized(count(), pause=0.5),
    "gives nothing, of known length": lambda: _Sized(count(), pause=1e6),
    "blocks again and again": lambda: _Blocking(range(1000)),
    "never ends, whatever its length": _Endless,
}


@pytest.mark.parametrize("kind", INPUTS)
async def test_the_deadline_of_a_run_holds_whatever_its_input_does(kind: str) -> None:
    """A few seconds after it the run has ended, with an outcome for each record read."""
    loop = asyncio.get_running_loop()
    run = run_of(FakeWork(), INPUTS[kind](), deadline=2.0)
    report = await asyncio.ensure_future(run)
    assert loop.time() <= 2.0 + 7.0
    assert report.total == sum(report.counts.values())
    assert "deadline" in str(run.stopped_by)
    _stop_strays()


async def test_a_stopped_run_reads_a_quick_input_of_known_length_to_its_end() -> None:
    """However long that takes, as each of its records is to have an outcome."""
    quick = _Blocking(range(14_000))
    quick.seconds = 0.0009
    report = await run_of(FakeWork(), quick, deadline=1.0)
    assert report.total == 14_000
    assert asyncio.get_running_loop().time() > 1.0 + 10.0


class _Deaf(FakeWork):
    """Work that heeds no cancellation, as a caller's own log-in may."""

    async def perform(self, items: list[Any], job: Any) -> None:
        """Go on, whatever happens, and have something to say in the end."""
        await _deaf()
        job.close(items, Result(receipt="late", attempts=1))


@pytest.mark.parametrize("grace", [0.0, 1.0])
async def test_work_that_heeds_no_cancellation_does_not_hold_a_close(grace: float) -> None:
    """Every record has the outcome that was certain at that moment, and nothing that comes later changes it."""
    loop = asyncio.get_running_loop()
    records = Watched("abcdefgh")
    run = run_of(_Deaf(), records)
    task = asyncio.ensure_future(run)
    await asyncio.sleep(5)
    began = loop.time()
    await run.aclose(timeout=grace)
    assert loop.time() - began < grace + 3.0
    report = await task
    assert report.counts == {OutcomeStatus.NOT_SENT: records.read}
    await asyncio.sleep(5000)
    assert run.report.counts == {OutcomeStatus.NOT_SENT: records.read}


async def test_a_journal_that_never_answers_does_not_hold_a_close(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk may hang; the close says that the run had not ended, and so does the report."""
    do, held = Worker.do, list[tuple[Worker, Any, asyncio.Future[Any]]]()

    def hold(worker: Worker, work: Any) -> asyncio.Future[Any]:
        held.append((worker, work, asyncio.get_running_loop().create_future()))
        return held[-1][2]

    def open_and_no_more(worker: Worker, work: Any) -> asyncio.Future[Any]:
        monkeypatch.setattr(Worker, "do", hold)
        return do(worker, work)

    monkeypatch.setattr(Worker, "do", open_and_no_more)
    caplog.set_level(logging.WARNING, "omeda_async")
    loop = asyncio.get_running_loop()
    run = journalled(tmp_path / "run.sqlite3", list("abc"), Work())
    task = asyncio.ensure_future(run)
    await asyncio.sleep(5)
    began = loop.time()
    await run.aclose(timeout=1.0)
    assert loop.time() - began < 6.0
    assert not run.report.complete
    assert "before it had ended" in caplog.text
    monkeypatch.undo()  # the disk goes on
    while held:
        worker, work, future = held.pop(0)
        if not future.done():
            future.set_result(await do(worker, work))
        await asyncio.sleep(20)
    await asyncio.wait({task})
    assert run.report.complete


async def _cancelled() -> str:
    """Await what somebody else has cancelled."""
    task = asyncio.create_task(asyncio.sleep(1000.0))
    await asyncio.sleep(0.1)
    task.cancel()
    await task
    return "never"


async def _broken_source() -> AsyncIterator[str]:
    yield "a"
    yield await _cancelled()


async def test_an_input_that_is_cancelled_inside_ends_the_run() -> None:
    """The cancellation is not ours: nothing more comes, and the run says so."""
    async with asyncio.timeout(20):
        run = run_of(FakeWork(), _broken_source())
        report = await run
    assert report.total == 1
    assert "from inside" in str(run.stopped_by)


async def test_a_token_callable_that_is_cancelled_inside_ends_the_run() -> None:
    """Each record has an outcome, and nothing was sent."""
    settings = OcambaSettings(token=_cancelled, base_url="http://127.0.0.1:9")
    async with SessionManager(ocamba=settings) as manager, asyncio.timeout(60):
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(100)])
        report = await run
    assert report.total == 100
    assert set(report.counts) <= {OutcomeStatus.NOT_SENT, OutcomeStatus.FAILED}
    assert run.stopped_by is not None


async def test_a_hook_that_raises_a_cancellation_costs_no_outcome() -> None:
    """What the provider has done is done, whatever a hook makes of it."""

    def hook(_event: object) -> None:
        raise asyncio.CancelledError

    ids = [str(number) for number in range(1000, 1020)]
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(ids)
        settings = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)
        async with SessionManager(ocamba=settings, hooks=[hook]) as manager, asyncio.timeout(60):
            report = await manager.ocamba.campaigns.cancel_many(ids)
    assert report.counts == {OutcomeStatus.DONE: 20}


def _stop_strays() -> None:
    """Cancel what a test has left behind on purpose."""
    ours = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not ours:
            task.cancel()
