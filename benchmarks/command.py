"""The start of the command line: ``omeda-async --help`` and a plan of ten rows, beside a program of typer alone."""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import _harness
from benchmarks._harness import ROOT, Measured
from benchmarks._inputs import write_three_kinds

ROWS = 10
ENVIRONMENT = {
    "OMEDA_APP_ID": "none",
    "OMEDA_CLIENT": "foo",
    "OMEDA_BRAND": "FOO",
    "OMEDA_BASE_URL": "http://127.0.0.1:9",
}
SCRIPT = """
import atexit, resource, runpy, sys
def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("used", used.ru_utime + used.ru_stime, len(sys.modules), file=sys.stderr)
atexit.register(tell)
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def measure(module: str, arguments: tuple[str, ...], expected: str) -> Measured:
    """Run a program as a new process, from files compiled before, and verify that it has said what is expected."""
    # With this variable set nothing would ever be compiled before.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", SCRIPT, module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=kept | ENVIRONMENT, capture_output=True, text=True, check=False)  # noqa: S603 ourselves
    _harness.check(f"exit code of {module}", done.returncode, 0)
    _harness.check(f"{expected!r} in what {module} says", expected in done.stdout, expected=True)
    _, cpu, modules = done.stderr.splitlines()[-1].split()
    return {"cpu": float(cpu), "modules": int(modules)}


def compare(rounds: int) -> dict[str, list[Measured]]:
    """Start the programs in turns, after one round that fills the caches."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_three_kinds(Path(folder, "rows.csv"), ROWS)
        runs = {
            "help": partial(measure, "omeda_async", ("--help",), "opt-out"),
            "plan": partial(measure, "omeda_async", ("opt-out", file, "--plan"), "Submit opt-outs"),
            "typer": partial(measure, "benchmarks._typer_alone", ("--help",), "Greet somebody"),
        }
        _harness.in_turns(runs, 1)
        return _harness.in_turns(runs, rounds)


def _figures(results: dict[str, list[Measured]]) -> _harness.Figures:
    figures: _harness.Figures = {}
    for name in ("help", "plan"):
        figures[f"command, {name}: ms"] = 1e3 * _harness.median(results[name], "cpu")
        figures[f"command, {name}: x"] = _harness.ratio(results, name, "typer")
        figures[f"command, {name}: modules"] = _harness.median(results[name], "modules")
    return figures


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(11)
    names = {
        "help": "`omeda-async --help`",
        "plan": "`omeda-async opt-out FILE --plan`",
        "typer": "typer alone, `--help`",
    }
    rows = [
        [
            names[key],
            f"{1e3 * _harness.median(ran, 'cpu'):.0f} ms",
            f"{_harness.ratio(results, key, 'typer'):.2f} x",
            f"{ran[0]['modules']}",
        ]
        for key, ran in results.items()
    ]
    text = f"""### The command's start

CPU of a new process, 11 times in turns; the file has {ROWS} rows.

{_harness.table(("what", "CPU", "to typer alone", "modules loaded"), rows)}"""
    return text, _figures(results)


def gate() -> _harness.Figures:
    """Measure a little; how many modules are loaded is no matter of noise."""
    return _figures(compare(2))
