"""Bulk cancels of deployments from a list of ids: CPU beside a bare aiohttp loop with as many calls in flight."""

import asyncio
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks import _harness
from benchmarks._harness import Measured, metered
from benchmarks._server import arrived
from benchmarks.bulk import WAYS
from benchmarks.calls import HEADERS, PATHS
from omeda_async import OmedaSettings, OutcomeStatus, RateLimit, SessionManager

RECORDS = 20_000
IN_FLIGHT = 16
USER = "omailAccount1"


def _manager(url: str) -> SessionManager:
    app_id, limit = HEADERS["x-omeda-appid"], RateLimit(parallel=2 * IN_FLIGHT)
    return SessionManager(omeda=OmedaSettings(app_id=app_id, brand="FOO", user_id=USER, base_url=url, rate_limit=limit))


async def _ours(url: str, ids: list[str], journal: str | None) -> int:
    async with _manager(url) as manager:
        report = await manager.omeda.deployments.cancel_many(ids, concurrency=IN_FLIGHT, journal=journal)
    _harness.check("complete", report.complete, expected=True)
    return report.counts[OutcomeStatus.DONE]


async def _bare(url: str, ids: list[str]) -> int:
    left = iter(ids)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> int:
            done = 0
            for track_id in left:
                body = orjson.dumps({"UserId": USER, "TrackId": track_id})
                async with session.post(url + PATHS["cancel"], data=body, headers=HEADERS) as response:
                    done += bool(orjson.loads(await response.read())["ResponseInfo"][0]["TrackId"])
            return done

        return sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


async def _run(who: str, url: str, records: int, journal: str | None) -> Measured:
    ids = [f"FOO{number:010}" for number in range(records)]
    _manager(url)  # loads the client: importing is measured by itself
    with metered() as used:
        done = await (_bare(url, ids) if who == "bare" else _ours(url, ids, journal))
    return {"cpu": used.cpu, "done": done}


def run(who: str, url: str, records: int, *, journal: bool = False) -> Measured:
    """Make one run; in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "run.sqlite3")
        measured = asyncio.run(_run(who, url, records, str(file) if journal else None))
        _harness.check("journalled", file.exists(), journal)
    return measured


def compare(records: int, rounds: int) -> dict[str, list[Measured]]:
    """Compare in turns; every run verifies that each id was sent once."""
    checksums: set[int] = set()
    with _harness.server() as url:

        def one(options: dict[str, Any]) -> Measured:
            measured = _harness.child(run, url=url, records=records, **options)
            counts = arrived(url)
            checksums.add(counts["checksum"])
            _harness.check("ids cancelled, requests", (measured["done"], counts["requests"]), (records, records))
            _harness.check("different bodies", len(checksums), 1)
            return measured

        return _harness.in_turns({name: partial(one, options) for name, options in WAYS.items()}, rounds)


def _figures(results: dict[str, list[Measured]]) -> _harness.Figures:
    return {
        "cancels: x": _harness.ratio(results, "ours", "bare"),
        "cancels, journal: x": _harness.ratio(results, "journal", "bare"),
    }


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(RECORDS, 5)
    names = ("bare aiohttp", "omeda_async", "the same, with the journal")
    rows = [
        [name, f"{1e6 * _harness.median(ran, 'cpu') / RECORDS:.0f} µs", f"{_harness.ratio(results, way, 'bare'):.2f} x"]
        for name, (way, ran) in zip(names, results.items(), strict=True)
    ]
    text = f"""### Bulk cancels

{RECORDS:,} deployments from a list of ids, {IN_FLIGHT} in flight, other limits off. Medians of five rounds in turns.

{_harness.table(("run", "CPU per record", "to bare aiohttp"), rows)}"""
    return text, _figures(results)


def gate() -> _harness.Figures:
    """Measure a little; every run verifies its result."""
    return _figures(compare(2000, 1))
