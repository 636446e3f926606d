"""Single calls beside bulk on the real clock: Ocamba's limits at the sandbox, in one process and in two with a store.

``python -m benchmarks.beside`` takes some five minutes, as all scenes are played at the same time; it fails where a
call waits for too long or is refused, and writes the table. ``budget`` plays the same for 200 minutes on a moved clock.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks import _harness
from benchmarks._harness import Measured
from benchmarks.budget import LEAST_ALONE, LEAST_USED, LONGEST
from benchmarks.sharing.single_calls import ONE_WAY, RUNS, play

STORES = {None: "one process", "file": "two, SQLite", "redis": "two, Redis", "postgres": "two, PostgreSQL"}
EVERY = (10.0, 4.0, 2.0, None)


def _rate(every: float | None) -> str:
    return f"1 per {every:g} s" if every else "none"


def _wait(waits: Sequence[float], share: float) -> float:
    return waits[math.ceil(share * len(waits)) - 1] if waits else 0.0


def wrong(played: Measured, kind: str | None, every: float | None) -> Iterator[str]:
    """Return what is not as promised."""
    name = f"{STORES[kind]}, {_rate(every)}"
    for share, longest in LONGEST:
        if _wait(played["waits"], share) > longest:
            yield f"{name}: {100 * share:g} % wait up to {_wait(played['waits'], share):.2f} s"
    if played["used"] < (LEAST_USED if every else LEAST_ALONE):
        yield f"{name}: only {100 * played['used']:.2f} % of the budget is used"
    if played["refused"]:
        yield f"{name}: {played['refused']} were refused"


def _row(played: Measured, kind: str | None, every: float | None) -> list[str]:
    waits: list[float] = played["waits"]
    longest = [f"{_wait(waits, share):.2f} s" if every else "" for share, _ in LONGEST]
    return [STORES[kind], _rate(every), f"{len(waits)}", *longest, f"{100 * played['used']:.1f} %",
            f"{played['refused']}"]  # fmt: skip


def section(rows: list[list[str]], lasts: float) -> str:
    """Write the section of the README."""
    head = ("processes", "single calls", "calls", "wait: median", "p99", "p99.9", "budget used", "429s")
    return f"""### Single calls beside bulk, on the real clock

`python -m benchmarks.beside` writes this part. {RUNS} bulk runs and single calls that come at random, {lasts:.0f} s of
real time against the sandbox with Ocamba's limits; answers after {2000 * ONE_WAY:.0f} ms; all scenes at the same time.
In two processes one has the bulk runs and the other makes the calls, and they share the limits by a store. The budget
is that of the server's own whole minutes, but for the first and the last. Of so few calls, p99.9 is the longest wait.
Target, as on the virtual clock: at most {", ".join(f"{longest:g} s" for _, longest in LONGEST)}; at least
{100 * LEAST_USED:g} % of the budget, {100 * LEAST_ALONE:g} % where no single call comes; no 429. What is left over was
kept for calls that did not come.

{_harness.table(head, rows)}"""


def main() -> None:
    """Play, and write or fail."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("--seconds", type=float, default=315.0, help="how long each scene takes (315)")
    parser.add_argument("--kind", action="append", choices=[kind or "none" for kind in STORES])
    options = parser.parse_args()
    kinds = [kind for kind in STORES if not options.kind or (kind or "none") in options.kind]
    todo = [(kind, every) for kind in kinds for every in EVERY]
    with ThreadPoolExecutor(len(todo)) as pool:
        parts = [{"kind": kind, "every": every, "lasts": options.seconds} for kind, every in todo]
        results = list(pool.map(lambda part: _harness.child(play, **part), parts))
    rows = [_row(played, *scene) for played, scene in zip(results, todo, strict=True)]
    print(_harness.table(("processes", "calls", "n", "p50", "p99", "p99.9", "used", "429s"), rows))
    if not options.kind:
        _harness.write_section("beside", section(rows, options.seconds))
    if missed := [text for played, scene in zip(results, todo, strict=True) for text in wrong(played, *scene)]:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
