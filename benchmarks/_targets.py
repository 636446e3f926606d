"""Every bound, as data: what is aimed at, what was measured before, and what the short form refuses now.

Whoever makes something faster tightens its ``gate``. What the short form refuses has to be out of reach of noise:
counts as they are, memory with some slack, ratios with about twice what is measured.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks import _harness


class Target(NamedTuple):
    """A figure: the less, the better."""

    what: str
    unit: str
    before: float | None = None
    """As it was on 94abfc5."""
    target: float | None = None
    gate: float | None = None
    """Beyond this the short form fails; None where noise could do it, or where the short form does not measure it."""


TARGETS: dict[str, Target] = {
    "way: calls": Target("one more row: calls", "", 118, 75, 75),
    "way: modules": Target("one more row: modules", "", 32, 22, 22),
    "way: changes": Target("one more row: changes of module", "", 82, 50, 50),
    "way, journal: calls": Target("one more row, with the journal: calls", "", 224, 130, 130),
    "way, journal: modules": Target("one more row, with the journal: modules", "", 36, 26, 26),
    "way, journal: changes": Target("one more row, with the journal: changes of module", "", 125, 75, 75),
    "million: x": Target("CSV of three kinds of rows, a million, to bare", "x", 1.66, 1.8),
    "million, journal: x": Target("CSV of three kinds of rows, a million, with the journal, to bare", "x", 3.6, 3.6),
    "mixed: µs": Target("CSV of mixed rows", "µs", 11.4),
    "mixed: x": Target("CSV of mixed rows, to bare", "x", 4.8, 2.3, 10),
    "mixed, journal: µs": Target("CSV of mixed rows, with the journal", "µs", 19.4),
    "mixed, journal: x": Target("CSV of mixed rows, with the journal, to bare", "x", 8.1, 4.2, 18),
    "keyed: x": Target("CSV of mixed rows with keys, quoted, to bare", "x", None, 2.3, 10),
    "keyed, journal: x": Target("CSV of mixed rows with keys, quoted, with the journal, to bare", "x", None, 4.2, 18),
    "jsonl: µs": Target("JSON Lines", "µs", 14.8, 5),
    "jsonl: x": Target("JSON Lines, to bare", "x", 13.4, 4.5, 25),
    "jsonl, journal: µs": Target("JSON Lines, with the journal", "µs", 21, 8.5),
    "dicts: µs": Target("list of dicts", "µs", 6.7, 3.5),
    "dicts, journal: µs": Target("list of dicts, with the journal", "µs", 10.6, 7),
    "models: µs": Target("generator of models", "µs", 4.1, 2.7),
    "models, journal: µs": Target("generator of models, with the journal", "µs", 9.4, 6),
    "cancels: x": Target("bulk cancels, 20,000, to bare", "x", 1.76, 1.35, 4),
    "cancels, journal: x": Target("bulk cancels, 20,000, with the journal, to bare", "x", 3.2, 2.0, 7),
    "call, free: x": Target("single call, free, to bare", "x", 1.21, 1.1, 2),
    "call, contended: x": Target("single call, 64 tasks want and 8 may, to bare", "x", 1.33, 1.15, 2.5),
    "call, waiting: x": Target("`submit()` with 10,000 tasks waiting, to bare", "x", 1.72, 1.3, 3),
    "call, uvloop: x": Target("single call, free, uvloop, to bare", "x", 1.25, 1.15, 2),
    "limiter, deadline: µs": Target("limiter with a deadline, 100,000 waiters: CPU of a grant", "µs", 43.7, 24),
    "limiter, deadline: B": Target("limiter with a deadline, 100,000 waiters: memory of each", "B", 2467, 1450, 2500),
    "resume: µs": Target("resume of a finished journal of a million", "µs", 16.8, 5),
    "plan: MiB": Target("`plan()` of a million: peak of the process", "MiB", 133, 90),
    "plan, journal: MiB": Target("`plan()` of a million, with a journal: peak of the process", "MiB", 283, 90),
    "stalls: p99": Target("stalls of the loop, journal on, mixed rows: p99", "ms", 37, 8),
    "stalls: most": Target("stalls of the loop, journal on, mixed rows: most", "ms", 68, 25),
    "command, help: ms": Target("`omeda-async --help`", "ms", 363, 200),
    "command, plan: ms": Target("`omeda-async opt-out FILE --plan` of 10 rows", "ms", 419, 260),
    "million: MiB": Target("a million opt-outs: the most memory of any run", "MiB", None, 120),
    "growth: MiB": Target("a million opt-outs: memory beyond that of 100,000", "MiB", None, 20),
    "growth, journal: MiB": Target("the same, with the journal", "MiB", None, 20),
    "converting: x": Target("converting, to the fastest that checks the same", "x", None, 1.5, 3),
    "limiter, to aiolimiter: x": Target("limiter, to aiolimiter", "x", None, 1, 1.5),
    "call, to httpx: x": Target("single call, to httpx", "x", None, 0.5, 0.8),
    "importing: x": Target("`import omeda_async`, to `import aiohttp`", "x", None, 1.25, 2.5),
    # What only the short form looks at.
    "csv: x": Target("CSV of three kinds of rows, 20,000, to bare", "x", gate=5),
    "csv, journal: x": Target("CSV of three kinds of rows, 20,000, with the journal, to bare", "x", gate=9),
    "jsonl, journal: x": Target("JSON Lines, 20,000, with the journal, to bare", "x", gate=35),
    "dicts: x": Target("list of 20,000 dicts, to bare", "x", gate=14),
    "dicts, journal: x": Target("list of 20,000 dicts, with the journal, to bare", "x", gate=22),
    "models: x": Target("generator of 20,000 models, to bare", "x", gate=7),
    "models, journal: x": Target("generator of 20,000 models, with the journal, to bare", "x", gate=12),
    "limiter: B": Target("limiter: memory of a waiter", "B", gate=1500),
    "limiter, deadline to none: x": Target("limiter with a deadline, to one without", "x", gate=4),
    "command, help: modules": Target("`omeda-async --help`: modules loaded", "", gate=630),
    "command, plan: modules": Target("`omeda-async opt-out FILE --plan`: modules loaded", "", gate=650),
    "command, help: x": Target("`omeda-async --help`, to typer alone", "x", gate=6),
    "command, plan: x": Target("`omeda-async opt-out FILE --plan`, to typer alone", "x", gate=7),
    "resume: x": Target("resume of a finished journal, to a bare script that sends all", "x", gate=12),
    "short, resume: MiB": Target("resume of a finished journal of 50,000: peak of the process", "MiB", gate=105),
    "short, plan: MiB": Target("`plan()` of 50,000: peak of the process", "MiB", gate=70),
    "short, plan, journal: MiB": Target("`plan()` of 50,000, with a journal: peak of the process", "MiB", gate=95),
    "short: MiB": Target("100,000 opt-outs: peak", "MiB", gate=90),
    "short, journal: MiB": Target("100,000 opt-outs, with the journal: peak", "MiB", gate=110),
    "short, twice: MiB": Target("200,000 opt-outs: memory beyond that of 100,000", "MiB", gate=20),
    # Without care it would be two hundred.
    "short: collections": Target("100,000 opt-outs: searches for garbage", "", gate=60),
}


def missed(figures: Mapping[str, float]) -> Iterator[str]:
    """Say what the short form refuses.

    Raises:
        KeyError: A figure has no target, so that nobody would look at it.
    """
    for name, figure in figures.items():
        bound = TARGETS[name].gate
        if bound is not None and not figure <= bound:
            yield f"{TARGETS[name].what}: {shown(figure, TARGETS[name].unit)}, where {bound:g} is allowed"


def shown(figure: float | None, unit: str) -> str:
    """Write a figure with its unit."""
    if figure is None:
        return ""
    digits = {"x": 2, "µs": 1}.get(unit, 0)
    return f"{figure:.{digits}f} {unit}".rstrip()


def section(figures: Mapping[str, float], held: str) -> str:
    """Write the table of all targets: the figures given, and those of the table as it was where there is no new one."""
    cells = [line.strip("| ").split(" | ") for line in held.splitlines() if line.startswith("| ")]
    before = {row[0]: row[-1] for row in cells if len(row) == len(HEAD)}
    rows = []
    for name, (what, unit, was, target, _) in TARGETS.items():
        if target is None and was is None:
            continue
        measured = shown(figures[name], unit) if name in figures else before.get(what, "")
        rows.append([what, shown(was, unit), f"≤ {target:g} {unit}".rstrip() if target else "", measured])
    return f"""### Targets

{_harness.table(HEAD, rows)}"""


HEAD = ("what", "on 94abfc5", "target", "measured")
