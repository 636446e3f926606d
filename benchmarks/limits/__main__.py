"""Simulate every limiter against every server, and write the table and the picture.

Run ``python -m benchmarks.limits`` from the root of the project. It needs, besides the project, aiolimiter,
pyrate-limiter, limits and throttled-py; it replaces the part of ``benchmarks/README.md`` between its two marks.
"""

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.limits.sim_cost import CANCELLED, WAITERS, measure
from benchmarks.limits.sim_picture import draw
from benchmarks.limits.sim_policies import POLICIES
from benchmarks.limits.sim_run import Result, Run, simulate

SERVERS = ("fixed windows", "opened by the first", "sliding log", "token bucket", "strict bucket")
SIZES = (10, 100, 150, 151, 600, 3000)
OTHER = "fixed windows, someone else sends 1 per second"
README = Path(__file__).parents[1] / "README.md"
PICTURE = Path(__file__).parent / "arrivals.svg"
BEGIN, END = "<!-- limits:begin -->", "<!-- limits:end -->"
SHOWN = ("ours, with headers", "ours, no headers", "aiolimiter, stacked", "limits, moving window")

Cells = dict[tuple[str, str, int], list[tuple[int, float]]]


def _brief(run: Run) -> tuple[Run, int, float]:
    result: Result = simulate(run)
    return run, result.refusals, result.ratio


def _seeds_of(policy: str, size: int, seeds: int) -> int:
    if (policy.startswith("ours") and "processes" not in policy) or size < 3000:
        return seeds
    return max(1, seeds // 4)


def _runs(seeds: int) -> Iterable[Run]:
    for seed in range(seeds):
        for policy in POLICIES:
            for size in reversed(SIZES):
                if seed < _seeds_of(policy, size, seeds):
                    yield from (Run(policy, server, size, seed) for server in SERVERS)
                    yield Run(policy, "fixed windows", size, seed, other_per_second=1.0)


def play(seeds: int) -> Cells:
    """Play every run, on every processor there is."""
    cells: Cells = defaultdict(list)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for run, refusals, ratio in pool.map(_brief, _runs(seeds), chunksize=8):
            server = OTHER if run.other_per_second else run.server
            cells[run.policy, server, run.requests].append((refusals, ratio))
    return cells


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _cell(results: list[tuple[int, float]]) -> str:
    refusals = statistics.mean(count for count, _ in results)
    ratio = statistics.mean(ratio for _, ratio in results)
    return f"{_number(refusals)} / {ratio:.3f}"


def _table(cells: Cells) -> list[str]:
    head = [f"N = {size}" for size in SIZES]
    lines = ["| server | limiter | " + " | ".join(head) + " |", "|---|---|" + "---|" * len(SIZES)]
    for server in (*SERVERS, OTHER):
        for policy in POLICIES:
            name = f"**{policy}**" if policy.startswith("ours") else policy
            row = [_cell(cells[policy, server, size]) for size in SIZES]
            lines.append(f"| {server} | {name} | " + " | ".join(row) + " |")
    return lines


def _costs() -> list[str]:
    lines = ["| limiter | µs for each grant | KB for each waiter | left behind |", "|---|---|---|---|"]
    for name, cost in measure().items():
        lines.append(f"| {name} | {cost.microseconds:.1f} | {cost.kilobytes:.2f} | {cost.left_behind} |")
    return lines


def _text(cells: Cells, costs: list[str], seeds: int) -> str:
    return "\n".join(
        [
            BEGIN,
            "## Limits",
            "",
            "`python -m benchmarks.limits` writes this part. A client sends N requests as fast as its",
            "limiter lets it, to a server that allows 10 per second and 150 per minute (the strict bucket: 2.5 per",
            "second after a burst of 10, which the client does not know). Trips one way are lognormal with a mean of",
            "40 ms, and two in a hundred take 500 ms; the clocks drift by up to 0.05 %; headers come with their",
            f"seconds rounded down, up, to the nearest, and to hundredths in turn. {seeds} seeds; the phases of the",
            "windows are drawn one from each twentieth of the minute. The other libraries, and several processes, get",
            "a quarter of the seeds at N = 3000. The store that these share takes half a millisecond one way, and one",
            "time in a hundred 50 ms. Refused requests count as any other, but not in the buckets.",
            "",
            "Each cell: the mean number of 429s / the mean time until the last request was taken, over the earliest",
            "possible for a sender that knows the server's state and has the same trips. With someone else on the",
            "account that optimum is still the one without them.",
            "",
            *_table(cells),
            "",
            "![How many requests the server has counted in its minute](limits/arrivals.svg)",
            "",
            f"{WAITERS:,} tasks wait at once, {CANCELLED:,} of them are cancelled, the rest goes through; 1,000 per",
            "second on a moved clock, so that only the work is timed; aiolimiter in the same run:",
            "",
            *costs,
            END,
        ]
    )


def _write(text: str) -> None:
    old = README.read_text() if README.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old:
        old += f"\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    README.write_text(before + text + rest.partition(END)[2])


def _check(cells: Cells) -> None:
    for (policy, server, size), results in cells.items():
        if policy.startswith("ours") and server not in {"strict bucket", OTHER}:
            assert not any(refusals for refusals, _ in results), (policy, server, size)


def main() -> None:
    """Play, check and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds: int = parser.parse_args().seeds
    cells = play(seeds)
    _check(cells)
    PICTURE.write_text(draw([simulate(Run(policy, "fixed windows", 400, 11)) for policy in SHOWN]))
    _write(_text(cells, _costs(), seeds))
    sys.stdout.write("\n".join(_table(cells)) + "\n")


if __name__ == "__main__":
    main()
