"""The way of one more row through the client's code: its calls, its modules, and how often it changes module.

What is counted, on CPython 3.11, by ``sys.setprofile`` and ``threading.setprofile``:

- A *call* is every ``call`` event of code in a file of ``omeda_async``: functions, methods, properties, lambdas and
  comprehensions, and each time that a coroutine or a generator is resumed. ``sandbox`` and ``cli`` do not count, nor
  does code that has no file, such as the methods that attrs writes. All threads count, in the order of their calls.
- A *module* counts if the ten further rows call it ten times or more: once a row.
- A *change* is two calls, one after the other, of which the second is in another module.

The run is ``opt_outs.submit_many(RowFile, max_entries=1, concurrency=1)`` with ``RateLimit(parallel=8)`` and no other
limit, iterated with ``async for``, from a CSV of the three levels in turn: one row, one request. Setup does not count:
the figures are what a run of 20 rows has beyond one of 10, divided by ten. Each run is made three times, and the one
with the fewest calls is taken, so that no late timer is counted.

    python -m benchmarks.way                    the figures, without and with the journal
    python -m benchmarks.way --calls            and the calls between two outcomes, in their order
    python -m benchmarks.way --calls --journal  the same of a run with the journal
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import omeda_async
from benchmarks import _harness
from benchmarks._inputs import write_three_kinds
from benchmarks._server import arrived
from omeda_async import OmedaSettings, OutcomeStatus, RateLimit, SessionManager
from omeda_async.rows import OPT_OUTS, RowFile

FEW, MANY = 10, 20
TIMES = 3
PACKAGE = Path(omeda_async.__file__).parent
LEFT_OUT = frozenset({"sandbox", "cli"})


class Called(NamedTuple):
    """One call."""

    module: str
    function: str


class Way(NamedTuple):
    """What one more row costs in calls."""

    calls: float
    modules: int
    changes: float


class Watch:
    """Notes the calls into a package, in every thread that is started while it watches, and in its own."""

    def __init__(self, package: Path = PACKAGE, left_out: Iterable[str] = LEFT_OUT) -> None:
        self.calls: list[Called] = []
        self._package = package
        self._left_out = frozenset(left_out)
        self._modules: dict[str, str | None] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until left. Garbage of earlier runs is not collected meanwhile: it would call their finalizers."""
        gc.collect()
        gc.disable()
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            gc.enable()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        # By the file: Python takes two pieces of code that read the same for one, also where their files differ.
        if code.co_filename not in self._modules:
            self._modules[code.co_filename] = self._module(Path(code.co_filename))
        if (module := self._modules[code.co_filename]) is not None:
            self.calls.append(Called(module, code.co_qualname))

    def _module(self, path: Path) -> str | None:
        if not path.is_relative_to(self._package):
            return None
        parts = path.relative_to(self._package).with_suffix("").parts
        return None if parts[0] in self._left_out else ".".join(parts)


def changes(calls: Sequence[Called]) -> int:
    """Count how often two calls that follow each other are in different modules."""
    return sum(one.module != other.module for one, other in pairwise(calls))


def of_one_more(few: Sequence[Called], many: Sequence[Called], rows: int = MANY - FEW) -> Way:
    """Return what one more row costs, of a run and of one with so many more rows."""
    more = Counter(call.module for call in many)
    more.subtract(call.module for call in few)
    return Way(
        calls=(len(many) - len(few)) / rows,
        modules=sum(count >= rows for count in more.values()),
        changes=(changes(many) - changes(few)) / rows,
    )


async def _run(url: str, rows: int, folder: Path, *, journal: bool) -> tuple[list[Called], list[int]]:
    """Make a run; return its calls, and how many there had been at each outcome."""
    file = folder / "rows.csv"
    write_three_kinds(file, rows)
    settings = OmedaSettings(app_id="none", client="foo", base_url=url, rate_limit=RateLimit(parallel=8))
    watch, marks, done = Watch(), [], 0
    async with SessionManager(omeda=settings) as manager:
        source = RowFile.at(OPT_OUTS, file)
        kept = folder / "run.sqlite3" if journal else None
        run = manager.omeda.opt_outs.submit_many(source, max_entries=1, concurrency=1, journal=kept)
        with watch.watching():
            async for outcome in run:
                done += outcome.status is OutcomeStatus.DONE
                marks.append(len(watch.calls))
    _harness.check("rows done", done, rows)
    return watch.calls, marks


def once(url: str, rows: int, *, journal: bool) -> tuple[list[Called], list[int]]:
    """Make a run in this process, and verify that each row has been one request."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_run(url, rows, Path(folder), journal=journal))
    _harness.check("requests", arrived(url)["requests"], rows)
    return found


def fewest(url: str, rows: int, *, journal: bool) -> tuple[list[Called], list[int]]:
    """Make a run some times, and return the one with the fewest calls."""
    return min((once(url, rows, journal=journal) for _ in range(TIMES)), key=lambda run: len(run[0]))


def measure(url: str, *, journal: bool) -> Way:
    """Count the way of one more row."""
    once(url, FEW, journal=journal)  # what is done at the first time only is done
    return of_one_more(fewest(url, FEW, journal=journal)[0], fewest(url, MANY, journal=journal)[0])


def both() -> dict[str, Way]:
    """Count the way without and with the journal."""
    with _harness.server() as url:
        return {"way": measure(url, journal=False), "way, journal": measure(url, journal=True)}


def _figures(ways: dict[str, Way]) -> _harness.Figures:
    return {f"{name}: {what}": figure for name, way in ways.items() for what, figure in way._asdict().items()}


def report() -> _harness.Report:
    """Count, and write the section."""
    ways = both()
    rows = [
        [name, f"{way.calls:g}", f"{way.modules}", f"{way.changes:g}"]
        for name, way in zip(("omeda_async", "the same, with the journal"), ways.values(), strict=True)
    ]
    text = f"""### The way of one more row

What one more row of a CSV calls, one request each (`python -m benchmarks.way --calls` shows it call by call).

{_harness.table(("run", "calls", "modules", "changes of module"), rows)}"""
    return text, _figures(ways)


def gate() -> _harness.Figures:
    """Count: noise has no say in it."""
    return _figures(both())


def lines(calls: Iterable[Called]) -> Iterator[str]:
    """Write calls one a line, their module where it changes."""
    last = ""
    for module, function in calls:
        yield f"{module if module != last else '':36} {function}"
        last = module


def _show(*, journal: bool) -> None:
    with _harness.server() as url:
        once(url, FEW, journal=journal)
        calls, marks = fewest(url, MANY, journal=journal)
    shown = calls[marks[FEW] : marks[FEW + 1]]
    print(*lines(shown), sep="\n")
    print(f"{len(shown)} calls between two outcomes, {changes(shown)} changes of module")


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.way", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", action="store_true", help="print the calls between two outcomes")
    parser.add_argument("--journal", action="store_true", help="those of a run with the journal")
    options = parser.parse_args(arguments)
    if options.calls:
        _show(journal=options.journal)
        return
    for name, way in both().items():
        print(f"{name}: {way.calls:g} calls in {way.modules} modules with {way.changes:g} changes of module")


if __name__ == "__main__":
    main()
