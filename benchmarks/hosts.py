"""Have workers on two hosts share runs while they are killed, suspended, and their database is stopped; check it all.

The sandbox runs in this process, and PostgreSQL and Redis in servers of their own. Four workers on two hosts (network
namespaces with disks of their own, where the machine permits that) perform 20,000 opt-outs and 300 cancels of campaigns
under the real limits, shared on Redis. Then the sandbox's own state, the journal and the report are compared.

    python -m benchmarks.hosts --write      some ten minutes; puts its tables into the README
    python -m benchmarks.hosts --short      about a minute
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
from aiohttp import web

from benchmarks import _harness, shared_runs
from benchmarks._host import Host, hosts
from benchmarks._host_check import NOTICE, NOTICE_NO_MORE, Seen, Tally, check, reported
from benchmarks._host_crew import MOMENTS, Crew, Faults, uncaught, until
from benchmarks._host_worker import LEASE, Given
from benchmarks._killed import Job
from benchmarks.sharing.stores import RedisPlace, know
from omeda_async import JournalError
from omeda_async.journal import read_status
from omeda_async.sandbox import Sandbox
from omeda_async.worker import BulkJobs
from tests.limits.postgres_service import OwnPostgres, own_postgres
from tests.limits.redis_service import OwnServer, own_server

LATENCY = 0.1
"""Seconds from a worker to the sandbox, and from there back."""
SLOW = 0.25
"""The same where the number of workers is what counts."""

WORDS = {
    "suspended": "suspended (SIGSTOP) until another worker had its chunk, and let go on",
    "stops": "stops of the database, for 5 s after it had shut down",
    "refused": "workers started while there was no database, which ended, and were started again",
    "ended": "workers that ended by themselves otherwise",
    "files": "files on the disks of the hosts, in the end",
    "records": "records",
    "done": "done",
    "not_done": "could not be done, by their own fault",
    "requests": "requests at the sandbox",
    "noted": "requests in the report",
    "repeats": "repeats: applied or refused once more before an outcome was written",
    "lost": "**lost**",
    "wrong": "**wrong**",
    "off": "**sums of the report that are off**",
    "again": "**sent again after the outcome was written**",
    "refusals": "**refusals (429)**",
}


@attrs.frozen(kw_only=True)
class Plan:
    """How much is done, and to whom."""

    opt_outs: int
    entries: int
    """Opt-outs in a request."""
    campaigns: int
    kills: int
    """Of workers that have sent a request before."""
    early: float
    """How many of all kills are of whoever it is: most of those have sent nothing yet."""
    every: float
    """Seconds from one kill to the next, in the mean."""
    suspensions: int
    give_up: float
    scaling: int = 0
    """Opt-outs for the scaling; 0: it is left out."""
    known: bool = False
    """Whether the limits were in use before: else the first turn of all waits for what may have been sent."""


FULL = Plan(
    opt_outs=20_000,
    entries=6,
    campaigns=300,
    kills=110,
    early=0.15,
    every=2.0,
    suspensions=3,
    give_up=1200,
    scaling=20_000,
)
SHORT = Plan(
    opt_outs=1800, entries=6, campaigns=40, kills=10, early=0.15, every=2.0, suspensions=1, give_up=300, known=True
)


@attrs.frozen
class Scene:
    """Where it is played."""

    hosts: list[Host]
    database: OwnPostgres
    limits: OwnServer
    log: Path

    def given(self, url: str, account: str, *, courtesy: bool = True) -> Given:
        """Return what the workers are given."""
        database, limits = self.database.url, self.limits.url
        return Given(name="nobody", database=database, share_limits=limits, url=url, account=account, courtesy=courtesy)

    async def know(self, given: Given) -> None:
        """Let the limits be in use for long."""
        omeda, ocamba = given.settings()
        await asyncio.to_thread(know, RedisPlace(self.limits), omeda=omeda, ocamba=ocamba)


@contextmanager
def scene(log: Path | None) -> Iterator[Scene]:
    """Set it up, and take it down."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omeda-async-hosts-")))
        address, found = stack.enter_context(hosts(folder, "a", "b"))
        database = stack.enter_context(own_postgres(address))
        limits = stack.enter_context(contextmanager(own_server)(folder, host=address))
        yield Scene(found, database, limits, log or folder / "log")


@asynccontextmanager
async def serving(scene: Scene, latency: float) -> AsyncIterator[Sandbox]:
    """Run a sandbox that listens on the loopback address of every host."""
    async with Sandbox(latency=latency, keep_requests=1_000_000) as sandbox:
        runner = sandbox._server._runner  # noqa: SLF001 nobody else needs it to listen in a namespace
        assert runner is not None
        for host in scene.hosts:
            listening = host.listening(int(sandbox.url.rpartition(":")[2]))
            if listening is not None:
                await web.SockSite(runner, listening).start()
        yield sandbox


@contextmanager
def crew(scene: Scene, given: Given, workers: int, *, seen: Seen, rng: Random, latency: float) -> Iterator[Crew]:
    """Have so many workers, on the hosts in turns."""
    with scene.log.open("ab") as log:
        found = Crew(given, scene.database, seen, rng, latency, log)
        try:
            found.enter(scene.hosts, workers)
            yield found
        finally:
            found.leave()


async def deferred(given: Given, *jobs: tuple[Job, str, dict[str, Any]]) -> None:
    """Read runs into their journals, and make their jobs."""
    async with BulkJobs.at(given.database, given.manager) as opened:
        for job, run, options in jobs:
            records: Any = job.opt_outs if job.kind == "opt-outs" else job.names
            operation = "opt-out" if job.kind == "opt-outs" else "cancel-campaigns"
            await opened.defer_rows(records, operation, run=run, **options)


async def complete(database: OwnPostgres, *runs: str) -> bool:
    """Whether runs are complete."""
    with contextlib.suppress(JournalError):  # it is stopped
        return all([(await asyncio.to_thread(read_status, f"{database.url}?run={run}")).complete for run in runs])
    return False


async def disturb(crew: Crew, plan: Plan) -> None:
    """Kill, suspend and stop, as often as planned."""
    every, suspended, is_stopped = plan.kills // (plan.suspensions + 1), 0, False
    await until(lambda: bool(crew.seen.requests))  # the first turn at new limits waits
    async with asyncio.TaskGroup() as group:
        while (killed := crew.faults.at_work) < plan.kills:
            if suspended < min(killed // every, plan.suspensions):
                suspended += 1
                group.create_task(crew.suspend_one())
            if killed >= plan.kills // 2 + every // 2 and not is_stopped:
                is_stopped = True
                group.create_task(crew.stop_database())
            await asyncio.sleep(crew.rng.uniform(0.5, 1.5) * plan.every)
            await crew.kill_one(early=crew.rng.random() < plan.early)


async def prove(scene: Scene, plan: Plan, rng: Random) -> tuple[Tally, Faults]:
    """Play it to its end, and compare."""
    jobs: list[tuple[Job, str, dict[str, Any]]] = [
        (Job("opt-outs", 1, plan.opt_outs), "opt-outs", {"max_entries": plan.entries, "chunk": 240})
    ]
    if plan.campaigns:
        how = {"reason": "test", "chunk": plan.campaigns // 4, "priority": 1}
        jobs.append((Job("campaigns", 2, plan.campaigns), "campaigns", how))
    tally, seen = Tally(), Seen()
    async with serving(scene, LATENCY) as sandbox:
        seen.look_at(sandbox)
        for job, _, _ in jobs:
            job.seed(sandbox)
        given = scene.given(sandbox.url, "proof")
        if plan.known:
            await scene.know(given)
        await deferred(given, *((job, run, {"lease": LEASE, **how}) for job, run, how in jobs))
        scene.database.says(NOTICE)
        with crew(scene, given, 4, seen=seen, rng=rng, latency=2 * LATENCY) as workers:
            faults = workers.faults
            async with asyncio.timeout(plan.give_up), asyncio.TaskGroup() as group:
                disturbing = group.create_task(disturb(workers, plan))
                while not await complete(scene.database, *(run for _, run, _ in jobs)) or workers.is_away:
                    workers.restart_ended()
                    killed, at_work, sent = faults.killed.total(), faults.at_work, seen.requests.total()
                    print(f"{killed} kills, {at_work} of them at work; {sent} requests", end="\r", file=sys.stderr)
                    await asyncio.sleep(0.5)
                disturbing.cancel()  # there is nothing left that could be lost
        for job, run, _ in jobs:
            report = await reported(given, job, run)
            check(tally, job, run, sandbox=sandbox, seen=seen, database=scene.database, report=report)
        tally.requests = seen.requests.total()
        tally.files = sum(1 for host in scene.hosts for _ in host.disk.rglob("*"))
        tally.refusals = sum(one.refused for one in sandbox.requests)
        tally.over = sandbox.over_limit(any_phase=True)
    return tally, faults


async def scaled(scene: Scene, workers: int, records: int) -> float:
    """Return the opt-outs a second of so many workers, with the courtesy limit off and a slow provider."""
    job, run, seen = Job("opt-outs", 10 + workers, records), f"scaling-{workers}", Seen()
    async with serving(scene, SLOW) as sandbox:
        seen.look_at(sandbox)
        given = scene.given(sandbox.url, run, courtesy=False)
        await scene.know(given)
        await deferred(given, (job, run, {"max_entries": 20, "chunk": 500}))
        with crew(scene, given, workers, seen=seen, rng=Random(1), latency=SLOW):  # noqa: S311 nothing is drawn
            async with asyncio.timeout(600):
                await until(lambda: complete(scene.database, run), 0.1)
        _harness.check("applied", job.applied(sandbox) >= job.good, expected=True)
        arrived = [one.arrived_at for one in sandbox.requests]
    return records / (max(arrived) - min(arrived) + 2 * SLOW)


def others(scene: Scene, plan: Plan) -> str:
    """Measure what is no promise: the journal's throughput, and what more workers bring."""
    scene.database.says(NOTICE_NO_MORE)
    rows = []
    for processes in (1, 4):
        url = f"{scene.database.url}?run=measured-{processes}"
        fill, perform = shared_runs.measured(url, 50_000, processes)
        rows.append([f"journal, {processes} processes", f"{perform:,.0f}", f"filled: {fill:,.0f}"])
    alone = 0.0
    for workers in (1, 2, 4):
        rate = asyncio.run(scaled(scene, workers, plan.scaling))
        alone = alone or rate
        rows.append([f"opt-outs, {workers} workers", f"{rate:,.0f}", f"{rate / alone:.2f} times one worker"])
    return _harness.table(("what", "records a second", ""), rows)


def shown(tally: Tally, faults: Faults) -> str:
    """Write what the proof has shown as a table."""
    rows = [[f"killed (SIGKILL) {moment}", f"{faults.killed[moment]}"] for moment in MOMENTS]
    found = attrs.asdict(faults) | attrs.asdict(tally) | {"lost": len(tally.lost)}
    rows += [[words, f"{found[name]:,}"] for name, words in WORDS.items()]
    # What leaves in good order may arrive in a bunch; the provider counts by windows of its own.
    beyond = "; ".join(tally.over) or "never"
    return f"{_harness.table(('what', 'count'), rows)}\n\nMore in some span of arrivals than a window allows: {beyond}."


def failures(tally: Tally, faults: Faults, plan: Plan) -> list[str]:
    """Say what is not as promised, or was not tried."""
    never = {name: getattr(tally, name) for name in ("wrong", "off", "again", "refusals")} | {"ended": faults.ended}
    found = [f"lost: {one}" for one in tally.lost] + [f"{name}: {count}" for name, count in never.items() if count]
    if faults.at_work < plan.kills or faults.suspended < plan.suspensions or not faults.stops:
        found.append(f"not all was tried: {faults}")
    return found


def headed(seconds: float, *, apart: bool, loads: list[float]) -> str:
    """Say where it was, and how long it took."""
    where = "two network namespaces" if apart else "**one network, as this machine permits no namespaces**"
    return f"Four workers in {where}, {seconds:.0f} s, on a machine with a load of {statistics.mean(loads):.0f}:"


def main() -> None:
    """Read the arguments, play it, and print tables; exit with 1 where something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="about a minute, with fewer kills and records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where to keep what the workers write")
    parser.add_argument("--write", action="store_true", help="put the tables into the README of the benchmarks")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # namespaces and stores go with it
    plan, began, loads = SHORT if given.short else FULL, time.monotonic(), [os.getloadavg()[0]]
    with scene(given.log) as place:
        tally, faults = asyncio.run(prove(place, plan, Random(given.seed)))  # noqa: S311 it has to be repeatable
        seconds = time.monotonic() - began
        loads.append(os.getloadavg()[0])
        apart = place.hosts[0].namespace is not None
        text = shown(tally, faults)
        errors = uncaught(place.log)
        if plan.scaling:
            text += f"\n\n{others(place, plan)}"
    text = f"{headed(seconds, apart=apart, loads=loads)}\n\n{text}"
    print(text)
    if given.write:
        _harness.write_section("hosts", text)
    found = failures(tally, faults, plan) + [f"uncaught errors in the log: {errors}"] * bool(errors)
    print(json.dumps(found), file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
