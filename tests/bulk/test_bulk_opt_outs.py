"""Opt-outs in bulk against the sandbox: what is refused of a batch, what is too large, what meets everyone."""

import pytest

from omeda_async import BrandOptOut, ClientOptOut, DeploymentTypeOptOut, OutcomeStatus
from omeda_async.errors import BatchRejected
from omeda_async.sandbox import Fault, FaultKind as Kind, Sandbox
from tests.bulk.bulk_fakes import adds_up, collect
from tests.bulk.sandboxed import manager_on

DONE, REJECTED, UNKNOWN = OutcomeStatus.DONE, OutcomeStatus.REJECTED, OutcomeStatus.UNKNOWN


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
