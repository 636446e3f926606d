"""The benchmark of fault plans: a plan can be drawn again, what came of it is counted, and what is wrong is noticed."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks import _harness, faults
from omeda_async import OutcomeStatus
from omeda_async.testing import run_moved
from tests.bulk import fault_plans as plans
from tests.bulk.fault_runs import execute


def test_a_plan_is_the_same_for_the_same_seed_and_number() -> None:
    """Whatever a long form finds can be looked at again, alone."""
    drawn = [faults.plan_of(7, number) for number in range(40)]
    assert drawn == [faults.plan_of(7, number) for number in range(40)]
    assert len({repr(plan) for plan in drawn}) == 40
    assert drawn != [faults.plan_of(8, number) for number in range(40)]


def test_plans_come_in_all_kinds() -> None:
    """Every operation, every way to stop, every kind of fault at every point, and half of the runs to their end."""
    drawn = [faults.plan_of(1, number) for number in range(2000)]
    assert {plan.operation for plan in drawn} == set(plans.OPERATIONS)
    assert {plan.stop for plan in drawn} == {plans.NO, *plans.STOPS}
    assert 0.4 < sum(plan.stop == plans.NO for plan in drawn) / len(drawn) < 0.6
    for operation in plans.OPERATIONS:
        kinds = {fault[0] for plan in drawn if plan.operation == operation for fault in plan.faults}
        assert kinds == set(plans.KINDS[operation])


def test_most_of_the_plans_that_are_there_to_be_stopped_are_cancelled() -> None:
    """Each way to stop is there, no run goes to its end, and each has a few records only."""
    drawn = [faults.plan_of(1, number, stops_only=True) for number in range(1000)]
    assert {plan.stop for plan in drawn} == set(plans.STOPS)
    assert sum(plan.stop in plans.CANCELLATIONS for plan in drawn) > 700
    assert max(len(plan.states) for plan in drawn) == faults.FEW_RECORDS


def test_what_comes_of_plans_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Plans, records, requests, stops, faults and statuses by operation; nothing disagrees."""
    faults.main(["--plans", "8", "--seed", "3"])
    told = capsys.readouterr().out
    drawn = [faults.plan_of(3, number) for number in range(8)]
    for operation in plans.OPERATIONS:
        assert f"| {operation} | 2 | " in told
    assert told.partition("| stop |")[0].count("| **0** |") == 4
    assert "| already_done |" in told
    stopped = {plan.stop for plan in drawn} - {plans.NO}
    assert stopped
    assert all(f"| {how} | " in told for how in stopped)


def test_a_stop_counts_as_met_only_where_the_run_was_under_way() -> None:
    """What is stopped before it has begun, or after its end, shows little."""
    tally = faults.Tally()
    under_way = attrs.evolve(faults.plan_of(3, 1, stops_only=True), stop="cancel", moment=0.01, latency=0.06)
    for moment in (under_way.moment, 100.0):
        faults.carry_out(attrs.evolve(under_way, moment=moment), tally, "a plan")
    assert (tally.stops, tally.met, tally.disagreements) == ({"cancel": 2}, {"cancel": 1}, [])


def test_a_disagreement_is_named_with_its_plan_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seed and the number that bring it back, and what is wrong."""

    def disagree(_result: Any) -> None:
        raise AssertionError("the provider says otherwise")

    monkeypatch.setattr(faults, "check", disagree)
    with pytest.raises(SystemExit, match="1 disagreements"):
        faults.main(["--seed", "3", "--plan", "5"])
    told = capsys.readouterr().out
    assert "plan 5 of seed 3: AssertionError: the provider says otherwise" in told
    assert repr(faults.plan_of(3, 5)) in told
    assert "| campaigns | 1 |" in told


def test_a_run_that_does_not_stop_in_time_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stops without a journal has to end in seconds."""
    monkeypatch.setattr("tests.bulk.fault_runs.MANNERS", -100.0)
    plan = next(plan for number in range(99) if (plan := faults.plan_of(1, number)).stop == "cancel twice")
    tally = faults.Tally()
    faults.carry_out(plan, tally, "x")
    assert (tally.plans, tally.stops) == (1, {"cancel twice": 1})
    assert len(tally.disagreements) == 1
    assert "s to stop" in tally.disagreements[0]


def test_the_section_says_how_it_came_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that writes it again, and the tables."""
    monkeypatch.setattr(_harness, "README", tmp_path / "README.md")
    faults.main(["--plans", "4", "--seed", "9", "--stops-only", "--write"])
    written = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "`python -m benchmarks.faults --plans 4 --seed 9 --stops-only --write`" in written
    assert "| deployments | 1 | " in written
    assert "<!-- faults-stopped:begin -->\n## Fault plans, stopped\n" in written
    assert "| **cancellations of the task** | **" in written


@pytest.mark.parametrize("arguments", [["--plans", "0"], ["--plans", "x"], ["--seed", "x"]])
def test_what_it_cannot_take_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the option."""
    with pytest.raises(SystemExit):
        faults.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_a_tally_adds_up_what_a_run_has_come_to() -> None:
    """All of its outcomes and requests, and the faults that happened."""
    plan = next(
        plan
        for number in range(99)
        if (plan := faults.plan_of(2, number)).stop == plans.NO and len(plan.states) > 5 and plan.faults
    )
    tally = faults.Tally()
    result = run_moved(execute(plan), patience=faults.PATIENCE)
    tally.add(result)
    assert tally.records == tally.statuses.total() == len(plan.states)
    assert tally.requests == len(result.sandbox.requests)
    assert tally.faults == result.sandbox.faults.by_label
    assert set(tally.statuses) <= set(OutcomeStatus)
