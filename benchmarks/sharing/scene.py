"""One scene: processes that share an account's limits by a store, a server that counts, and what happens meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from benchmarks.sharing.counting import Arrival
from benchmarks.sharing.herd import CONNECT_TIMEOUT, OURS
from benchmarks.sharing.stores import Place, make_known
from omeda_async.limits._slots import DRIFT
from omeda_async.limits._where import lease_of

ROOT = Path(__file__).parent.parent.parent
CALLS = (10, 150)
SECONDS = (1.0, 60.0)
PARALLEL = 10
_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
SOON = 0.5
"""Seconds from when all are ready to the beginning."""


@attrs.frozen(kw_only=True)
class Scene:
    """What is played."""

    faults: tuple[str, ...] = ()
    """What happens, one after the other, in the middle of the burst of a long window: see ``FAULTS``."""
    burst: int = 1
    """In which: 0 is the first."""
    processes: int = 4
    windows: float = 3.0
    """How many long windows it takes."""
    faster: float = 10.0
    """By how much the windows are shorter than Ocamba's."""
    timeout: float = 10.0
    """Seconds of an attempt, if they were not."""
    hold: bool = True
    way: str = "calls"
    calls: int | None = None
    clocks: tuple[float, ...] = (0.0,)
    """By how much the calendar clocks of the processes are ahead, in turns."""
    stopped: float = 3.0
    """Seconds for which the store stands still, if the windows were Ocamba's."""

    @property
    def names(self) -> list[str]:
        """Return what the processes are called; their calendar clocks are by turns."""
        return [f"p{place}" for place in range(self.processes)]

    @property
    def limit(self) -> str:
        """Return the limit that the processes keep to, which leaves nothing to interactive calls."""
        windows = ",".join(f"{calls}/{seconds:g}" for calls, seconds in self.server_windows)
        return f"{windows},parallel={PARALLEL},interactive_reserve=0"

    @property
    def server_windows(self) -> list[tuple[int, float]]:
        """Return the windows of the server."""
        return [(calls, seconds / self.faster) for calls, seconds in zip(CALLS, SECONDS, strict=True)]

    @property
    def lap(self) -> float:
        """Return the seconds of the long window."""
        return SECONDS[1] / self.faster

    @property
    def lease(self) -> float:
        """Return the seconds after which an attempt counts as lost."""
        return lease_of(self.timeout / self.faster, CONNECT_TIMEOUT)[0]

    @property
    def held_for(self) -> float:
        """Return the seconds for which nothing goes once the store's data is lost."""
        return self.lease + self.lap * (1 + DRIFT)


@attrs.frozen
class Played:
    """What came of it."""

    scene: Scene
    began: float
    arrivals: Sequence[Arrival]
    members: Mapping[str, Mapping[str, Any]]
    """What each process has said in the end, by its name."""
    faulted: tuple[float, float] | None = None
    """When the first fault came, and when the last was over."""
    late: Sequence[tuple[float, float]] = ()
    """When the server was to have its turn on the machine, and by how many seconds it had that later."""

    @property
    def refused(self) -> int:
        """Return how many were refused."""
        return sum(refused for _, _, refused in self.arrivals)

    def done(self) -> dict[str, int]:
        """Return what each process has done, of those that lived to the end."""
        return {name: member["done"] for name, member in sorted(self.members.items())}

    def kept_waiting(self) -> list[float]:
        """Return for what part of each whole long window the machine let the server wait that had something to do."""
        lap = self.scene.lap
        return [
            sum(late for due, late in self.late if place <= (due - self.began) / lap < place + 1) / lap
            for place in range(int(self.scene.windows))
        ]

    def used(self) -> list[float]:
        """Return the part of the budget that each whole long window has used."""
        lap, calls = self.scene.lap, CALLS[1]
        counts = Counter(int((at - self.began) // lap) for at, _, refused in self.arrivals if not refused)
        return [counts[place] / calls for place in range(int(self.scene.windows))]

    def undisturbed(self) -> dict[int, float]:
        """Return the part of the budget that each long window has used that no fault had to do with, by its place.

        What was in flight when a process died is free a lease and a window later; so is all that a store has lost.
        """
        parts = dict(enumerate(self.used()))
        if self.faulted is None:
            return parts
        began, ended = (moment - self.began for moment in self.faulted)
        first = began // self.scene.lap
        after = (ended + self.scene.held_for) / self.scene.lap
        return {place: part for place, part in parts.items() if place < first or place > after}

    def spread(self) -> float:
        """Return how many times as much as the least of the processes the most had, once all of them were there.

        Who comes first finds nobody else who wants something, and takes what is free; that is no claim of the others.
        """
        lap = self.scene.lap
        start, end = self.began + lap, self.began + int(self.scene.windows) * lap
        counts = Counter(sender for at, sender, _ in self.arrivals if start <= at < end)
        return max(counts.values()) / min(counts.values()) if len(counts) == self.scene.processes else float("inf")

    def silence(self) -> float:
        """Return the longest time without an attempt, in seconds of the scene."""
        times = [self.began, *(at for at, _, _ in self.arrivals)]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


@attrs.define
class Actors:
    """The processes of a scene, while it is played."""

    scene: Scene
    store: Place
    pids: Mapping[str, int]
    """By their names."""

    def kill_half(self) -> None:
        """Kill half of them: of each calendar clock as many."""
        for name in self.scene.names[: self.scene.processes // 2]:
            os.kill(self.pids[name], signal.SIGKILL)

    def suspend_one(self) -> None:
        """Let one stand still for longer than its lease, and go on."""
        pid = self.pids[self.scene.names[-1]]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.scene.lease + 5.0 / self.scene.faster)
        os.kill(pid, signal.SIGCONT)

    def stop_store(self) -> None:
        """Let the store stand still."""
        self.store.stop(self.scene.stopped / self.scene.faster)

    def lose_data(self) -> None:
        """Take the store's data away."""
        self.store.lose()


FAULTS: Mapping[str, Callable[[Actors], None]] = {
    "kill": Actors.kill_half,
    "suspend": Actors.suspend_one,
    "stop": Actors.stop_store,
    "lose": Actors.lose_data,
}


@contextlib.contextmanager
def _running(module: str, given: Mapping[str, Any], **more: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", module, json.dumps(given)]
    process = subprocess.Popen(  # noqa: S603 our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **more}
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def _line(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def how_calendars_are_set() -> str:
    """Say by what the calendar clocks are off, where they are."""
    if _FAKETIME:
        return "libfaketime"
    return "patches of `time.time`, `time.time_ns` and the library's own `utc_now` in each process"


def _calendar(ahead: float) -> tuple[float, dict[str, str]]:
    """Return what is left to shift, and the environment in which a library does it where there is one."""
    if not (ahead and _FAKETIME):
        return ahead, {}
    return 0.0, {
        "LD_PRELOAD": str(_FAKETIME[0]),
        "FAKETIME": f"{ahead:+g}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def _say(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def play(scene: Scene, store: Place, *, shares: bool = True) -> Played:
    """Play a scene.

    Args:
        scene: What is played.
        store: Where limits are shared.
        shares: Whether they are shared at all.
    """
    middle = (2 * scene.burst + 1) * CALLS[1] // 2
    last = (scene.burst + 0.9) * scene.lap
    counted = {"windows": scene.server_windows, "parallel": PARALLEL, "tells_at": middle, "tells_by": last}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_running("benchmarks.sharing.counting", counted))
        url = f"http://127.0.0.1:{_line(server)}"
        if shares and scene.way in OURS:
            make_known(store, scene.limit, url)
        herds = [
            stack.enter_context(_running("benchmarks.sharing.herd", given, **environment))
            for given, environment in _herds(scene, url, store.where if shares else None)
        ]
        assert {_line(herd) for herd in herds} == {"ready"}
        began = time.monotonic() + SOON
        for process in (server, *herds):
            _say(process, repr(began))
        actors = Actors(scene, store, {name: pid for herd in herds for name, pid in _line(herd).items()})
        faulted = _faulted(actors, server) if scene.faults else None
        members = [json.loads(line) for herd in herds for line in herd.stdout or ()]
        assert server.stdin is not None
        server.stdin.close()
        *_, said = list(server.stdout or ())
    told = json.loads(said)
    names = {member["name"]: member for member in members}
    return Played(scene, began, told["arrivals"], names, faulted, told["late"])


def _faulted(actors: Actors, server: "subprocess.Popen[str]") -> tuple[float, float]:
    """Let happen what does, in the middle of the burst; return when that was."""
    _line(server)
    began = time.monotonic()
    for fault in actors.scene.faults:
        FAULTS[fault](actors)
    return began, time.monotonic()


def _herds(scene: Scene, url: str, where: str | None) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Return what the processes of each calendar clock are given."""
    for place, clock in enumerate(scene.clocks):
        ahead, environment = _calendar(clock)
        given = {
            "names": scene.names[place :: len(scene.clocks)],
            "url": url,
            "limit": scene.limit,
            "where": where,
            "timeout": scene.timeout / scene.faster,
            "lasts": scene.windows * scene.lap,
            "calls": scene.calls,
            "way": scene.way,
            "hold": scene.hold,
            "ahead": ahead,
        }
        yield given, environment
