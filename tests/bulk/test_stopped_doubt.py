"""A run that is stopped by a failure which leaves a doubt: the doubt is that record's, and nobody else's."""

import pytest

from omeda_async import AuthenticationFailed, BulkRun, ClientOptOut, Outcome, OutcomeStatus
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.bulk_fakes import collect
from tests.bulk.sandboxed import manager_on


async def stopped_in_doubt(operation: str) -> list[Outcome]:
    """Apply the first record and lose the answer, refuse the key for the repeat, and give all outcomes."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER))
        sandbox.fault(Fault(FaultKind.SESSION_LOST, times=None))
        if operation == "opt_outs":
            records = [ClientOptOut(f"a{number}@example.com") for number in range(5)]
            run: BulkRun = manager.omeda.opt_outs.submit_many(records, max_entries=1, concurrency=1)
        else:
            for number in range(5):
                sandbox.omeda.seed_deployment(f"FOO{number}")
            run = manager.omeda.deployments.cancel_many([f"FOO{number}" for number in range(5)], concurrency=1)
        outcomes = await collect(run)
        assert isinstance(run.stopped_by, AuthenticationFailed)
    return sorted(outcomes, key=lambda one: one.position)


@pytest.mark.parametrize("operation", ["opt_outs", "deployments"])
async def test_what_was_never_sent_is_in_no_doubt_though_the_cause_of_the_stop_is(operation: str) -> None:
    """The first is unknown and its error says so; the others carry the cause, and say that nothing was sent."""
    first, *others = await stopped_in_doubt(operation)
    assert (first.status, first.error is not None and first.error.sent) == (OutcomeStatus.UNKNOWN, True)
    assert {one.status for one in others} == {OutcomeStatus.NOT_SENT}
    for one in others:
        assert isinstance(one.error, AuthenticationFailed)
        assert not one.error.sent
