"""What a bulk run refuses before it begins, and what closing the manager does to what is waiting."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from omeda_async import (
    CampaignCancel,
    ClientOptOut,
    ConfigurationError,
    InvalidRecord,
    OutcomeStatus,
    Priority,
)
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.bulk_fakes import FakeWork, run_of
from tests.bulk.sandboxed import manager_on


async def test_a_misspelt_option_is_refused() -> None:
    """A run without the journal it was meant to have must not begin."""
    with pytest.raises(TypeError, match="has no option dedline, jornal"):
        _ = run_of(FakeWork(), ["a"], jornal="run.sqlite3", dedline=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("concurrency", 0),
        ("concurrency", True),
        ("deadline", "5"),
        ("deadline", True),
        ("deadline", float("nan")),
        ("priority", "interactive"),
        ("max_isolation_requests", -1),
        ("journal_pii", "none"),
        ("journal", 5),
        ("on_progress", 5),
    ],
)
async def test_an_option_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    """The error names the option, whatever its type was."""
    with pytest.raises(ConfigurationError, match=option):
        _ = run_of(FakeWork(), ["a"], **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_entries", 0), ("max_entries", "x"), ("max_bytes", -1), ("max_delay", "x"), ("priority", "bulk")],
)
async def test_an_option_of_a_batcher_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    """The batcher checks what the bulk run checks."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match=option):
            _ = manager.omeda.opt_outs.batcher(**{option: value})


@pytest.mark.parametrize(
    "records",
    ["1000248", b"1000248", {"campaign_id": "5"}, CampaignCancel("5"), None, 5],
    ids=lambda one: type(one).__name__,
)
async def test_what_is_one_record_or_none_is_not_taken_for_many(records: Any) -> None:
    """A string would be cancelled character by character: it is refused, and nothing is sent."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(list("0123456789"))
        with pytest.raises(InvalidRecord, match="put a single one into a list"):
            _ = manager.ocamba.campaigns.cancel_many(records)
        assert not sandbox.requests


async def test_a_run_that_is_stopped_at_once_does_not_wait_for_its_input() -> None:
    """Stopped before the first record was asked for, the run ends, though the input would never give one."""

    async def never() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield "never"

    run = run_of(FakeWork(), never())
    ending = asyncio.ensure_future(_awaited(run))
    await asyncio.sleep(0)
    run.stop()
    report = await asyncio.wait_for(ending, 5)
    assert (report.total, report.complete) == (0, True)


async def _awaited(run: Any) -> Any:
    return await run


async def test_closing_the_manager_tells_who_waits_at_a_batcher() -> None:
    """A record that waits for others is not sent any more, and its caller learns so at once."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=500.0)
        waiting = asyncio.ensure_future(batcher.add(ClientOptOut("a@example.com")))
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        await manager.aclose()
        outcome = await waiting
        assert outcome.status is OutcomeStatus.NOT_SENT
        assert asyncio.get_running_loop().time() - began < 1
        assert not sandbox.requests


async def test_the_time_of_a_close_is_for_all_there_is() -> None:
    """A run and a single call that both hang are given up together: the patience is not spent twice."""
    async with Sandbox() as sandbox, manager_on(sandbox, timeout=300.0) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        sandbox.fault(Fault(FaultKind.SLOW, FaultPoint.BEFORE, seconds=200.0, times=None))
        single = asyncio.ensure_future(manager.ocamba.campaigns.cancel("1"))
        many = asyncio.ensure_future(_awaited(manager.ocamba.campaigns.cancel_many(["2"])))
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        await manager.aclose(timeout=10.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(10.0, abs=0.5)
        results = await asyncio.gather(single, many, return_exceptions=True)
        assert isinstance(results[0], Exception)


async def test_a_plan_lets_others_run() -> None:
    """Planning a long input does not hold the event loop from its beginning to its end."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    plan = await run_of(FakeWork(), [f"r{number}" for number in range(2000)], priority=Priority.BULK).plan()
    ticking.cancel()
    assert plan.records == 2000
    assert ticks >= 20
