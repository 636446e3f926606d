"""How each bulk operation settles a lost answer, explains a refusal, and carries a record's own options."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import (
    BrandOptOut,
    BulkRun,
    CampaignCancel,
    ClientOptOut,
    DeploymentCancel,
    DeploymentTypeOptOut,
    Outcome,
    OutcomeStatus,
    SessionManager,
    TransactionCancel,
)
from omeda_async.errors import AlreadyDone, BatchRejected, InvalidRecord, NotFound, TooLate
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint as Point, Sandbox
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
READS = {"deployments": "deployments.lookup", "campaigns": "campaigns.get", "transactions": "transactions.query"}
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
        assert outcome.receipt is not None
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
        assert outcome.receipt is not None
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
async def test_a_provider_that_is_away_for_reads_too_leaves_it_unknown(operation: str) -> None:
    """503 until the attempts ran out, and nothing can be read: a gateway may have passed one of them on."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.UNAVAILABLE, times=None))
        outcome = await one(sandbox, operation)
        assert (outcome.status, outcome.attempts) == (UNKNOWN, 6)


@everywhere
@pytest.mark.parametrize("kind", [Kind.DROP, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT])
async def test_what_is_not_done_after_the_settle_delay_either_has_failed(operation: str, kind: Kind) -> None:
    """The first read that says "not done" is no proof; the one five seconds later is."""
    async with Sandbox() as sandbox:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(kind, Point.BEFORE, lambda one: one.operation.endswith(".cancel"), times=None))
        outcome = await one(sandbox, operation)
        assert (outcome.status, outcome.error is not None and outcome.error.sent) == (FAILED, False)
        *_, before, last = sandbox.requests
        assert before.operation == last.operation == READS[operation]
        assert last.arrived_at - before.arrived_at == pytest.approx(5.0, abs=0.1)


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


async def test_an_opt_out_with_one_bad_id_is_partly_done() -> None:
    """Its good ids are opted out, and the outcome names the bad one with the provider's words."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        records = [
            BrandOptOut("a@example.com", brand_ids=["XXG", "NOPE"], key="A"),
            DeploymentTypeOptOut("b@example.com", deployment_type_ids=[4194, 99]),
            ClientOptOut("c@example.com"),
        ]
        run = manager.omeda.opt_outs.submit_many(records)
        outcomes = {one.position: one for one in await collect(run)}
        assert [outcomes[place].status for place in range(3)] == [OutcomeStatus.PARTLY_DONE] * 2 + [DONE]
        assert outcomes[0].key == "A"
        error = outcomes[0].error
        assert isinstance(error, BatchRejected)
        assert [culprit.id for culprit in error.culprits] == ["NOPE"]
        assert "a@example.com" in error.messages[0]
        assert "a@example.com" not in str(error) + repr(outcomes[0])
        assert "b@example.com" not in "".join(error.messages)
        assert sandbox.omeda.opt_outs.applied() == {
            ("brand", "a@example.com", "XXG"),
            ("deployment_type", "b@example.com", 4194),
            ("client", "c@example.com", None),
        }
        assert run.report.requests == 2


@pytest.mark.parametrize("named", [None, 0], ids=["named", "nobody named"])
async def test_a_batch_refused_after_a_lost_answer_is_taken_apart_as_ever(named: int | None) -> None:
    """The doubt about the attempt before keeps nobody from being sent again without the culprit."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = named
        sandbox.fault(Fault(Kind.DROP))
        records = [BrandOptOut(f"a{place}@example.com", brand_ids=["XXG" if place else "NOPE"]) for place in range(8)]
        outcomes = await collect(manager.omeda.opt_outs.submit_many(records))
        assert [one.status for one in sorted(outcomes, key=lambda one: one.position)] == [REJECTED, *[DONE] * 7]
        assert [one.error.sent for one in outcomes if one.error is not None] == [False]
        assert len(sandbox.omeda.opt_outs) == 7


async def test_opt_outs_of_one_address_share_an_entry_and_keep_their_outcomes() -> None:
    """Two records of an address and level are one entry on the wire; the bad one of them is found all the same."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        records = [BrandOptOut("a@example.com", brand_ids=[brand]) for brand in ("XXG", "NOPE", "XXH")]
        outcomes = await collect(manager.omeda.opt_outs.submit_many(records))
        assert [one.status for one in sorted(outcomes, key=lambda one: one.position)] == [DONE, REJECTED, DONE]
        assert sandbox.omeda.opt_outs.submissions[0].entries == 1


async def test_culprits_nobody_names_are_found_by_halving() -> None:
    """The two bad ones of 200 are rejected, the rest is opted out once, in some thirty requests."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = 0
        records = [
            BrandOptOut(f"a{place}@example.com", brand_ids=["NOPE" if place in {17, 150} else "XXG"])
            for place in range(200)
        ]
        run = manager.omeda.opt_outs.submit_many(records)
        outcomes = await collect(run)
        assert {one.position for one in outcomes if one.status is REJECTED} == {17, 150}
        assert len(sandbox.omeda.opt_outs) == len(sandbox.omeda.opt_outs.applied()) == 198
        assert run.report.requests <= 35


async def test_the_budget_of_isolation_is_kept() -> None:
    """With five requests for it the search ends there: who is still in question is not sent, and is not opted out."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.named_culprits = 0
        ids = ["NOPE" if place in {17, 150} else "XXG" for place in range(200)]
        records = [BrandOptOut(f"a{place}@example.com", brand_ids=[one]) for place, one in enumerate(ids)]
        run = manager.omeda.opt_outs.submit_many(records, max_isolation_requests=5)
        outcomes = await collect(run)
        assert run.report.requests == 6
        assert run.stopped_by is None
        left = [one for one in outcomes if one.status is OutcomeStatus.NOT_SENT]
        assert left
        assert "max_isolation_requests" in str(left[0].error)
        done = {one.record.email_address for one in outcomes if one.status is DONE}
        assert done == {one.email_address for one in sandbox.omeda.opt_outs}
        assert adds_up(run, 200)


@pytest.mark.parametrize("bound", ["max_entries", "max_bytes"])
async def test_a_request_that_is_too_large_is_cut_and_the_size_remembered(bound: str) -> None:
    """The provider takes some 60 at a time: a few requests find that out, and all others are as large as it takes."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        setattr(sandbox.omeda, bound, 60 if bound == "max_entries" else 2500)
        records = [ClientOptOut(f"a{place:04}@example.com") for place in range(2000)]
        run = manager.omeda.opt_outs.submit_many(records, max_entries=200, concurrency=1)
        assert (await run).counts == {DONE: 2000}
        refused = [one for one in sandbox.requests if one.status == 413]
        assert len(refused) <= 5
        assert len(sandbox.requests) <= 2000 / 60 + 12
        assert len(sandbox.omeda.opt_outs) == 2000


async def test_requests_split_for_their_size_cost_nothing_of_the_isolation_budget() -> None:
    """A provider that takes less than our batches never ends in records that are not sent."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.max_entries = 10
        records = [ClientOptOut(f"a{place:04}@example.com") for place in range(400)]
        report = await manager.omeda.opt_outs.submit_many(records, max_entries=80, max_isolation_requests=0)
        assert report.counts == {DONE: 400}


async def test_another_user_is_another_cancel() -> None:
    """Who may not cancel it does not speak for who may: records that differ in that are no repeats."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        seed(sandbox, "a", "open")
        records = [DeploymentCancel("a", user_id="stranger"), DeploymentCancel("a"), DeploymentCancel("a")]
        outcomes = await collect(manager.omeda.deployments.cancel_many(records, concurrency=1))
        assert [one.status for one in sorted(outcomes, key=lambda one: one.position)] == [REJECTED, DONE, DONE]


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
@pytest.mark.parametrize(
    "record", [None, 7.5, b"x", [], {}, {"nonsense": 1}, object(), ""], ids=lambda record: type(record).__name__
)
async def test_whatever_is_no_record_is_rejected_with_its_reason(operation: str, record: Any) -> None:
    """The oddest input costs its own outcome, says what is wrong, and sends nothing."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        start = manager.omeda.opt_outs.submit_many if operation == "opt_outs" else CANCELS[operation](manager)
        (outcome,) = await collect(start([record]))
        assert outcome.status is REJECTED
        assert isinstance(outcome.error, InvalidRecord)
        assert sandbox.requests == []
