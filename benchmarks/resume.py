"""What a finished journal costs: a resume that has nothing to send, and ``plan()`` without and with the journal."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from benchmarks import _harness
from benchmarks._harness import Measured, metered
from benchmarks._inputs import INPUTS
from benchmarks._server import arrived
from benchmarks.bulk import ENTRIES, MILLION, Bench, manager_at, run

RESUMED = "mixed"
"""The input of the run that is resumed and planned."""


async def _plan(url: str, path: str, records: int, journal: str | None) -> Measured:
    rows = INPUTS[RESUMED].ours(path)
    async with manager_at(url) as manager:
        run = manager.omeda.opt_outs.submit_many(rows, max_entries=ENTRIES, journal=journal)
        base = _harness.memory("VmRSS")
        with metered() as used:
            plan = await run.plan()
    settled = records if journal else 0
    requests = 0 if journal else -(-records // ENTRIES)
    _harness.check("planned", (plan.records, plan.settled, plan.requests), (records, settled, requests))
    peak = _harness.peak_memory()
    return {"cpu": used.cpu, "memory": peak, "more": peak - base}


def plan(url: str, path: str, records: int, journal: str | None) -> Measured:
    """Plan a run, and tell what its process held at its most, and how much more that was than before."""
    return asyncio.run(_plan(url, path, records, journal))


class Finished:
    """A journalled run of so many records that has come to its end."""

    def __init__(self, url: str, folder: Path, records: int) -> None:
        self._bench = Bench(url, folder)
        self._records = records
        self._path = self._bench.file(RESUMED, records)
        self._journal = folder / "finished.sqlite3"
        measured = self._run(self._journal)
        self._bench.verify(RESUMED, records, measured["done"])

    def _run(self, journal: Path | None, who: str = "ours") -> Measured:
        options = {"path": self._path, "records": self._records, "url": self._bench.url}
        return _harness.child(run, who=who, kind=RESUMED, journal=journal and str(journal), **options)

    def _copy(self) -> Path:
        return Path(shutil.copy(self._journal, self._journal.with_name("copy.sqlite3")))

    def resume(self) -> Measured:
        """Make the run again, and verify that nothing was sent."""
        measured = self._run(self._copy())
        _harness.check("records done", measured["done"], self._records)
        _harness.check("requests of a resume", arrived(self._bench.url)["requests"], 0)
        return measured

    def bare(self) -> Measured:
        """Have the bare script send everything, for comparison."""
        measured = self._run(None, "bare")
        self._bench.verify(RESUMED, self._records, measured["done"])
        return measured

    def plan(self, *, journal: bool) -> Measured:
        """Plan the run that has been made, without its journal or with it."""
        copy = str(self._copy()) if journal else None
        measured = _harness.child(plan, url=self._bench.url, path=self._path, records=self._records, journal=copy)
        _harness.check("requests of a plan", arrived(self._bench.url)["requests"], 0)
        return measured


def compare(records: int, rounds: int) -> dict[str, list[Measured]]:
    """Make the runs in turns."""
    with _harness.server() as url, tempfile.TemporaryDirectory() as folder:
        finished = Finished(url, Path(folder), records)
        runs = {
            "bare": finished.bare,
            "resume": finished.resume,
            "plan": lambda: finished.plan(journal=False),
            "plan, journal": lambda: finished.plan(journal=True),
        }
        return _harness.in_turns(runs, rounds)


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(MILLION, 3)
    names = {
        "bare": "bare script, which sends all of them",
        "resume": "resume of the finished journal, nothing to send",
        "plan": "`plan()` without a journal",
        "plan, journal": "`plan()` with the finished journal",
    }
    rows = [
        [
            names[key],
            f"{1e6 * _harness.median(ran, 'cpu') / MILLION:.1f} µs",
            f"{_harness.ratio(results, key, 'bare'):.2f} x",
            f"{_harness.median(ran, 'memory'):.0f} MiB",
            f"{_harness.median(ran, 'more'):.0f} MiB" if key.startswith("plan") else "",
        ]
        for key, ran in results.items()
    ]
    text = f"""### Resume and plan

{MILLION:,} opt-outs, a CSV of mixed rows. The peak is the most that the process has ever held (`VmHWM`); the last
column says how much more that is than it held when `plan()` was called (`VmRSS`), with everything imported and the file
opened.

{_harness.table(("what", "CPU per record", "to the bare script", "peak of the process", "beyond its base"), rows)}"""
    figures = {
        "resume: µs": 1e6 * _harness.median(results["resume"], "cpu") / MILLION,
        "resume: x": _harness.ratio(results, "resume", "bare"),
        "plan: MiB": _harness.median(results["plan"], "memory"),
        "plan, journal: MiB": _harness.median(results["plan, journal"], "memory"),
    }
    return text, figures


def gate() -> _harness.Figures:
    """Measure a little: that nothing is sent again is verified, and memory is no matter of noise."""
    results = compare(50_000, 1)
    memory = {f"short, {key}: MiB": results[key][0]["memory"] for key in ("plan", "plan, journal", "resume")}
    return {"resume: x": _harness.ratio(results, "resume", "bare"), **memory}
