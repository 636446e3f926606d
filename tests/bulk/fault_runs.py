"""Fault plans carried out against the sandbox, and everything that was seen of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import attrs

from omeda_async import BulkRun, Outcome, SessionManager
from omeda_async.sandbox import Sandbox, _exchange
from omeda_async.sandbox._exchange import Connection, Exchange as SandboxExchange
from tests.bulk.fault_notes import Exchanges, Noted, everything
from tests.bulk.fault_plans import AT_A_TIMEOUT, NO, TIMEOUT, FaultPlan, arm, seed, start
from tests.bulk.sandboxed import QUICK, manager_on

LONGEST = 3600.0
"""Moved seconds after which a run is taken to hang."""
MANNERS = 4.5
"""Seconds that a run may take to end beyond the grace it was given."""
GRACE = {"cancel twice": 0.0, AT_A_TIMEOUT: 0.0, "aclose at once": 0.1, "manager": 1.0}
"""Seconds that attempts in flight are given by each way to stop; 30 by the others."""
PATIENT = attrs.evolve(QUICK, deadline=200.0)
"""That no deadline is near: what is unknown is so for another reason."""


@attrs.define
class Result:
    """What came of a plan."""

    plan: FaultPlan
    sandbox: Sandbox
    run: BulkRun
    outcomes: list[Outcome]
    """Every outcome that was counted, whether or not somebody took it."""
    taken: list[Outcome]
    """Those the iteration gave."""
    exchanges: Exchanges
    broken_off: set[str]
    """The records with a write that was broken off."""


@contextmanager
def strays_on_idle_connections() -> Iterator[None]:
    """Let stray bytes come only where no request is under way: nobody can tell them from its answer there."""
    busy: Counter[Connection | None] = Counter()
    respond, disturb = SandboxExchange.respond, _exchange._disturb

    async def responding(self: SandboxExchange, api: Any, incoming: Any, connection: Connection | None) -> Any:
        busy[connection] += 1
        try:
            return await respond(self, api, incoming, connection)
        finally:
            busy[connection] -= 1

    def disturbing(connection: Connection) -> None:
        if not busy[connection]:
            disturb(connection)

    with (
        mock.patch.object(SandboxExchange, "respond", responding),
        mock.patch.object(_exchange, "_disturb", disturbing),
    ):
        yield


async def execute(plan: FaultPlan) -> Result:
    """Run a plan, and let everything that is still on its way arrive."""
    with everything() as noted, strays_on_idle_connections():
        async with Sandbox(seed=plan.seed, latency=plan.latency) as sandbox:
            records = seed(sandbox, plan)
            arm(sandbox, plan)
            return await broken_off(plan, sandbox, records, noted)


async def broken_off(plan: FaultPlan, sandbox: Sandbox, records: list[Any], noted: Noted, **options: Any) -> Result:
    """Run records, stop as the plan says, and let everything that is still on its way arrive."""
    taken: list[Outcome] = []
    async with manager_on(sandbox, retry=PATIENT, timeout=TIMEOUT) as manager:
        run = start(manager, plan, records, **options)
        # A moved clock does not wait for a journal's thread, and so can give it no time.
        async with asyncio.timeout(None if "journal" in options else LONGEST):
            await _stopped(plan, manager, run, taken, timed="journal" not in options)
    await asyncio.sleep(30)
    return Result(plan, sandbox, run, list(noted.outcomes), taken, noted.exchanges, set(noted.broken_off))


async def _stopped(
    plan: FaultPlan, manager: SessionManager, run: BulkRun, taken: list[Outcome], *, timed: bool
) -> None:
    async def drain() -> None:
        async for outcome in run:
            taken.append(outcome)
            if plan.stop == "break" and len(taken) > plan.moment * 5:
                break

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_beside_a_failure(drain(), plan.moment) if plan.stop == "abort" else drain())
    if plan.stop in {NO, "break"}:
        await task
        began = loop.time()
        await run.aclose()
    else:
        await asyncio.sleep(plan.moment)
        began = await _stop(plan, manager, run, task)
        await asyncio.wait({task})
        if plan.stop != "abort" and not task.cancelled():
            task.result()
    if timed:
        took, allowed = loop.time() - began, GRACE.get(plan.stop, 30.0) + MANNERS
        assert took <= allowed, f"it took {took:.1f} s to stop, and not {allowed:.1f} s"


async def _beside_a_failure(work: Any, moment: float) -> None:
    """Do something in a task group that a sibling aborts."""
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(work)
            await asyncio.sleep(moment)
            raise RuntimeError


async def _stop(plan: FaultPlan, manager: SessionManager, run: BulkRun, task: "asyncio.Future[None]") -> float:
    """Stop a run as the plan says, and return from when on its time counts."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    match plan.stop:
        case "abort":
            return began
        case "aclose":
            await run.aclose()
        case "aclose at once":
            await run.aclose(timeout=0.1)
        case "manager":
            await manager.aclose(timeout=1.0)
        case "cancel":
            task.cancel()
        case _:
            task.cancel()
            await asyncio.sleep(0.02 if plan.stop == "cancel twice" else _until_a_timeout(plan.seed % 8))
            began = loop.time()
            task.cancel()
    return began


def _until_a_timeout(passes: int) -> float:
    """Return the seconds until so many passes of the loop before the next attempt's time is over."""
    loop = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    ours = [timer.when() for timer in timers if "TimeoutHandle" in repr(timer)]
    return max(0.0, min(ours, default=0.0) - loop.time() - passes * 1e-9)
