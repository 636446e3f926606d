"""Show what finding the culprits of a refused batch costs in requests, against the ways that are common elsewhere.

``one by one`` sends the refused batch again record by record, and ``halving`` both halves of everything that is
refused: these two are computed. ``inferring`` is what the library does where the provider names nobody, and ``named``
what it does where the provider names whom it refuses: counted by a server beside, which refuses so. Figures are means
over random culprits.

Usage: ``python -m benchmarks.isolation [--json] [--write] [--runs 200]``; ``--write`` puts the table into the README
of the benchmarks.
"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import attrs

from benchmarks._server import Answering, Counts
from omeda_async import ClientOptOut, OmedaSettings, OutcomeStatus, RateLimit, SessionManager

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- isolation:begin -->", "<!-- isolation:end -->"
CASES = ((100, 0), (100, 1), (100, 5), (500, 1), (500, 5), (1000, 1), (1000, 5), (1000, 20), (1000, 100))
BAD = re.compile(rb'"(bad\d+@example\.com)"')
ALL_BAD = ((100, 100), (500, 500), (1000, 1000))


@attrs.frozen
class Row:
    """The mean requests for a batch of so many records with so many culprits."""

    records: int
    culprits: int
    one_by_one: float
    halving: float
    inferring: float
    named: float


def halving(bad: Sequence[bool]) -> int:
    """Count the requests of sending a batch, and both halves of whatever is refused."""
    if not any(bad) or len(bad) == 1:
        return 1
    middle = (len(bad) + 1) // 2
    return 1 + halving(bad[:middle]) + halving(bad[middle:])


class Refusing(Answering):
    """Refuses every request that holds a culprit, and names all of them, or nobody."""

    named = False

    def respond(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return the status and the body of the response to a request."""
        culprits = BAD.findall(body)
        if not culprits:
            return super().respond(head, body)
        self.counts.take(body)
        words = [f"{address.decode()} is not valid." for address in culprits] if self.named else ["Not valid."]
        return b"400 Bad Request", json.dumps({"Errors": [{"Error": text} for text in words]}).encode()


class Naming(Refusing):
    """Names them."""

    named = True


async def isolating(bads: Iterable[Sequence[bool]], *, named: bool) -> list[int]:
    """Count the requests that the library makes for each batch, and verify what it found."""
    counts, kind = Counts(), Naming if named else Refusing
    server = await asyncio.get_running_loop().create_server(lambda: kind(counts), "127.0.0.1", 0)
    found = []
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = OmedaSettings(app_id="none", client="foo", base_url=url, rate_limit=RateLimit(parallel=1))
        async with SessionManager(omeda=settings) as manager:
            for bad in bads:
                counts.requests = 0
                await _isolated(manager, bad)
                found.append(counts.requests)
    finally:
        server.close()
    return found


async def _isolated(manager: SessionManager, bad: Sequence[bool]) -> None:
    records = [ClientOptOut(f"{'bad' if one else 'good'}{place}@example.com") for place, one in enumerate(bad)]
    run = manager.omeda.opt_outs.submit_many(records, max_entries=len(bad), max_isolation_requests=10 * len(bad))
    rejected = {outcome.position async for outcome in run if outcome.status is OutcomeStatus.REJECTED}
    wanted = {place for place, is_bad in enumerate(bad) if is_bad}
    # Where everything is refused alike, the run is stopped before each of them is found.
    assert rejected <= wanted if run.stopped_by else rejected == wanted


def measure(records: int, culprits: int, runs: int) -> Row:
    """Simulate one case with random culprits."""
    rng = random.Random(records * 10_000 + culprits)  # noqa: S311 it has to be repeatable, not secret
    bads = []
    for _ in range(runs if 0 < culprits < records else 1):
        chosen = set(rng.sample(range(records), culprits))
        bads.append([place in chosen for place in range(records)])
    return Row(
        records=records,
        culprits=culprits,
        one_by_one=1 + records if culprits else 1,
        halving=mean(map(halving, bads)),
        inferring=mean(asyncio.run(isolating(bads, named=False))),
        named=median(asyncio.run(isolating(bads, named=True))),  # a busy machine may send a batch in two parts
    )


def table(rows: Iterable[Row]) -> str:
    """Write the rows as Markdown."""
    lines = [
        "| records | culprits | one by one | halving | inferring (ours, nobody named) | ours, named |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        bad = f"all {row.culprits}" if row.culprits == row.records else f"{row.culprits}"
        figures = (row.one_by_one, row.halving, row.inferring, row.named)
        lines.append(f"| {row.records} | {bad} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table between its markers in the README, which has to have them."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README.name} has no {BEGIN} … {END}")
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="put the table into the README of the benchmarks")
    parser.add_argument("--runs", type=int, default=200, help="random draws for each case")
    options = parser.parse_args(arguments)
    rows = [measure(records, culprits, options.runs) for records, culprits in CASES + ALL_BAD]
    shown: list[dict[str, Any]] = [attrs.asdict(row) for row in rows]
    print(json.dumps(shown, indent=2) if options.json else table(rows))
    if options.write:
        write(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
