"""The proof over random fault plans, with a journal: broken off anywhere, the same call finishes every record."""

import secrets
import tempfile
from pathlib import Path

from hypothesis import given, settings

from omeda_async import Outcome, OutcomeStatus
from omeda_async.journal import read_status
from omeda_async.sandbox import Sandbox
from omeda_async.testing import run_moved
from tests.bulk import fault_checks as checks, fault_notes as notes, fault_plans as plans, fault_runs as runs
from tests.bulk.bulk_fakes import collect
from tests.bulk.journal_help import Place
from tests.bulk.sandboxed import manager_on
from tests.bulk.test_proof import PROOF
from tests.campaigns import cases

PATIENCE = 0.002
SETTLED = frozenset(OutcomeStatus) - {OutcomeStatus.UNKNOWN, OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}


@settings(PROOF, max_examples=cases(120))
@given(plans.PLANS)
def test_a_run_broken_off_by_anything_is_brought_to_its_end(plan: plans.FaultPlan) -> None:
    """Resumed once nothing goes wrong any more: all is settled, truly, and what had been settled is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        run_moved(_resumed(plan, Path(folder) / "run.sqlite3"), patience=PATIENCE, debug=False)


@settings(PROOF, max_examples=cases(8))
@given(plan=plans.PLANS)
def test_and_so_is_one_whose_journal_is_in_postgresql(database: str, plan: plans.FaultPlan) -> None:
    """The same rules, by another backend."""
    run_moved(_resumed(plan, f"{database}&run=proof-{secrets.token_hex(8)}"), patience=PATIENCE, debug=False)


async def _resumed(plan: plans.FaultPlan, journal: Place) -> None:
    with notes.everything() as seen, runs.strays_on_idle_connections():
        async with Sandbox(seed=plan.seed, latency=plan.latency) as sandbox:
            records = plans.seed(sandbox, plan)
            plans.arm(sandbox, plan)
            checks.check(await runs.broken_off(plan, sandbox, records, seen, journal=journal))
            before = {one.position: one for one in seen.outcomes if one.status in SETTLED}
            heard = {name: len(held) for name, held in seen.exchanges.items()}
            sandbox.faults.clear()
            async with manager_on(sandbox, timeout=plans.TIMEOUT) as manager:
                after = await collect(plans.start(manager, plan, records, journal=journal))
            applied = checks.applied(sandbox, plan)
    assert sorted(one.position for one in after) == list(range(len(records)))
    for outcome in after:
        checks.check_outcome(outcome, plan, applied[outcome.position])
        _check_end(outcome, plan)
        earlier, name = before.get(outcome.position), f"id{outcome.position}"
        if earlier is not None:
            assert (outcome.status, outcome.attempts) == (earlier.status, earlier.attempts)
            assert len(seen.exchanges[name]) == heard.get(name, 0), "what was settled was asked about again"
    noted = read_status(journal)
    assert noted.complete
    assert noted.total == len(records) == sum(noted.counts.values())


def _check_end(outcome: Outcome, plan: plans.FaultPlan) -> None:
    # Journey Manager's query shows no transaction that is not there, nor one that is not shown to this user.
    missing = plan.operation == "transactions" and plan.states[outcome.position] == "missing"
    allowed = SETTLED | {OutcomeStatus.UNKNOWN} if missing else SETTLED
    assert outcome.status in allowed, f"{outcome.status} in the end: {outcome.error!r}"
