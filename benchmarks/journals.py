"""How many records a second a journal takes: intents and outcomes, in groups as a run writes them.

    python -m benchmarks.journals run.sqlite3 'postgresql://127.0.0.1/test?run=measured'

Each place is written anew and then resumed, group by group; nothing is sent, and the journals stay where they are.
"""

import argparse
import time
from collections.abc import Sequence

from benchmarks import _harness
from omeda_async import OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Backend, Kept, WriteGroup
from omeda_async.bulk.journal.place import backend_at
from omeda_async.bulk.journal.url import where_of

IDENTITY = Identity(provider="none", operation="journals.measured", base_url="https://nowhere.example.com")
STORED = '{"receipt":{"submission_id":"S-%d"},"error":null,"settled":false,"doubtful":false}'


def _group(codec: Codec, first: int, size: int) -> WriteGroup:
    raws = [{"email_address": f"user{place}@example.com", "brand_ids": ["XXG"]} for place in range(first, first + size)]
    items = [
        Item(raw=raw, key=None, params=None, fingerprint=str(raw).encode(), position=first + place)
        for place, raw in enumerate(raws)
    ]
    return WriteGroup(entries=codec.entries(items), sent=size, requests=first // size, recent=1)


def _written(backend: Backend, records: int, size: int) -> tuple[float, int]:
    """Write a run, and give the records a second, and how many were known."""
    codec = Codec(backend.open().salt)
    began, known, begun = time.perf_counter(), 0, tuple[Sequence[int], ...]()
    for first in range(0, records, size):
        group = _group(codec, first, size)
        group.results = [(numbers, Kept(OutcomeStatus.DONE, 1, STORED % first)) for numbers in begun]
        written = backend.write(group)
        known += len(written.known)
        begun = () if written.known else (written.records,)
    backend.write(WriteGroup(results=[(numbers, Kept(OutcomeStatus.DONE, 1, STORED % records)) for numbers in begun]))
    taken = time.perf_counter() - began
    backend.end(records // size, {}, None)
    backend.close()
    return records / taken, known


def main() -> None:
    """Read the arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure how many records a second journals take.")
    parser.add_argument("places", nargs="+", help="files, or URLs of PostgreSQL, at which nothing is yet")
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--group", type=int, default=500, help="records written in one transaction")
    given = parser.parse_args()
    rows = []
    for place in map(where_of, given.places):
        for what, known in (("new", 0), ("resumed", given.records)):
            rate, found = _written(backend_at(place, IDENTITY), given.records, given.group)
            _harness.check("known", found, known)
            rows.append([str(place), what, f"{rate:,.0f}"])
    print(_harness.table(("journal", "records", "a second"), rows))


if __name__ == "__main__":
    main()
