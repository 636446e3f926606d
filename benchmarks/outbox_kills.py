"""Kill processes that put opt-outs into an outbox, at moments between the put and its outcome, and count what was lost.

The sandbox runs in this process. A child opens the outbox, puts opt-outs, tells of each that was acknowledged and of
each outcome that its callback is told, and gets SIGKILL; the next one goes on with the same file. After some kills a
child is left to deliver the rest. Then what was acknowledged is compared with the sandbox's own state, with the
outcomes in the outbox and with what the callbacks were told. The moments are drawn in a mix: right after an
acknowledgement, while a request is under way, and when its response has come.

    python -m benchmarks.outbox_kills                 200 kills
    python -m benchmarks.outbox_kills --kills 60 --postgres postgresql://127.0.0.1/test
                                                      with outboxes in that database, in a schema that is dropped then
"""

import argparse
import asyncio
import json
import multiprocessing
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import attrs

from benchmarks import _harness
from benchmarks._outbox_killed import in_child
from omeda_async.outbox import read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox

MOMENTS = ("after an acknowledgement", "while a request was under way", "after a response")
KILLS_EACH = 10
LATENCY = 0.01
TICK = 0.001
GIVE_UP = 60.0
PROCESSES = multiprocessing.get_context("forkserver")


@attrs.define
class Life:
    """What has been seen of one child."""

    acknowledged: list[str] = attrs.field(factory=list)
    told: list[tuple[str, str]] = attrs.field(factory=list)
    """Key and status of what its callback was told."""
    requests: int = 0
    """Those that have arrived at the sandbox."""
    answered: int = 0
    ended: bool = False
    gone: bool = False

    def hear(self, tidings: Connection) -> None:
        """Take what the child has told by now."""
        try:
            while not self.gone and tidings.poll():
                kind, *what = tidings.recv()
                if kind == "put":
                    self.acknowledged += what
                elif kind == "told":
                    self.told.append((what[0], what[1]))
                elif kind == "answered":
                    self.answered += 1
                else:
                    self.ended = True
        except EOFError:
            self.gone = True


@attrs.define
class Tally:
    """What the kills have shown."""

    killed: Counter[str] = attrs.field(factory=Counter)
    """By the moment."""
    acknowledged: int = 0
    unacknowledged: int = 0
    """Found in the outbox, as the kill came between the write and the acknowledgement; they are delivered, too."""
    told: int = 0
    requests: int = 0
    lost: int = 0
    """Acknowledged, and not applied, without an outcome, or never told to a callback."""
    wrong: int = 0
    """Told or noted as done, and not applied; or with an outcome that is not done."""
    again: int = 0
    """Applied once more after their outcome had been told."""
    repeats: int = 0
    """Applied more than once, as the process had died before the outcome was noted: harmless."""
    seconds: float = 0.0


@attrs.define
class Soak:
    """Kills, until there are enough."""

    kills: int
    rng: Random
    sandbox: Sandbox
    place: str
    """Where the outboxes are, with {} for the number of each."""
    tally: Tally = attrs.field(factory=Tally)
    life: Life = attrs.field(factory=Life)
    _acknowledged: set[str] = attrs.field(factory=set)
    _told: dict[str, int] = attrs.field(factory=dict)
    """What callbacks were told is done, and how often it had been applied then."""

    async def run(self) -> None:
        """Work through outboxes, some kills each."""
        number = 0
        while (left := self.kills - self.tally.killed.total()) > 0:
            self.sandbox.reset()
            self.sandbox.fault(Fault(FaultKind.SLOW, match=self._arrived, times=None))
            self._acknowledged.clear()
            self._told.clear()
            number += 1
            path = self.place.format(number)
            for place in range(min(KILLS_EACH, left)):
                await self._live(path, f"k{number}x{place}", self.rng.choice(MOMENTS))
            await self._live(path, f"k{number}x", None)
            self._check(path)

    def _arrived(self, _: Any) -> bool:
        self.life.requests += 1
        return False

    def _applied(self) -> Counter[str]:
        return Counter(one.email_address.partition("@")[0] for one in self.sandbox.omeda.opt_outs)

    async def _live(self, path: str, prefix: str, moment: str | None) -> None:
        """Let a child put and deliver until the moment has come; without one, deliver all that is left."""
        self.life = life = Life()
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=in_child, args=(theirs, self.sandbox.url, path, prefix, moment is None))
        process.start()
        theirs.close()
        acknowledged, answered = self.rng.randint(1, 20), self.rng.randint(1, 3)
        try:
            async with asyncio.timeout(GIVE_UP):
                while not self._has_come(moment, acknowledged, answered):
                    await asyncio.sleep(TICK)
                    self._hear(ours)
                    if life.gone and not life.ended:
                        raise RuntimeError("a child has ended by itself")
            await asyncio.sleep(
                self.rng.uniform(0, 2 * LATENCY) if moment == MOMENTS[0] else self.rng.uniform(0, LATENCY)
            )
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
            self._hear(ours)
            ours.close()
        await asyncio.sleep(3 * LATENCY)  # what it has sent arrives
        if moment is not None:
            self.tally.killed[moment] += 1
        self._acknowledged.update(life.acknowledged)

    def _has_come(self, moment: str | None, acknowledged: int, answered: int) -> bool:
        life = self.life
        if moment is None:
            return life.ended
        if moment == MOMENTS[0]:
            return len(life.acknowledged) >= acknowledged
        if moment == MOMENTS[1]:
            return life.requests >= answered > life.answered or life.requests > answered
        return life.answered >= answered

    def _hear(self, ours: Connection) -> None:
        known = len(self.life.told)
        self.life.hear(ours)
        applied = self._applied() if len(self.life.told) > known else Counter[str]()
        for key, status in self.life.told[known:]:
            self.tally.told += 1
            self.tally.wrong += status != "done" or not applied[key]
            self._told.setdefault(key, applied[key])

    def _check(self, path: str) -> None:
        applied, status, tally = self._applied(), read_status(path), self.tally
        done = sum(number for outcome, number in status.counts.items() if outcome.value == "done")
        tally.acknowledged += len(self._acknowledged)
        tally.unacknowledged += status.total - len(self._acknowledged)
        tally.requests += self.sandbox.audit.counts.total()
        tally.lost += len(self._acknowledged - applied.keys()) + len(self._acknowledged - self._told.keys())
        tally.lost += max(0, len(self._acknowledged) - status.total) + status.waiting + status.under_way
        tally.wrong += status.total - status.waiting - status.under_way - done
        tally.wrong += len(self._told.keys() - applied.keys()) + max(0, done - len(applied))
        tally.again += sum(applied[key] != times for key, times in self._told.items())
        tally.repeats += sum(times - 1 for times in applied.values())


@contextmanager
def folder() -> Iterator[str]:
    """Give where outboxes in files are."""
    with tempfile.TemporaryDirectory() as name:
        yield f"{name}/{{}}.sqlite3"


@contextmanager
def schema(postgres: str) -> Iterator[str]:
    """Give where outboxes in a database are: in a schema of their own."""
    import psycopg  # noqa: PLC0415 who has files needs no extra

    name = f"omeda_async_kills_{secrets.token_hex(6)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    try:
        yield f"{postgres}{'&' if '?' in postgres else '?'}options=-csearch_path%3D{name}&outbox={{}}"
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


async def soak(kills: int, rng: Random, postgres: str | None = None) -> Tally:
    """Kill so many times against a sandbox in this process; with outboxes in a database, or else in files."""
    began = time.monotonic()
    PROCESSES.set_forkserver_preload(
        ["benchmarks._outbox_killed", "omeda_async._transport", "omeda_async.bulk.outbox.place"]
    )
    with schema(postgres) if postgres else folder() as place:
        async with Sandbox(latency=LATENCY, keep_requests=100) as sandbox:
            work = Soak(kills, rng, sandbox, place)
            await work.run()
    work.tally.seconds = round(time.monotonic() - began, 1)
    return work.tally


def report(tally: Tally) -> str:
    """Write what the kills have shown as tables."""
    met = _harness.table(
        (*MOMENTS, "in all"), [[*(str(tally.killed[one]) for one in MOMENTS), str(tally.killed.total())]]
    )
    shown = attrs.asdict(tally, filter=lambda field, _: field.name != "killed")
    return f"{met}\n\n{_harness.table(('what', 'count'), [[name, str(value)] for name, value in shown.items()])}"


def main() -> None:
    """Read the arguments, run, and print tables or JSON; exit with 1 if anything was lost, wrong, or done again."""
    parser = argparse.ArgumentParser(description="Kill processes with an outbox, and count what was lost.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--postgres", metavar="URL", help="a database to keep the outboxes in")
    given = parser.parse_args()
    tally = asyncio.run(soak(given.kills, Random(given.seed), given.postgres))  # noqa: S311 it has to be repeatable
    print(json.dumps(attrs.asdict(tally), indent=2) if given.json else report(tally))
    sys.exit(bool(tally.lost or tally.wrong or tally.again))


if __name__ == "__main__":
    main()
