"""The proof over random fault plans: nothing lost, nothing guessed, nothing sent twice, never over the limit."""

import asyncio
import datetime as dt
from copy import copy
from typing import Any
from unittest import mock

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from omeda_async import ClosedError, Deployment, OmedaAsyncError, _decide
from omeda_async._operation import Verdict, Verification
from omeda_async._result import Result
from omeda_async.bulk import Group, Isolation, not_sent
from omeda_async.providers.omeda import _operations, _opt_outs
from omeda_async.providers.omeda._requests import SearchDeployments
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentSearch
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from omeda_async.testing import run_moved
from tests.bulk.fault_checks import check
from tests.bulk.fault_plans import AT_A_TIMEOUT, DEPLOYMENT_PLANS, NO, OPT_OUT_PLANS, PLANS, FaultPlan
from tests.bulk.fault_runs import execute
from tests.bulk.sandboxed import manager_on
from tests.campaigns import cases

PATIENCE = 0.0005
STOPPED = PLANS.filter(lambda plan: plan.stop != NO)
PROOF = settings(
    max_examples=cases(400), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@PROOF
@given(PLANS)
def test_every_record_has_one_outcome_that_agrees_with_the_provider(plan: FaultPlan) -> None:
    """Whatever goes wrong and whenever it is stopped: one outcome a record, and the provider's state bears it out."""
    check(run_moved(execute(plan), patience=PATIENCE, debug=False))


@settings(PROOF, max_examples=cases(200))
@given(STOPPED)
def test_stopping_at_any_moment_keeps_the_promises_too(plan: FaultPlan) -> None:
    """The same, with every run stopped somehow: by cancelling, closing, leaving the loop, or closing the manager.

    With asyncio's debug mode on, which is slow enough for coincidences that are rare otherwise.
    """
    check(run_moved(execute(plan), patience=PATIENCE, debug=True))


CREATE_FAULT = st.tuples(
    st.sampled_from(
        [(kind, FaultPoint.BEFORE) for kind in FaultKind]
        + [
            (kind, FaultPoint.AFTER)
            for kind in (
                FaultKind.DROP,
                FaultKind.SLOW,
                FaultKind.INTERNAL_ERROR,
                FaultKind.BAD_GATEWAY,
                FaultKind.GATEWAY_TIMEOUT,
                FaultKind.UNAVAILABLE,  # by a proxy that had passed the request on
                FaultKind.WRONG_JSON,
                FaultKind.CUT_JSON,
                FaultKind.HTML,
                FaultKind.EMPTY,
            )
        ]
        + [(FaultKind.DROP, FaultPoint.MID)]
    ),
    st.sampled_from([1, 1, 2, None]),
    st.sampled_from(["deployments.create", "deployments.create", "deployments.search", None]),
)

CREATES = (st.lists(CREATE_FAULT, max_size=4), st.sampled_from([0.0, 20.0]), st.sampled_from([None, None, 0.0, 0.3]))


@settings(PROOF, max_examples=cases(150))
@given(*CREATES)
def test_a_deployment_is_never_created_twice(
    faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None
) -> None:
    """A create happens once if there is a receipt, never if the error says it was not sent, and at most once else."""
    run_moved(_created(faults, visible_after, cancel_after), patience=PATIENCE, debug=False)


async def _created(faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None) -> None:
    async with Sandbox() as sandbox:
        sandbox.omeda.visible_after = visible_after
        for (kind, point), times, match in faults:
            sandbox.fault(Fault(kind, point, match, times=times, seconds=3.0))
        deployment = Deployment(
            deployment_name="Weekly",
            deployment_date=dt.datetime.now(dt.UTC) + dt.timedelta(days=30),
            deployment_type_id=23,
            owner_user_id=sandbox.user_id,
            track_opens=True,
            track_links=True,
        )
        async with manager_on(sandbox) as manager:
            task = asyncio.ensure_future(manager.omeda.deployments.create(deployment))
            if cancel_after is not None:
                await asyncio.sleep(cancel_after)
                task.cancel()
            await asyncio.wait({task})
        await asyncio.sleep(30)
        created = sandbox.omeda.creates["Weekly"]
        assert created <= 1, "created twice"
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            assert created == 1
            assert task.result().track_id in sandbox.omeda.deployments
        else:
            assert isinstance(error, OmedaAsyncError)
            assert error.sent or not created, f"created, though the error says that it was not sent: {error!r}"


CLONE_FAULT = st.tuples(
    CREATE_FAULT.map(lambda fault: fault[0]),
    st.sampled_from([1, 1, 2, None]),
    st.sampled_from(["deployments.clone", "deployments.clone", "deployments.lookup", "deployments.search", None]),
)
CLONES = (st.lists(CLONE_FAULT, max_size=4), *CREATES[1:], st.booleans())


@settings(PROOF, max_examples=cases(150))
@given(*CLONES)
def test_a_deployment_is_never_cloned_twice(
    faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None, cloned_before: bool
) -> None:
    """A clone happens once if there is a receipt, which names it and no other, and at most once else."""
    run_moved(_cloned(faults, visible_after, cancel_after, cloned_before), patience=PATIENCE, debug=False)


async def _cloned(
    faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None, cloned_before: bool
) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    async with Sandbox() as sandbox:
        omeda = sandbox.omeda
        source = omeda.seed_deployment("FOO1", "Sent", name="Weekly", deployment_date=date)
        async with manager_on(sandbox) as manager:
            clone = manager.omeda.deployments.clone
            if cloned_before:  # for the week before: as alike as can be
                await clone("FOO1", deployment_date=date - dt.timedelta(days=7))
            before = set(omeda.deployments)
            omeda.visible_after = visible_after
            for (kind, point), times, match in faults:
                sandbox.fault(Fault(kind, point, match, times=times, seconds=3.0))
            task = asyncio.ensure_future(clone("FOO1", deployment_date=date))
            if cancel_after is not None:
                await asyncio.sleep(cancel_after)
                task.cancel()
            await asyncio.wait({task})
        await asyncio.sleep(30)
        made = set(omeda.deployments) - before
        assert len(made) == source.clones - cloned_before <= 1, "cloned twice"
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            assert {task.result().track_id} == made, "the receipt names another"
        else:
            assert isinstance(error, OmedaAsyncError)
            assert error.sent or not made, f"cloned, though the error says that it was not sent: {error!r}"


def _breaks(target: str, replacement: Any, plans: st.SearchStrategy[FaultPlan] = PLANS) -> None:
    """Fail unless the property finds out that something was replaced by something wrong."""

    @settings(PROOF, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False)
    @given(plans)
    def proof(plan: FaultPlan) -> None:
        check(run_moved(execute(plan), patience=PATIENCE, debug=False))

    with mock.patch(target, replacement), pytest.raises((AssertionError, ExceptionGroup)):
        proof()


def test_the_proof_notices_lost_answers_taken_for_failures() -> None:
    """Were a lost answer not in doubt, records would be reported as failed that were applied."""
    _breaks("omeda_async._decide.in_doubt", lambda *_, **__: False)


def test_the_proof_notices_a_first_read_that_is_believed() -> None:
    """Were "not done" believed at once, records would be reported as failed that are applied a moment later."""
    to_the_end = DEPLOYMENT_PLANS.filter(lambda plan: plan.stop == NO)
    late = to_the_end.filter(lambda plan: any(point is FaultPoint.LATER for (_, point), *_ in plan.faults))
    _breaks("omeda_async._decide._came_from_in_between", lambda _: False, late)


def test_the_proof_notices_an_unknown_that_is_not_earned() -> None:
    """Were no read ever believed, records would be unknown though the provider had its say in the end."""
    failed = _decide._failed

    def never_certain(state: Any, error: Any, *, certain: bool = False, known: Any = None) -> Any:
        del certain
        return failed(state, error, known=known)

    to_the_end = PLANS.filter(lambda plan: plan.stop == NO and bool(plan.faults))
    _breaks("omeda_async._decide._failed", never_certain, to_the_end)


def test_the_proof_notices_a_run_that_takes_its_time_to_stop() -> None:
    """Were a worker to depend on a cancellation that aiohttp swallows, a run would not end within its time."""
    at_a_timeout = PLANS.filter(lambda plan: plan.stop == AT_A_TIMEOUT)
    with mock.patch("omeda_async.bulk._engine.GRACE", 60.0), mock.patch("omeda_async.bulk._run.LAST_WORDS", 60.0):
        _breaks("omeda_async.bulk._queue.BatchQueue.close", lambda _self: None, at_a_timeout)


def test_the_proof_notices_records_that_are_dropped_when_a_run_stops() -> None:
    """Were the records in the queue forgotten by a stop, some would have no outcome."""
    _breaks("omeda_async.bulk._delivery.Delivery.leave_unsent", lambda _self, _items: None, STOPPED)


def test_the_proof_notices_an_interrupted_attempt_taken_for_not_sent() -> None:
    """Were an attempt in flight taken for one that never left, records would be not sent and yet applied."""
    _breaks(
        "omeda_async._call.Call.interrupted", lambda self: not_sent(ClosedError("interrupted"), self.attempts), STOPPED
    )


def test_the_proof_notices_stray_bytes() -> None:
    """Were a connection that was spoken to while idle used again, what came on it would be the next answer."""
    strays = PLANS.filter(lambda plan: any(kind is FaultKind.STRAY for (kind, _), *_ in plan.faults))
    with mock.patch("omeda_async._passage._is_silent", return_value=True):
        _breaks("omeda_async._passage._was_spoken_to", lambda _protocol: False, strays)


def test_the_proof_notices_an_unknown_of_a_stopped_run_that_is_not_earned() -> None:
    """Were all that a stop has left unsent in doubt, records would be unknown though nothing of them was lost."""

    def doubtful(error: OmedaAsyncError, attempts: int = 0) -> Result[Any]:
        error = copy(error)
        error.sent = True
        return Result(error=error, attempts=max(attempts, 1), doubtful=True)

    with mock.patch("omeda_async.bulk._delivery.not_sent", doubtful):
        _breaks("omeda_async.bulk._job.not_sent", doubtful, STOPPED)


def test_the_proof_notices_culprits_that_are_mapped_by_position() -> None:
    """Were the culprits of a batch mapped one place off, good records would be rejected."""
    right = _opt_outs._blame

    def shifted(ready: Any, culprits: Any) -> dict[int, Any]:
        return {
            (place + 1) % len(ready): tuple(attrs.evolve(culprit, id=None) for culprit in named)
            for place, named in right(ready, culprits).items()
        }

    _breaks("omeda_async.providers.omeda._opt_outs._blame", shifted, OPT_OUT_PLANS)


def test_the_proof_notices_a_batch_taken_for_accepted() -> None:
    """Were a refused batch counted as done, the provider's state would not bear it out."""

    def accepted(self: Isolation, group: Group, _error: Any, attempts: int, **_: Any) -> None:
        self.accepted(group, Result(receipt="ok", attempts=attempts))

    _breaks("omeda_async.bulk._isolate.Isolation.refused", accepted, OPT_OUT_PLANS)


def test_the_proof_notices_a_create_that_is_sent_again() -> None:
    """Were a create taken for harmless to repeat, as all else is, a lost answer would make two deployments."""

    @settings(PROOF, max_examples=80, phases=[Phase.generate], report_multiple_bugs=False)
    @given(*CREATES)
    def proof(faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None) -> None:
        run_moved(_created(faults, visible_after, cancel_after), patience=PATIENCE, debug=False)

    harmless = attrs.evolve(_operations.CREATE, idempotent=True)
    with mock.patch.object(_operations, "CREATE", harmless), pytest.raises(AssertionError, match="created twice"):
        proof()


def _breaks_clones(wrong: Any, message: str) -> None:
    @settings(PROOF, max_examples=80, phases=[Phase.generate], report_multiple_bugs=False)
    @given(*CLONES)
    def proof(
        faults: list[tuple[Any, ...]], visible_after: float, cancel_after: float | None, cloned_before: bool
    ) -> None:
        run_moved(_cloned(faults, visible_after, cancel_after, cloned_before), patience=PATIENCE, debug=False)

    with mock.patch.object(_operations, "CLONE", wrong), pytest.raises(AssertionError, match=message):
        proof()


def test_the_proof_notices_a_clone_that_is_sent_again() -> None:
    """Were a clone taken for harmless to repeat, a lost answer would make two."""
    _breaks_clones(attrs.evolve(_operations.CLONE, idempotent=True), "cloned twice")


def test_the_proof_notices_another_deployment_taken_for_the_clone() -> None:
    """Were any date or the source itself good enough, the receipt would name a deployment that was there before."""

    def question(params: Any) -> Any:
        search = DeploymentSearch(deployment_name="Weekly")
        return SearchDeployments(brand=params.brand, search=search)

    def first(_params: Any, found: Any) -> Verdict:
        return Verdict.DONE if found else Verdict.UNDECIDED

    def settled(_params: Any, found: Any) -> DeploymentReceipt:
        return DeploymentReceipt(found[0].track_id, settled=True)

    careless = attrs.evolve(
        _operations.CLONE,
        verification=Verification(operation=_operations.SEARCH, question=question, judge=first),
        settled=settled,
    )
    _breaks_clones(careless, "names another")
