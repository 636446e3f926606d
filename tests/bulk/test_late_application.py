"""A gateway answers at once and the provider comes to the request later: no outcome says more than is certain."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ClientOptOut, OutcomeStatus, RetryPolicy, SessionManager
from omeda_async.journal import read_status
from omeda_async.sandbox import Fault, FaultKind as Kind, FaultPoint as Point, Sandbox
from omeda_async.sandbox._message import Response, html_response
from tests.bulk.bulk_fakes import collect
from tests.bulk.sandboxed import manager_on
from tests.bulk.test_bulk_settling import CANCELS, READS, seed

S = OutcomeStatus
ONCE = RetryPolicy(attempts=1, base_delay=0.05, deadline=60.0)
Cancel = Callable[[SessionManager], Awaitable[Any]]
SINGLE: dict[str, Cancel] = {
    "deployments": lambda manager: manager.omeda.deployments.cancel("x"),
    "campaigns": lambda manager: manager.ocamba.campaigns.cancel("x"),
    "transactions": lambda manager: manager.journey_manager.transactions.cancel("x"),
}
everywhere = pytest.mark.parametrize("operation", CANCELS)
KINDS = [Kind.DROP, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT, Kind.CUT_JSON]
in_between = pytest.mark.parametrize("kind", [*KINDS, Kind.HTML])
# A page under a 2xx is Journey Manager's sign of a lost session: it is not sent again, and stops a run.
no_page = pytest.mark.parametrize("kind", KINDS)


def _once(sandbox: Sandbox) -> AbstractAsyncContextManager[SessionManager]:
    return manager_on(sandbox, retry=ONCE)


def _is_write(incoming: Any) -> bool:
    return str(incoming.operation).endswith((".cancel", ".submit"))


def _about(incoming: Any, name: str) -> bool:
    return f"/{name}/" in incoming.path or f'"{name}"'.encode() in incoming.body


def _write_about(name: str) -> Callable[[Any], bool]:
    return lambda incoming: _is_write(incoming) and _about(incoming, name)


def _applied(sandbox: Sandbox, operation: str, name: str = "x") -> int:
    provider: Any = sandbox.omeda if operation == "deployments" else sandbox.ocamba
    provider = sandbox.journey_manager if operation == "transactions" else provider
    cancels: int = getattr(provider, operation)[name].cancels
    return cancels


@everywhere
@in_between
async def test_a_single_call_finds_out_that_it_was_done_later(operation: str, kind: Kind) -> None:
    """The first read says "not done"; the one after the settle delay says what has come of it."""
    async with Sandbox() as sandbox, _once(sandbox) as manager:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(kind, Point.LATER, _is_write, seconds=0.9, retry_after=None))
        receipt = await SINGLE[operation](manager)
        assert receipt.settled
        assert [one.operation for one in sandbox.requests] == [f"{operation}.cancel", *[READS[operation]] * 2]
        assert _applied(sandbox, operation) == 1


@everywhere
@no_page
async def test_a_single_call_is_sent_again_at_once_as_long_as_it_may_be(operation: str, kind: Kind) -> None:
    """It is harmless, and spares the settle delay: what comes later finds it done."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(kind, Point.LATER, _is_write, seconds=0.9, retry_after=None))
        receipt = await SINGLE[operation](manager)
        assert not receipt.settled
        assert sandbox.requests[-1].arrived_at < 2.0
        assert _applied(sandbox, operation) == 1


@everywhere
@no_page
async def test_a_run_says_of_no_record_that_it_failed_while_it_may_still_be_done(operation: str, kind: Kind) -> None:
    """Done 0.9 seconds later: settled as done, in three requests; done nowhere: failed, in as many."""
    async with Sandbox() as sandbox, _once(sandbox) as manager:
        for name in ("x", "y"):
            seed(sandbox, name, "open")
        sandbox.fault(Fault(kind, Point.LATER, _write_about("x"), seconds=0.9, retry_after=None))
        sandbox.fault(Fault(kind, Point.BEFORE, _write_about("y"), retry_after=None))
        outcomes = {one.key: one for one in await collect(CANCELS[operation](manager)(["x", "y"]))}
        assert {key: (one.status, one.attempts) for key, one in outcomes.items()} == {
            "x": (S.ALREADY_DONE, 3),
            "y": (S.FAILED, 3),
        }
        assert outcomes["x"].receipt is not None
        assert outcomes["x"].receipt.settled
        assert outcomes["y"].error is not None
        assert not outcomes["y"].error.sent
        assert (_applied(sandbox, operation), _applied(sandbox, operation, "y")) == (1, 0)


@everywhere
async def test_a_503_although_applied_is_done(operation: str) -> None:
    """A gateway had passed it on: the repeat, or a read, says so."""
    for policy in (ONCE, RetryPolicy(attempts=3, base_delay=0.05)):
        async with Sandbox() as sandbox, manager_on(sandbox, retry=policy) as manager:
            seed(sandbox, "x", "open")
            sandbox.fault(Fault(Kind.UNAVAILABLE, Point.AFTER, _is_write))
            (outcome,) = await collect(CANCELS[operation](manager)(["x"]))
            assert outcome.receipt is not None
            assert (outcome.status, outcome.error, outcome.receipt.settled) == (S.ALREADY_DONE, None, True)
            assert _applied(sandbox, operation) == 1


@everywhere
async def test_a_deadline_nearer_than_the_settle_delay_leaves_it_unknown(operation: str) -> None:
    """There is no time to find out, and nothing is guessed."""
    policy = RetryPolicy(attempts=1, base_delay=0.05, deadline=4.0)
    async with Sandbox() as sandbox, manager_on(sandbox, retry=policy) as manager:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.BAD_GATEWAY, Point.LATER, _is_write, seconds=3.0))
        (outcome,) = await collect(CANCELS[operation](manager)(["x"]))
        assert outcome.status is S.UNKNOWN
        assert outcome.error is not None
        assert outcome.error.sent


@everywhere
@in_between
async def test_what_could_not_be_settled_is_asked_about_when_the_run_is_resumed(
    operation: str, kind: Kind, tmp_path: Path
) -> None:
    """No read came through: unknown, and the journal does not keep it as settled."""
    journal = tmp_path / "run.sqlite3"
    async with Sandbox() as sandbox, _once(sandbox) as manager:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(kind, Point.LATER, _is_write, seconds=0.9, retry_after=None))
        sandbox.fault(Fault(Kind.BAD_GATEWAY, Point.BEFORE, READS[operation], times=None))
        report = await CANCELS[operation](manager)(["x"], journal=journal)
        assert report.counts == read_status(journal).counts == {S.UNKNOWN: 1}
        sandbox.faults.clear()
        (outcome,) = await collect(CANCELS[operation](manager)(["x"], journal=journal))
        assert outcome.status in {S.DONE, S.ALREADY_DONE}
        assert _applied(sandbox, operation) == 1


@everywhere
async def test_a_run_resumed_a_moment_after_it_was_broken_off_believes_no_first_read(
    operation: str, tmp_path: Path
) -> None:
    """Its request is still on its way: a repeat that is refused and a read that says "not done" settle nothing yet."""
    journal = tmp_path / "run.sqlite3"
    async with Sandbox() as sandbox, _once(sandbox) as manager:
        seed(sandbox, "x", "open")
        sandbox.fault(Fault(Kind.SLOW, Point.BEFORE, _is_write, seconds=4.0))
        run = CANCELS[operation](manager)(["x"], journal=journal)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(1.0)
        assert run.report.requests == 1
        await run.aclose(timeout=0.5)
        assert (await task).counts == {S.UNKNOWN: 1}
        sandbox.fault(Fault(Kind.DROP, Point.BEFORE, _is_write))
        (outcome,) = await collect(CANCELS[operation](manager)(["x"], journal=journal))
        assert (outcome.status, outcome.error) == (S.ALREADY_DONE, None)
        assert _applied(sandbox, operation) == 1


HIDDEN = [html_response(400, "400"), html_response(409, "409"), html_response(422, "422"), Response(408), Response(499)]


@everywhere
@pytest.mark.parametrize("reply", HIDDEN, ids=lambda reply: str(reply.status))
async def test_what_a_page_hides_is_not_kept_as_rejected(
    operation: str, reply: Response, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind it the cancel was carried out; reads show a page, too, and nothing else for the rest of that run."""
    journal = tmp_path / "run.sqlite3"
    async with Sandbox() as sandbox, _once(sandbox) as manager:
        for name in ("x", "y"):
            seed(sandbox, name, "open")
        with monkeypatch.context() as patch:
            for api in {type(api) for api in sandbox.apis.values()}:

                def hidden(self: Any, incoming: Any, respond: Any = api.respond) -> Response:
                    if _write_about("x")(incoming):
                        respond(self, incoming)
                    return reply

                patch.setattr(api, "respond", hidden)
            report = await CANCELS[operation](manager)(["x", "y"], journal=journal)
        assert report.counts == {S.UNKNOWN: 2}
        assert all(one.error is not None and one.error.sent for one in report.failures)
        outcomes = {
            one.key: one.status for one in await collect(CANCELS[operation](manager)(["x", "y"], journal=journal))
        }
        assert outcomes["x"] in {S.ALREADY_DONE, S.DONE}
        assert outcomes["y"] is S.DONE
        assert (_applied(sandbox, operation), _applied(sandbox, operation, "y")) == (1, 1)


@pytest.mark.parametrize("operation", [*CANCELS, "opt_outs"])
@pytest.mark.parametrize("status", [402, 407, 421, 423, 424, 425, 426, 431, 449, 451])
async def test_not_now_is_not_kept_as_rejected(
    operation: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has failed, and goes again when the run is resumed."""
    journal = tmp_path / "run.sqlite3"

    def start(manager: SessionManager) -> Any:
        if operation == "opt_outs":
            return manager.omeda.opt_outs.submit_many([ClientOptOut("x@example.com")], journal=journal)
        return CANCELS[operation](manager)(["x"], journal=journal)

    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        seed(sandbox, "x", "open")
        with monkeypatch.context() as patch:
            for api in {type(api) for api in sandbox.apis.values()}:
                patch.setattr(api, "respond", lambda _self, _incoming: Response(status))
            report = await start(manager)
        assert report.counts == {S.FAILED: 1}
        assert report.requests == 3
        assert (await start(manager)).counts == {S.DONE: 1}


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT])
async def test_opt_outs_that_come_later_are_never_said_to_have_failed(kind: Kind, tmp_path: Path) -> None:
    """Sent again to the end, none of the answers came: unknown, and settled by the resumed run."""
    journal = tmp_path / "run.sqlite3"
    records = [ClientOptOut(f"{name}@example.com") for name in "abc"]
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.fault(Fault(kind, Point.LATER, times=None, seconds=0.9))
        report = await manager.omeda.opt_outs.submit_many(records, journal=journal)
        assert report.counts == {S.UNKNOWN: 3}
        sandbox.faults.clear()
        assert (await manager.omeda.opt_outs.submit_many(records, journal=journal)).counts == {S.DONE: 3}


async def test_a_batch_that_a_page_came_back_for_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall dislikes one of the records: that one alone is unknown, and the others are done."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        api = type(sandbox.apis["omeda"])

        def guarded(self: Any, incoming: Any, respond: Any = api.respond) -> Response:
            disliked = b"select" in incoming.body
            return html_response(400, "400 Bad Request") if disliked else respond(self, incoming)

        monkeypatch.setattr(api, "respond", guarded)
        records = [ClientOptOut(f"{name}@example.com") for name in ("a", "b", "select", "c", "d")]
        outcomes = await collect(manager.omeda.opt_outs.submit_many(records))
        assert [one.status for one in sorted(outcomes, key=lambda one: one.position)] == [
            *[S.DONE] * 2,
            S.UNKNOWN,
            *[S.DONE] * 2,
        ]
