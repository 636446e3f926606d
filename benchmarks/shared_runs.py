"""How many records a second a shared run takes: reading its input into PostgreSQL, and what becomes of its chunks.

    python -m benchmarks.shared_runs 'postgresql://127.0.0.1/test?run=measured'

Nothing is sent, and the run stays where it is. Each process measures what one process does: ``--processes`` has several
perform chunks at once.
"""

import argparse
import asyncio
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks import _harness
from omeda_async import OmedaSettings, OutcomeStatus, SessionManager
from omeda_async.bulk.journal.chunks import Claimed, Terms
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Entries, Kept, WriteGroup
from omeda_async.bulk.journal.postgres_chunk import ChunkBackend
from omeda_async.bulk.journal.postgres_chunks import claim
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.url import url_of
from omeda_async.journal import read_status

BASE = "https://nowhere.example.com"
IDENTITY = Identity(provider="omeda", operation="opt_outs.submit_many", base_url=BASE, scope={"client": "measured"})
TERMS = Terms(lease=30.0, attempt=30.0, lookback=0.0)
STORED = '{"receipt":{"submission_id":"S-%d"},"error":null,"settled":false,"doubtful":false}'


async def _filled(url: str, records: int) -> float:
    """Read opt-outs into the run; give the records a second."""
    settings = OmedaSettings(app_id="measured", brand="M", client="measured", base_url=BASE)
    rows = ({"email_address": f"user{place}@omeda.com", "brand_ids": ["XXG"]} for place in range(records))
    async with SessionManager(omeda=settings) as manager:
        run = manager.omeda.opt_outs.shared_run(url)
        began = time.perf_counter()
        filled = await run.fill(rows)
        taken = time.perf_counter() - began
    _harness.check("records", filled.records, records)
    return records / taken


def _performed(url: str) -> tuple[int, float, float]:
    """Claim chunks until none is left, and write the intents and the outcomes of each; give records, begin and end."""
    line, done, began = Line(url_of(url), TERMS.lease), 0, time.monotonic()
    while isinstance(claimed := claim(line, IDENTITY, TERMS, None), Claimed):
        backend = ChunkBackend(line, claimed, TERMS, asked=time.monotonic(), now=time.monotonic, tell=print)
        places = range(len(claimed.rows))
        prints = b"".join(row.fingerprint for row in claimed.rows)
        written = backend.write(WriteGroup(entries=Entries(places, prints), sent=len(places), requests=1, recent=1))
        outcome = Kept(OutcomeStatus.DONE, 1, STORED % claimed.number)
        backend.write(WriteGroup(results=[(written.records, outcome)]))
        backend.end(1, {}, None)
        done += len(places)
    line.close()
    return done, began, time.monotonic()


def measured(url: str, records: int, processes: int) -> tuple[float, float]:
    """Return the records a second of reading them into a run, and of performing it by so many processes.

    Raises:
        Failed: The run does not hold what it must.
    """
    fill = asyncio.run(_filled(url, records))
    with ProcessPoolExecutor(processes) as pool:
        numbers, begins, ends = zip(*pool.map(_performed, [url] * processes), strict=True)
    _harness.check("performed", sum(numbers), records)
    _harness.check("counts", dict(read_status(url).counts), {OutcomeStatus.DONE: records})
    return fill, records / (max(ends) - min(begins))


def main() -> None:
    """Read the arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure how many records a second a shared run takes.")
    parser.add_argument("url", help="postgresql://…?run=NAME, of a run that nobody has begun")
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    fill, perform = measured(given.url, given.records, given.processes)
    rows = [["fill", f"{fill:,.0f}"], [f"perform, {given.processes} processes", f"{perform:,.0f}"]]
    print(_harness.table(("what", "records a second"), rows))


if __name__ == "__main__":
    main()
