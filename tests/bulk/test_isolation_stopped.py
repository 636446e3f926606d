"""Isolation that is broken off: what was accepted so far is done, what is in doubt is unknown, the rest is not sent."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from omeda_async import BrandOptOut, OutcomeStatus, RetryPolicy
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.bulk_fakes import adds_up
from tests.bulk.fault_notes import every_outcome
from tests.bulk.sandboxed import manager_on

RECORDS = [BrandOptOut(f"a{place}@example.com", brand_ids=["NOPE" if place == 13 else "XXG"]) for place in range(16)]
ONCE = RetryPolicy(attempts=1, base_delay=0.1, max_delay=0.1, deadline=20.0)


@pytest.mark.parametrize("grace", [0.0, 30.0])
@pytest.mark.parametrize("moment", [0.3, 1.5, 2.5, 3.2, 3.7, 4.5, 5.5])
async def test_a_search_for_culprits_that_is_stopped_tells_the_truth(moment: float, grace: float) -> None:
    """Closed at any point of the search, at once or gracefully, the outcomes are what the provider's state says."""
    with every_outcome() as outcomes:
        async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, retry=ONCE) as manager:
            sandbox.omeda.named_culprits = 0
            run = manager.omeda.opt_outs.submit_many(RECORDS)
            task = asyncio.ensure_future(run)
            await asyncio.sleep(moment)
            await run.aclose(timeout=grace)
            await task
            await asyncio.sleep(5)
            applied = {one.email_address for one in sandbox.omeda.opt_outs}
    assert adds_up(run, 16)
    done = {one.record.email_address for one in outcomes if one.status is OutcomeStatus.DONE}
    doubtful = {one.record.email_address for one in outcomes if one.status is OutcomeStatus.UNKNOWN}
    assert done <= applied <= done | doubtful
    assert not doubtful or not grace
    assert len(outcomes) == 16


async def test_records_in_doubt_stay_unknown_when_the_run_stops_before_they_are_sent_again() -> None:
    """Applied and lost as a whole, halved, and stopped: nobody is reported as not sent."""
    with every_outcome() as outcomes:
        async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, retry=ONCE) as manager:
            sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER))
            records = [record for record in RECORDS if record.brand_ids == ("XXG",)]
            run = manager.omeda.opt_outs.submit_many(records)
            task = asyncio.ensure_future(run)
            await asyncio.sleep(1.5)
            await run.aclose()
            await task
            assert len(sandbox.requests) == 2
    by_status = {status: [one.position for one in outcomes if one.status is status] for status in OutcomeStatus}
    assert by_status[OutcomeStatus.DONE] == list(range(8))
    assert by_status[OutcomeStatus.UNKNOWN] == list(range(8, 15))
    assert all(one.error.sent for one in outcomes if one.error is not None and one.position >= 8)


@pytest.mark.parametrize("moment", [0.6, 0.9, 1.2, 1.4, 1.7, 2.2, 2.7, 3.2, 4.2])
async def test_a_search_for_the_size_that_is_stopped_tells_the_truth(moment: float) -> None:
    """One batch is too large, the next one applied and its answer lost: who waits for the search knows of that."""
    every = [BrandOptOut(f"a{place}@example.com", brand_ids=["XXG"]) for place in range(11)]

    async def records() -> AsyncGenerator[BrandOptOut, None]:
        for place, record in enumerate(every):
            if place == 8:
                await asyncio.sleep(0.3)
            yield record

    with every_outcome() as outcomes:
        async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, retry=ONCE) as manager:
            sandbox.omeda.max_entries = 3
            run = manager.omeda.opt_outs.submit_many(records(), max_entries=8, concurrency=2)
            task = asyncio.ensure_future(run)
            asyncio.get_running_loop().call_later(0.6, sandbox.fault, Fault(FaultKind.DROP, FaultPoint.AFTER))
            await asyncio.sleep(moment)
            await run.aclose(timeout=0.0)
            await task
            await asyncio.sleep(5)
            applied = {one.email_address for one in sandbox.omeda.opt_outs}
    assert adds_up(run, 11)
    done = {one.record.email_address for one in outcomes if one.status is OutcomeStatus.DONE}
    doubtful = {one.record.email_address for one in outcomes if one.status is OutcomeStatus.UNKNOWN}
    assert done <= applied <= done | doubtful
    assert {one.email_address for one in every[8:]} <= applied
