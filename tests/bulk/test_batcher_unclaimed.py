"""Nobody's outcome is forgotten: what its caller does not await any more is told to a callback, or logged."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from omeda_async import (
    BrandOptOut,
    ClientOptOut,
    ConfigurationError,
    LimitWaitExceeded,
    OmedaSettings,
    Outcome,
    OutcomeStatus,
    RateLimit,
    SessionManager,
    Window,
)
from omeda_async.events import LOGGED_ONLY, OutcomeUnclaimed
from omeda_async.sandbox import Sandbox
from tests.bulk.sandboxed import manager_on


def client(number: int) -> ClientOptOut:
    return ClientOptOut(f"a{number}@example.com", key=f"user-{number}")


def applied(sandbox: Sandbox) -> Counter[str]:
    return Counter(one.email_address for one in sandbox.omeda.opt_outs)


def truthful(outcomes: list[Outcome], sandbox: Sandbox) -> bool:
    """Whether each outcome fits what the provider has done, and none is told twice."""
    done = applied(sandbox)
    keys = Counter(outcome.key for outcome in outcomes)
    return set(keys.values()) <= {1} and all(
        done[outcome.record.email_address] == 1
        if outcome.status.is_done
        else outcome.status is OutcomeStatus.UNKNOWN or not done[outcome.record.email_address]
        for outcome in outcomes
    )


def then(first: Callable[..., None], second: Callable[[], object]) -> Callable[..., None]:
    """What does one thing and another in the same moment."""

    def both(*given: Any) -> None:
        first(*given)
        second()

    return both


async def test_a_time_out_around_add_does_not_take_the_outcome_with_it() -> None:
    """Five callers wait half a second for an answer that takes longer: all five outcomes are told, and are true."""
    told: list[Outcome] = []
    async with Sandbox(latency=0.4) as sandbox, manager_on(sandbox) as manager:

        async def handler(number: int) -> None:
            async with asyncio.timeout(0.5):
                await batcher.add(client(number))

        async with manager.omeda.opt_outs.batcher(on_outcome=told.append) as batcher:
            ends = await asyncio.gather(*map(handler, range(5)), return_exceptions=True)
        assert {type(end) for end in ends} == {TimeoutError}
        assert {outcome.status for outcome in told} == {OutcomeStatus.DONE}
        assert sorted(outcome.key for outcome in told) == [f"user-{number}" for number in range(5)]
        assert truthful(told, sandbox)


async def test_a_graceful_shutdown_that_is_cut_short_tells_of_every_record() -> None:
    """A hundred handlers are cancelled as by a web server; the batcher's own end then waits for what is under way."""
    told: list[Outcome] = []
    async with Sandbox(latency=0.2) as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher(max_entries=30, on_outcome=told.append) as batcher:
            handlers = [asyncio.create_task(batcher.add(client(number))) for number in range(100)]
            await asyncio.sleep(0.1)
            for handler in handlers:
                handler.cancel()
            await asyncio.wait(handlers)
        assert len(told) == 100
        assert truthful(told, sandbox)
        assert applied(sandbox).total() == 100


@pytest.mark.parametrize("moment", [0.0, 0.03, 0.1, 0.3, 0.5])
async def test_an_end_that_is_cancelled_as_well_tells_at_once_what_is_certain(moment: float) -> None:
    """Before the cancelled close returns each record has its outcome, though no task has run again since."""
    told: list[Outcome] = []
    async with Sandbox(latency=0.2) as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.02, max_entries=8, on_outcome=told.append)
        handlers = [asyncio.create_task(batcher.add(client(number))) for number in range(20)]
        await asyncio.sleep(moment)
        for handler in handlers:
            handler.cancel()
        await asyncio.wait(handlers)
        closing = asyncio.create_task(batcher.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        got = [handler.result() for handler in handlers if not handler.cancelled()]
        assert len(told) + len(got) == 20
        await asyncio.sleep(3)
        assert len(told) + len(got) == 20
        assert truthful([*told, *got], sandbox)


async def test_an_end_of_the_manager_without_grace_tells_of_them_too() -> None:
    """The session is closed under the requests: who was cancelled before has an outcome all the same."""
    told: list[Outcome] = []
    async with Sandbox(latency=1.0) as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, on_outcome=told.append)
        handlers = [asyncio.create_task(batcher.add(client(number))) for number in range(10)]
        await asyncio.sleep(0.5)
        for handler in handlers:
            handler.cancel()
        await manager.aclose(timeout=0)
        await batcher.aclose()
    assert [outcome.status for outcome in told] == [OutcomeStatus.UNKNOWN] * 10


async def at_add(told: list[Outcome], cancel_after: int, end: Callable[[Any], Awaitable[None]]) -> int:
    """Cancel a caller after so many passes of the loop; give how many outcomes there were for it."""
    limits = {"omeda": RateLimit(Window(1, 1.0), parallel=1)}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, on_outcome=told.append)
        task = asyncio.create_task(batcher.add(client(0)))
        for _ in range(cancel_after):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await end(batcher)
        assert truthful(told, sandbox)
    return len(told) + (not task.cancelled())


@pytest.mark.parametrize("passes", range(14))
async def test_a_caller_cancelled_at_any_moment_or_somebody_else_has_its_outcome(passes: int) -> None:
    """Pass by pass through the waits for others, for the limiter, and for the response: one outcome, and true."""
    told: list[Outcome] = []

    async def close(batcher: Any) -> None:
        await batcher.aclose()

    started = passes > 0  # a task cancelled before its first step has added nothing
    assert await at_add(told, passes, close) == started


async def test_an_outcome_that_comes_in_the_moment_of_the_cancellation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is there, and its caller is cancelled before it has looked."""
    told: list[Outcome] = []
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(on_outcome=told.append)
        task = asyncio.create_task(batcher.add(client(0)))
        monkeypatch.setattr(batcher, "_deliver", then(batcher._deliver, task.cancel))
        await asyncio.wait({task})
        await batcher.aclose()
        assert task.cancelled()
        assert [outcome.status for outcome in told] == [OutcomeStatus.DONE]


async def test_a_caller_cancelled_in_the_moment_of_a_stop_is_told_of_too() -> None:
    """The batcher is stopped after the cancellation, and before the caller has run again."""
    told: list[Outcome] = []
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=10.0, on_outcome=told.append)
        task = asyncio.create_task(batcher.add(client(0)))
        await asyncio.sleep(0.1)
        task.cancel()
        batcher.stop()
        await asyncio.wait({task})
        assert [outcome.status for outcome in told] == [OutcomeStatus.NOT_SENT]


async def test_a_wait_that_ends_in_the_moment_of_the_cancellation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the limit was too long, and its caller is cancelled before it has heard: it was not sent."""
    told: list[Outcome] = []
    limits = {"omeda": RateLimit(Window(1, 10.0))}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, max_entries=1, on_outcome=told.append)
        tasks: set[asyncio.Task[Outcome]] = set()
        monkeypatch.setattr(batcher, "_expire", then(batcher._expire, lambda: [one.cancel() for one in tasks]))
        first = [asyncio.create_task(batcher.add(client(number))) for number in range(2)]
        task = asyncio.create_task(batcher.add(client(2), max_wait=12.0))
        tasks.add(task)
        await asyncio.wait({*first, task})
        assert task.cancelled()
        await batcher.aclose()
    assert [(outcome.key, outcome.status) for outcome in told] == [("user-2", OutcomeStatus.NOT_SENT)]
    assert isinstance(told[0].error, LimitWaitExceeded)


@pytest.mark.parametrize("what", [ValueError("private@example.com"), asyncio.CancelledError()], ids=["error", "cancel"])
async def test_a_callback_that_raises_loses_no_other_outcome(
    what: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told; the one it failed with is logged, and so is the failure, by its type alone."""
    told: list[Outcome] = []

    def callback(outcome: Outcome) -> None:
        if outcome.key == "user-1":
            raise what
        told.append(outcome)

    caplog.set_level(logging.INFO, "omeda_async")
    async with (
        Sandbox(latency=0.2) as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher(on_outcome=callback) as batcher,
    ):
        handlers = [asyncio.create_task(batcher.add(client(number))) for number in range(4)]
        await asyncio.sleep(0.1)
        for handler in handlers:
            handler.cancel()
    assert sorted(outcome.key for outcome in told) == ["user-0", "user-2", "user-3"]
    assert f"callback failed: {type(what).__name__}" in caplog.text
    assert "key 'user-1', done after 1 requests" in caplog.text
    assert "private" not in caplog.text


async def test_a_callback_that_gives_a_coroutine_back_has_told_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """As ``lambda outcome: queue.put(outcome)`` does: the outcome is logged, and why."""
    queue: asyncio.Queue[Outcome] = asyncio.Queue()
    caplog.set_level(logging.INFO, "omeda_async")
    async with (
        Sandbox(latency=0.2) as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher(on_outcome=lambda outcome: queue.put(outcome)) as batcher,  # noqa: PLW0108 as it is written
    ):
        handler = asyncio.create_task(batcher.add(client(1)))
        await asyncio.sleep(0.1)
        handler.cancel()
    assert queue.empty()
    assert "it returned a coroutine, which nobody awaits" in caplog.text
    assert "key 'user-1', done after 1 requests" in caplog.text


async def test_a_callback_that_ends_the_program_leaves_the_rest_for_the_close() -> None:
    """SystemExit goes its way; what was not told yet is told when the batcher is closed."""
    told: list[Any] = []

    def callback(outcome: Outcome) -> None:
        told.append(outcome.key)
        if len(told) == 1:
            raise SystemExit

    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(on_outcome=callback)
        for number in range(3):
            batcher._unclaimed.add(Outcome(client(number), number, number, OutcomeStatus.DONE))
        with pytest.raises(SystemExit):
            batcher._unclaimed.tell()
        await batcher.aclose()
    assert told == [0, 1, 2]


async def test_without_a_callback_each_is_logged_masked_and_an_event(caplog: pytest.LogCaptureFixture) -> None:
    """A line names the key and the status, with addresses masked; the event says less."""
    heard: list[Any] = []
    records = [
        ClientOptOut("someone.private@example.com", key="private@example.com"),
        BrandOptOut("other.private@example.com", brand_ids=["NOPE"], key=7),
    ]
    caplog.set_level(logging.INFO, "omeda_async")
    async with (
        Sandbox(latency=0.2) as sandbox,
        manager_on(sandbox, hooks=[heard.append]) as manager,
        manager.omeda.opt_outs.batcher() as batcher,
    ):
        handlers = [asyncio.create_task(batcher.add(record)) for record in records]
        await asyncio.sleep(0.1)
        for handler in handlers:
            handler.cancel()
    assert "private@" not in caplog.text
    assert "key 'p***@example.com', done after" in caplog.text
    assert "key 7, rejected after" in caplog.text
    told = [event for event in heard if isinstance(event, OutcomeUnclaimed)]
    assert sorted((event.status, event.error) for event in told) == [("done", None), ("rejected", "BatchRejected")]
    assert {(event.provider, event.operation) for event in told} == {("omeda", "opt_outs.batcher")}
    levels = sorted(record.levelname for record in caplog.records if "nobody awaits" in record.message)
    assert levels == ["INFO", "WARNING"]


async def test_a_program_without_hooks_has_one_line_of_each_not_two(caplog: pytest.LogCaptureFixture) -> None:
    """The hook that logs events leaves this one to its own line."""
    caplog.set_level(logging.DEBUG, "omeda_async")
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, hooks=LOGGED_ONLY) as manager,
        manager.omeda.opt_outs.batcher(max_delay=1.0) as batcher,
    ):
        task = asyncio.create_task(batcher.add(client(0)))
        await asyncio.sleep(0.5)
        task.cancel()
    lines = [record.message for record in caplog.records if "nclaimed" in record.message or "nobody" in record.message]
    assert len(lines) == 1
    assert "not_sent" in lines[0]


@pytest.mark.parametrize("callback", [5, "print"])
async def test_a_callback_that_is_none_is_refused(callback: Any) -> None:
    """The error names the option."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match="on_outcome"):
            manager.omeda.opt_outs.batcher(on_outcome=callback)


async def test_a_callback_that_would_have_to_be_awaited_is_refused() -> None:
    """Nobody could await it in the middle of a shutdown."""

    async def callback(outcome: Outcome) -> None:
        """Take an outcome."""

    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match="plain function"):
            manager.omeda.opt_outs.batcher(on_outcome=callback)


async def test_what_breaks_a_request_off_is_logged_by_its_type_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its text may hold an address; who waits has an outcome, and asyncio finds no error that nobody has asked for."""

    async def broken(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise LookupError("a1@example.com")

    async with Sandbox() as sandbox, aiohttp.ClientSession(middlewares=(broken,)) as session:
        settings = OmedaSettings(app_id=sandbox.app_id, client=sandbox.client, base_url=sandbox.url)
        async with (
            SessionManager(omeda=settings, http_session=session) as manager,
            manager.omeda.opt_outs.batcher(max_delay=0.05) as batcher,
        ):
            outcome = await batcher.add(client(1))
        gc.collect()
    assert outcome.status is OutcomeStatus.UNKNOWN
    assert "a request of the batcher broke off: LookupError" in caplog.text
    assert "a1@" not in caplog.text
    assert "never retrieved" not in caplog.text
