"""A million opt-outs from a CSV: CPU beside a bare script, memory, stalls of the event loop, growth."""

import asyncio
import csv
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import orjson
import uvloop

from benchmarks import _harness
from benchmarks._harness import Failed, Measured, metered
from benchmarks._server import arrived
from omeda_async import OmedaSettings, OutcomeStatus, RateLimit, SessionManager
from omeda_async.providers.omeda import client as _  # noqa: F401 loaded here: importing is measured by itself
from omeda_async.rows import OPT_OUTS, RowFile

MILLION = 1_000_000
ENTRIES = 500
IN_FLIGHT = 8
APP_ID = "0D4C1B4E-0000-4000-8000-000000000000"
PATH = "/webservices/rest/client/foo/optoutfilterqueue/*"
LEVELS = ("ClientOptOut", "BrandOptOut", "DeploymentTypeOptOut")
BEAT = 0.001
Heart: TypeAlias = AbstractAsyncContextManager[None]
"""Beats while it is entered."""


def write_csv(path: Path, records: int) -> None:
    """Write opt-outs of the three levels in turn."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["email_address", "brand_ids", "deployment_type_ids", "source"])
        for number in range(records):
            level = number % 3
            brands, types = "FOO" if level == 1 else "", "4194|4804" if level == 2 else ""
            writer.writerow([f"reader{number}@example.com", brands, types, "Company STU"])


async def _ours(path: str, url: str, heart: Heart, journal: str | None, *, iterate: bool) -> int:
    settings = OmedaSettings(app_id=APP_ID, client="foo", base_url=url, rate_limit=RateLimit(parallel=IN_FLIGHT))
    async with SessionManager(omeda=settings) as manager:
        rows = RowFile.at(OPT_OUTS, path)
        run = manager.omeda.opt_outs.submit_many(rows, max_entries=ENTRIES, concurrency=IN_FLIGHT, journal=journal)
        async with heart:
            if iterate:
                return sum([outcome.status is OutcomeStatus.DONE async for outcome in run])
            report = await run
        _harness.check("complete", report.complete, expected=True)
        return report.counts[OutcomeStatus.DONE]


def _batches(path: str) -> Iterator[tuple[int, bytes]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        body: dict[str, list[Any]] = {level: [] for level in LEVELS}
        count = 0
        for row in csv.DictReader(file):
            entry: dict[str, Any] = {"EmailAddress": row["email_address"]}
            level = "ClientOptOut"
            if row["brand_ids"]:
                level, entry["BrandId"] = "BrandOptOut", row["brand_ids"].split("|")
            elif row["deployment_type_ids"]:
                level, entry["DeploymentTypeId"] = (
                    "DeploymentTypeOptOut",
                    list(map(int, row["deployment_type_ids"].split("|"))),
                )
            if row["source"]:
                entry["Source"] = row["source"]
            body[level].append(entry)
            count += 1
            if count == ENTRIES:
                yield count, orjson.dumps({level: entries for level, entries in body.items() if entries})
                body, count = {level: [] for level in LEVELS}, 0
        if count:
            yield count, orjson.dumps({level: entries for level, entries in body.items() if entries})


async def _bare(path: str, url: str, heart: Heart) -> int:
    batches = _batches(path)
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
    path: str,
    url: str,
    *,
    journal: bool = False,
    iterate: bool = False,
    stalls: bool = False,
    frozen: bool = False,
    fast: bool = False,
) -> Measured:
    """Make one run; in a process of its own.

    Args:
        who: ``"ours"`` or ``"bare"``.
        path: The file of records.
        url: The server.
        journal: Keep a journal?
        iterate: Look at each outcome?
        stalls: Watch how late a timer rings?
        frozen: Take what is loaded before the run out of the garbage collector's sight, as ``gc.freeze()`` does?
        fast: Run on uvloop?
    """

    async def main() -> Measured:
        if frozen:
            gc.collect()
            gc.freeze()
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "run.sqlite3")) if journal else None
            lateness: dict[str, float] = {}
            heart, before = _heart(lateness, beating=stalls), _collections()
            with metered() as used:
                one = _bare(path, url, heart) if who == "bare" else _ours(path, url, heart, file, iterate=iterate)
                done = await one
            size, collections = _size(file), _collections() - before
        return {
            "done": done,
            "cpu": used.cpu,
            "seconds": used.seconds,
            "memory": _harness.peak_memory(),
            "journal": size,
            "collections": collections,
            **lateness,
        }

    return uvloop.run(main()) if fast else asyncio.run(main())


def _collections() -> int:
    """Return how often the garbage collector has searched for garbage, of whatever age."""
    return sum(generation["collections"] for generation in gc.get_stats())


def _size(file: str | None) -> int:
    return Path(file).stat().st_size if file else 0


@asynccontextmanager
async def _heart(told: dict[str, float], *, beating: bool) -> AsyncIterator[None]:
    """Return how late a timer of every millisecond rings, and how much of that the process itself has worked."""
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
            told[f"{name}_p999"] = sample[int(0.999 * (len(sample) - 1))]
            told[f"{name}_most"] = sample[-1]


class Bench:
    """A server, files of records, and runs on them that verify their result."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._checksums: dict[int, int] = {}

    def file(self, records: int) -> Path:
        """Return a file of so many records."""
        path = self._folder / f"{records}.csv"
        if not path.exists():
            write_csv(path, records)
        return path

    def run(self, who: str, records: int, **options: Any) -> Measured:
        """Make one run, and verify that each record was sent once, in the same requests whoever sends them."""
        measured = _harness.child(run, who=who, path=str(self.file(records)), url=self._url, **options)
        counts = arrived(self._url)
        _harness.check("records done", measured["done"], records)
        _harness.check("opt-outs arrived", counts["entries"], records)
        _harness.check("requests", counts["requests"], -(-records // ENTRIES))
        _harness.check("bodies", counts["checksum"], self._checksums.setdefault(records, counts["checksum"]))
        if options.get("journal") and not measured["journal"]:
            raise Failed("the run was to be journalled, and was not")
        return measured

    def later(self, who: str, records: int, **options: Any) -> Callable[[], Measured]:
        """Prepare a run."""
        return lambda: self.run(who, records, **options)
