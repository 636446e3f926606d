"""What must hold of a fault plan that was carried out: nothing lost, nothing guessed, and unknown only what must be."""

from collections.abc import Iterable, Mapping
from typing import Any

from omeda_async import Outcome, OutcomeStatus
from omeda_async.errors import BatchRejected
from omeda_async.sandbox import Sandbox
from tests.bulk.fault_plans import NO, FaultPlan
from tests.bulk.fault_runs import Result

CERTAIN = frozenset({OutcomeStatus.REJECTED, OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT, OutcomeStatus.TOO_LATE})


def check(result: Result) -> None:
    """Fail unless everything that was promised holds."""
    report, plan = result.run.report, result.plan
    places = sorted(outcome.position for outcome in result.outcomes)
    assert len(places) == len(set(places)), "a record has two outcomes"
    assert report.total == sum(report.counts.values()) == len(places)
    if result.run._engine is not None:
        assert report.complete, "the run has not come to its end"
        assert places == list(range(result.run._engine.reader.position)), "a record that was read has no outcome"
    if plan.stop == NO:
        assert places == list(range(len(plan.states)))
        assert sorted(outcome.position for outcome in result.taken) == places
    times = applied(result.sandbox, plan)
    for outcome in result.outcomes:
        check_outcome(outcome, plan, times[outcome.position])
        _check_exchanges(outcome, result)
    if plan.stop == NO:
        assert report.requests == len(result.sandbox.requests), "a request was not counted"
    if plan.stop == NO and sum(result.sandbox.faults.fired.values()) <= 1:
        unknown = {plan.states[one.position] for one in result.outcomes if one.status is OutcomeStatus.UNKNOWN}
        # Journey Manager's query shows no transaction that is not there, nor one that is not shown to this user.
        allowed = {"missing"} if plan.operation == "transactions" else set()
        assert unknown <= allowed, "one failure is always settled"
    result.sandbox.assert_never_over_limit()


def applied(sandbox: Sandbox, plan: FaultPlan) -> list[int]:
    """Tell how often each record was applied; opt-outs by the ids that should be."""
    things: Mapping[str, Any]
    match plan.operation:
        case "deployments":
            things = sandbox.omeda.deployments
        case "campaigns":
            things = sandbox.ocamba.campaigns
        case "transactions":
            things = sandbox.journey_manager.transactions
        case _:
            return list(_opted_out(sandbox, len(plan.states)))
    names = [f"id{place}" for place in range(len(plan.states))]
    counts = [things[name].cancels if name in things else 0 for name in names]
    assert max(counts) <= 1, "a cancel was applied twice"
    return counts


def _opted_out(sandbox: Sandbox, number: int) -> Iterable[int]:
    applied = sandbox.omeda.opt_outs.applied()
    assert not any(one[2] == "NOPE" for one in applied)
    for place in range(number):
        yield sum(("brand", f"id{place}@example.com", brand) in applied for brand in ("XXG", "XXH"))


def check_outcome(outcome: Outcome, plan: FaultPlan, applied: int) -> None:
    """Fail unless an outcome agrees with how often its record was applied."""
    state, status = plan.states[outcome.position], outcome.status
    text = f"{status} for {state}, applied {applied} times: {outcome.error!r}"
    wanted = 2 if plan.operation == "opt_outs" else 1
    if status is OutcomeStatus.DONE:
        assert applied == wanted, text
    elif status is OutcomeStatus.ALREADY_DONE:
        assert applied == wanted or state == "done", text
        assert outcome.error is None or not applied, f"{text}: it was us, and nobody else"
    elif status is OutcomeStatus.PARTLY_DONE:
        assert applied == 1, text
        assert isinstance(outcome.error, BatchRejected), text
        assert [culprit.id for culprit in outcome.error.culprits] == ["NOPE"], text
    elif status in CERTAIN:
        assert applied == 0, text
    if status in {OutcomeStatus.TOO_LATE, OutcomeStatus.REJECTED}:
        assert state == "missing" if plan.operation == "opt_outs" else state != "open", text
    assert (outcome.error is None) == status.is_done or status is OutcomeStatus.ALREADY_DONE, text


def _check_exchanges(outcome: Outcome, result: Result) -> None:
    """Unknown is earned, and not sent is only what was not."""
    plan, status = result.plan, outcome.status
    exchanges = result.exchanges[f"id{outcome.position}"]
    text = f"{status} after {exchanges}: {outcome.error!r}"
    if status in {OutcomeStatus.UNKNOWN, OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}:
        assert outcome.error is not None, text
        assert outcome.error.sent is (status is OutcomeStatus.UNKNOWN), text
    if status is OutcomeStatus.NOT_SENT and plan.operation != "opt_outs":
        assert (outcome.attempts, exchanges) == (0, []), text
    if status is not OutcomeStatus.UNKNOWN:
        return
    assert outcome.attempts, f"{text}: nothing was sent"
    lost = any(one.lost for one in exchanges)
    if plan.stop != NO or result.run.stopped_by is not None:  # and nobody asked again
        in_flight = f"id{outcome.position}" in result.broken_off
        assert lost or in_flight, f"{text}: nothing was lost, nor in flight as the run was stopped"
        return
    assert lost, f"{text}: nothing was lost, nor came from in between"
    # What a read does not show may only not be shown: it proves nothing.
    settled = exchanges[-1].told and plan.states[outcome.position] != "missing"
    assert not settled, f"{text}: the provider had its say in the end"
