"""Ocamba's budget, shared by 8 bulk runs and interactive calls that come at random, on a virtual clock."""

from benchmarks import _harness
from benchmarks._harness import Failed
from benchmarks.limits.sim_reserve import IN_FLIGHT, RUNS, TRIP, Beside, Scene, play

MINUTES = 200
RATES = (10.0, 4.0, 2.0, None)
LONGEST = ((0.5, 0.05), (0.99, 0.5), (0.999, 4.0))
"""So many of the interactive calls wait for so many seconds at most."""
LEAST_USED = 0.98
LEAST_ALONE = 0.985
"""The part of the budget that is used where no interactive call comes."""


def _row(name: str, found: Beside) -> list[str]:
    every = found.scene.every
    waits = [f"{found.wait(share):.2f} s" if every else "" for share, _ in LONGEST]
    rate = f"1 per {every:g} s" if every else "none"
    return [name, rate, *waits, f"{100 * found.used:.2f} %", f"{found.refused}"]


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    rows = [_row("as it is", play(Scene(every, MINUTES))) for every in RATES]
    rows += [_row("as it is, no headers", play(Scene(every, MINUTES, headers=False))) for every in RATES]
    rows.append(_row("`interactive_reserve=0`", play(Scene(2.0, MINUTES, reserve=0))))
    rows.append(_row("one queue, no reserve", play(Scene(2.0, MINUTES, reserve=0, lanes=False))))
    head = ("limiter", "interactive calls", "wait: median", "p99", "p99.9", "budget used", "429s")
    text = f"""### Budget

{RUNS} bulk runs with {IN_FLIGHT} calls each under way, and interactive calls at random, {MINUTES} minutes on a virtual
clock; a server of 10 per second and 150 per minute, which begin at moments of their own; answers after
{1000 * TRIP:.0f} ms. Without a reserve the 150 are spent in 15 s, and who comes then waits for the next minute.
Target: at most 0.05 s in the middle, 0.5 s at p99, 4 s at p99.9; at least 98 % of the budget, 98.5 % where no
interactive call comes; no 429.

{_harness.table(head, rows)}"""
    return text, {}


def failures(found: Beside, least_used: float | None = None) -> list[str]:
    """Return what is not as it should be, where so much of the budget is to be used."""
    least = least_used or (LEAST_USED if found.scene.every else LEAST_ALONE)
    name = f"every {found.scene.every} s"
    wrong = [
        f"{name}: {100 * share:g} % wait up to {found.wait(share):.2f} s"
        for share, longest in LONGEST
        if found.wait(share) > longest
    ]
    if found.used < least:
        wrong.append(f"{name}: only {100 * found.used:.2f} % of the budget is used")
    if found.refused:
        wrong.append(f"{name}: {found.refused} were refused")
    return wrong


def gate() -> _harness.Figures:
    """Fail where interactive calls wait, or the budget is left unused; the clock is virtual, so noise has no say.

    Raises:
        Failed: A target is missed.
    """
    wrong = [text for every in (2.0, None) for text in failures(play(Scene(every, 20)))]
    if wrong:
        raise Failed("; ".join(wrong))
    return {}
