"""What a bulk run costs and holds: a million records beside a bare script, and how that grows with the records."""

import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import _harness
from benchmarks._harness import Measured
from benchmarks.bulk import MILLION, Bench

PICTURE = Path(__file__).parent / "growth.png"
SIZES = (10_000, 100_000, MILLION)
Results: TypeAlias = dict[str, list[Measured]]
KINDS: dict[str, dict[str, Any]] = {
    "bare script": {"who": "bare"},
    "omeda_async": {"who": "ours"},
    "the same, each outcome looked at": {"who": "ours", "iterate": True},
    "the same, with the journal": {"who": "ours", "journal": True},
}


def _draw(results: dict[int, Results]) -> None:
    # Here, so that whoever measures only the rest needs no matplotlib.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for name in next(iter(results.values())):
        time.plot(SIZES, [_harness.median(results[size][name], "cpu") for size in SIZES], marker="o", label=name)
        memory.plot(SIZES, [_harness.median(results[size][name], "memory") for size in SIZES], marker="o", label=name)
    time.set(xscale="log", yscale="log", xlabel="records", ylabel="CPU in seconds", title="Time: a straight line")
    memory.set(xscale="log", ylim=(0, None), xlabel="records", ylabel="peak memory in MiB", title="Memory: flat")
    time.legend()
    figure.savefig(PICTURE, dpi=110)


def _row(name: str, results: Results, records: int) -> list[str]:
    return [
        name,
        f"{1e6 * _harness.median(results[name], 'cpu') / records:.1f} µs",
        f"{_harness.ratio(results, name, 'bare script'):.2f} x",
        f"{_harness.median(results[name], 'memory'):.0f} MiB",
        f"{_harness.median(results[name], 'collections'):.0f}",
    ]


def _grown(results: dict[int, Results], name: str) -> float:
    """Return how many MiB more a million records take than a hundred thousand."""
    full, tenth = (_harness.median(results[size][name], "memory") for size in (MILLION, SIZES[1]))
    return full - tenth


def report() -> _harness.Report:
    """Measure in full, draw the picture, and write the section."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        results = {size: bench.in_turns(KINDS, size, 3) for size in SIZES}
        fast = bench.in_turns(dict(list(KINDS.items())[:2]), SIZES[1], 3, fast_loop=True)
    _draw(results)
    full = results[MILLION]
    rows = [_row(name, full, MILLION) for name in KINDS]
    rows += [[f"{name}, uvloop, {SIZES[1]:,}", *_row(name, fast, SIZES[1])[1:]] for name in fast]
    figures = {
        "million: x": _harness.ratio(full, "omeda_async", "bare script"),
        "million, journal: x": _harness.ratio(full, "the same, with the journal", "bare script"),
        "million: MiB": max(_harness.median(full[name], "memory") for name in KINDS),
        "growth: MiB": _grown(results, "omeda_async"),
        "growth, journal: MiB": _grown(results, "the same, with the journal"),
    }
    text = f"""### A million opt-outs

{MILLION:,} opt-outs of the three levels from a CSV, 500 to a request, 8 requests in flight, against the server process
beside; the bare script is csv.DictReader → dicts → orjson → aiohttp with the same batches, and the server verifies by
a checksum that both have sent the same bodies. Medians of three rounds in turns.

{_harness.table(("run", "CPU per record", "to the bare script", "peak memory", "searches for garbage"), rows)}

Memory beyond that of a run of {SIZES[1]:,}: **{figures["growth: MiB"]:+.1f} MiB**, with the journal
{figures["growth, journal: MiB"]:+.1f} MiB.

![Time and memory by records](growth.png)"""
    return text, figures


def gate() -> _harness.Figures:
    """Measure a little: memory and searches for garbage, of which noise cannot move much."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        once, twice = (bench.run("ours", records) for records in (100_000, 200_000))
        logged = bench.run("ours", 100_000, journal=True)
    return {
        "short: collections": once["collections"],
        "short: MiB": once["memory"],
        "short, journal: MiB": logged["memory"],
        "short, twice: MiB": twice["memory"] - once["memory"],
    }
