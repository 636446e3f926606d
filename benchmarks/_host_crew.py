"""The workers on the hosts: started, killed at random, suspended, and their database stopped."""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import IO

import attrs
import psycopg

from benchmarks._harness import ROOT
from benchmarks._host import Host
from benchmarks._host_check import Seen
from benchmarks._host_worker import CONNECT, LEASE, TIMEOUT, Given
from tests.limits.postgres_service import OwnPostgres

MOMENTS = ("before its first request", "while a request was under way", "between requests")
STOPPED = 5.0
"""Seconds for which the database is stopped."""
TICK = 0.01
BREATH = 10.0
"""Seconds that a worker that was suspended is left alone: what it does now is looked at."""
_HELD = """
SELECT c.journal, c.number, c.fence FROM omeda_async_journal_chunks AS c
WHERE holder LIKE '%%, process {pid} (%%' AND lease_until > clock_timestamp() AND NOT done
"""
_FENCE = "SELECT fence, done FROM omeda_async_journal_chunks WHERE journal = {} AND number = {}"


async def until(happened: Callable[[], bool | Awaitable[bool]], every: float = TICK) -> None:
    """Wait until something has happened, in this process or another."""
    while True:
        found = happened()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(every)


@attrs.define
class Place:
    """Where there is always a worker."""

    nursery: "subprocess.Popen[str]"
    """Of its host."""
    name: str
    worker: int = 0
    """Its process; 0 while that is being killed."""
    since: float = 0.0
    spared_until: float = 0.0


@attrs.define
class Faults:
    """What was done to the workers."""

    killed: Counter[str] = attrs.field(factory=Counter)
    """Kills by what the worker was doing."""
    suspended: int = 0
    """Suspensions of one that held a chunk, until another worker had that chunk."""
    stops: int = 0
    """Stops of the database."""
    ended: int = 0
    """Workers that ended by themselves."""
    refused: int = 0
    """Workers that were started while there was no database."""

    @property
    def at_work(self) -> int:
        """Return the kills of workers that had sent a request before: the others have nothing that could be lost."""
        return sum(self.killed[moment] for moment in MOMENTS[1:])


@attrs.define
class Crew:
    """All workers.

    Args:
        given: What each is given, but for its name.
        database: Where their jobs and journals are.
        seen: What the sandbox has seen of them.
        rng: Draws whom and when.
        latency: Seconds of a request on its way.
        log: Where they write to.
    """

    given: Given
    database: OwnPostgres
    seen: Seen
    rng: Random
    latency: float
    log: IO[bytes]
    places: list[Place] = attrs.field(factory=list)
    faults: Faults = attrs.field(factory=Faults)
    _nurseries: "list[subprocess.Popen[str]]" = attrs.field(factory=list, init=False)
    _is_away: bool = False
    _back: float = 0.0
    """When the database was there again."""

    def enter(self, hosts: Sequence[Host], workers: int) -> None:
        """Start so many, on the hosts in turns."""
        nurseries = [self._nursery(host) for host in hosts]
        self.places = [Place(nurseries[number % len(hosts)], f"w{number}") for number in range(workers)]
        for place in self.places:
            self._start(place)

    def leave(self) -> None:
        """Kill all."""
        for nursery in self._nurseries:
            nursery.kill()
            nursery.communicate()

    def restart_ended(self) -> None:
        """Start those again that have ended by themselves, as a service's manager does."""
        for place in self.places:
            if place.worker and not _lives(place.worker):
                without_database = self._is_away or place.since < self._back
                self.faults.refused += without_database
                self.faults.ended += not without_database
                self._start(place)

    @property
    def is_away(self) -> bool:
        """Whether the database is stopped, or about to be."""
        return self._is_away

    async def kill_one(self, *, early: bool) -> None:
        """Kill one, half of the time soon after a request of it has arrived; and start it again.

        Args:
            early: Whoever it is; otherwise one that has sent a request, which is waited for.
        """
        found: list[Place] = []
        while not found:
            await asyncio.sleep(TICK)
            found = [one for one in self.places if self._may_be_killed(one, early=early)]
        place = self.rng.choice(found)
        place.spared_until = math.inf
        if self.rng.random() < 0.5:
            await self._until_sending(place.name)
            await asyncio.sleep(self.rng.uniform(0.0, 2 * self.latency))
        await until(lambda: _lives(place.worker))  # one that has ended by itself is started again
        worker, place.worker = place.worker, 0
        os.kill(worker, signal.SIGKILL)
        self.faults.killed[self._doing(place)] += 1
        await until(lambda: not _lives(worker))
        self._start(place)
        place.spared_until = 0.0

    async def suspend_one(self) -> None:
        """Let one that holds a chunk stand still until another one has it, and go on."""
        place, chunk = await self._holder()
        place.spared_until = math.inf
        os.kill(place.worker, signal.SIGSTOP)
        journal, number, fence = chunk
        await asyncio.sleep(LEASE + TIMEOUT + CONNECT)

        async def is_taken() -> bool:
            return await self._says(_FENCE.format(journal, number)) not in ([], [(fence, False)])

        async with asyncio.timeout(60):
            await until(is_taken, 0.2)
        self.faults.suspended += 1
        os.kill(place.worker, signal.SIGCONT)
        place.spared_until = time.monotonic() + BREATH

    async def stop_database(self) -> None:
        """Stop the database, and start it again."""
        self._is_away = True
        await asyncio.to_thread(self.database.stop)
        await asyncio.sleep(STOPPED)
        await asyncio.to_thread(self.database.start)
        self._is_away, self._back = False, time.monotonic()
        self.faults.stops += 1

    async def _holder(self) -> tuple[Place, tuple[int, ...]]:
        async with asyncio.timeout(60):
            while True:
                for place in self.rng.sample(self.places, len(self.places)):
                    found = await self._says(_HELD.format(pid=place.worker))
                    if found and place.spared_until < time.monotonic():
                        return place, found[0]
                await asyncio.sleep(0.2)

    async def _says(self, sql: str) -> list[tuple[int, ...]]:
        """Ask the database; nothing comes back while it is stopped."""
        with suppress(psycopg.OperationalError):
            return await asyncio.to_thread(self.database.says, sql)  # type: ignore[arg-type]  # numbers
        return []

    async def _until_sending(self, name: str) -> None:
        began = time.monotonic()
        await until(lambda: self.seen.last.get(name, 0.0) > began or time.monotonic() > began + 4.0)

    def _may_be_killed(self, place: Place, *, early: bool) -> bool:
        return place.spared_until < time.monotonic() and (early or self._doing(place) != MOMENTS[0])

    def _doing(self, place: Place) -> str:
        last = self.seen.last.get(place.name, 0.0)
        if last < place.since:
            return MOMENTS[0]
        return MOMENTS[1 if time.monotonic() - last < self.latency else 2]

    def _start(self, place: Place) -> None:
        given = attrs.asdict(attrs.evolve(self.given, name=place.name))
        assert place.nursery.stdin is not None
        assert place.nursery.stdout is not None
        place.nursery.stdin.write(f"{json.dumps(given)}\n")
        place.nursery.stdin.flush()
        place.worker, place.since = int(place.nursery.stdout.readline()), time.monotonic()

    def _nursery(self, host: Host) -> "subprocess.Popen[str]":
        command = host.command(sys.executable, "-m", "benchmarks._host_worker")
        nursery = subprocess.Popen(  # noqa: S603 our own words
            command,
            cwd=ROOT,
            env=host.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self._nurseries.append(nursery)
        return nursery


def _lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def uncaught(log: Path) -> int:
    """Count the errors that nobody has caught, in what the workers wrote.

    Not those of procrastinate's own tasks, which it forgets when its database goes away: their jobs are swept.
    """
    text = log.read_text(errors="replace")
    forgotten = text.count("never retrieved\nfuture: <Task finished name='process job")
    return text.count("never retrieved") + text.count("Unhandled exception") + text.count("_become") - forgotten
