"""``python -m benchmarks`` runs the benchmarks of speed, and rewrites their tables in README.md.

``--short`` (under a minute) writes nothing, and fails only on what noise cannot move. Further words name the
benchmarks to run; those that are not run keep their tables.
"""

import argparse
import sys
import time

from benchmarks import _harness, budget, calls, converting, growth, importing, limiter

BENCHMARKS = {
    "calls": calls,
    "bulk": growth,
    "converting": converting,
    "limiter": limiter,
    "importing": importing,
    "budget": budget,
}


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
            if options.short:
                BENCHMARKS[name].gate()
            else:
                _harness.write_section(f"speed-{name}", BENCHMARKS[name].report())
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
