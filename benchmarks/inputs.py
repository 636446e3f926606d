"""Bulk runs of opt-outs from whatever they come in: CPU beside a bare script on the same input."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from benchmarks import _harness
from benchmarks._harness import Measured
from benchmarks._inputs import INPUTS
from benchmarks.bulk import WAYS, Bench

RECORDS = 200_000
ROUNDS = 3
SUFFIXES = {"ours": "", "journal": ", journal"}
TIMED = ("mixed", "jsonl", "dicts", "models")
"""The inputs of which a time is aimed at."""
Results: TypeAlias = dict[str, dict[str, list[Measured]]]


def compare(records: int, rounds: int) -> Results:
    """Compare on every input, in turns on each."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        return {kind: bench.in_turns(WAYS, records, rounds, kind=kind) for kind in INPUTS}


def _figures(results: Results) -> _harness.Figures:
    return {
        f"{kind}{suffix}: x": _harness.ratio(ran, way, "bare")
        for kind, ran in results.items()
        for way, suffix in SUFFIXES.items()
    }


def _times(results: Results, kinds: Iterable[str]) -> _harness.Figures:
    return {
        f"{kind}{suffix}: µs": 1e6 * _harness.median(results[kind][way], "cpu") / RECORDS
        for kind in kinds
        for way, suffix in SUFFIXES.items()
    }


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(RECORDS, ROUNDS)
    ratios, times = _figures(results), _times(results, INPUTS)
    rows = [
        [
            source.what,
            f"{1e6 * _harness.median(results[kind]['bare'], 'cpu') / RECORDS:.1f} µs",
            *(f"{times[f'{name}: µs']:.1f} µs, {ratios[f'{name}: x']:.2f} x" for name in (kind, f"{kind}, journal")),
        ]
        for kind, source in INPUTS.items()
    ]
    text = f"""### Any input

{RECORDS:,} opt-outs, 500 to a request, 8 requests in flight, each beside a bare script on the same input; CPU per
record, and to the bare script. *Mixed* rows are of the three levels, with 1 to 4 ids, and three in ten have a source of
their own; so are the lines of JSON, the dicts and the models. The making of the list is not measured, that of the
models is, on both sides.

{_harness.table(("input", "bare script", "omeda_async", "with the journal"), rows)}"""
    return text, ratios | _times(results, TIMED)


def gate() -> _harness.Figures:
    """Measure a little; every run verifies its result."""
    return _figures(compare(20_000, 1))
