"""Play what shared limits promise, with Ocamba's windows, real stores, processes and faults, and write the table.

``python -m benchmarks.shared_limits`` takes some ten minutes, as half of all scenes are played at the same time;
``--short`` plays them with windows ten times as fast, two at a time, and writes nothing. Both fail where a promise does
not hold. It starts a store of its own for each scene, and needs the extras ``bench`` and ``dev``.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

from benchmarks import _harness
from benchmarks.sharing import cost
from benchmarks.sharing.scene import Played, Scene, how_calendars_are_set, play
from benchmarks.sharing.stores import place
from tests.limits import postgres_service, redis_service

WORDS = {
    (): "none",
    ("kill",): "two of four killed (SIGKILL)",
    ("stop",): "the store stopped for 3 s",
    ("suspend",): "one suspended for longer than its lease",
    ("lose",): "the store's data lost",
}
LEAST_USED = 0.98
MOST_APART = 1.5


@attrs.frozen
class Case:
    """A scene on a store."""

    kind: str
    scene: Scene

    @property
    def name(self) -> str:
        """Return what happens, in words."""
        if self.scene.way in LIBRARIES:
            return f"none, {LIBRARIES[self.scene.way]} in our place"
        if any(self.scene.clocks):
            return "calendar clocks off by +1 and -1 s"
        return WORDS[self.scene.faults] + ("" if self.scene.hold else ", **control: no hold**")

    def play(self, folder: Path) -> Played:
        """Play it on a store of its own."""
        with place(self.kind, folder) as store:
            return play(self.scene, store)

    def wrong(self, played: Played) -> Iterator[str]:
        """Return what is not as promised."""
        if self.scene.way in LIBRARIES:
            return
        if bool(played.refused) is self.scene.hold:
            yield f"{played.refused} were refused"
        if self.scene.hold and (least := min(played.undisturbed().values(), default=0.0)) < LEAST_USED:
            yield f"only {100 * least:.1f} % of the budget was used"
        if not self.scene.faults and played.spread() > MOST_APART:
            yield f"one had {played.spread():.2f} times as much as another"


LIBRARIES = {"pyrate": "pyrate-limiter", "limits": "limits"}


def cases(faster: float) -> list[Case]:
    """Return all that is played."""
    scene = Scene(faster=faster, windows=4.0)
    found = [Case(kind, attrs.evolve(scene, processes=count)) for kind in cost.KINDS for count in (4, 16)]
    for kind in cost.KINDS:
        found += [Case(kind, attrs.evolve(scene, faults=faults)) for faults in WORDS if faults]
        found.append(Case(kind, attrs.evolve(scene, clocks=(1.0, -1.0))))
        found.append(Case(kind, attrs.evolve(scene, faults=("lose",), hold=False)))
    found += [Case("redis", attrs.evolve(scene, way=way, processes=count)) for way in LIBRARIES for count in (4, 16)]
    return found


def _row(case: Case, played: Played) -> list[str]:
    least = min(played.undisturbed().values(), default=None)
    return [
        cost.KINDS[case.kind],
        f"{case.scene.processes}",
        case.name,
        f"{len(played.arrivals)}",
        f"{played.refused}",
        "" if least is None else f"{100 * least:.1f} %",
        f"{played.silence():.1f} s",
        "" if case.scene.faults else f"{played.spread():.2f}",
    ]


def played(faster: float, at_once: int) -> tuple[list[list[str]], list[str]]:
    """Play everything, and return the rows of the table, and what is wrong."""
    rows, wrong = list[list[str]](), list[str]()
    todo = cases(faster)
    with TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        results = pool.map(lambda one: one[1].play(Path(folder) / str(one[0])), enumerate(todo))
        for case, result in zip(todo, results, strict=True):
            rows.append(_row(case, result))
            print(" | ".join(rows[-1]), flush=True)
            wrong += [f"{case.kind}, {case.scene.processes}, {case.name}: {text}" for text in case.wrong(result)]
    return rows, wrong


def versions() -> str:
    """Say which servers were there: Valkey, too, says in its version whose it is."""
    said = [
        subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 our own words
        for name in (postgres_service.program("postgres"), redis_service.program())
    ]
    return f"PostgreSQL {_number(said[0])}, {said[1].split()[0]} {_number(said[1])}"


def _number(said: str) -> str:
    found = re.search(r"(?:\) |v=)(\d+(?:\.\d+)+)", said)
    return found[1] if found else "of some version"


def section(rows: list[list[str]], costs: dict[str, float], load: float) -> str:
    """Write the section of the README."""
    head = ("store", "processes", "what happens", "requests", "429s", "budget used", "longest silence", "most / least")
    spent = [[name, f"{found:.2f} ms", f"{cost.MOST.get(name, '')}"] for name, found in costs.items()]
    return f"""## Shared limits

`python -m benchmarks.shared_limits` writes this part: {versions()}, {_harness.machine()}

Processes that cancel campaigns as fast as they may for four minutes, 12 calls of each at once, with Ocamba's limits
(10 per second, 150 per minute, 10 in flight), `interactive_reserve=0` and a time-out of 10 s, at a server with fixed
windows whose trips take 4 to 15 ms each way. What happens comes in the middle of the burst of the second minute.
Budget: the least of the whole minutes with which that had nothing to do (until a lease and a window after it). Most /
least: what the processes got from the second minute on; who comes first finds nobody else. A hold is a silence of
{Scene(faster=1.0).held_for:.0f} s, a lease and a minute. Calendar clocks are set, half of them ahead and half of them
behind, by {how_calendars_are_set()}.
Half of all scenes were played at the same time.

{_harness.table(head, rows)}

What a call costs with a free account, one after the other, beyond the limiter of one process: CPU of all it has caused
in the client (two turns at the store), and its wait for a permit; the median of {cost.CALLS} calls, the least of five
rounds, with a load average of {load:.0f}.

{_harness.table(("store", "more", "target, ms"), spent)}"""


def main() -> None:
    """Play, and write or fail."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_limits", description=__doc__)
    parser.add_argument("--short", action="store_true", help="windows ten times as fast; write nothing")
    parser.add_argument("--at-once", type=int, help="how many scenes are played at the same time")
    options = parser.parse_args()
    costs, load = cost.extra(), os.getloadavg()[0]
    print(", ".join(f"{name}: {found:.2f} ms more for a call" for name, found in costs.items()), flush=True)
    wide = options.at_once or (2 if options.short else 14)
    rows, wrong = played(10.0 if options.short else 1.0, wide)
    if not options.short:
        _harness.write_section("shared-limits", section(rows, costs, load))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
