"""Interactive calls beside bulk runs that would spend everything: the real limiter, a counting server, moved time."""

import asyncio
import math
import random
from collections.abc import Mapping

import attrs

from benchmarks.limits.sim_servers import CLASS_C, FixedWindows
from benchmarks.limits.sim_several import limiters
from omeda_async.limits import Limiter, Priority, RateLimit, Window, make_limiter
from omeda_async.testing import run_moved

RUNS = 8
IN_FLIGHT = 4
TRIP = 0.08
"""Seconds there and back."""


@attrs.frozen
class Scene:
    """What to play."""

    every: float | None
    """The mean seconds from one interactive call to the next, which come at random; None for no such call."""
    minutes: int
    reserve: int = 2
    headers: bool = True
    lanes: bool = True
    """Whether interactive calls are told from bulk."""
    apart: bool = False
    """Whether they are another process's, which shares the limits by a store."""
    seed: int = 1


@attrs.define(eq=False)
class Beside:
    """What came of it."""

    scene: Scene
    refused: int = 0
    waits: list[float] = attrs.field(factory=list)
    """Of the interactive calls, each until it went."""
    taken: list[int] = attrs.field(factory=list)
    """How many the server took in each whole minute of its own."""

    @property
    def used(self) -> float:
        """The part of the budget that was used."""
        return sum(self.taken) / (CLASS_C[1][0] * len(self.taken))

    def wait(self, share: float) -> float:
        """Return how long so many of the interactive calls waited at most."""
        waits = sorted(self.waits) or [0.0]
        return waits[math.ceil(share * len(waits)) - 1]


class Player:
    """Plays one scene."""

    def __init__(self, scene: Scene) -> None:
        self._chance = random.Random(scene.seed)  # noqa: S311 a simulation is to be repeatable
        self._phase = self._chance.uniform(0, 60)
        self._server = FixedWindows(CLASS_C, self._phase, 0.0, opened=False)
        limit = RateLimit(*(Window(*one) for one in CLASS_C), parallel=10, interactive_reserve=scene.reserve)
        self._bulk_limiter: Limiter
        self._limiter: Limiter
        if scene.apart:
            self._bulk_limiter, self._limiter = limiters(2, scene.seed, limit)
        else:
            self._bulk_limiter = self._limiter = make_limiter(limit)
        self._minutes = [0] * (scene.minutes + 1)
        self.found = Beside(scene)

    async def play(self) -> Beside:
        """Play it to its end, and stop everybody then."""
        scene = self.found.scene
        tasks = [asyncio.ensure_future(self._bulk()) for _ in range(RUNS * IN_FLIGHT)]
        if scene.every:
            tasks.append(asyncio.ensure_future(self._interactive(scene.every)))
        await asyncio.sleep(60 * scene.minutes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.found.taken = self._minutes[1:-1]  # the first and the last are cut
        return self.found

    async def _bulk(self) -> None:
        while True:
            await self._call(self._bulk_limiter, Priority.BULK)

    async def _interactive(self, every: float) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self._chance.expovariate(1 / every))
                group.create_task(self._one())

    async def _one(self) -> None:
        waited = await self._call(self._limiter, Priority.INTERACTIVE if self.found.scene.lanes else Priority.BULK)
        self.found.waits.append(waited)

    async def _call(self, limiter: Limiter, priority: Priority) -> float:
        clock = asyncio.get_running_loop().time
        asked = clock()
        permit = await limiter.acquire(priority=priority)
        waited = clock() - asked
        await asyncio.sleep(TRIP / 2)
        is_taken, headers = self._arrive(clock())
        await asyncio.sleep(TRIP / 2)
        limiter.release(permit, status=204 if is_taken else 429, headers=headers)
        return waited

    def _arrive(self, now: float) -> tuple[bool, Mapping[str, str]]:
        is_taken = self._server.take(now)
        self.found.refused += not is_taken
        self._minutes[math.floor((now - self._phase) / 60) + 1] += is_taken
        limit, remaining, reset = self._server.advice(now)
        told = {"Limit": str(limit), "Remaining": str(remaining), "Reset": str(math.ceil(reset))}
        return is_taken, {f"X-RateLimit-{name}": text for name, text in told.items() if self.found.scene.headers}


def play(scene: Scene) -> Beside:
    """Play a scene on a moved clock."""
    return run_moved(Player(scene).play(), debug=False, patience=0)
