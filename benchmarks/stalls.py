"""How late a timer of every millisecond rings while a bulk run is under way."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import _harness
from benchmarks._harness import Measured
from benchmarks.bulk import Bench

RECORDS = 300_000
RUNS: dict[str, dict[str, Any]] = {
    "bare script": {"who": "bare"},
    "omeda_async": {"who": "ours"},
    "bare script, mixed rows": {"who": "bare", "kind": "mixed"},
    "omeda_async, mixed rows": {"who": "ours", "kind": "mixed"},
    "the same, with the journal": {"who": "ours", "kind": "mixed", "journal": True},
    "the same, after gc.freeze()": {"who": "ours", "kind": "mixed", "journal": True, "frozen": True},
}
TOLD = [f"{what}_{share}" for what in ("worked", "late") for share in ("p99", "p999", "most")]


def compare(records: int, rounds: int) -> dict[str, list[Measured]]:
    """Watch the runs in turns."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[Measured]] = Bench(url, Path(folder)).in_turns(RUNS, records, rounds, stalls=True)
        return found


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(RECORDS, 3)
    rows = [[name, *(f"{1e3 * _harness.median(ran, what):.1f} ms" for what in TOLD)] for name, ran in results.items()]
    logged = results["the same, with the journal"]
    figures = {f"stalls: {what}": 1e3 * _harness.median(logged, f"worked_{what}") for what in ("p99", "most")}
    text = f"""### Stalls of the event loop

{RECORDS:,} opt-outs from a CSV, of three kinds or mixed; a timer of every millisecond tells how late it rang, and how
long the loop's own thread had worked since it was set (what other threads and processes took is not in that).

{_harness.table(("run", "own work, p99", "p99.9", "most", "late, p99", "p99.9", "most"), rows)}"""
    return text, figures


def gate() -> _harness.Figures:
    """Watch a few short runs, which verify their results; how late a timer rings is noise."""
    compare(5_000, 1)
    return {}
