"""A run that is killed and begun again at once: the provider still counts what the first has sent, and so do we."""

import pytest

from omeda_async import OutcomeStatus
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import FakeAccount
from tests.bulk.journal_help import Account, Place, Work, journalled, noted_of_late
from tests.bulk.sandboxed import manager_on


@pytest.mark.parametrize(
    ("place", "stopped_at"),
    [*(("sqlite", number) for number in (5, 100, 149, 150, 155)), ("postgres", 149)],
    indirect=["place"],
)
async def test_a_resumed_run_stays_under_the_limit_of_the_run_before_it(place: Place, stopped_at: int) -> None:
    """Under the real windows, with no time between the two runs: nobody is answered with 429."""
    names = [f"c{number}" for number in range(170)]
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(names)
        async with manager_on(sandbox) as manager:
            run = manager.ocamba.campaigns.cancel_many(names, journal=place)
            async for outcome in run:
                if outcome.position + 1 >= stopped_at:
                    break
            await run.aclose(timeout=0)
        async with manager_on(sandbox) as manager:
            report = await manager.ocamba.campaigns.cancel_many(names, journal=place)
        assert report.counts.keys() <= {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE}
        assert report.total == 170
        assert [request.status for request in sandbox.requests if request.status == 429] == []
        sandbox.assert_never_over_limit()


async def test_a_journal_tells_the_next_run_what_was_sent_of_late(place: Place) -> None:
    """With as many more as may have been in flight; and nothing when the journal is new or nothing was sent."""
    accounts = [Account(), Account(), Account()]
    for account in accounts:
        await journalled(place, ["a", "b", "c"], Work(account=account))
    assert [account.limiter.remembered for account in accounts[:1]] == [[]]
    ((made, seconds_ago),) = accounts[1].limiter.remembered
    assert made == 3 + 8
    assert 0 <= seconds_ago < 60
    assert noted_of_late(place) == [3, 0, 0]
    assert isinstance(accounts[0], FakeAccount)
