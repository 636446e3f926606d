"""What a bulk run costs and holds: a million records beside a bare script, and how that grows with the records."""

import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import _harness
from benchmarks._harness import Failed, Measured
from benchmarks.bulk import MILLION, Bench

PICTURE = Path(__file__).parent / "growth.png"
SIZES = (10_000, 100_000, MILLION)
MOST_GROWTH = 20.0
"""MiB."""
MOST_COLLECTIONS = 60
"""Searches for garbage in a run of a hundred thousand: without care it would be two hundred."""
Results: TypeAlias = dict[str, list[Measured]]


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


KINDS: dict[str, dict[str, Any]] = {
    "bare script": {"who": "bare"},
    "omeda_async": {"who": "ours"},
    "the same, each outcome looked at": {"who": "ours", "iterate": True},
    "the same, with the journal": {"who": "ours", "journal": True},
}
STALLS: dict[str, dict[str, Any]] = {
    "bare script": {"who": "bare"},
    "omeda_async": {"who": "ours"},
    "bare script, after gc.freeze()": {"who": "bare", "frozen": True},
    "omeda_async, after gc.freeze()": {"who": "ours", "frozen": True},
}


def _in_turns(bench: Bench, kinds: dict[str, dict[str, Any]], records: int, rounds: int, **more: Any) -> Results:
    runs = {name: bench.later(records=records, **options, **more) for name, options in kinds.items()}
    return _harness.in_turns(runs, rounds)


def _row(name: str, results: Results, bare: str, records: int) -> list[str]:
    return [
        name,
        f"{1e6 * _harness.median(results[name], 'cpu') / records:.1f} µs",
        f"{_harness.ratio(results, name, bare):.2f} x",
        f"{_harness.median(results[name], 'memory'):.0f} MiB",
        f"{_harness.median(results[name], 'collections'):.0f}",
    ]


def _late(name: str, results: Results) -> list[str]:
    told = ("late_p999", "late_most", "worked_p999", "worked_most")
    return [name, *(f"{1e3 * _harness.median(results[name], what):.1f} ms" for what in told)]


def _grown(results: dict[int, Results], name: str) -> float:
    """Return how much more memory a million records take than a hundred thousand.

    Raises:
        Failed: More than a flat memory may.
    """
    full, tenth = (_harness.median(results[size][name], "memory") for size in (MILLION, SIZES[1]))
    if full - tenth > MOST_GROWTH:
        raise Failed(f"{name}: {full - tenth:.1f} MiB more for a million records")
    return full - tenth


def report() -> str:
    """Measure in full, draw the picture, and write the section."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        results = {size: _in_turns(bench, KINDS, size, 3) for size in SIZES}
        fast = _in_turns(bench, dict(list(KINDS.items())[:2]), SIZES[1], 3, fast=True)
        late = _in_turns(bench, STALLS, MILLION, 3, stalls=True)
    _draw(results)
    rows = [_row(name, results[MILLION], "bare script", MILLION) for name in KINDS]
    loops = [_row(name, fast, "bare script", SIZES[1]) for name in fast]
    rows += [[f"{name}, uvloop, {SIZES[1]:,}", *figures] for name, *figures in loops]
    more, logged = _grown(results, "omeda_async"), _grown(results, "the same, with the journal")
    return f"""### Bulk opt-outs

{MILLION:,} opt-outs of the three levels from a CSV, 500 to a request, 8 requests in flight, against the server process
beside; the bare script is csv.DictReader → dicts → orjson → aiohttp with the same batches, and the server verifies by
a checksum that both have sent the same bodies. Medians of three rounds in turns. Targets: ≤ 2.5 x CPU, ≤ 4 x with the
journal, ≤ 120 MiB.

{_harness.table(("run", "CPU per record", "to the bare script", "peak memory", "searches for garbage"), rows)}

Memory beyond that of a run of {SIZES[1]:,}: **{more:+.1f} MiB**, with the journal {logged:+.1f} MiB. Target: ≤ 20 MiB.

Stalls of the event loop meanwhile, by a timer of every millisecond: how late it rang, and how much this process
itself had worked since it was set (what other processes on the machine took is not in that). Target: p99.9 ≤ 5 ms,
none over 20 ms on a quiet machine.

{_harness.table(("run", "late, p99.9", "most", "own work, p99.9", "most"), [_late(name, late) for name in late])}

![Time and memory by records](growth.png)"""


def gate() -> None:
    """Fail where noise can no longer be the reason.

    Raises:
        Failed: A run costs or holds far more than it should; requests and bodies are verified by every run.
    """
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        results = _in_turns(bench, KINDS, 100_000, 2)
        more = bench.run("ours", 200_000)["memory"] - _harness.median(results["omeda_async"], "memory")
    plain, logged = (
        _harness.ratio(results, name, "bare script") for name in ("omeda_async", "the same, with the journal")
    )
    print(
        f"bulk: {plain:.2f} x the bare script, {logged:.2f} x with the journal, {more:+.1f} MiB for twice the records"
    )
    if plain > 5 or logged > 8:
        raise Failed(f"a bulk run takes {plain:.2f} x the CPU of a bare script, and {logged:.2f} x with a journal")
    if (often := _harness.median(results["omeda_async"], "collections")) > MOST_COLLECTIONS:
        raise Failed(f"the garbage collector has searched {often:.0f} times")
    if more > MOST_GROWTH:
        raise Failed(f"a bulk run of twice the records holds {more:.1f} MiB more")
