"""Random fault plans for bulk runs: what is there, what goes wrong, and how and when the run is stopped."""

from collections.abc import Sequence
from random import Random
from typing import Any

import attrs
from hypothesis import strategies as st

from omeda_async import BrandOptOut, BulkRun, SessionManager
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint, Sandbox

BEFORE, AFTER, LATER, MID = FaultPoint.BEFORE, FaultPoint.AFTER, FaultPoint.LATER, FaultPoint.MID
OPERATIONS = ("deployments", "campaigns", "transactions", "opt_outs")
STATES = ("open", "open", "open", "open", "done", "gone", "missing")
TIMEOUT = 2.0
NO, AT_A_TIMEOUT = "no", "at a time-out"
CANCELLATIONS = ("cancel", "cancel twice", "abort", AT_A_TIMEOUT)
STOPS = (*CANCELLATIONS, "aclose", "aclose at once", "break", "manager")
TIMES, CHANCES, SECONDS = (1, 1, 2, 4, None), (1.0, 0.5, 0.2), (0.3, 0.9, 3.0)
STRAY_AFTER = dict(zip(SECONDS, (0.0, 0.0, 0.6), strict=True))  # later, few connections are still there and idle
MOMENTS, ENTRIES, LATENCIES = (0.0, 0.01, 0.2, 0.7, 2.1), (2, 5, 500), (0.0, 0.0, 0.06)

# Refusals come before anything is applied, whole or cut.
REFUSALS = [(kind, BEFORE) for kind in (Kind.TOO_MANY, Kind.TOO_PARALLEL, Kind.SESSION_LOST)]
CUT = [(kind, MID) for kind in (Kind.TOO_MANY, Kind.SESSION_LOST, Kind.INTERNAL_ERROR, Kind.BAD_GATEWAY)]
LOST = [(Kind.DROP, point) for point in (BEFORE, AFTER, LATER, MID)]
# What is said instead of an answer comes before or after; what comes from in between, also long before.
OWN = [(kind, point) for kind in (Kind.INTERNAL_ERROR, Kind.SLOW) for point in (BEFORE, AFTER)]
IN_BETWEEN = [
    (kind, point)
    for kind in (Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT, Kind.CUT_JSON)
    for point in (BEFORE, AFTER, LATER)
]
NONSENSE = [(kind, point) for kind in (Kind.WRONG_JSON, Kind.HTML, Kind.EMPTY) for point in (BEFORE, AFTER, LATER)]
# Journey Manager's documented success is a bare 200: an empty one is a success there, whatever was done.
JM_NONSENSE = [(kind, point) for kind in (Kind.WRONG_JSON, Kind.HTML) for point in (BEFORE, AFTER, LATER)]
STRAYS = 2 * [(Kind.STRAY, AFTER)]
KINDS = {
    name: REFUSALS + CUT + 2 * LOST + OWN + IN_BETWEEN + STRAYS + (JM_NONSENSE if name == "transactions" else NONSENSE)
    for name in OPERATIONS
}


@attrs.frozen
class FaultPlan:
    """One run: what is there, what goes wrong, and how it is stopped."""

    operation: str
    states: tuple[str, ...]
    faults: tuple[tuple[Any, ...], ...]
    """Kind and point, times, probability, seconds, whether reads are hit too."""
    stop: str
    """``no``, or how the run is stopped."""
    moment: float
    """Seconds after the beginning, or tenths of the outcomes."""
    entries: int
    latency: float
    seed: int


def _plans_of(operation: str) -> st.SearchStrategy[FaultPlan]:
    fault = st.tuples(
        st.sampled_from(KINDS[operation]),
        st.sampled_from(TIMES),
        st.sampled_from(CHANCES),
        st.sampled_from(SECONDS),
        st.booleans(),
    )
    return st.builds(
        FaultPlan,
        operation=st.just(operation),
        states=st.lists(st.sampled_from(STATES), min_size=1, max_size=10).map(tuple),
        faults=st.lists(fault, max_size=4).map(tuple),
        stop=st.sampled_from([NO] * 4 + list(STOPS)),
        moment=st.sampled_from(MOMENTS),
        entries=st.sampled_from(ENTRIES),
        latency=st.sampled_from(LATENCIES),
        seed=st.integers(0, 2**16),
    )


PLANS = st.sampled_from(OPERATIONS).flatmap(_plans_of)
OPT_OUT_PLANS = _plans_of("opt_outs")
DEPLOYMENT_PLANS = _plans_of("deployments")


def drawn(rng: Random, operation: str, stops: Sequence[str], *, most: int) -> FaultPlan:
    """Draw a plan of one operation, of up to so many records, that is stopped in one of some ways."""
    fault = (KINDS[operation], TIMES, CHANCES, SECONDS, (False, True))
    return FaultPlan(
        operation=operation,
        states=tuple(rng.choices(STATES, k=rng.randint(1, most))),
        faults=tuple(tuple(map(rng.choice, fault)) for _ in range(rng.randint(0, 4))),
        stop=rng.choice(stops),
        moment=rng.choice([*MOMENTS, rng.uniform(0.0, 10.0)]),
        entries=rng.choice(ENTRIES),
        latency=rng.choice(LATENCIES),
        seed=rng.randrange(2**16),
    )


def stopped_under_way(rng: Random, operation: str, stops: Sequence[str], *, most: int) -> FaultPlan:
    """Draw a plan that is stopped, most likely before it has come to its end by itself."""
    plan = drawn(rng, operation, stops, most=most)
    moment = rng.choice([0.01, rng.uniform(0.0, 0.3), rng.uniform(0.0, 0.3), rng.uniform(0.0, 3.0)])
    return attrs.evolve(plan, moment=moment, latency=max(LATENCIES))


def seed(sandbox: Sandbox, plan: FaultPlan) -> list[Any]:
    """Put in place what the records are about; give the records."""
    return [_SEEDERS[plan.operation](sandbox, f"id{place}", state) for place, state in enumerate(plan.states)]


def _seed_deployment(sandbox: Sandbox, name: str, state: str) -> Any:
    status = {"open": "Scheduled", "done": "Cancelled", "gone": "Sent"}.get(state)
    if status is not None:
        sandbox.omeda.seed_deployment(name, status)
    return name


def _seed_campaign(sandbox: Sandbox, name: str, state: str) -> Any:
    status = {"open": "running", "done": "canceled", "gone": "sent"}.get(state)
    if status is not None:
        sandbox.ocamba.seed_campaign(name, status)
    return name


def _seed_transaction(sandbox: Sandbox, name: str, state: str) -> Any:
    status = {"open": "Saved", "done": "Abandoned", "gone": "Completed"}.get(state)
    if status is not None:
        sandbox.journey_manager.seed_transaction(name, status)
    return name


def _opt_out(_sandbox: Sandbox, name: str, state: str) -> Any:
    ids = {"gone": ["XXG", "NOPE"], "missing": ["NOPE"]}.get(state, ["XXG", "XXH"])
    return BrandOptOut(f"{name}@example.com", brand_ids=ids)


_SEEDERS = {
    "deployments": _seed_deployment,
    "campaigns": _seed_campaign,
    "transactions": _seed_transaction,
    "opt_outs": _opt_out,
}


def start(manager: SessionManager, plan: FaultPlan, records: list[Any], **options: Any) -> BulkRun:
    """Make the run of a plan."""
    match plan.operation:
        case "deployments":
            return manager.omeda.deployments.cancel_many(records, concurrency=3, **options)
        case "campaigns":
            return manager.ocamba.campaigns.cancel_many(records, reason="a test", concurrency=3, **options)
        case "transactions":
            return manager.journey_manager.transactions.cancel_many(records, concurrency=3, **options)
        case _:
            return manager.omeda.opt_outs.submit_many(records, max_entries=plan.entries, concurrency=2, **options)


def arm(sandbox: Sandbox, plan: FaultPlan) -> None:
    """Put the faults of a plan in force."""
    if plan.stop == AT_A_TIMEOUT:
        sandbox.fault(Fault(Kind.SLOW, AFTER, _is_write, times=None, probability=0.5, seconds=TIMEOUT + 1.0))
    for (kind, point), times, probability, moment, reads in plan.faults:
        match = None if reads else _is_write
        seconds = STRAY_AFTER[moment] if kind is Kind.STRAY else moment
        sandbox.fault(Fault(kind, point, match, times=times, probability=probability, seconds=seconds))


def _is_write(incoming: Any) -> bool:
    return str(incoming.operation).endswith((".cancel", ".submit"))
