"""Journals in PostgreSQL as each format of their tables had them, and the runs that left them so: killed.

Those in tests/samples/journals/postgres were made by the code that wrote the format, with its own sandbox, in a
database of their own:

    python -m tests.bulk.postgres_samples tests/samples/journals/postgres 3 postgresql://127.0.0.1/samples

A later version must resume them; it never makes them anew. A new format gets samples of its own.
"""

import asyncio
import gzip
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from omeda_async import SessionManager
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk import journal_samples as samples
from tests.bulk.sandboxed import manager_on

FOLDER = samples.FOLDER / "postgres"
EVERY = [
    (number, kind, mode)
    for number, kinds in ((1, ("plain",)), (2, ("plain", "shared")), (3, ("plain", "shared")), (4, ("plain", "shared")))
    for kind in kinds
    for mode in samples.MODES
]
CHUNK = 6
"""Records in each of three chunks: the first is done, the last was claimed by who was killed."""
_IS_STATEMENT = re.compile(r"^(?!SET |COMMENT |SELECT pg_catalog\.set_config|--|\\|$)")


def sample_of(number: int, kind: str, mode: str) -> Path:
    """Return where a sample is."""
    return FOLDER / f"{number}-{kind}-{mode}.sql.gz"


def unpack(sample: Path, server: str, url: str) -> None:
    """Put a sample in place, as long ago, and as that of a run against a sandbox at another URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(gzip.decompress(sample.read_bytes()))
        connection.execute(
            "UPDATE omeda_async_journals SET identity = jsonb_set(identity::jsonb, '{base_url}', to_jsonb(%s::text))",
            (url,),
        )
        if connection.execute("SELECT to_regclass('omeda_async_journal_chunks')").fetchone() != (None,):
            connection.execute("UPDATE omeda_async_journal_chunks SET free_at = 'epoch' WHERE free_at IS NOT NULL")


def _pack(url: str, sample: Path) -> None:
    done = subprocess.run(  # noqa: S603 our own words
        ["pg_dump", "--inserts", "--no-owner", "--no-privileges", url],  # noqa: S607 by hand, once for each format
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if _IS_STATEMENT.search(line)]
    sample.write_bytes(gzip.compress("\n".join(lines).replace("public.", "").encode(), mtime=0))


async def _killed(kind: str, mode: Any, url: str, sample: Path) -> None:
    """Take the tables while the last requests of a run are under way."""
    waiting, hang = set(samples.HANGING), asyncio.Event()

    def hangs(incoming: Any) -> bool:
        here = {name for name in samples.HANGING if samples._holds(name)(incoming)}
        waiting.difference_update(here)
        if not waiting:
            hang.set()
        return bool(here)

    async with Sandbox() as sandbox, manager_on(sandbox, timeout=60.0) as manager:
        samples.seed(sandbox, "deployments")
        sandbox.fault(Fault(FaultKind.SLOW, match=hangs, times=None, seconds=60.0))
        task = asyncio.ensure_future(_run(kind, mode, f"{url}?run=sample", manager))
        await asyncio.wait({task, asyncio.ensure_future(hang.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task
        await asyncio.sleep(0.5)
        _pack(url, sample)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.1)
        await asyncio.wait({task})


async def _run(kind: str, mode: Any, journal: str, manager: SessionManager) -> None:
    if kind == "plain":
        await samples.start(manager, "deployments", journal=journal, journal_pii=mode, concurrency=2)
        return
    run = manager.omeda.deployments.shared_run(journal, concurrency=2)
    await run.fill(samples.names(), chunk=CHUNK, journal_pii=mode)
    await run.perform(0)
    await run.perform(2)


async def _make_all(folder: Path, number: int, url: str) -> None:
    for one, kind, mode in EVERY:
        if one == number:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await _killed(kind, mode, url, folder / sample_of(number, kind, mode).name)


if __name__ == "__main__":
    asyncio.run(_make_all(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
