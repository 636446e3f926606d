"""One scene of single calls beside bulk, on the real clock, in one process or in two that share the limits."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from benchmarks import _harness
from benchmarks._harness import Measured
from benchmarks.sharing.stores import make_known, place
from omeda_async import OcambaSettings, RetryPolicy, SessionManager
from omeda_async.events import AttemptStarted, Event
from omeda_async.sandbox import Sandbox

RUNS = 8
ONE_WAY = 0.04
"""Seconds from the client to the sandbox, and from there back."""
CALLS, LAP = 150, 60.0
LIMIT = "10/1,150/60,parallel=10"


@attrs.frozen
class Scene:
    """What is played."""

    kind: str | None
    """By what the two processes share the limits; None for one process."""
    every: float | None
    """The mean seconds from one single call to the next; None for no such call."""
    lasts: float


async def _campaigns(name: str) -> AsyncIterator[str]:
    number = 0
    while True:
        yield f"{name}-{number}"
        number += 1


async def _bulk(manager: SessionManager, name: str) -> None:
    await manager.ocamba.campaigns.cancel_many(_campaigns(name), reason="test")


async def _single(manager: SessionManager, every: float) -> None:
    chance, number = random.Random(every), 0  # noqa: S311 a benchmark is to be repeatable
    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(chance.expovariate(1 / every))
            number += 1
            group.create_task(manager.ocamba.campaigns.cancel(f"single-{number}", reason="test"))


async def _work(url: str, where: str | None, every: float | None, runs: int, lasts: float) -> Measured:
    waits: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, AttemptStarted):
            waits.append(event.waited)

    settings = OcambaSettings(
        token="sandbox-token",  # noqa: S106 no secret
        base_url=url,
        account="proof",
        retry=RetryPolicy(deadline=600.0),
    )
    hooks = [hear] if every else []
    async with SessionManager(ocamba=settings, share_limits=where, hooks=hooks) as manager:
        apart = SessionManager(ocamba=settings, share_limits=where)  # whose waits are not measured
        async with apart:
            work = [_bulk(apart, f"bulk-{number}") for number in range(runs)]
            work += [_single(manager, every)] if every else []
            tasks = [asyncio.ensure_future(one) for one in work]
            await asyncio.sleep(lasts)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return {"waits": waits}


def take_part(url: str, where: str | None, every: float | None, runs: int, lasts: float) -> Measured:
    """Be one of the processes: bulk runs, single calls, or both."""
    return asyncio.run(_work(url, where, every, runs, lasts))


async def _played(scene: Scene, sandbox: Sandbox, where: str | None) -> list[float]:
    parts: list[dict[str, Any]] = [{"every": scene.every, "runs": RUNS}]
    if where is not None:
        parts = [{"every": None, "runs": RUNS}, {"every": scene.every, "runs": 0}]
    common = {"url": sandbox.url, "where": where, "lasts": scene.lasts}
    found = await asyncio.gather(*(asyncio.to_thread(_harness.child, take_part, **common, **part) for part in parts))
    return sorted(wait for one in found for wait in one["waits"])


def play(kind: str | None, every: float | None, lasts: float) -> Measured:
    """Play a scene, and return the waits of the single calls, the part of the budget used, and the refusals."""
    return asyncio.run(_play(Scene(kind, every, lasts)))


async def _play(scene: Scene) -> Measured:
    async with Sandbox(latency=ONE_WAY) as sandbox:
        most = range(int(2 * CALLS * (scene.lasts / LAP + 1)))
        names = ("single", *(f"bulk-{number}" for number in range(RUNS)))
        sandbox.ocamba.seed_campaigns(f"{name}-{number}" for name in names for number in most)
        if scene.kind is None:
            waits = await _played(scene, sandbox, None)
        else:
            with TemporaryDirectory() as folder, place(scene.kind, Path(folder)) as store:
                await asyncio.to_thread(make_known, store, LIMIT, sandbox.url)
                waits = await _played(scene, sandbox, store.where)
        arrived, phase = sandbox.requests, sandbox.limits.windows[-1].phase
    taken = [one.arrived_at for one in arrived if not one.refused]
    return {"waits": waits, "used": used(taken, phase), "refused": len(arrived) - len(taken)}


def used(arrived: Sequence[float], phase: float) -> float:
    """Return the part of the budget that was used in the server's own whole minutes, but for the first and the last.

    Minutes from the first arrival on would cut the server's: what lapses at the end of one would count for another.

    Args:
        arrived: When a request was taken, in order.
        phase: When one of the server's minutes begins.
    """
    first, last = (math.floor((at - phase) / LAP) for at in (arrived[0], arrived[-1]))
    whole = range(first + 1, last)
    return sum(math.floor((at - phase) / LAP) in whole for at in arrived) / (len(whole) * CALLS)
