"""Show what finding the culprits of a refused batch costs in requests, against the ways that are common elsewhere.

Pure simulation: no network, no time. ``one by one`` sends the refused batch again record by record; ``halving`` sends
both halves of everything that is refused; ``inferring`` is what the library does where the provider names nobody, and
``named`` what it does where the provider names whom it refuses. Figures are means over random culprits.

Usage: ``python benchmarks/isolation.py [--json] [--write] [--runs 200]``; ``--write`` puts the table into the README
of the benchmarks.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import attrs

from omeda_async._result import Result
from omeda_async.bulk import Evidence, Isolation, Item
from omeda_async.errors import BadRequest, BatchRejected, Culprit
from omeda_async.outcomes import OutcomeStatus

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- isolation:begin -->", "<!-- isolation:end -->"
CASES = ((100, 0), (100, 1), (100, 5), (500, 1), (500, 5), (1000, 1), (1000, 5), (1000, 20), (1000, 100))
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


def isolating(bad: Sequence[bool], *, named: bool) -> int:
    """Count the requests that the library makes, and verify what it found; it stops where everything is refused."""
    items = [Item(raw=place, key=place, params=place, fingerprint=b"", size=1) for place in range(len(bad))]
    isolation, requests = Isolation(items, _blame, _without, Evidence()), 0
    while isolation.common_cause is None and (group := isolation.next()) is not None:
        requests += 1
        culprits = [part.params for part in group.parts if bad[part.params]]
        if not culprits:
            isolation.accepted(group, Result(receipt="accepted", attempts=1))
        elif named:
            told = [Culprit("", None, str(place), "refused") for place in culprits]
            isolation.refused(group, BatchRejected("refused", status=400, culprits=told, messages=["refused"]), 1)
        else:
            isolation.refused(group, BadRequest("refused", status=400), 1)
    rejected = {item.key for item, result in isolation.closed if result.status is OutcomeStatus.REJECTED}
    wanted = {place for place, is_bad in enumerate(bad) if is_bad}
    assert rejected <= wanted if isolation.common_cause else rejected == wanted
    return requests


def _blame(places: Sequence[int], culprits: Iterable[Culprit]) -> dict[int, tuple[Culprit, ...]]:
    by_place = {culprit.email_address: culprit for culprit in culprits}
    return {where: (by_place[str(place)],) for where, place in enumerate(places) if str(place) in by_place}


def _without(_place: int, _refused: Iterable[str | None]) -> None:
    """Nothing is left of a record of one id."""


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
        inferring=mean(isolating(bad, named=False) for bad in bads),
        named=mean(isolating(bad, named=True) for bad in bads),
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
