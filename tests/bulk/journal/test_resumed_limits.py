"""A run that is killed and begun again at once: the provider still counts what the first has sent, and so do we."""

import asyncio
from pathlib import Path

import pytest

from omeda_async import OutcomeStatus
from omeda_async.limits import Priority, RateLimit, Window, make_limiter
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import FakeAccount
from tests.bulk.journal_help import Account, Work, journalled, rows
from tests.bulk.sandboxed import manager_on


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "run.sqlite3"


@pytest.mark.parametrize("stopped_at", [5, 100, 149, 150, 155])
async def test_a_resumed_run_stays_under_the_limit_of_the_run_before_it(path: Path, stopped_at: int) -> None:
    """Under the real windows, with no time between the two runs: nobody is answered with 429."""
    names = [f"c{number}" for number in range(170)]
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(names)
        async with manager_on(sandbox) as manager:
            run = manager.ocamba.campaigns.cancel_many(names, journal=path)
            async for outcome in run:
                if outcome.position + 1 >= stopped_at:
                    break
            await run.aclose(timeout=0)
        async with manager_on(sandbox) as manager:
            report = await manager.ocamba.campaigns.cancel_many(names, journal=path)
        assert report.counts.keys() <= {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE}
        assert report.total == 170
        assert [request.status for request in sandbox.requests if request.status == 429] == []
        sandbox.assert_never_over_limit()


async def test_a_journal_tells_the_next_run_what_was_sent_of_late(path: Path) -> None:
    """With as many more as may have been in flight; and nothing when the journal is new or nothing was sent."""
    accounts = [Account(), Account(), Account()]
    for account in accounts:
        await journalled(path, ["a", "b", "c"], Work(account=account))
    assert [account.limiter.remembered for account in accounts[:1]] == [[]]
    ((made, seconds_ago),) = accounts[1].limiter.remembered
    assert made == 3 + 8
    assert 0 <= seconds_ago < 60
    assert rows(path, "SELECT recent FROM runs") == [(3,), (0,), (0,)]
    assert isinstance(accounts[0], FakeAccount)


async def test_slots_are_held_for_what_is_remembered_until_it_is_a_window_old() -> None:
    """The provider's windows still hold it; a single call after that may go."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0)))
    limiter.remember(145, 20.0)
    view = limiter.view()
    assert [window.held for window in view.windows] == [0, 145]
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await limiter.acquire(priority=Priority.BULK)
    for _ in range(2):
        await limiter.acquire()  # what bulk leaves free
    assert asyncio.get_running_loop().time() == pytest.approx(began, abs=0.1)
    await limiter.acquire()
    assert asyncio.get_running_loop().time() - began == pytest.approx(40.06, abs=0.1)


async def test_what_is_long_past_holds_nothing() -> None:
    """A window later the provider has forgotten it."""
    limiter = make_limiter(RateLimit(Window(10, 1.0), Window(150, 60.0)))
    limiter.remember(150, 61.0)
    assert [window.held for window in limiter.view().windows] == [0, 0]
