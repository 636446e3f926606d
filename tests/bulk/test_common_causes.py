"""A cause that meets every record stops the run and rejects nobody: what was tried has failed, the rest is not sent."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import BrandOptOut, BulkRun, ClientOptOut, OutcomeStatus, SessionManager
from omeda_async.errors import AuthenticationFailed, NotFound
from omeda_async.events import AttemptEnded, Event
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint as Point, Sandbox
from omeda_async.sandbox._message import Response as SandboxResponse, html_response, json_response
from tests.bulk.bulk_fakes import adds_up, collect
from tests.bulk.sandboxed import manager_on
from tests.bulk.test_bulk_settling import CANCELS, DONE, FAILED, REJECTED, UNKNOWN, seed

IDS = [f"x{place}" for place in range(60)]
RUNS: dict[str, Callable[[SessionManager], BulkRun]] = {
    "deployments": lambda manager: manager.omeda.deployments.cancel_many(IDS, concurrency=2),
    "campaigns": lambda manager: manager.ocamba.campaigns.cancel_many(IDS, concurrency=2),
    "transactions": lambda manager: manager.journey_manager.transactions.cancel_many(IDS, concurrency=2),
    "opt_outs": lambda manager: manager.omeda.opt_outs.submit_many(
        [ClientOptOut(f"{name}@example.com") for name in IDS], concurrency=2, max_entries=5
    ),
}


async def stopped(run: BulkRun, tried: OutcomeStatus = OutcomeStatus.FAILED) -> None:
    """Fail unless a run was stopped, with everything accounted for and nobody rejected."""
    report = await run
    assert adds_up(run, len(IDS))
    assert run.stopped_by is not None
    assert report.counts.keys() == {tried, OutcomeStatus.NOT_SENT}
    assert report.counts[tried] <= 10


WORDLESS = [html_response(404, "404 No"), html_response(405, "405 No"), SandboxResponse(404), SandboxResponse(405)]


@pytest.mark.parametrize("operation", RUNS)
@pytest.mark.parametrize("page", WORDLESS, ids=["404 page", "405 page", "404", "405"])
async def test_a_wrong_url_rejects_nobody(
    operation: str, page: SandboxResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says neither what was not found nor why is no record's own reason; a page may hide what was done."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for api in sandbox.apis.values():
            monkeypatch.setattr(type(api), "respond", lambda _self, _incoming: page)
        hides = page is WORDLESS[0] and operation in {"deployments", "campaigns"}
        await stopped(RUNS[operation](manager), OutcomeStatus.UNKNOWN if hides else OutcomeStatus.FAILED)


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


async def test_a_cause_that_meets_every_opt_out_stops_the_run() -> None:
    """No valid brands: one request for each call under way, and a list is accounted for to its end."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.brands = set()
        records = [ClientOptOut(f"a{place}@example.com") for place in range(5000)]
        run = manager.omeda.opt_outs.submit_many(records, concurrency=2)
        report = await run
        assert adds_up(run, 5000)
        assert report.requests <= 2
        assert report.counts[OutcomeStatus.NOT_SENT] >= 4000
        assert "no valid brands" in str(run.stopped_by)


async def test_a_refusal_of_everything_without_names_stops_the_run() -> None:
    """Refused one by one in the same words, in both halves of a batch: the run stops after some thirty requests."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = 0
        records = [BrandOptOut(f"a{place}@example.com", brand_ids=["NOPE"]) for place in range(5000)]
        run = manager.omeda.opt_outs.submit_many(records, concurrency=1)
        report = await run
        assert adds_up(run, 5000)
        assert report.requests <= 35
        assert run.stopped_by is not None
        assert report.counts.keys() == {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}


async def test_batches_find_out_together_whether_the_cause_meets_everyone() -> None:
    """With eight batches at a time it takes hardly more requests than with one: each has sent its own once."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = 0
        records = [BrandOptOut(f"a{place}@example.com", brand_ids=["NOPE"]) for place in range(20_000)]
        run = manager.omeda.opt_outs.submit_many(records)
        report = await run
        assert adds_up(run, 20_000)
        assert report.requests <= 35 + 7
        assert report.counts.keys() == {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
async def test_wrong_credentials_stop_the_run(operation: str) -> None:
    """Those tried have failed with the provider's words; the rest of the list is not sent because of it."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.app_id = sandbox.ocamba.token = sandbox.journey_manager.password = "changed"
        if operation == "opt_outs":
            records: list[Any] = [ClientOptOut(f"a{place}@example.com") for place in range(300)]
            run = manager.omeda.opt_outs.submit_many(records, max_entries=5, concurrency=3)
        else:
            run = CANCELS[operation](manager)([f"x{place}" for place in range(300)], concurrency=3)
        report = await run
        assert adds_up(run, 300)
        assert isinstance(run.stopped_by, AuthenticationFailed)
        assert report.requests <= 3
        assert report.counts[FAILED] == report.requests * (5 if operation == "opt_outs" else 1)
        assert all(one.attempts == 1 for one in report.failures if one.status is FAILED)


@pytest.mark.parametrize("status", [429, 503, 401])
async def test_a_status_that_speaks_of_opt_outs_rejects_nobody(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is over later is waited for, and each record done; credentials that are none stop the run."""
    words = {"Errors": [{"Error": "Too many client opt-outs: none of the opt-outs were created."}]}
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        (api,) = (one for one in sandbox.apis.values() if type(one).__name__ == "OmedaApi")
        respond, left = type(api).respond, iter(range(3))

        def refuse(self: Any, incoming: Any) -> SandboxResponse:
            return respond(self, incoming) if next(left, None) is None else json_response(status, words)

        monkeypatch.setattr(type(api), "respond", refuse)
        run = RUNS["opt_outs"](manager)
        if status == 401:
            await stopped(run)
            assert isinstance(run.stopped_by, AuthenticationFailed)
        else:
            assert (await run).counts == {DONE: len(IDS)}


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
async def test_a_wrong_url_stops_the_run(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 without a word is everyone's, if it meets the first few: of cancels four, else one for each call."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for api in sandbox.apis.values():
            monkeypatch.setattr(type(api), "respond", lambda _self, _incoming: SandboxResponse(404))
        if operation == "opt_outs":
            records: list[Any] = [ClientOptOut(f"a{place}@example.com") for place in range(200)]
            run = manager.omeda.opt_outs.submit_many(records, concurrency=2, max_entries=10)
        else:
            run = CANCELS[operation](manager)([f"x{place}" for place in range(200)], concurrency=2)
        report = await run
        assert report.requests <= (2 if operation in {"opt_outs", "transactions"} else 5)
        assert adds_up(run, 200)
        assert isinstance(run.stopped_by, NotFound)


@pytest.mark.parametrize("operation", ["deployments", "campaigns"])
@pytest.mark.parametrize(
    ("page", "first", "second"),
    [(SandboxResponse(404), FAILED, REJECTED), (html_response(404, "404"), UNKNOWN, UNKNOWN)],
    ids=["empty", "page"],
)
async def test_a_target_that_is_not_found_without_a_word_does_not_stop_the_run(
    operation: str, page: SandboxResponse, first: OutcomeStatus, second: OutcomeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many, it is that record's: rejected once the URL has proved right, else to be tried again.

    Behind a page it may have been done, as long as reading shows nothing but a page, too.
    """
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for name in ("a", "b", "c"):
            seed(sandbox, name, "open")
        for name in ("omeda", "ocamba"):
            api = type(sandbox.apis[name])

            def responded(self: Any, incoming: Any, respond: Any = api.respond) -> Any:
                gone = b"gone" in incoming.body + incoming.path.encode()
                return page if gone else respond(self, incoming)

            monkeypatch.setattr(api, "respond", responded)
        run = CANCELS[operation](manager)(["gone1", "a", "gone2", "b", "c"], concurrency=1)
        outcomes = {outcome.key: outcome.status for outcome in await collect(run)}
        assert outcomes == {"gone1": first, "a": DONE, "gone2": second, "b": DONE, "c": DONE}
        assert run.stopped_by is None
