"""A graceful stop waits for what is on the wire, and for nothing that only waits for its turn."""

import asyncio

import pytest

from omeda_async import OutcomeStatus
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.sandboxed import manager_on

IDS = [str(number) for number in range(100, 140)]


LOST = Fault(FaultKind.DROP, FaultPoint.AFTER, match="campaigns.cancel", times=None)


@pytest.mark.parametrize(
    ("moment", "fault"),
    [*((moment, None) for moment in (0.2, 0.7, 1.3, 1.7, 2.2, 3.4)), (1.3, LOST), (1.7, LOST), (3.4, LOST)],
)
async def test_what_is_in_flight_when_a_run_is_stopped_ends(moment: float, fault: Fault | None) -> None:
    """Be it an attempt or the read that settles a lost one: who was sent is done, and the others were not sent."""
    async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, timeout=5.0) as manager:
        sandbox.ocamba.seed_campaigns(IDS)
        if fault is not None:
            sandbox.fault(fault)
        run = manager.ocamba.campaigns.cancel_many(IDS, concurrency=3)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(moment)
        began = asyncio.get_running_loop().time()
        await run.aclose(timeout=30.0)
        assert asyncio.get_running_loop().time() - began < 5.0
        report = await task
        cancelled = sum(one.status == "canceled" for one in sandbox.ocamba.campaigns.values())
    assert OutcomeStatus.UNKNOWN not in report.counts
    assert cancelled == report.counts.get(OutcomeStatus.DONE, 0) + report.counts.get(OutcomeStatus.ALREADY_DONE, 0)
