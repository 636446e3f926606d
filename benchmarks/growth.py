"""
What a bulk run costs and holds: a million records beside a bare script, and how that grows with the records.
"""

import tempfile
from pathlib import Path

from benchmarks import _harness
from benchmarks._harness import Failed, Measured
from benchmarks.bulk import MILLION, Bench

PICTURE = Path(__file__).parent / "growth.png"
SIZES = (10_000, 100_000, MILLION)


def _draw(results: dict[int, dict[str, Measured]]) -> None:
    # Here, so that whoever measures only the rest needs no matplotlib.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for name in next(iter(results.values())):
        time.plot(SIZES, [results[size][name]["cpu"] for size in SIZES], marker="o", label=name)
        memory.plot(SIZES, [results[size][name]["memory"] for size in SIZES], marker="o", label=name)
    time.set(xscale="log", yscale="log", xlabel="records", ylabel="CPU in seconds", title="Time: a straight line")
    memory.set(xscale="log", ylim=(0, None), xlabel="records", ylabel="peak memory in MiB", title="Memory: flat")
    time.legend()
    figure.savefig(PICTURE, dpi=110)


def _kinds(bench: Bench, records: int) -> dict[str, Measured]:
    return {
        "bare script": bench.run("bare", records),
        "omeda_async": bench.run("ours", records),
        "the same, each outcome looked at": bench.run("ours", records, iterate=True),
        "the same, with the journal": bench.run("ours", records, journal=True),
    }


def _row(name: str, ran: Measured, beside: Measured, records: int) -> list[str]:
    return [
        name,
        f"{1e6 * ran['cpu'] / records:.1f} µs",
        f"{ran['cpu'] / beside['cpu']:.2f} x",
        f"{ran['memory']:.0f} MiB",
    ]


def _late(name: str, ran: Measured) -> list[str]:
    return [name, *(f"{1e3 * ran[what]:.1f} ms" for what in ("late_p999", "late_most", "worked_p999", "worked_most"))]


def report() -> str:
    """
    Measure in full, draw the picture, and write the section.
    """
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        results = {size: _kinds(bench, size) for size in SIZES}
        fast = {"bare script, uvloop": bench.run("bare", SIZES[1], fast=True)}
        fast["omeda_async, uvloop"] = bench.run("ours", SIZES[1], fast=True)
        late = {
            name: bench.run(who, MILLION, stalls=True)
            for name, who in (("bare script", "bare"), ("omeda_async", "ours"))
        }
    _draw(results)
    full, tenth = results[MILLION], results[SIZES[1]]
    rows = [_row(name, ran, full["bare script"], MILLION) for name, ran in full.items()]
    rows += [_row(f"{name}, {SIZES[1]:,}", ran, fast["bare script, uvloop"], SIZES[1]) for name, ran in fast.items()]
    more = full["omeda_async"]["memory"] - tenth["omeda_async"]["memory"]
    logged = full["the same, with the journal"]["memory"] - tenth["the same, with the journal"]["memory"]
    return f"""### Bulk opt-outs

{MILLION:,} opt-outs of the three levels from a CSV, 500 to a request, 8 requests in flight, against the server process
beside; the bare script is csv.DictReader → dicts → orjson → aiohttp with the same batches, and the server verifies by
a checksum that both have sent the same bodies. Targets: ≤ 2.5 x CPU, ≤ 4 x with the journal, ≤ 120 MiB.

{_harness.table(("run", "CPU per record", "to the bare script", "peak memory"), rows)}

Memory beyond that of a run of {SIZES[1]:,}: **{more:+.1f} MiB**, with the journal {logged:+.1f} MiB. Target: ≤ 20 MiB.

Stalls of the event loop meanwhile, by a timer of every millisecond: how late it rang, and how much this process
itself had worked since it was set (what other processes on the machine took is not in that). Target: p99.9 ≤ 5 ms,
none over 20 ms on a quiet machine.

{_harness.table(("run", "late, p99.9", "most", "own work, p99.9", "most"), [_late(*one) for one in late.items()])}

![Time and memory by records](growth.png)"""


def gate() -> None:
    """
    Fail where noise can no longer be the reason.

    Raises:
        Failed: A run costs or holds far more than it should; requests and bodies are verified by every run.

    """
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        bare, ours = bench.run("bare", 50_000), bench.run("ours", 50_000)
        small = bench.run("ours", 10_000)
    times, more = ours["cpu"] / bare["cpu"], ours["memory"] - small["memory"]
    print(f"bulk: {times:.2f} x the bare script, {more:+.1f} MiB from 10,000 to 50,000 records")
    if times > 25:
        raise Failed(f"a bulk run takes {times:.2f} x the CPU of a bare script")
    if more > 30:
        raise Failed(f"a bulk run of five times the records holds {more:.1f} MiB more")
