"""``python -m benchmarks`` runs the benchmarks of speed, and rewrites their tables in README.md.

``--short`` (about a minute) writes nothing, and fails only on what noise cannot move. Further words name the
benchmarks to run; those that are not run keep their tables.
"""

import argparse
import sys
import time
from types import ModuleType

from benchmarks import (
    _harness,
    _targets,
    budget,
    calls,
    cancels,
    command,
    converting,
    growth,
    importing,
    inputs,
    limiter,
    resume,
    stalls,
    way,
)

BENCHMARKS: dict[str, ModuleType] = {
    "way": way,
    "calls": calls,
    "cancels": cancels,
    "bulk": growth,
    "inputs": inputs,
    "resume": resume,
    "stalls": stalls,
    "command": command,
    "converting": converting,
    "limiter": limiter,
    "importing": importing,
    "budget": budget,
}


TIMES = 3
"""How often the short form measures what passes its bound."""


def short(name: str) -> None:
    """Measure a little, and again where a bound is passed: what is over it each time is no noise.

    Raises:
        Failed: A result is wrong, or a bound is passed each time.
    """
    for left in reversed(range(TIMES)):
        figures: _harness.Figures = BENCHMARKS[name].gate()
        for one, figure in figures.items():
            print(f"  {_targets.TARGETS[one].what}: {_targets.shown(figure, _targets.TARGETS[one].unit)}")
        failures = "; ".join(_targets.missed(figures))
        if not failures:
            return
        if not left:
            raise _harness.Failed(failures)
        print(f"  again: {failures}", flush=True)


def full(name: str) -> None:
    """Measure in full, and write the section and the targets."""
    text, figures = BENCHMARKS[name].report()
    list(_targets.missed(figures))  # refuses a figure that has no target
    _harness.write_section(f"speed-{name}", text)
    _harness.write_section("speed-targets", _targets.section(figures, _harness.read_section("speed-targets")))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only fail on what noise cannot move")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: known are {', '.join(BENCHMARKS)}")
    failed = []
    for name in options.names or BENCHMARKS:
        began = time.perf_counter()
        try:
            short(name) if options.short else full(name)
        except _harness.Failed as failure:
            failed.append(name)
            print(f"{name} FAILED: {failure}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if not options.short:
        _harness.write_section("machine", f"Measured on {_harness.machine()}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
