"""A store in a file: which of its turns the loop makes itself, and how often it looks."""

import asyncio
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from omeda_async.limits._sqlite_file import LimitsFile
from omeda_async.limits._sqlite_store import SqliteStore
from omeda_async.limits._store import Ask, Reply
from tests.limits.fake_store import middle
from tests.limits.test_sqlite_store import LEASE, LIMIT, Watched, ask_of

REPLY = Reply(rate_limit=LIMIT, clock=1.0)
ASK = Ask(client="me", number=1, rate_limit=LIMIT, lease=LEASE)


@attrs.define
class Quick:
    """A file that takes as long as it is told to."""

    takes: float = 0.0
    now: float = 100.0
    made: list[str] = attrs.field(factory=list)
    looks: list[str] = attrs.field(factory=list)
    clock: Any = None
    host: str = ""

    def turn_at_once(self, ask: Ask) -> Reply:
        """Make a turn on the loop."""
        del ask
        self.now += self.takes
        self.made.append("loop")
        return REPLY

    def turn(self, ask: Ask) -> Reply:
        """Make a turn in the thread."""
        del ask
        self.made.append("thread")
        return REPLY

    def is_called(self, client: str) -> bool:
        """Look whether somebody has called, which nobody has."""
        self.looks.append(client)
        return False

    def close(self) -> None:
        """Let go of it."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Quick:
    """A file, and the machine's clock as it has it."""
    made = Quick()
    monkeypatch.setattr("omeda_async._clock.monotonic", lambda: made.now)
    return made


def store_with(file: Quick) -> SqliteStore:
    """Make a store with such a file."""
    store = SqliteStore(Path("/a/file"), "spring", middle)
    store._file = cast("LimitsFile", file)
    return store


@pytest.mark.parametrize(
    ("takes", "later", "who"),
    [
        (0.0, 0.0, "loop"),
        (0.01, 0.0, "loop"),
        (0.011, 0.0, "thread"),
        (0.125, 9.9, "thread"),
        (0.125, 10.0, "loop"),
    ],
)
async def test_a_turn_that_has_kept_the_loop_for_long_sends_the_next_ones_to_the_thread(
    quick: Quick, takes: float, later: float, who: str
) -> None:
    """More than a hundredth of a second, for ten seconds."""
    store = store_with(quick)
    quick.takes = takes
    await store.turn(ASK)
    quick.takes = 0.0
    quick.now += later
    assert await store.turn(ASK) is REPLY
    assert quick.made == ["loop", who]
    await store.aclose()


async def test_who_waits_looks_every_three_hundredths_of_a_second_and_comes_after_two(quick: Quick) -> None:
    """Whatever it has seen; and the file is told who looks."""
    store, loop = store_with(quick), asyncio.get_running_loop()
    await store.turn(ASK)
    began = loop.time()
    await store.changed()
    assert loop.time() - began == pytest.approx(2.01, abs=0.02)
    assert quick.looks == ["me"] * 67
    assert store.name == "the file /a/file"
    await store.aclose()


async def test_a_file_that_nobody_has_used_yet_is_not_looked_at(quick: Quick) -> None:
    """Whoever waits comes soon."""
    store, loop = store_with(quick), asyncio.get_running_loop()
    began = loop.time()
    await store.changed()
    assert loop.time() - began == pytest.approx(0.03, abs=0.001)
    assert quick.looks == []


async def test_a_loop_with_a_moved_clock_is_a_host_that_nobody_else_is(quick: Quick) -> None:
    """Its time is the loop's."""
    store, other = store_with(quick), store_with(Quick())
    for one in (store, other):
        await one.turn(ASK)
        await one.aclose()
    assert quick.clock == asyncio.get_running_loop().time
    assert (len(quick.host), other._file.host) == (len("moved ") + 16, quick.host)


async def test_closing_does_not_keep_the_loop_while_the_thread_is_at_work(tmp_path: Path) -> None:
    """It may be waiting for a file that somebody has locked."""
    store, file = SqliteStore(tmp_path / "limits.sqlite3", "spring", middle), Watched(tmp_path / "limits.sqlite3")
    store._file = file
    await store.turn(ask_of(1))
    store._slow_until = 1e12
    file.may_go.clear()
    waits = asyncio.create_task(store.turn(ask_of(2)))
    await asyncio.sleep(0)
    closes = asyncio.create_task(store.aclose())
    asyncio.get_running_loop().call_soon(file.may_go.set)
    assert (await waits).held_for > 0
    await closes
