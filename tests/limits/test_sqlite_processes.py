"""Several processes that share limits by a file, on the machine's clock, with windows two hundred times as fast."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from tests.limits.shared_process import LEASE, LONG, SHORT, prepare

SCRIPT = Path(__file__).with_name("shared_process.py")
PATIENCE = 60.0
"""Seconds that a process may take for anything, on a machine that is busy with something else."""


@attrs.define(eq=False)
class Process:
    """One of them, and what it says."""

    popen: "subprocess.Popen[str]"
    arrivals: list[float] = attrs.field(factory=list)
    said: list[str] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _reader: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                if line[0].isdigit():
                    self.arrivals.append(float(line))
                else:
                    self.said.append(line.strip())
                self._changed.notify_all()

    def wait_for(self, event: Callable[["Process"], bool]) -> None:
        """Wait for something that it says."""
        with self._changed:
            assert self._changed.wait_for(lambda: event(self), PATIENCE)

    def arrives_after(self, moment: float, count: int = 1) -> None:
        """Wait until so many of its attempts have arrived after a moment."""
        self.wait_for(lambda it: sum(at > moment for at in it.arrivals) >= count)

    def end(self) -> int:
        """Wait until it has ended, as nothing more is wanted of it."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        code = self.popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return code


@attrs.define
class Crowd:
    """Processes under way."""

    path: Path
    processes: list[Process] = attrs.field(factory=list)

    def start(self, *command: str) -> Process:
        """Start another one."""
        popen = subprocess.Popen(  # noqa: S603 our own script
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        process = Process(popen)
        self.processes.append(process)
        return process

    def share(self, count: int, *without: str) -> list[Process]:
        """Start so many, and wait until each has made an attempt."""
        started = [self.start(str(SCRIPT), str(self.path), *without) for _ in range(count)]
        for process in started:
            process.arrives_after(0.0)
        return started

    def arrivals(self) -> list[float]:
        """Give when everybody's attempts arrived."""
        return [moment for process in self.processes for moment in process.arrivals]


def excess(arrivals: Sequence[float]) -> int:
    """How many arrivals came too soon after those before them, by any of the windows."""
    times = sorted(arrivals)
    return sum(
        later - earlier < window.seconds
        for window in (SHORT, LONG)
        for earlier, later in zip(times, times[window.calls :], strict=False)
    )


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """A file that is known, and nobody who uses it yet."""
    path = tmp_path / "limits.sqlite3"
    prepare(path)
    crowd = Crowd(path)
    yield crowd
    for process in crowd.processes:
        process.popen.kill()
        process.end()


def stop_and_lock(process: Process, connection: sqlite3.Connection) -> None:
    """Stop a process, not in the middle of a turn, where it would have the file locked; and lock that."""
    while True:
        process.popen.send_signal(signal.SIGSTOP)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            process.popen.send_signal(signal.SIGCONT)
            time.sleep(0)  # it goes on
        else:
            return


def test_four_processes_share_the_limits_whatever_happens_to_them(crowd: Crowd) -> None:
    """One is killed in a burst, one is stopped for longer than its lease, and the file is locked for a while."""
    killed, stopped, other, last = crowd.share(4)
    killed.popen.kill()
    connection = sqlite3.connect(crowd.path, isolation_level=None, timeout=0.5)
    stop_and_lock(stopped, connection)
    began = time.monotonic()
    other.wait_for(lambda it: "away" in it.said)
    connection.execute("ROLLBACK")
    connection.close()
    # Until both leases are over, and their slots are used again.
    for process in (other, last):
        process.arrives_after(began + 2 * LEASE + LONG.seconds)
    stopped.popen.send_signal(signal.SIGCONT)
    stopped.arrives_after(time.monotonic())
    assert [process.end() for process in crowd.processes] == [-signal.SIGKILL, 0, 0, 0]
    assert excess(crowd.arrivals()) == 0


def remove(path: Path) -> None:
    """Take the file away, with what is beside it."""
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def remove_in_use(crowd: Crowd) -> None:
    """Remove the file when a window is half used, and wait until everybody goes on."""
    for process in crowd.processes:
        process.arrives_after(time.monotonic() - LONG.seconds, 10)
    remove(crowd.path)
    removed = time.monotonic()
    for process in crowd.processes:
        process.arrives_after(removed, 20)


def test_a_file_that_is_removed_in_use_costs_a_hold_and_no_refusal(crowd: Crowd) -> None:
    """Nobody gives up."""
    crowd.share(2)
    remove_in_use(crowd)
    assert [process.end() for process in crowd.processes] == [0, 0]
    assert excess(crowd.arrivals()) == 0


def test_a_file_that_is_removed_in_use_costs_refusals_without_the_hold(crowd: Crowd) -> None:
    """The control: where the machine was too busy for that, it is done again."""
    crowd.share(2, "hold")
    for _ in range(20):
        remove_in_use(crowd)
        if excess(crowd.arrivals()):
            break
    assert excess(crowd.arrivals()) > 0


FORKS = """
import asyncio, os, sys
from pathlib import Path
from tests.limits.shared_process import ACCOUNT, LEASE, LIMIT, SqliteStore, StoreLimiter, attempt

limiter = StoreLimiter(LIMIT, SqliteStore(Path(sys.argv[1]), ACCOUNT, lambda: 0.5), lease=LEASE)

async def main(hear, tell):
    seen, met = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_reader(hear, met.set)

    async def attempts():
        while not (seen.is_set() and met.is_set()):
            await attempt(limiter)
            if not seen.is_set() and limiter.view().clients == 2:
                seen.set()
                os.write(tell, b"I have met you")
    await asyncio.gather(*(attempts() for _ in range(10)))
    await limiter.aclose()

(hear, answer), (listen, tell) = os.pipe(), os.pipe()
child = os.fork()
asyncio.run(main(hear, tell) if child else main(listen, answer))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)
"""


def test_a_limiter_that_was_made_before_a_fork_is_two(crowd: Crowd) -> None:
    """As under a web server that loads the program first, and forks its workers then."""
    assert crowd.start("-c", FORKS, str(crowd.path)).end() == 0
    assert excess(crowd.arrivals()) == 0


def test_arrivals_that_are_too_close_are_found() -> None:
    """The measure can fail."""
    good = [place * SHORT.seconds / SHORT.calls * 1.01 + (place // 40) * LONG.seconds for place in range(100)]
    assert excess(good) == 0
    assert excess([*good, good[50]]) > 0
    assert all(later >= earlier for earlier, later in pairwise(good))
