"""Shared runs of every provider: what another process makes of the records is what was asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from omeda_async import (
    BrandOptOut,
    CampaignCancel,
    ClientOptOut,
    DeploymentCancel,
    DeploymentTypeOptOut,
    JournalError,
    OutcomeStatus,
    TransactionCancel,
)
from omeda_async._row import Row
from omeda_async.bulk.journal.chunks import Terms
from omeda_async.journal import read_not_done
from omeda_async.sandbox import Sandbox
from tests.bulk.sandboxed import manager_on
from tests.bulk.shared_help import Abandoned, later

S = OutcomeStatus
SOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
OPT_OUTS = [
    ClientOptOut("a@omeda.com", key=1),
    BrandOptOut("b@omeda.com", brand_ids=["XXG", "XXH"], source="Company STU", key="two"),
    DeploymentTypeOptOut("c@omeda.com", deployment_type_ids=[4194, 4804]),
    {"email_address": "d@omeda.com", "brand_ids": ("XXG",), "key": 4},
    Row(7, {"email_address": "e@omeda.com", "brand_ids": ["XXG"]}),
    BrandOptOut("f@omeda.com", brand_ids=["NOPE"]),
    Row(8, ValueError("no")),
]
DEPLOYMENTS = [
    "FOO1",
    DeploymentCancel("FOO2", user_id="omailAccount1", scheduled_for=SOON, key="k"),
    {"track_id": "FOO3", "scheduled_for": SOON, "user_id": None},
    "FOO9",
]
CAMPAIGNS = ["1", CampaignCancel("2", "enough", key=5), {"campaign_id": 3, "reason": "other"}, "9"]
TRANSACTIONS = ["k1", TransactionCancel("k2", reason="why", milestones="Gone"), {"submit_key": "k3", "key": 4}, "k9"]


def seed(sandbox: Sandbox) -> None:
    """Let the sandbox have what is to be cancelled."""
    for number in range(1, 4):
        sandbox.omeda.seed_deployment(f"FOO{number}")
        sandbox.ocamba.seed_campaign(str(number), status="scheduled")
        sandbox.journey_manager.seed_transaction(f"k{number}")


@pytest.mark.parametrize(
    ("provider", "client", "records", "name", "values"),
    [
        ("omeda", "opt_outs", OPT_OUTS, "allow_odd_addresses", (None, True)),
        ("omeda", "deployments", DEPLOYMENTS, "user_id", ("omailAccount1", "omailAccount2")),
        ("ocamba", "campaigns", CAMPAIGNS, "reason", (None, "other")),
        ("journey_manager", "transactions", TRANSACTIONS, "reason", ("one", "other")),
        ("journey_manager", "transactions", TRANSACTIONS, "milestones", ("one", None)),
    ],
)
@pytest.mark.parametrize("pii", ["keep", "hash"])
async def test_a_run_is_not_filled_with_other_options(  # noqa: PLR0917 a row of the table
    journal_url: str, provider: str, client: str, records: list[Any], name: str, values: tuple[Any, Any], pii: str
) -> None:
    """They would make other records of the same input, each sent once more: the option is named, and what to do."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        first, other = (
            getattr(getattr(manager, provider), client).shared_run(journal_url, **{name: value}) for value in values
        )
        filled = await first.fill(records, journal_pii=pii)
        for use in (lambda: other.fill(records, journal_pii=pii), other.work):
            with pytest.raises(JournalError, match=f"{name} is .*; give it as it is there, or each run its own name"):
                await use()
        assert (await first.fill(records, journal_pii=pii)).added == 0
        assert (await first.report()).total == filled.records + filled.repeats + filled.refused


@pytest.mark.parametrize(
    ("provider", "client", "records", "options", "counts"),
    [
        ("omeda", "opt_outs", OPT_OUTS, {}, {S.DONE: 5, S.REJECTED: 2}),
        ("omeda", "deployments", DEPLOYMENTS, {}, {S.DONE: 3, S.REJECTED: 1}),
        ("ocamba", "campaigns", CAMPAIGNS, {"reason": "all"}, {S.DONE: 3, S.REJECTED: 1}),
        ("journey_manager", "transactions", TRANSACTIONS, {"reason": "all"}, {S.DONE: 3, S.REJECTED: 1}),
    ],
)
async def test_records_of_any_kind_are_sent_by_another(  # noqa: PLR0917 a row of the table
    journal_url: str, provider: str, client: str, records: list[Any], options: dict[str, Any], counts: dict[S, int]
) -> None:
    """Models, mappings, rows of files and ids, with keys and dates: as in a plain run, and with the same positions."""
    async with Sandbox() as sandbox, manager_on(sandbox) as here, manager_on(sandbox) as there:
        seed(sandbox)
        filling = getattr(getattr(here, provider), client).shared_run(journal_url, **options)
        await filling.fill(records, chunk=3)
        report = await getattr(getattr(there, provider), client).shared_run(journal_url, **options).work()
    assert report.counts == counts
    assert report.complete
    assert [one.position for one in report.failures] == [one.position for one in read_not_done(journal_url)]
    assert report.failures[-1].position == len(records) - 1


async def test_what_a_dead_process_had_on_its_way_comes_before_the_takeover(journal_url: str) -> None:
    """The time-out of an attempt is not over: until then nobody asks how it stands, and nobody sends anything."""
    terms = Terms(lease=30.0, attempt=60.0, lookback=0.0)
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        seed(sandbox)
        run = manager.omeda.deployments.shared_run(journal_url)
        await run.fill(["FOO1", "FOO2"])
        with Abandoned(journal_url, terms, run=run) as dead:
            dead.intend(0)
        later(journal_url, 31.0)
        assert (await run.perform(0)).status == "taken"
        assert not sandbox.requests
        await manager.omeda.deployments.cancel("FOO1")  # as if its request had come
        later(journal_url, 60.0)
        assert (await run.perform(0)).counts == {S.DONE: 1, S.ALREADY_DONE: 1}
        assert [sandbox.omeda.deployments[name].cancels for name in ("FOO1", "FOO2")] == [1, 1]
