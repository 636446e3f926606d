"""What a bulk run sends besides its records passes the same limiter, and is counted."""

from typing import Any

import pytest

from omeda_async import BrandOptOut, OutcomeStatus, RateLimit, RetryPolicy, Window
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.bulk_fakes import adds_up
from tests.bulk.sandboxed import manager_on

SLOW = RateLimit(Window(2, 10.0), interactive_reserve=0)
PATIENT = RetryPolicy(attempts=3, base_delay=0.05, max_delay=0.2, deadline=1000.0)


async def test_isolating_keeps_the_limit_and_is_counted() -> None:
    """Some twenty requests find two culprits nobody names: never three in ten seconds, and each in the report."""
    async with Sandbox() as sandbox, manager_on(sandbox, limits={"omeda": SLOW}) as manager:
        sandbox.omeda.named_culprits = 0
        records = [
            BrandOptOut(f"a{place}@example.com", brand_ids=["NOPE" if place in {3, 50} else "XXG"])
            for place in range(64)
        ]
        run = manager.omeda.opt_outs.submit_many(records)
        report = await run
        assert adds_up(run, 64)
        assert report.counts == {OutcomeStatus.DONE: 62, OutcomeStatus.REJECTED: 2}
        assert report.requests == len(sandbox.requests) > 10
        assert sandbox.audit.busiest("omeda", 10.0) == 2


@pytest.mark.parametrize("name", ["deployments", "campaigns", "transactions"])
async def test_settling_keeps_the_limit_and_is_counted(name: str) -> None:
    """Every answer of the first ten seconds is lost: repeats and reads take their turns, and each is in the report."""
    limits = {"omeda": SLOW, "ocamba": SLOW, "journey_manager": SLOW}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits, retry=PATIENT) as manager:
        ids = [f"x{place}" for place in range(6)]
        for one in ids:
            sandbox.omeda.seed_deployment(one)
            sandbox.ocamba.seed_campaign(one)
            sandbox.journey_manager.seed_transaction(one)
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER, times=4))
        starts: dict[str, Any] = {
            "deployments": manager.omeda.deployments.cancel_many,
            "campaigns": manager.ocamba.campaigns.cancel_many,
            "transactions": manager.journey_manager.transactions.cancel_many,
        }
        report = await starts[name](ids)
        assert report.counts.keys() <= {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE}
        assert report.counts[OutcomeStatus.ALREADY_DONE] >= 2
        assert report.requests == len(sandbox.requests) > 6
        assert sandbox.audit.busiest(sandbox.requests[0].provider, 10.0) == 2
