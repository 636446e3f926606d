"""Journals written by version 0.1.0, and the runs that wrote them: finished, stopped, and killed while resumed.

Those in tests/samples/journals were made by that version, with its own sandbox; ``expected.json.gz`` holds the
outcomes that the runs' callers had seen:

    python -m tests.bulk.journal_samples tests/samples/journals

A later version must resume them, or refuse their format; it never makes them anew.
"""

import asyncio
import gzip
import json
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from omeda_async import BrandOptOut, BulkRun, ClientOptOut, DeploymentTypeOptOut, Outcome, SessionManager
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk.sandboxed import manager_on

KINDS = ("deployments", "campaigns", "transactions", "opt_outs", "opt_outs_of_three_kinds")
MODES = ("keep", "hash")
ENDS = ("finished", "stopped", "killed")
FOLDER = Path(__file__).parent.parent / "samples" / "journals"
SIZE = 15
GONE, MISSING, CUT, REFUSED, LAST, HANGING = "id1", "id2", "id4", "id7", "id11", ("id13", "id14")


def names() -> list[str]:
    """Name the records of a run: 15, an invalid one, and one that repeats the first."""
    return [*(f"id{place}" for place in range(SIZE)), "", "id0"]


def seed(sandbox: Sandbox, kind: str) -> None:
    """Put in place what the records are about."""
    for name in {*names()} - {"", MISSING}:
        gone = name == GONE
        if kind == "deployments":
            sandbox.omeda.seed_deployment(name, "Sent" if gone else "Scheduled")
        elif kind == "campaigns":
            sandbox.ocamba.seed_campaign(name, "sent" if gone else "running")
        elif kind == "transactions":
            sandbox.journey_manager.seed_transaction(name, "Completed" if gone else "Saved")


def start(manager: SessionManager, kind: str, **options: Any) -> BulkRun:
    """Make the run."""
    if kind == "deployments":
        return manager.omeda.deployments.cancel_many(names(), **options)
    if kind == "campaigns":
        return manager.ocamba.campaigns.cancel_many(names(), reason="a sample", **options)
    if kind == "transactions":
        return manager.journey_manager.transactions.cancel_many(names(), reason="a sample", **options)
    records = [opt_out(name, kind) for name in names()]
    return manager.omeda.opt_outs.submit_many(records, max_entries=3, **options)


def opt_out(name: str, kind: str) -> Any:
    """Make a record; some are mappings, some take many bytes."""
    address = f"{name}@example.com" if name else "nobody"
    brands = {GONE: ("XXG", "NOPE"), MISSING: ("NOPE",)}.get(name, ("XXG", "XXH"))
    if name in HANGING:
        return {"email_address": address, "brand_ids": brands, "source": "a sample " * 30 if name == "id14" else None}
    place = 0 if kind == "opt_outs" or brands[-1] == "NOPE" else int(name[2:] or 0) % 3
    return (
        BrandOptOut(address, brand_ids=brands, source="a sample " * 30 if name == "id9" else None),
        ClientOptOut(address, source="a sample"),
        DeploymentTypeOptOut(address, deployment_type_ids=(23, 25)),
    )[place]


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what an outcome says, and a journal keeps, as JSON has it."""
    error, receipt = outcome.error, outcome.receipt
    said = {
        "status": outcome.status.value,
        "attempts": outcome.attempts,
        "error": None if error is None else [type(error).__name__, error.message],
        "receipt": None
        if receipt is None
        else attrs.asdict(receipt, filter=lambda field, _: field.metadata.get("kept", True)),
    }
    return dict(json.loads(json.dumps(said)))


def sample_of(kind: str, mode: str, end: str) -> Path:
    """Return where a sample is."""
    return FOLDER / f"{kind}-{mode}-{end}.journal.gz"


def expected_of(sample: Path) -> dict[int, dict[str, Any]]:
    """Return the outcomes that the caller had seen, by position."""
    made = json.loads(gzip.decompress((FOLDER / "expected.json.gz").read_bytes()))
    return {int(place): one for place, one in made[sample.name.partition(".")[0]].items()}


def unpack(sample: Path, journal: Path, url: str) -> None:
    """Put a sample's journal in place, as that of a run against a sandbox at another URL."""
    journal.write_bytes(gzip.decompress(sample.read_bytes()))
    url += "/workspaces" if sample.name.startswith("transactions") else ""
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE meta SET value = json_set(value, '$.base_url', ?) WHERE name = 'identity'", (url,))


def _holds(name: str) -> Any:
    return lambda incoming: re.search(rf"\b{name}\b", incoming.path + incoming.body.decode()) is not None


def _pack(journal: Path, sample: Path) -> None:
    copy = journal.with_suffix(".copy")
    with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    sample.write_bytes(gzip.compress(copy.read_bytes(), mtime=0))
    copy.unlink()


async def _finished(sandbox: Sandbox, kind: str, **options: Any) -> dict[int, Any]:
    async with manager_on(sandbox) as manager:
        return {one.position: told(one) async for one in start(manager, kind, concurrency=1, **options)}


async def _stopped(sandbox: Sandbox, kind: str, **options: Any) -> dict[int, Any]:
    async with manager_on(sandbox) as manager:
        run = start(manager, kind, concurrency=1, **options)

        def stopped(incoming: Any) -> bool:
            if _holds(LAST)(incoming):
                run.stop()
            return False

        sandbox.fault(Fault(FaultKind.DROP, match=_holds(CUT), times=None))
        sandbox.fault(Fault(FaultKind.UNAVAILABLE, match=_holds(REFUSED), times=None, retry_after=None))
        sandbox.fault(Fault(FaultKind.EMPTY, match=stopped))
        taken = {one.position: told(one) async for one in run}
    sandbox.faults.clear()
    return taken


async def _killed(sandbox: Sandbox, kind: str, sample: Path, journal: Path, mode: str) -> dict[int, Any]:
    """Resume a run that was stopped, and take its journal while its last requests are under way."""
    taken: dict[int, Any] = {}
    waiting, hang = set(HANGING), asyncio.Event()

    def hangs(incoming: Any) -> bool:
        here = {name for name in HANGING if _holds(name)(incoming)}
        waiting.difference_update(here)
        if not waiting:
            hang.set()
        return bool(here)

    async def take(run: BulkRun) -> None:
        async for one in run:
            taken[one.position] = told(one)

    async with manager_on(sandbox, timeout=60.0) as manager:
        sandbox.fault(Fault(FaultKind.SLOW, match=hangs, times=None, seconds=60.0))
        run = start(manager, kind, concurrency=2, journal=journal, journal_pii=mode)
        task = asyncio.ensure_future(take(run))
        await hang.wait()
        await asyncio.sleep(0.3)
        _pack(journal, sample)
        seen = dict(taken)
        await run.aclose(timeout=0)
        await task
    return seen


async def _make(kind: str, mode: str, folder: Path) -> dict[str, Any]:
    made = {}
    for end in ENDS:
        sample = folder / sample_of(kind, mode, end).name
        with tempfile.TemporaryDirectory() as temporary:
            journal = Path(temporary) / "run.sqlite3"
            async with Sandbox() as sandbox:
                seed(sandbox, kind)
                begin = _finished if end == "finished" else _stopped
                taken = await begin(sandbox, kind, journal=journal, journal_pii=mode)
                if end == "killed":
                    taken = await _killed(sandbox, kind, sample, journal, mode)
                else:
                    _pack(journal, sample)
        made[sample.name.partition(".")[0]] = taken
    return made


async def _make_all(folder: Path) -> None:
    made: dict[str, Any] = {}
    for kind in KINDS:
        for mode in MODES:
            made |= await _make(kind, mode, folder)
    (folder / "expected.json.gz").write_bytes(gzip.compress(json.dumps(made).encode(), mtime=0))


if __name__ == "__main__":
    asyncio.run(_make_all(Path(sys.argv[1])))
