"""Run random fault plans against the sandbox, and compare every outcome with the provider's own state.

A plan is one bulk run: what is there, what goes wrong (before, after or behind the answer), and whether, when and how
it is stopped. Each is drawn from the seed and its number alone, and carried out on a moved clock with asyncio's debug
mode on. What has to hold of it is what tests/bulk/test_proof.py proves over fewer: one outcome for each record, and
the true one; unknown only where the last word was lost or came from in between; every stop ends within its time.

    python -m benchmarks.faults                            500 plans
    python -m benchmarks.faults --plans 5000 --write       the long form; puts its table into the README
    python -m benchmarks.faults --stops-only --seed 7      every run is stopped, and most are cancelled under way
    python -m benchmarks.faults --seed 7 --plan 123        one plan again, with what is wrong with it
"""

import argparse
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from types import FrameType
from unittest import mock

import attrs

from benchmarks import _harness
from omeda_async import ClosedError, OutcomeStatus
from omeda_async.testing import run_moved
from tests.bulk.fault_checks import check
from tests.bulk.fault_plans import CANCELLATIONS, NO, OPERATIONS, STOPS, FaultPlan, drawn, stopped_under_way
from tests.bulk.fault_runs import Result, execute

MOST_RECORDS = 40
PATIENCE = 0.0005
WANTED = 0.5
"""The part of the runs that is stopped, unless all are."""
FEW_RECORDS = 8
"""How many a run has at the most that is there to be stopped."""
STOPS_ONLY = (*STOPS, *5 * CANCELLATIONS)


@attrs.define
class Tally:
    """What has come of the plans of one operation."""

    plans: int = 0
    records: int = 0
    requests: int = 0
    stops: Counter[str] = attrs.field(factory=Counter)
    met: Counter[str] = attrs.field(factory=Counter)
    """The stops that have met a run under way, which nothing else had stopped."""
    faults: Counter[str] = attrs.field(factory=Counter)
    statuses: Counter[OutcomeStatus] = attrs.field(factory=Counter)
    disagreements: list[str] = attrs.field(factory=list)

    def add(self, result: Result) -> None:
        """Count what a run has come to."""
        self.records += len(result.outcomes)
        self.requests += len(result.sandbox.requests)
        if result.plan.stop != NO and isinstance(result.run.stopped_by, ClosedError):
            self.met[result.plan.stop] += 1
        self.faults += result.sandbox.faults.by_label
        self.statuses.update(outcome.status for outcome in result.outcomes)


def plan_of(seed: int, number: int, *, stops_only: bool = False) -> FaultPlan:
    """Draw a plan: the same for the same seed, number and kind of plans."""
    rng = Random(f"{seed}:{number}")  # noqa: S311 chance, and no secret
    operation = OPERATIONS[number % len(OPERATIONS)]
    if stops_only:
        return stopped_under_way(rng, operation, STOPS_ONLY, most=FEW_RECORDS)
    stops: Sequence[str] = STOPS if rng.random() < WANTED else [NO]
    return drawn(rng, operation, stops, most=MOST_RECORDS)


def carry_out(plan: FaultPlan, tally: Tally, name: str) -> None:
    """Carry a plan out, and note what came of it, and what does not agree."""
    tally.plans += 1
    if plan.stop != NO:
        tally.stops[plan.stop] += 1
    try:
        result = run_moved(execute(plan), patience=PATIENCE)
        tally.add(result)
        check(result)
    except (AssertionError, TimeoutError, ExceptionGroup) as problem:
        tally.disagreements.append(f"{name}: {type(problem).__name__}: {problem}")


def run(plans: Sequence[int], seed: int, *, stops_only: bool, tell: Callable[[str], None] = print) -> dict[str, Tally]:
    """Carry out the plans of these numbers, and return what came of them by operation."""
    tallies = {operation: Tally() for operation in OPERATIONS}
    for number in plans:
        plan = plan_of(seed, number, stops_only=stops_only)
        tally = tallies[plan.operation]
        before = len(tally.disagreements)
        carry_out(plan, tally, f"plan {number} of seed {seed}")
        for problem in tally.disagreements[before:]:
            tell(f"{problem}\n  {plan}")
    return tallies


def report(tallies: dict[str, Tally]) -> str:
    """Put what came of the plans into tables."""
    head = ("operation", "plans", "stopped under way", "records", "requests", "faults", "disagreements")
    rows = [
        [
            operation,
            *(f"{number:,}" for number in (one.plans, one.met.total(), one.records, one.requests)),
            f"{one.faults.total():,}",
            f"**{len(one.disagreements)}**",
        ]
        for operation, one in tallies.items()
    ]
    statuses = [
        [operation, *(f"{one.statuses[status]:,}" for status in OutcomeStatus)] for operation, one in tallies.items()
    ]
    tables = [
        _harness.table(head, rows),
        _harness.table(("operation", *(status.value for status in OutcomeStatus)), statuses),
    ]
    return "\n\n".join([*tables, *_stops(tallies)])


def _stops(tallies: dict[str, Tally]) -> list[str]:
    """Return the table of the stops; there is none where no run was to be stopped."""
    stops, met = (sum((getattr(one, name) for one in tallies.values()), Counter[str]()) for name in ("stops", "met"))
    if not stops:
        return []
    named = [[how, f"{number:,}", f"{met[how]:,}"] for how, number in sorted(stops.items())]
    cancelled = [f"{sum(found[how] for how in CANCELLATIONS):,}" for found in (stops, met)]
    rows = [*named, ["**cancellations of the task**", *(f"**{number}**" for number in cancelled)]]
    return [_harness.table(("stop", "plans", "met a run under way"), rows)]


def section(tallies: dict[str, Tally], options: argparse.Namespace, seconds: float) -> str:
    """Return the section of the README."""
    call = f"python -m benchmarks.faults --plans {options.plans} --seed {options.seed}"
    took = f"({seconds / 60:.0f} minutes)"
    if options.stops_only:
        return f"""## Fault plans, stopped

`{call} --stops-only --write` writes this part
{took}. The same plans with a few records each: every run is stopped somehow, and most by cancelling
its task, at a random moment, twice, by the task group around it, or in the very moment of an attempt's time-out. What
has to hold is the same, asyncio's debug mode is on, and every stop has to end within its time.

{report(tallies)}"""
    return f"""## Fault plans

`{call} --write` writes this part
{took}. Random runs against the sandbox, with up to four faults each, half of them to be stopped
somehow; asyncio's debug mode is on. Every outcome is compared with the provider's own state half a minute later; it is
unknown only where the last word was lost or came from in between, or where a request was on its way as its run was
stopped, and every stop has to end within its time.

{report(tallies)}"""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--plans", type=int, default=500, metavar="N", help="how many plans (500)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what they are drawn from (1)")
    parser.add_argument("--plan", type=int, metavar="NUMBER", help="only this one of the seed")
    parser.add_argument("--stops-only", action="store_true", help="stop every run, of a few records each")
    parser.add_argument("--write", action="store_true", help="put the table into the README of the benchmarks")
    options = parser.parse_args(arguments)
    if options.plans < 1:
        parser.error("--plans must be at least 1")
    return options


def _walk_nowhere(f: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """Stand in for the walk up the stack that asyncio's debug mode makes for all it runs, and no check of its needs."""
    del f
    return iter(())


@contextmanager
def _quiet() -> Iterator[None]:
    """Log errors only: a slow step is no news here, nor that a run was broken off."""
    loggers = [logging.getLogger(name) for name in ("asyncio", "omeda_async")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with mock.patch.object(traceback, "walk_stack", _walk_nowhere):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = _options(arguments)
    began = time.perf_counter()
    numbers = range(options.plans) if options.plan is None else [options.plan]
    with _quiet():
        tallies = run(numbers, options.seed, stops_only=options.stops_only)
    print(report(tallies))
    if options.write and options.plan is None:
        _harness.write_section(
            "faults-stopped" if options.stops_only else "faults", section(tallies, options, time.perf_counter() - began)
        )
    if wrong := sum(len(one.disagreements) for one in tallies.values()):
        sys.exit(f"{wrong} disagreements")


if __name__ == "__main__":
    main()
