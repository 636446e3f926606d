"""A cause that meets every record stops the run and rejects nobody: what was tried has failed, the rest is not sent."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import BrandOptOut, BulkRun, ClientOptOut, OutcomeStatus, SessionManager
from omeda_async.events import AttemptEnded, Event
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint as Point, Sandbox
from omeda_async.sandbox._message import html_response
from tests.bulk.bulk_fakes import adds_up
from tests.bulk.sandboxed import manager_on

IDS = [f"x{place}" for place in range(60)]
RUNS: dict[str, Callable[[SessionManager], BulkRun]] = {
    "deployments": lambda manager: manager.omeda.deployments.cancel_many(IDS, concurrency=2),
    "campaigns": lambda manager: manager.ocamba.campaigns.cancel_many(IDS, concurrency=2),
    "transactions": lambda manager: manager.journey_manager.transactions.cancel_many(IDS, concurrency=2),
    "opt_outs": lambda manager: manager.omeda.opt_outs.submit_many(
        [ClientOptOut(f"{name}@example.com") for name in IDS], concurrency=2, max_entries=5
    ),
}


async def stopped(run: BulkRun) -> None:
    """Fail unless a run was stopped, with everything accounted for and nobody rejected."""
    report = await run
    assert adds_up(run, len(IDS))
    assert run.stopped_by is not None
    assert report.counts.keys() == {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}
    assert report.counts[OutcomeStatus.FAILED] <= 10


@pytest.mark.parametrize("operation", RUNS)
@pytest.mark.parametrize("status", [404, 405])
async def test_a_wrong_url_rejects_nobody(operation: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that says neither what was not found nor why is no record's own reason."""
    page = html_response(status, f"{status} No")
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for api in sandbox.apis.values():
            monkeypatch.setattr(type(api), "respond", lambda _self, _incoming: page)
        await stopped(RUNS[operation](manager))


@pytest.mark.parametrize("setting", ["client", "brands"])
async def test_a_client_that_is_none_rejects_nobody(setting: str) -> None:
    """A client that does not exist, or has no valid brands: those tried are to be tried again later."""
    nothing: dict[str, Any] = {"client": "another", "brands": set()}
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        setattr(sandbox.omeda, setting, nothing[setting])
        await stopped(RUNS["opt_outs"](manager))


async def test_words_that_meet_everyone_reject_nobody() -> None:
    """Refused alone, one after the other and in the same words: nobody is named, and nobody is to blame."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = 0
        records = [BrandOptOut(f"{name}@example.com", brand_ids=["NOPE"]) for name in IDS]
        await stopped(manager.omeda.opt_outs.submit_many(records, concurrency=1))


async def test_a_provider_that_finds_everything_too_large_stops_the_run() -> None:
    """Not even single records go through: that is no matter of size, and is not proven record by record."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.max_bytes = 10
        records = [ClientOptOut(f"a{place:04}@example.com") for place in range(2000)]
        run = manager.omeda.opt_outs.submit_many(records, max_entries=200, concurrency=1)
        report = await run
        assert adds_up(run, 2000)
        assert report.requests <= 35
        assert report.counts.keys() == {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}


@pytest.mark.parametrize("named", [True, False])
async def test_a_lost_batch_that_is_refused_for_a_cause_of_everyones_stays_unknown(named: bool) -> None:
    """The first request was applied and its answer lost; what follows is refused, whatever is in it."""

    def turn_against_us(event: Event) -> None:
        if isinstance(event, AttemptEnded) and event.error == "AnswerLost":
            sandbox.omeda.brands = set() if named else {"OTHER"}

    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[turn_against_us]) as manager:
        sandbox.omeda.named_culprits = 0
        sandbox.fault(Fault(Kind.DROP, Point.AFTER))
        records = [BrandOptOut(f"a{place}@example.com", brand_ids=["XXG"]) for place in range(20)]
        report = await manager.omeda.opt_outs.submit_many(records)
        assert len(sandbox.omeda.opt_outs) == 20
        assert report.counts == {OutcomeStatus.UNKNOWN: 20}
        assert all(failure.error is not None and failure.error.sent for failure in report.failures)
