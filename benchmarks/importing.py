"""``import omeda_async`` beside ``import aiohttp`` alone."""

import os
import subprocess
import sys
from functools import partial

from benchmarks import _harness
from benchmarks._harness import ROOT, Measured

SCRIPT = """
import resource, sys
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before = cpu()
import {module}
print(cpu() - before, len(sys.modules))
"""


def measure(module: str) -> Measured:
    """Import a module in a new process, from files compiled before."""
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    # With this variable set nothing would ever be compiled before.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout  # noqa: S603 ourselves
    cpu, modules = said.split()
    return {"cpu": float(cpu), "modules": int(modules)}


def compare(rounds: int) -> dict[str, list[Measured]]:
    """Compare in turns, after one round that fills the caches."""
    runs = {module: partial(measure, module) for module in ("omeda_async", "aiohttp")}
    _harness.in_turns(runs, 1)
    return _harness.in_turns(runs, rounds)


def _figures(results: dict[str, list[Measured]]) -> _harness.Figures:
    return {"importing: x": _harness.ratio(results, "omeda_async", "aiohttp")}


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(21)
    rows = [
        [
            f"`import {module}`",
            f"{1e3 * _harness.median(ran, 'cpu'):.0f} ms",
            f"{_harness.ratio(results, module, 'aiohttp'):.2f} x",
            f"{ran[0]['modules']}",
        ]
        for module, ran in results.items()
    ]
    text = f"""### Importing

CPU of a new process, 21 times in turns.

{_harness.table(("what", "CPU", "to aiohttp", "modules loaded"), rows)}"""
    return text, _figures(results)


def gate() -> _harness.Figures:
    """Measure a little."""
    return _figures(compare(3))
