"""What all benchmarks share: child processes, CPU time and memory, the server beside, medians, tables.

Whatever is compared runs in turns (A B A B …), each time in a new process, so that noise meets both alike. A measured
function takes keyword arguments and gives a dictionary; ``python -m benchmarks._harness MODULE:FUNCTION JSON`` is
how a new process calls it.
"""

import asyncio
import importlib
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

README = Path(__file__).parent / "README.md"
ROOT = Path(__file__).parent.parent
PACKAGES = (
    "aiohttp", "aiolimiter", "attrs", "cattrs", "httpx", "limits", "msgspec", "orjson", "psycopg", "pyrate-limiter",
    "redis", "uvloop",
)  # fmt: skip
LONGEST = 1800
"""Seconds after which a child process that hangs is given up."""

Measured: TypeAlias = dict[str, Any]
Figures: TypeAlias = dict[str, float]
"""Figures by the names that ``_targets`` has for them."""
Report: TypeAlias = tuple[str, Figures]
"""A section of the README, and the figures in it."""
T = TypeVar("T")


class Failed(Exception):
    """A measured run did not do what it should, or a target that noise cannot move was missed."""


class Used:
    """What a stretch of code has used."""

    cpu: float = 0.0
    """Seconds of CPU of this process, all threads."""
    seconds: float = 0.0
    """Seconds on the wall."""


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def metered() -> Iterator[Used]:
    """Measure a stretch of code."""
    used = Used()
    cpu, seconds = _cpu(), time.perf_counter()
    yield used
    used.cpu, used.seconds = _cpu() - cpu, time.perf_counter() - seconds


def memory(field: str) -> float:
    """Return a field of ``/proc/self/status`` in MiB; where there is none, the most that was ever held."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def peak_memory() -> float:
    """Return the most memory that this process has ever held, in MiB."""
    # Not ru_maxrss: where a process is made by fork, that remembers its parent's memory too.
    return memory("VmHWM")


def run(main: Coroutine[Any, Any, T], *, fast_loop: bool = False) -> T:
    """Run a coroutine on asyncio's loop, or on uvloop."""
    if not fast_loop:
        return asyncio.run(main)
    import uvloop  # noqa: PLC0415 it belongs to the extra bench: the rest works without

    return uvloop.run(main)


def child(target: Callable[..., Any], **arguments: Any) -> Measured:
    """Call a function in a new process, and give what it gives.

    Raises:
        Failed: It ended with an error.
    """
    name = f"{target.__module__}:{target.__name__}"
    command = [sys.executable, "-m", "benchmarks._harness", name, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST)  # noqa: S603
    if done.returncode:
        raise Failed(f"{name} failed:\n{done.stderr[-3000:]}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def in_turns(runs: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Make each run so many times, in turns."""
    results: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return results


def median(results: Iterable[Measured], what: str) -> float:
    """Return the median of one figure."""
    return statistics.median(float(result[what]) for result in results)


def ratio(results: Mapping[str, Sequence[Measured]], one: str, other: str, what: str = "cpu") -> float:
    """Return the median of the ratios of runs made one after the other."""
    pairs = zip(results[one], results[other], strict=True)
    return statistics.median(float(mine[what] / theirs[what]) for mine, theirs in pairs)


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own, and give its URL."""
    command = [sys.executable, "-m", "benchmarks._server"]
    with subprocess.Popen(  # noqa: S603 ourselves
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()


def check(what: str, found: Any, expected: Any) -> None:
    """Verify a result.

    Raises:
        Failed: It is not what it should be.
    """
    if found != expected:
        raise Failed(f"{what}: {found!r}, where {expected!r} was expected")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def read_section(name: str) -> str:
    """Return a section of the README; empty where there is none."""
    begin, end = _marks(name)
    return README.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0] if README.exists() else ""


def write_section(name: str, text: str) -> None:
    """Put a section into the README, between its marks; at its end where there are none."""
    begin, end = _marks(name)
    held = README.read_text(encoding="utf-8") if README.exists() else "# Benchmarks\n"
    section = f"{begin}\n{text.strip()}\n{end}"
    if begin in held and end in held:
        before, _, rest = held.partition(begin)
        held = before + section + rest.partition(end)[2]
    else:
        held = f"{held.rstrip()}\n\n{section}\n"
    README.write_text(held, encoding="utf-8")


def machine() -> str:
    """Say what everything was measured on."""
    model = platform.processor() or platform.machine()
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found[1].strip() if found else model
    except OSError:
        pass
    versions = ", ".join(f"{package} {installed}" for package in PACKAGES if (installed := _version(package)))
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release().partition('-')[0]}, "
        f"{platform.python_implementation()} {platform.python_version()}; {versions}."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    result = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    if asyncio.iscoroutine(result):
        result = asyncio.run(result)
    print(json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
