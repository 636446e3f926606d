"""Kill journalled runs at random moments, resume them until they are complete, and check that nothing was lost.

The sandbox runs in this process. A child runs a journalled job against it over real sockets: opt-outs in batches, or
the cancels of deployments, campaigns or transactions. It gets SIGKILL, and the next child goes on with the same
journal. After one to ten kills a job is left to finish; then the sandbox's own state, the journal and the outcomes are
compared, those too that a child had seen before it was killed. The moments are drawn in a mix: by the time since a
child began, by the requests of it that the sandbox has seen, by the outcomes that it has seen itself.

No operation that doubles has a bulk form, so there is none to kill here: that no deployment is created twice is
proved in tests/bulk/test_proof.py.

    python -m benchmarks.kill                           200 kills
    python -m benchmarks.kill --kills 2000 --write      the long form; puts its tables into the README
    python -m benchmarks.kill --postgres postgresql://127.0.0.1/test
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import attrs

from benchmarks import _harness
from benchmarks._killed import ENTRIES, SIZES, Job, in_child
from omeda_async.journal import read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox

MOMENTS = ("before the first request", "while requests were under way", "after the last answer")
MOST_KILLS = 10
LATENCY = 0.004
TICK = 0.001
GIVE_UP = 120.0
PROCESSES = multiprocessing.get_context("forkserver")


@attrs.define
class Life:
    """What has been seen of one child."""

    requests: int = 0
    """Those that have arrived at the sandbox."""
    answered: int = 0
    """Those whose end the child has seen."""
    outcomes: list[tuple[int, str]] = attrs.field(factory=list)
    """Position and status of those that its caller has seen."""
    complete: bool | None = None
    """None until it has come to its end."""
    gone: bool = False

    def hear(self, answers: Connection) -> None:
        """Take what the child has told by now."""
        try:
            while not self.gone and answers.poll():
                told = answers.recv()
                if told is None:
                    self.answered += 1
                elif isinstance(told, tuple):
                    self.outcomes.append(told)
                else:
                    self.complete = told
        except EOFError:
            self.gone = True


@attrs.frozen(kw_only=True)
class Moment:
    """When a child is killed: some time after so many of its requests have arrived, and so many outcomes were seen."""

    requests: float = 0
    outcomes: int = 0
    pause: float = 0.0

    def has_come(self, life: Life) -> bool:
        """Whether the pause begins."""
        return life.requests >= self.requests and len(life.outcomes) >= self.outcomes


NEVER = Moment(requests=math.inf)


@attrs.define
class Tally:
    """What the kills have shown."""

    killed: dict[str, Counter[str]] = attrs.field(factory=lambda: {kind: Counter() for kind in SIZES})
    """Kills by the kind of run and by the moment."""
    jobs: int = 0
    records: int = 0
    requests: int = 0
    seen: int = 0
    """Outcomes that were seen by a child which was killed afterwards."""
    lost: int = 0
    """Records without exactly one outcome, or not applied though reported so."""
    wrong: int = 0
    """Records that ended as they must not, were applied though reported otherwise, or journals that say otherwise."""
    again: int = 0
    """Records that were sent again, or ended otherwise, after their outcome had been seen."""
    repeats: int = 0
    """Opt-outs and cancels that were sent again without an outcome: harmless for these operations."""
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """Count all kills."""
        return sum(counts.total() for counts in self.killed.values())


@attrs.define
class Soak:
    """Kills, until there are enough, and every job that was begun is complete."""

    kills: int
    rng: Random
    sandbox: Sandbox
    folder: Path
    postgres: str | None = None
    tally: Tally = attrs.field(factory=Tally)
    life: Life = attrs.field(factory=Life)
    warming: float = 0.1
    """Seconds that a child lately took to its first request."""

    async def run(self) -> None:
        """Work through jobs; the next is always of the kind that has been killed least."""
        while self.tally.kills < self.kills:
            kind = min(SIZES, key=lambda kind: self.tally.killed[kind].total())
            job = Job(kind, self.tally.jobs)
            self.sandbox.reset()
            self.sandbox.fault(Fault(FaultKind.SLOW, match=self._arrived, times=None))
            job.seed(self.sandbox)
            await self._job(job, min(self.rng.randint(1, MOST_KILLS), self.kills - self.tally.kills))

    def _arrived(self, _: Any) -> bool:
        self.life.requests += 1
        return False

    def _journal(self, job: Job) -> Path | str:
        if self.postgres is None:
            return self.folder / f"{job.number}.sqlite3"
        return f"{self.postgres}{'&' if '?' in self.postgres else '?'}run=kill-{self.folder.name}-{job.number}"

    async def _job(self, job: Job, kills: int) -> None:
        """Kill a job so many times, unless it is quicker; let it finish, and compare."""
        journal = self._journal(job)
        seen: dict[int, tuple[str, int]] = {}
        for left in range(kills, -1, -1):
            await self._attempt(job, journal, self._moment(job, len(seen), left) if left else NEVER)
            if self.life.complete is not None:
                break
            self.tally.killed[job.kind][self._when(job)] += 1
            sent = job.processed(self.sandbox)
            self.tally.seen += len(self.life.outcomes)
            names = job.names
            seen |= {position: (status, sent[names[position]]) for position, status in self.life.outcomes}
        check(self.tally, self.sandbox, job, life=self.life, seen=seen, journal=journal)

    def _moment(self, job: Job, settled: int, kills: int) -> Moment:
        """Draw a moment: early in what is left to do while there are more kills to come, and at its very end else."""
        way = self.rng.random()
        records = SIZES[job.kind] - settled
        if way < 0.2:
            return Moment(pause=self.rng.uniform(0.0, self.warming))
        if kills == 1 and way < 0.8:
            return Moment(outcomes=SIZES[job.kind], pause=self.rng.uniform(0.0, LATENCY))
        if way < 0.8:
            requests = 2 + (records // ENTRIES if job.kind == "opt-outs" else records)
            return Moment(requests=self._early(requests, kills), pause=self.rng.uniform(0.0, 3 * LATENCY))
        return Moment(outcomes=settled + self._early(records, kills), pause=self.rng.uniform(0.0, LATENCY))

    def _early(self, number: int, kills: int) -> int:
        return self.rng.randint(1, max(1, 2 * number // (kills + 1)))

    def _when(self, job: Job) -> str:
        if not self.life.requests:
            return MOMENTS[0]
        over = self.life.requests == self.life.answered and job.good <= job.applied(self.sandbox)
        return MOMENTS[2 if over else 1]

    async def _attempt(self, job: Job, journal: Path | str, moment: Moment) -> None:
        """Run a job in a child, and kill it when the moment has come."""
        self.life = Life()
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=in_child, args=(theirs, self.sandbox.url, journal, job))
        process.start()
        theirs.close()
        try:
            await self._until(moment, ours)
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
            self.life.hear(ours)
            ours.close()
        await asyncio.sleep(3 * LATENCY)  # what it has sent arrives, and is its own

    async def _until(self, moment: Moment, ours: Connection) -> None:
        began, life = time.monotonic(), self.life
        async with asyncio.timeout(GIVE_UP):
            while life.complete is None and not moment.has_come(life):
                await asyncio.sleep(TICK)
                life.hear(ours)
                if life.gone and life.complete is None:
                    raise RuntimeError("a child has ended by itself")
        if life.requests == 1:
            self.warming = time.monotonic() - began
        await asyncio.sleep(moment.pause)


def check(
    tally: Tally, sandbox: Sandbox, job: Job, *, life: Life, seen: Mapping[int, tuple[str, int]], journal: Path | str
) -> None:
    """Compare what the children reported with the journal and with what the sandbox holds."""
    names, sent, noted = job.names, job.processed(sandbox), read_status(journal)
    final = dict(life.outcomes)
    tally.jobs += 1
    tally.records += len(names)
    tally.requests += sandbox.audit.counts.total()
    tally.repeats += sum(times - 1 for times in sent.values() if times)
    tally.lost += len(job.good - job.applied(sandbox)) + (not life.complete)
    tally.lost += Counter(position for position, _ in life.outcomes) != Counter(range(len(names)))
    tally.wrong += sum(status not in job.allowed(names[position]) for position, status in final.items())
    tally.wrong += len(job.applied(sandbox) - job.good - {name for name in names if "partly_done" in job.allowed(name)})
    counts = {status.value: number for status, number in noted.counts.items()}
    tally.wrong += (counts != Counter(final.values())) + (not noted.complete) + (noted.total != len(names))
    for position, (status, times) in seen.items():
        tally.again += final.get(position) != status or sent[names[position]] != times


async def soak(kills: int, rng: Random, postgres: str | None = None) -> Tally:
    """Kill so many times against a sandbox in this process."""
    began = time.monotonic()
    sandbox = Sandbox(latency=LATENCY, ocamba_windows=((10**9, 1.0),), ocamba_parallel=None, keep_requests=100)
    with tempfile.TemporaryDirectory() as folder:
        async with sandbox:
            work = Soak(kills, rng, sandbox, Path(folder), postgres)
            await work.run()
    work.tally.seconds = round(time.monotonic() - began, 1)
    return work.tally


def report(tally: Tally) -> str:
    """Write what the kills have shown as two tables."""
    rows = [[kind, *counts_in(counts)] for kind, counts in tally.killed.items()]
    total: Counter[str] = sum(tally.killed.values(), Counter())
    met = _harness.table(("killed", *MOMENTS, "in all"), [*rows, ["in all", *counts_in(total)]])
    shown = attrs.asdict(tally, filter=lambda field, _: field.name != "killed")
    return f"{met}\n\n{_harness.table(('what', 'count'), [[name, str(value)] for name, value in shown.items()])}"


def counts_in(counts: Counter[str]) -> list[str]:
    """Return the cells of a row of kills."""
    return [*(str(counts[moment]) for moment in MOMENTS), str(counts.total())]


def main() -> None:
    """Read the arguments, run, and print tables or JSON; exit with 1 if anything was lost, wrong, or done again."""
    parser = argparse.ArgumentParser(description="Kill journalled runs, resume them, and count what was lost.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", metavar="URL", help="keep the journals in this database; they stay there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="put the tables into the README of the benchmarks")
    given = parser.parse_args()
    PROCESSES.set_forkserver_preload(["benchmarks._killed", "benchmarks._harness", "omeda_async.journal"])
    tally = asyncio.run(soak(given.kills, Random(given.seed), given.postgres))  # noqa: S311 it has to be repeatable
    print(json.dumps(attrs.asdict(tally), indent=2) if given.json else report(tally))
    if given.write:
        _harness.write_section("kill", report(tally))
    sys.exit(bool(tally.lost or tally.wrong or tally.again))


if __name__ == "__main__":
    main()
