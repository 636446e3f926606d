"""Bulk runs of opt-outs, ours and those of a bare script on the same input: one run, in a process of its own.

The bare script is what one writes without a library: the records → dicts → orjson → aiohttp, in the same batches.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import orjson

from benchmarks import _harness
from benchmarks._harness import Failed, Measured, metered
from benchmarks._inputs import INPUTS, Input, bodies
from benchmarks._server import arrived
from omeda_async import OmedaSettings, OutcomeStatus, RateLimit, SessionManager

MILLION = 1_000_000
ENTRIES = 500
IN_FLIGHT = 8
APP_ID = "0D4C1B4E-0000-4000-8000-000000000000"
PATH = "/webservices/rest/client/foo/optoutfilterqueue/*"
BEAT = 0.001
Heart: TypeAlias = AbstractAsyncContextManager[None]
"""Beats while it is entered."""


def manager_at(url: str) -> SessionManager:
    """Make a manager of which only the calls in flight are limited. Whoever makes one before loads what it needs."""
    settings = OmedaSettings(app_id=APP_ID, client="foo", base_url=url, rate_limit=RateLimit(parallel=IN_FLIGHT))
    return SessionManager(omeda=settings)


async def _ours(records: Callable[[], Any], url: str, heart: Heart, journal: str | None, *, iterate: bool) -> int:
    async with manager_at(url) as manager:
        run = manager.omeda.opt_outs.submit_many(records(), max_entries=ENTRIES, concurrency=IN_FLIGHT, journal=journal)
        async with heart:
            if iterate:
                return sum([outcome.status is OutcomeStatus.DONE async for outcome in run])
            report = await run
        _harness.check("complete", report.complete, expected=True)
        return report.counts[OutcomeStatus.DONE]


async def _bare(source: Input, made: Any, url: str, heart: Heart) -> int:
    batches = bodies(source.bare(made), ENTRIES)
    headers = {"Content-Type": "application/json", "x-omeda-appid": APP_ID}
    async with aiohttp.ClientSession() as session:

        async def work() -> int:
            done = 0
            for count, body in batches:
                async with session.post(url + PATH, data=body, headers=headers) as response:
                    receipt = orjson.loads(await response.read())
                done += count if response.status == 200 and receipt.get("Success") else 0
            return done

        async with heart:
            return sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


def run(
    who: str,
    kind: str,
    path: str,
    records: int,
    url: str,
    *,
    journal: str | None = None,
    iterate: bool = False,
    stalls: bool = False,
    frozen: bool = False,
    fast_loop: bool = False,
) -> Measured:
    """Make one run; in a process of its own.

    Args:
        who: ``"ours"`` or ``"bare"``.
        kind: Which of ``INPUTS``.
        path: Where its file is, or is to be written.
        records: How many it holds.
        url: The server.
        journal: The journal to keep, or to resume; none where it is None.
        iterate: Look at each outcome?
        stalls: Watch how late a timer rings?
        frozen: Take what is loaded before the run out of the garbage collector's sight, as ``gc.freeze()`` does?
        fast_loop: Run on uvloop?
    """

    async def main() -> Measured:
        source = INPUTS[kind]
        made = source.make(Path(path), records)
        manager_at(url)  # loads the client: importing is measured by itself
        if frozen:
            gc.collect()
            gc.freeze()
        lateness: dict[str, float] = {}
        heart, before = _heart(lateness, beating=stalls), _collections()
        with metered() as used:
            if who == "bare":
                done = await _bare(source, made, url, heart)
            else:
                done = await _ours(lambda: source.ours(made), url, heart, journal, iterate=iterate)
        return {
            "done": done,
            "cpu": used.cpu,
            "seconds": used.seconds,
            "memory": _harness.peak_memory(),
            "journal": _size(journal),
            "collections": _collections() - before,
            **lateness,
        }

    return _harness.run(main(), fast_loop=fast_loop)


def _size(file: str | None) -> int:
    return Path(file).stat().st_size if file else 0


def _collections() -> int:
    """Return how often the garbage collector has searched for garbage, of whatever age."""
    return sum(generation["collections"] for generation in gc.get_stats())


@asynccontextmanager
async def _heart(told: dict[str, float], *, beating: bool) -> AsyncIterator[None]:
    """Tell how late a timer of every millisecond rings, and how much of that the loop's thread itself has worked."""
    late: list[tuple[float, float]] = []

    async def beat() -> None:
        while True:
            due, worked = time.perf_counter() + BEAT, time.thread_time()
            await asyncio.sleep(BEAT)
            late.append((time.perf_counter() - due, time.thread_time() - worked))

    heart = asyncio.create_task(beat()) if beating else None
    yield
    if heart is not None:
        heart.cancel()
        for place, name in enumerate(("late", "worked")):
            sample = sorted(one[place] for one in late)
            told[f"{name}_p99"] = sample[int(0.99 * (len(sample) - 1))]
            told[f"{name}_p999"] = sample[int(0.999 * (len(sample) - 1))]
            told[f"{name}_most"] = sample[-1]


class Bench:
    """A server, files of records, and runs on them that verify their result."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._checksums: dict[tuple[str, int], int] = {}

    def file(self, kind: str, records: int) -> str:
        """Return where the file of an input is, or is written by whoever needs it first."""
        return str(self.folder / f"{kind}-{records}{'.jsonl' if kind == 'jsonl' else '.csv'}")

    def run(self, who: str, records: int, *, kind: str = "csv", journal: bool = False, **options: Any) -> Measured:
        """Make one run, and verify that each record was sent once, in the same requests whoever sends them.

        Raises:
            Failed: Something is missing, or too much.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            file = str(Path(folder, "run.sqlite3")) if journal else None
            path = self.file(kind, records)
            measured = _harness.child(
                run, who=who, kind=kind, path=path, records=records, url=self.url, journal=file, **options
            )
        self.verify(kind, records, measured["done"])
        if journal and not measured["journal"]:
            raise Failed("the run was to be journalled, and was not")
        return measured

    def verify(self, kind: str, records: int, done: int) -> None:
        """Verify what the server has counted since it was last asked."""
        counts = arrived(self.url)
        _harness.check("records done", done, records)
        _harness.check("opt-outs arrived", counts["entries"], records)
        _harness.check("requests", counts["requests"], -(-records // ENTRIES))
        checksum = self._checksums.setdefault((kind, records), counts["checksum"])
        _harness.check("bodies", counts["checksum"], checksum)

    def in_turns(self, kinds: Mapping[str, Mapping[str, Any]], records: int, rounds: int, **more: Any) -> Any:
        """Make runs with these options in turns; their results by the names."""
        runs = {name: self._later(records, {**options, **more}) for name, options in kinds.items()}
        return _harness.in_turns(runs, rounds)

    def _later(self, records: int, options: Mapping[str, Any]) -> Callable[[], Measured]:
        return lambda: self.run(records=records, **options)


WAYS: dict[str, dict[str, Any]] = {
    "bare": {"who": "bare"},
    "ours": {"who": "ours"},
    "journal": {"who": "ours", "journal": True},
}
"""The runs that are compared on each input."""
