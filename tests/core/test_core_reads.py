"""The reads, over real sockets: pages as they are asked for, filtered again, nothing twice, within the limit."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from omeda_async import DeploymentSearch, NotFound, RateLimit, RetryPolicy, ServerError, Window
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.sandboxed import manager_on

OLD = datetime.now(UTC) - timedelta(days=90)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        for number in range(25):
            made = f"2024-01-{1 + number:02} 00:00:00"
            running.ocamba.seed_campaign(f"c{number:02}", "paused" if number % 5 == 0 else "running", create_time=made)
            running.journey_manager.seed_transaction(f"t{number:02}", "Opened" if number % 5 == 0 else "Saved")
        yield running


async def ids(given: AsyncIterator[Any]) -> list[str]:
    """Read to the end, and give what each is known by."""
    return [str(getattr(one, "id", None) or getattr(one, "submit_key", None)) async for one in given]


async def test_campaigns_come_page_by_page_oldest_first(sandbox: Sandbox) -> None:
    """Twenty-five in pages of ten are three requests, made only when they are needed."""
    async with manager_on(sandbox) as manager:
        listing = manager.ocamba.campaigns.list(page_size=10)
        first = [(await anext(listing)).id for _ in range(10)]
        assert len(sandbox.requests) == 1
        assert first + await ids(listing) == [f"c{number:02}" for number in range(25)]
        assert [one.operation for one in sandbox.requests] == ["campaigns.list"] * 3


async def test_a_campaign_that_moves_to_the_next_page_is_given_once(sandbox: Sandbox) -> None:
    """An older one that appears meanwhile pushes the last of the first page onto the second."""
    async with manager_on(sandbox) as manager:
        listing = manager.ocamba.campaigns.list(page_size=10)
        first = [(await anext(listing)).id for _ in range(10)]
        sandbox.ocamba.seed_campaign("new", create_time="2023-01-01 00:00:00")
        found = first + await ids(listing)
        assert found == [f"c{number:02}" for number in range(25)]


@pytest.mark.parametrize("obeyed", [True, False])
async def test_a_status_filter_holds_whether_or_not_the_provider_keeps_to_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, obeyed: bool
) -> None:
    """Only campaigns in one of the statuses are given, all of them, in any case of the letters."""
    if not obeyed:
        ocamba = type(sandbox.ocamba)
        page = ocamba.page
        monkeypatch.setattr(
            ocamba, "page", lambda self, query: page(self, {name: query[name] for name in query if name != "status"})
        )
    async with manager_on(sandbox) as manager:
        found = await ids(manager.ocamba.campaigns.list(statuses=["Paused"] if not obeyed else ["paused"], page_size=4))
        assert found == ["c00", "c05", "c10", "c15", "c20"]
        assert len(sandbox.requests) == (2 if obeyed else 7)


async def test_transactions_come_page_by_page_each_once(sandbox: Sandbox) -> None:
    """Three requests for twenty-five; one that appears before the others pushes none into the result twice."""
    async with manager_on(sandbox) as manager:
        query = manager.journey_manager.transactions.query(page_size=10)
        first = [(await anext(query)).submit_key for _ in range(10)]
        assert len(sandbox.requests) == 1
        sandbox.journey_manager.seed_transaction("a00")
        assert first + await ids(query) == [f"t{number:02}" for number in range(25)]
        assert len(sandbox.requests) == 3


async def test_a_transaction_asked_for_by_its_key_is_shown_whatever_its_age_and_status(sandbox: Sandbox) -> None:
    """Without the key the server shows unfinished ones of the last days only."""
    sandbox.journey_manager.seed_transaction("old", "Completed", modified_at=OLD)
    async with manager_on(sandbox) as manager:
        assert "old" not in await ids(manager.journey_manager.transactions.query())
        (found,) = [one async for one in manager.journey_manager.transactions.query(submit_key="old")]
        assert (found.submit_key, found.form_status) == ("old", "Completed")
        assert await ids(manager.journey_manager.transactions.query(form_status="Opened")) == [
            "t00", "t05", "t10", "t15", "t20",
        ]  # fmt: skip


@pytest.mark.parametrize("which", ["campaigns", "transactions"])
async def test_what_was_given_before_a_page_failed_stands(sandbox: Sandbox, which: str) -> None:
    """The failure is raised where the next page would have begun, after as many attempts as for any call."""
    async with manager_on(sandbox, retry=RetryPolicy(attempts=3, base_delay=0.01)) as manager:
        reads: dict[str, AsyncIterator[Any]] = {
            "campaigns": manager.ocamba.campaigns.list(page_size=10),
            "transactions": manager.journey_manager.transactions.query(page_size=10),
        }
        given = [await anext(reads[which]) for _ in range(10)]
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, times=None, retry_after=None))
        with pytest.raises(ServerError):
            await anext(reads[which])
        assert len({str(one) for one in given}) == 10
        assert len(sandbox.requests) == 1 + 3


async def test_a_page_that_failed_once_is_read_again(sandbox: Sandbox) -> None:
    """Reads are harmless: a lost answer costs a request, and no campaign."""
    async with manager_on(sandbox) as manager:
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER))
        assert len(await ids(manager.ocamba.campaigns.list(page_size=10))) == 25
        assert len(sandbox.requests) == 4


async def test_every_page_waits_for_the_limit(sandbox: Sandbox) -> None:
    """With one request in ten seconds, three pages take twenty."""
    slow = RateLimit(Window(1, 10.0))
    async with manager_on(sandbox, limits={"ocamba": slow, "journey_manager": slow}) as manager:
        await ids(manager.ocamba.campaigns.list(page_size=10))
        await ids(manager.journey_manager.transactions.query(page_size=10))
    for provider in ("ocamba", "journey_manager"):
        assert sandbox.audit.busiest(provider, 10.0) == 1


async def test_a_deployment_is_found_by_id_and_by_what_it_is(sandbox: Sandbox) -> None:
    """The look-up gives one or says that there is none; the search gives those that fit, or nothing."""
    sandbox.omeda.seed_deployment("FOO1", "Sent", name="Weekly")
    sandbox.omeda.seed_deployment("FOO2", name="Weekly", owner="omailAccount2")
    async with manager_on(sandbox) as manager:
        deployments = manager.omeda.deployments
        found = await deployments.lookup("FOO1")
        assert (found.track_id, found.status, found.deployment_name) == ("FOO1", "Sent", "Weekly")
        with pytest.raises(NotFound):
            await deployments.lookup("FOO3")
        named = await deployments.search(DeploymentSearch(deployment_name="Weekly"))
        assert {one.track_id for one in named} == {"FOO1", "FOO2"}
        own = DeploymentSearch(deployment_name="Weekly", entered_by_or_assigned_to="omailAccount2")
        assert {one.track_id for one in await deployments.search(own)} == {"FOO2"}
        assert await deployments.search(DeploymentSearch(deployment_name="Monthly")) == ()
