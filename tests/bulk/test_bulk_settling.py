"""How each bulk operation settles a lost answer, explains a refusal, and carries a record's own options."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import (
    BulkRun,
    CampaignCancel,
    ClientOptOut,
    DeploymentCancel,
    Outcome,
    OutcomeStatus,
    SessionManager,
    TransactionCancel,
)
from omeda_async.errors import AlreadyDone, AuthenticationFailed, InvalidRecord, NotFound, TooLate
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint as Point, Sandbox
from omeda_async.sandbox._message import html_response
from tests.bulk.bulk_fakes import adds_up, collect
from tests.bulk.sandboxed import manager_on

Start = Callable[..., BulkRun]
DONE, ALREADY, TOO_LATE = OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE, OutcomeStatus.TOO_LATE
REJECTED, UNKNOWN, FAILED = OutcomeStatus.REJECTED, OutcomeStatus.UNKNOWN, OutcomeStatus.FAILED


def seed(sandbox: Sandbox, name: str, state: str) -> None:
    """Put one of each provider's things in place, all under one name and in the same state."""
    names = {
        "open": ("Scheduled", "running", "Saved"),
        "done": ("Cancelled", "canceled", "Abandoned"),
        "gone": ("Sent", "sent", "Completed"),
    }
    deployment, campaign, transaction = names[state]
    sandbox.omeda.seed_deployment(name, deployment)
    sandbox.ocamba.seed_campaign(name, campaign)
    sandbox.journey_manager.seed_transaction(name, transaction)


CANCELS: dict[str, Callable[[SessionManager], Start]] = {
    "deployments": lambda manager: manager.omeda.deployments.cancel_many,
    "campaigns": lambda manager: manager.ocamba.campaigns.cancel_many,
    "transactions": lambda manager: manager.journey_manager.transactions.cancel_many,
}
everywhere = pytest.mark.parametrize("operation", CANCELS)


async def one(sandbox: Sandbox, operation: str, **options: Any) -> Outcome:
    async with manager_on(sandbox) as manager:
        (outcome,) = await collect(CANCELS[operation](manager)(["x"], **options))
    return outcome


def paths(sandbox: Sandbox) -> list[str]:
    return [request.operation.rpartition(".")[2] for request in sandbox.requests]


@everywhere
@pytest.mark.parametrize("point", [Point.AFTER, Point.MID])
async def test_a_cancel_that_was_applied_and_lost_is_settled_as_done(operation: str, point: Point) -> None:
    """The outcome is ALREADY_DONE, with a receipt that says how, and the cancel was applied once."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.DROP, point))
        outcome = await one(sandbox, operation)
        assert (outcome.status, outcome.error, outcome.receipt.settled) == (ALREADY, None, True)
        assert outcome.attempts == 2
        repeat = {"deployments": "cancel", "campaigns": "get", "transactions": "query"}[operation]
        assert paths(sandbox) == ["cancel", repeat]


@everywhere
async def test_a_cancel_that_was_lost_and_not_applied_is_made_again(operation: str) -> None:
    """The read, or the repeat itself, shows that nothing was done: it is done now."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.DROP))
        outcome = await one(sandbox, operation)
        assert (outcome.status, outcome.receipt.settled) == (DONE, False)
        reads = {"deployments": [], "campaigns": ["get"], "transactions": ["query"]}[operation]
        assert paths(sandbox) == ["cancel", *reads, "cancel"]


@everywhere
async def test_a_lost_cancel_of_what_is_gone_is_too_late(operation: str) -> None:
    """The answer to what had been sent or completed was lost: the settling says so."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "gone")
        sandbox.fault(Fault(Kind.DROP))
        outcome = await one(sandbox, operation)
        assert outcome.status is TOO_LATE
        assert outcome.error is not None
        assert not outcome.error.sent


@everywhere
async def test_a_provider_that_never_answers_again_leaves_it_unknown(operation: str) -> None:
    """Applied, lost, and then nothing but silence: UNKNOWN, and the error says that it may have been sent."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.DROP, Point.AFTER))
        sandbox.fault(Fault(Kind.DROP, times=None))
        outcome = await one(sandbox, operation)
        assert outcome.status is UNKNOWN
        assert outcome.error is not None
        assert outcome.error.sent


@everywhere
async def test_what_was_refused_to_the_end_without_being_looked_at_has_failed(operation: str) -> None:
    """503 until the attempts ran out: certainly not applied, and worth trying again."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.UNAVAILABLE, times=None))
        outcome = await one(sandbox, operation)
        assert (outcome.status, outcome.attempts) == (FAILED, 3)


@everywhere
async def test_a_gateway_that_gave_up_leaves_what_is_not_done_yet_unknown(operation: str) -> None:
    """After a 504 the provider may still be at work: "not done" now does not mean never."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(
            Fault(Kind.GATEWAY_TIMEOUT, Point.BEFORE, lambda one: one.operation.endswith(".cancel"), times=None)
        )
        outcome = await one(sandbox, operation)
        assert outcome.status is UNKNOWN


@everywhere
async def test_what_someone_else_did_is_already_done(operation: str) -> None:
    """Refused on the first attempt, and explained where the refusal alone does not say it."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "done")
        outcome = await one(sandbox, operation)
        assert outcome.status is ALREADY
        assert isinstance(outcome.error, AlreadyDone)


@everywhere
async def test_what_is_gone_is_too_late(operation: str) -> None:
    """Sent or completed: the error is of that kind."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "gone")
        outcome = await one(sandbox, operation)
        assert outcome.status is TOO_LATE
        assert isinstance(outcome.error, TooLate)


@pytest.mark.parametrize("operation", ["campaigns", "transactions"])
async def test_without_explaining_a_refusal_is_just_that(operation: str) -> None:
    """``explain=False`` makes one request, and the refusal that does not say more is REJECTED."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "done")
        outcome = await one(sandbox, operation, explain=False)
        assert outcome.status is REJECTED
        assert paths(sandbox) == ["cancel"]


@everywhere
async def test_an_unknown_target_is_rejected_and_the_others_go_on(operation: str) -> None:
    """One id of three does not exist: it alone is rejected, in the provider's words."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for name in ("x", "z"):
            seed(sandbox, name, "open")
        outcomes = await collect(CANCELS[operation](manager)(["x", "y", "z"]))
        assert {one.key: one.status for one in outcomes} == {"x": DONE, "y": REJECTED, "z": DONE}


async def test_a_target_that_is_not_there_when_asked_again_is_rejected() -> None:
    """A lost first answer leaves no doubt when the provider then says that there is no such thing."""
    for operation in ("deployments", "campaigns"):
        async with Sandbox() as sandbox:
            sandbox.fault(Fault(Kind.DROP))
            outcome = await one(sandbox, operation)
            assert outcome.status is REJECTED
            assert isinstance(outcome.error, NotFound)


async def test_records_carry_options_and_keys_of_their_own() -> None:
    """Models, mappings and bare ids: user, reason and milestone per record go before those of the run."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for name in ("a", "b", "c"):
            seed(sandbox, name, "open")
        sandbox.omeda.deployments["b"].authorized.add("omailAccount2")
        sandbox.omeda.deployments["b"].fields["OwnerUserId"] = "nobody"
        run = manager.omeda.deployments.cancel_many(
            ["a", {"track_id": "b", "user_id": "omailAccount2", "key": "B"}, DeploymentCancel("c", key="C")]
        )
        assert {one.key: one.status for one in await collect(run)} == {"a": DONE, "B": DONE, "C": DONE}
        cancel_campaigns = manager.ocamba.campaigns.cancel_many
        await cancel_campaigns(["a", {"campaign_id": "b", "reason": "B's"}, CampaignCancel("c")], reason="all's")
        reasons = {name: sandbox.ocamba.campaigns[name].reason for name in "abc"}
        assert reasons == {"a": "all's", "b": "B's", "c": "all's"}
        cancel_transactions = manager.journey_manager.transactions.cancel_many
        await cancel_transactions(
            ["a", {"submit_key": "b", "milestones": "B's"}, TransactionCancel("c", reason="C's")],
            reason="all's",
            milestones="all's",
        )
        found = sandbox.journey_manager.transactions
        assert {name: (found[name].reason, *found[name].milestones) for name in "abc"} == {
            "a": ("all's", "all's"),
            "b": ("all's", "B's"),
            "c": ("C's", "all's"),
        }


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


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
async def test_a_wrong_url_stops_the_run(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 that names nothing is everyone's, if it meets the first few: of cancels four, else one for each call."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for api in sandbox.apis.values():
            monkeypatch.setattr(type(api), "respond", lambda _self, _incoming: html_response(404, "404 Not Found"))
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
async def test_a_target_that_is_not_found_without_a_word_does_not_stop_the_run(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many, it is that record's: rejected once the URL has proved right, else to be tried again."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for name in ("a", "b", "c"):
            seed(sandbox, name, "open")
        for name in ("omeda", "ocamba"):
            api = type(sandbox.apis[name])

            def responded(self: Any, incoming: Any, respond: Any = api.respond) -> Any:
                gone = b"gone" in incoming.body + incoming.path.encode()
                return html_response(404, "404") if gone else respond(self, incoming)

            monkeypatch.setattr(api, "respond", responded)
        run = CANCELS[operation](manager)(["gone1", "a", "gone2", "b", "c"], concurrency=1)
        outcomes = {outcome.key: outcome.status for outcome in await collect(run)}
        assert outcomes == {"gone1": FAILED, "a": DONE, "gone2": REJECTED, "b": DONE, "c": DONE}
        assert run.stopped_by is None


async def test_another_user_is_another_cancel() -> None:
    """Who may not cancel it does not speak for who may: records that differ in that are no repeats."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        seed(sandbox, "a", "open")
        records = [DeploymentCancel("a", user_id="stranger"), DeploymentCancel("a"), DeploymentCancel("a")]
        outcomes = await collect(manager.omeda.deployments.cancel_many(records, concurrency=1))
        assert [one.status for one in sorted(outcomes, key=lambda one: one.position)] == [REJECTED, DONE, DONE]


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
@pytest.mark.parametrize(
    "record", [None, 7, b"x", [], {}, {"nonsense": 1}, object(), ""], ids=lambda record: type(record).__name__
)
async def test_whatever_is_no_record_is_rejected_with_its_reason(operation: str, record: Any) -> None:
    """The oddest input costs its own outcome, says what is wrong, and sends nothing."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        start = manager.omeda.opt_outs.submit_many if operation == "opt_outs" else CANCELS[operation](manager)
        (outcome,) = await collect(start([record]))
        assert outcome.status is REJECTED
        assert isinstance(outcome.error, InvalidRecord)
        assert sandbox.requests == []
