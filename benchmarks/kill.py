"""
Kill journalled runs at random moments, resume them until they are complete, and check that nothing was lost.

The sandbox runs in this process. A child runs a journalled job against it over real sockets: opt-outs in batches,
deployments, or campaigns. It gets SIGKILL at a random moment, and the next child goes on with the same journal, until
one comes through. Then the sandbox's own state, the journal and the outcomes are compared.

    python benchmarks/kill.py                   200 kills
    python benchmarks/kill.py --kills 2000      the long form
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import attrs

from omeda_async import BrandOptOut, BulkRun, OcambaSettings, OmedaSettings, OutcomeStatus, RateLimit, SessionManager
from omeda_async.journal import JournalStatus, read_status
from omeda_async.sandbox import Sandbox

KINDS = ("opt-outs", "deployments", "campaigns")
SIZES = {"opt-outs": 1000, "deployments": 60, "campaigns": 60}
ENTRIES = 25
LATENCY = 0.004
GIVE_UP = 120.0
PROCESSES = multiprocessing.get_context("forkserver")
FAST = RateLimit.courtesy(per_second=2000, parallel=32)


def names(kind: str, job: int) -> list[str]:
    """
    Give the ids of a job's records: some repeat, and one in a hundred is bad.
    """
    size = SIZES[kind]
    found = [f"{kind[0].upper()}{job}x{number}" for number in range(size)]
    found[size // 2] = found[0]
    found[size // 3] = f"missing-{job}"
    return found


def run_of(manager: SessionManager, kind: str, job: int, journal: Path) -> BulkRun:
    """
    Make the run of a job; the same call resumes it.
    """
    if kind == "opt-outs":
        records = [
            BrandOptOut(f"{name}@example.com", brand_ids=["NONE" if name.startswith("missing") else "XXG"])
            for name in names(kind, job)
        ]
        return manager.omeda.opt_outs.submit_many(records, max_entries=ENTRIES, journal=journal)
    if kind == "deployments":
        return manager.omeda.deployments.cancel_many(names(kind, job), journal=journal)
    return manager.ocamba.campaigns.cancel_many(names(kind, job), reason="killed", journal=journal)


async def child(url: str, journal: Path, kind: str, job: int) -> dict[str, Any]:
    """
    Begin a job or resume it, and tell what came out.
    """
    known = Sandbox()
    async with SessionManager(
        omeda=OmedaSettings(
            app_id=known.app_id,
            brand=known.brand,
            client=known.client,
            user_id=known.user_id,
            base_url=url,
            rate_limit=FAST,
        ),
        ocamba=OcambaSettings(token=known.ocamba_token, base_url=url, rate_limit=FAST),
        hooks=[lambda _: None],
    ) as manager:
        positions: Counter[int] = Counter()
        statuses: Counter[str] = Counter()
        run = run_of(manager, kind, job, journal)
        async for outcome in run:
            positions[outcome.position] += 1
            statuses[outcome.status.value] += 1
        once = positions == Counter(range(SIZES[kind]))
        return {"counts": dict(statuses), "once": once, "complete": run.report.complete}


def in_child(answers: Connection, *job: Any) -> None:
    """
    Work in a process of its own, which may be killed at any moment.
    """
    answers.send(asyncio.run(child(*job)))


@attrs.define
class Tally:
    """
    What the kills have shown.
    """

    kills: int = 0
    killed_in: Counter[str] = attrs.field(factory=Counter)
    """Kills while a run of that kind was under way."""
    jobs: int = 0
    records: int = 0
    lost: int = 0
    """Records without exactly one outcome, or not applied though reported so."""
    wrong: int = 0
    """Records applied though reported otherwise, or a journal whose sums do not hold."""
    repeats: int = 0
    """Opt-outs applied more than once, and requests for cancels beyond one each: harmless for these operations."""
    requests: int = 0
    seconds: float = 0.0


def check(
    tally: Tally, sandbox: Sandbox, kind: str, job: int, *, answer: dict[str, Any], journal: JournalStatus
) -> None:
    """
    Compare what the child reported with the journal and with what the sandbox holds.
    """
    every = names(kind, job)
    good = {name for name in every if not name.startswith("missing")}
    applied = applied_in(sandbox, kind, good)
    done = sum(answer["counts"].get(status.value, 0) for status in OutcomeStatus if status.is_done)
    same = {status.value: number for status, number in journal.counts.items()} == answer["counts"]
    tally.jobs += 1
    tally.records += len(every)
    tally.lost += len(good - applied.keys()) + (not answer["once"]) + (not answer["complete"])
    tally.wrong += abs(done - (len(every) - 1)) + (answer["counts"].get("rejected", 0) != 1)
    tally.wrong += (not same) + (not journal.complete) + (journal.total != len(every))


def applied_in(sandbox: Sandbox, kind: str, good: set[str]) -> Counter[str]:
    """
    Count how often each record was applied, by the sandbox's own books.
    """
    if kind == "opt-outs":
        counted = sandbox.omeda.opt_outs.counter()
        return +Counter({name: counted["brand", f"{name}@example.com", "XXG"] for name in good})
    if kind == "deployments":
        held = sandbox.omeda.deployments
        return Counter(name for name in good if held[name].status.lower() == "cancelled")
    campaigns = sandbox.ocamba.campaigns
    return Counter(name for name in good if campaigns[name].status == "canceled")


def seed(sandbox: Sandbox, kind: str, job: int) -> None:
    """
    Give the sandbox what a job is about.
    """
    good = {name for name in names(kind, job) if not name.startswith("missing")}
    if kind == "deployments":
        for name in good:
            sandbox.omeda.seed_deployment(name)
    if kind == "campaigns":
        sandbox.ocamba.seed_campaigns(good)


@attrs.define
class Soak:
    """
    Kills, until there are enough, and every job that was begun is complete.
    """

    kills: int
    rng: Random
    sandbox: Sandbox
    folder: Path
    tally: Tally = attrs.field(factory=Tally)
    took: dict[str, float] = attrs.field(factory=dict)
    """Seconds that a run of each kind lately took from its start: the kills are spread over it."""

    async def run(self) -> None:
        """
        Work through jobs, one kind after the other.
        """
        job = 0
        while self.tally.kills < self.kills:
            kind, job = KINDS[job % len(KINDS)], job + 1
            seed(self.sandbox, kind, job)
            before = sum(self.sandbox.audit.counts.values())
            journal = self.folder / f"{kind}-{job}.sqlite3"
            answer = None
            while answer is None:
                answer = await asyncio.to_thread(self.attempt, self.sandbox.url, journal, kind, job)
            status = await asyncio.to_thread(read_status, journal)
            check(self.tally, self.sandbox, kind, job, answer=answer, journal=status)
            requests = sum(self.sandbox.audit.counts.values()) - before
            self.tally.requests += requests
            self.tally.repeats += self.repeated(kind, job, requests)

    def repeated(self, kind: str, job: int, requests: int) -> int:
        """
        Count what was done again.
        """
        every = set(names(kind, job))
        if kind == "opt-outs":
            return sum(applied_in(self.sandbox, kind, every).values()) - (len(every) - 1)
        return requests - len(every)

    def attempt(self, url: str, journal: Path, kind: str, job: int) -> dict[str, Any] | None:
        """
        Run a job in a child, and kill it at a random moment; give its answer if it was done by then.
        """
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=in_child, args=(theirs, url, journal, kind, job))
        started = time.monotonic()
        process.start()
        theirs.close()
        enough = self.tally.kills >= self.kills
        patience = GIVE_UP if enough else self.rng.uniform(0.0, self.took.get(kind, 0.5))
        try:
            if ours.poll(patience):
                answer: dict[str, Any] = ours.recv()
                self.took[kind] = time.monotonic() - started
                return answer
            self.tally.kills += 1
            self.tally.killed_in[kind] += 1
            return None
        finally:
            process.kill()
            process.join()
            ours.close()


async def soak(kills: int, rng: Random) -> Tally:
    """
    Kill so many times against a sandbox in this process.
    """
    began = time.monotonic()
    sandbox = Sandbox(latency=LATENCY, ocamba_windows=((10**9, 1.0),), ocamba_parallel=None, keep_requests=100)
    with tempfile.TemporaryDirectory() as folder:
        async with sandbox:
            work = Soak(kills, rng, sandbox, Path(folder))
            await work.run()
    work.tally.seconds = round(time.monotonic() - began, 1)
    return work.tally


def main() -> None:
    """
    Read the arguments, run, and print a table or JSON; exit with 1 if anything was lost or wrong.
    """
    parser = argparse.ArgumentParser(description="Kill journalled runs, resume them, and count what was lost.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    PROCESSES.set_forkserver_preload(["omeda_async", "omeda_async.journal", "omeda_async.sandbox"])
    tally = asyncio.run(soak(given.kills, Random(given.seed)))  # noqa: S311 it has to be repeatable
    result = attrs.asdict(tally)
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print("| what | count |\n|---|---|")
        for name, value in result.items():
            shown = ", ".join(f"{kind} {count}" for kind, count in value.items()) if isinstance(value, dict) else value
            print(f"| {name.replace('_', ' ')} | {shown} |")
    sys.exit(bool(tally.lost or tally.wrong))


if __name__ == "__main__":
    main()
