"""Several processes that share limits by a file, on the machine's clock, with windows two hundred times as fast."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from tests.limits.shared_process import LONG, SHORT, prepare

SCRIPT = Path(__file__).with_name("shared_process.py")
SOON = 20.0


@attrs.define
class Crowd:
    """Processes under way."""

    path: Path
    processes: list["subprocess.Popen[str]"] = attrs.field(factory=list)

    def start(self, count: int, attempts: int, *without: str) -> None:
        """Start some more."""
        command = [sys.executable, str(SCRIPT), str(self.path), str(attempts), *without]
        self.processes += [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]  # noqa: S603 our own script

    def wait_for(self, place: int) -> float:
        """Wait until one of them has made an attempt."""
        out = self.processes[place].stdout
        assert out is not None
        return float(out.readline())

    def kill(self, place: int, number: int = signal.SIGKILL) -> None:
        """Send one a signal."""
        os.kill(self.processes[place].pid, number)

    def arrivals(self) -> list[float]:
        """Wait until all have ended, and give when their attempts arrived."""
        texts = [process.stdout.read() for process in self.processes if process.stdout is not None]
        for process in self.processes:
            process.wait(SOON)
            if process.stdout is not None:
                process.stdout.close()
        return [float(line) for text in texts for line in text.splitlines()]


def excess(arrivals: Sequence[float]) -> int:
    """How many arrivals came too soon after those before them, by any of the windows."""
    times = sorted(arrivals)
    return sum(
        later - earlier < window.seconds
        for window in (SHORT, LONG)
        for earlier, later in zip(times, times[window.calls :], strict=False)
    )


@pytest.fixture
def crowd(tmp_path: Path) -> Crowd:
    """A file that is known, and nobody who uses it yet."""
    path = tmp_path / "limits.sqlite3"
    prepare(path)
    return Crowd(path)


def test_four_processes_share_the_limits_whatever_happens_to_them(crowd: Crowd) -> None:
    """One is killed in a burst, one is stopped for longer than its lease, and the file is locked for a while."""
    crowd.start(4, 30)
    first = [crowd.wait_for(place) for place in range(4)]
    crowd.kill(0)
    crowd.kill(1, signal.SIGSTOP)
    connection = sqlite3.connect(crowd.path, isolation_level=None, timeout=5.0)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(0.3)
    connection.execute("ROLLBACK")
    connection.close()
    time.sleep(0.4)
    crowd.kill(1, signal.SIGCONT)
    arrivals = first + crowd.arrivals()
    assert excess(arrivals) == 0
    assert len(arrivals) > 3 * 30
    assert [process.returncode for process in crowd.processes] == [-signal.SIGKILL, 0, 0, 0]


def remove(path: Path) -> None:
    """Take the file away, with what is beside it."""
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


@pytest.mark.parametrize(("without", "fine"), [("", True), ("hold", False)])
def test_a_file_that_is_removed_in_use_costs_a_hold_and_no_refusal(crowd: Crowd, without: str, *, fine: bool) -> None:
    """The control shows what happens without the hold."""
    crowd.start(2, 60, *filter(None, [without]))
    first = [crowd.wait_for(place) for place in range(2)]
    remove(crowd.path)
    arrivals = first + crowd.arrivals()
    assert (excess(arrivals) == 0) is fine
    assert len(arrivals) == 120


FORKS = """
import asyncio, os, sys, time
from pathlib import Path
from tests.limits.shared_process import ACCOUNT, LEASE, LIMIT, SqliteStore, StoreLimiter, attempt

limiter = StoreLimiter(LIMIT, SqliteStore(Path(sys.argv[1]), ACCOUNT, lambda: 0.5), lease=LEASE)

async def one():
    await attempt(limiter)
    return limiter.view().clients

async def main():
    clients = await asyncio.gather(*(one() for _ in range(40)))
    await limiter.aclose()
    return max(clients)

child = os.fork()
clients = asyncio.run(main())
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0
sys.exit(code or int(clients != 2))
"""


def test_a_limiter_that_was_made_before_a_fork_is_two(crowd: Crowd) -> None:
    """As under a web server that loads the program first, and forks its workers then."""
    command = [sys.executable, "-c", FORKS, str(crowd.path)]
    crowd.processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)]  # noqa: S603 our own script
    arrivals = crowd.arrivals()
    assert (crowd.processes[0].returncode, len(arrivals), excess(arrivals)) == (0, 80, 0)


def test_arrivals_that_are_too_close_are_found() -> None:
    """The measure can fail."""
    good = [place * SHORT.seconds / SHORT.calls * 1.01 + (place // 40) * LONG.seconds for place in range(100)]
    assert excess(good) == 0
    assert excess([*good, good[50]]) > 0
    assert all(later >= earlier for earlier, later in pairwise(good))
