"""A store in a file: what it is, what happens to it, and what is refused. The clock is an argument."""

import asyncio
import os
import shutil
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import RateLimit, Window
from omeda_async.limits import Priority, _sqlite_file as module
from omeda_async.limits._host import host_id, network_of
from omeda_async.limits._sqlite_file import LimitsFile
from omeda_async.limits._sqlite_store import AT_LEAST_EVERY, EVERY, SqliteStore
from omeda_async.limits._store import Ask, Ended, Reply, StoreAway, StoreRefused
from omeda_async.testing import run_moved
from tests.limits.fake_store import middle

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), interactive_reserve=0)
ONE = RateLimit(Window(100, 60.0), parallel=1, interactive_reserve=0)
LEASE = 15.0
HOLD = LEASE + 60.0 * 1.001


class Client:
    """One process, with a clock that all of them share."""

    now = 1000.0

    def __init__(self, path: Path, name: str = "a", account: str = "spring") -> None:
        self.file = LimitsFile(path, account, middle)
        self.file.clock = lambda: Client.now
        self.name = name
        self.number = 0

    def turn(self, *ended: Ended, **ask: Any) -> Reply:
        """Take a turn."""
        self.number += 1
        given = {"rate_limit": LIMIT, "lease": LEASE, "ended": ended, **ask}
        return self.file.turn(Ask(client=self.name, number=self.number, **given))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file is, whose state is known."""
    path = tmp_path / "new folder" / "limits.sqlite3"
    first = Client(path, "first")
    assert first.turn().held_for == pytest.approx(HOLD)
    first.turn(leaves=True)
    first.file.close()
    Client.now += HOLD + 0.01
    return path


@pytest.fixture(autouse=True)
def _soon_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)


def test_the_file_and_its_folder_are_the_users_own(path: Path) -> None:
    """They are made when they are first used; what SQLite puts beside it too."""
    client = Client(path)
    client.turn()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
    client.file.close()


def test_the_processes_of_a_host_share_the_state(path: Path) -> None:
    """What one uses another has not, and one that comes later knows it."""
    one, two = Client(path, "one"), Client(path, "two")
    permits = one.turn(interactive=7).permits
    assert len(two.turn(interactive=7).permits) == 3
    one.turn(*(Ended(number, sent=True, status=204) for number, _ in permits), leaves=True)
    one.file.close()
    later = Client(path, "later")
    assert later.turn(interactive=7).permits == ()
    view = later.file.view()
    assert view is not None
    assert (view.used, view.in_flight, view.clients) == (10, 3, 2)
    for client in (two, later):
        client.file.close()


def test_accounts_in_one_file_know_nothing_of_each_other(path: Path) -> None:
    """One that is new is held, and the other is not."""
    spring, autumn = Client(path), Client(path, account="autumn")
    assert autumn.turn(interactive=1).held_for > 0
    assert len(spring.turn(interactive=1).permits) == 1
    for client in (spring, autumn):
        client.file.close()


def test_who_is_called_sees_that_and_nobody_else(path: Path) -> None:
    """A look costs no turn; its own turns are no news."""
    limit = RateLimit(Window(100, 1.0), parallel=1, interactive_reserve=0)
    one, two, three = (Client(path, name) for name in ("one", "two", "three"))
    ((permit, lane),) = one.turn(interactive=1, rate_limit=limit).permits
    assert lane is Priority.INTERACTIVE
    for client in (two, three):
        client.turn(interactive=1, rate_limit=limit)
    assert [client.file.is_called(client.name) for client in (one, two, three)] == [False] * 3
    called = one.turn(Ended(permit, sent=True, status=204), rate_limit=limit).calls
    assert [client.file.is_called(client.name) for client in (one, two, three)] == [
        client.name in called for client in (one, two, three)
    ]
    assert len(called) == 1
    for client in (one, two, three):
        client.file.close()


def test_a_file_that_is_removed_in_use_is_made_again_and_held(path: Path) -> None:
    """What it had is lost: nobody knows any more what was sent."""
    one, two = Client(path, "one"), Client(path, "two")
    assert len(one.turn(interactive=10).permits) == 10
    two.turn()
    shutil.rmtree(path.parent)
    assert one.turn().held_for == pytest.approx(HOLD)
    assert two.turn(interactive=1).held_for == pytest.approx(HOLD)
    Client.now += HOLD - 0.01
    assert two.turn(interactive=1).permits == ()
    Client.now += 0.02
    assert len(two.turn(interactive=20).permits) == 10
    for client in (one, two):
        client.file.close()


@pytest.mark.parametrize("in_use", [True, False])
def test_a_copy_that_is_put_in_its_place_is_held(path: Path, *, in_use: bool) -> None:
    """It knows nothing of what was sent since it was made."""
    client = Client(path)
    client.turn()
    client.file.close()
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    client = Client(path, "b")
    client.turn(interactive=10)
    if not in_use:
        client.file.close()
        client = Client(path, "c")
    for beside in path.parent.glob("*-*"):
        beside.unlink()
    copy.replace(path)
    assert client.turn(interactive=1).held_for == pytest.approx(HOLD)
    client.file.close()


def test_a_file_whose_content_is_set_back_is_held(path: Path) -> None:
    """It has fewer permits than it had."""
    client, other = Client(path), sqlite3.connect(path, isolation_level=None)
    client.turn(interactive=5)
    (old,) = other.execute("SELECT state FROM accounts").fetchone()
    client.turn(interactive=5)
    other.execute("UPDATE accounts SET state = ?", (old,))
    other.close()
    assert client.turn(interactive=1).held_for == pytest.approx(HOLD)
    client.file.close()


def test_another_boot_of_the_host_is_held_once(path: Path) -> None:
    """Its clock begins anew, and what was in flight is not known."""
    client = Client(path)
    client.turn(interactive=10)
    client.file.close()
    again = Client(path, "b")
    again.file.host = "the next boot"
    Client.now -= 900.0
    assert again.turn(interactive=1).held_for == pytest.approx(HOLD)
    Client.now += HOLD + 0.01
    assert len(again.turn(interactive=1).permits) == 1
    again.file.close()


def test_two_hosts_on_one_file_are_refused(path: Path) -> None:
    """Which is two is certain when the first comes back; their clocks have nothing to do with each other."""
    one, two = Client(path, "one"), Client(path, "two")
    one.file.host, two.file.host = "one host", "another"
    one.turn()
    two.turn()
    for _ in range(2):
        with pytest.raises(StoreRefused, match="two hosts use it: give a folder that only this host has, or redis"):
            one.turn()
    for client in (one, two):
        client.file.close()


def test_a_file_that_is_locked_for_long_is_away_and_then_goes_on(path: Path) -> None:
    """Nothing is lost, and a turn waits no longer than it may."""
    client, other = Client(path), sqlite3.connect(path, isolation_level=None)
    client.turn(interactive=1)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAway, match="locked"):
        client.turn(interactive=1)
    other.execute("ROLLBACK")
    other.close()
    reply = client.turn(interactive=1)
    assert (len(reply.permits), reply.held_for) == (1, 0)
    client.file.close()


def test_what_is_no_file_of_limits_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Somebody else's SQLite file, and one that is none."""
    theirs, text = tmp_path / "theirs.sqlite3", tmp_path / "notes.txt"
    connection = sqlite3.connect(theirs)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    text.write_text("do not lose this\n" * 100)
    for path, said in ((theirs, "something else"), (text, "damaged, or no SQLite file")):
        before = path.read_bytes()
        with pytest.raises(StoreRefused, match=said):
            Client(path).turn()
        assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [text, theirs]


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    """It says which."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreRefused, match=r"format 9, and this one's is 1"):
        Client(path).turn()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """It says why."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="it cannot be used: "):
        Client(tmp_path / "file" / "limits.sqlite3").turn()


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks do not hold there."""
    monkeypatch.setattr(module, "network_of", lambda _: "nfs4")
    with pytest.raises(StoreRefused, match=r"on a network file system \(nfs4\).*give a folder on a disk of this host"):
        Client(path).turn()


def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share below a disk is one, and a disk below a share is none."""
    mounts = tmp_path / "mounts"
    share = tmp_path / "a share"
    (share / "disk").mkdir(parents=True)
    escaped = str(share).replace(" ", "\\040")
    mounts.write_text(f"a / ext4 rw 0 0\nb {escaped} nfs4 rw 0 0\nc {escaped}/disk ext4 rw 0 0\n")
    monkeypatch.setattr("omeda_async.limits._host._MOUNTS", mounts)
    assert [network_of(one) for one in (tmp_path, share, share / "disk")] == [None, "nfs4", None]
    monkeypatch.setattr("omeda_async.limits._host._MOUNTS", tmp_path / "none")
    assert network_of(share) is None


def test_a_host_without_boot_ids_goes_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock stands still after another boot until it has gone past what it was."""
    assert host_id() == host_id()
    monkeypatch.setattr("omeda_async.limits._host._BOOT", Path("/none"))
    assert host_id() == os.uname().nodename


async def store_of(path: Path, name: str) -> tuple[SqliteStore, Reply]:
    """Make a store on the running loop's clock, and its client's first turn."""
    store = SqliteStore(path, "spring", middle)
    return store, await store.turn(Ask(client=name, number=1, rate_limit=ONE, lease=LEASE, interactive=1))


async def test_who_waits_hears_of_its_permit_and_of_nothing_else(tmp_path: Path) -> None:
    """It looks every few hundredths of a second, and comes by itself where it hears nothing for long."""
    loop = asyncio.get_running_loop()
    stores = [(await store_of(tmp_path / "limits.sqlite3", name))[0] for name in ("one", "two")]
    await asyncio.sleep(HOLD)
    ask = Ask(client="one", number=2, rate_limit=ONE, lease=LEASE, interactive=1)
    ((permit, _),) = (await stores[0].turn(ask)).permits
    await stores[1].turn(attrs.evolve(ask, client="two"))
    hears = asyncio.create_task(stores[1].changed())
    await asyncio.sleep(1.0)
    assert not hears.done()
    began = loop.time()
    ended = (Ended(permit, sent=True, status=204),)
    await stores[0].turn(attrs.evolve(ask, number=3, interactive=0, ended=ended))
    await hears
    assert loop.time() - began <= EVERY + 0.001
    assert (await stores[1].turn(attrs.evolve(ask, client="two", number=3))).permits != ()
    began = loop.time()
    await stores[1].changed()
    assert loop.time() - began == pytest.approx(AT_LEAST_EVERY, abs=2 * EVERY)
    for store in stores:
        await store.aclose()


def test_loops_with_moved_clocks_are_hosts_of_their_own_one_after_the_other(tmp_path: Path) -> None:
    """None of them is taken for an earlier one that comes back."""

    async def use(number: int) -> float:
        store, reply = await store_of(tmp_path / "limits.sqlite3", f"one {number}")
        other, _ = await store_of(tmp_path / "limits.sqlite3", f"two {number}")
        await store.aclose()
        await other.aclose()
        return reply.held_for

    assert [run_moved(use(number)) for number in range(4)] == [pytest.approx(HOLD)] * 4


async def test_a_store_that_is_closed_is_away_and_its_thread_ends(tmp_path: Path) -> None:
    """Also where it was never used."""
    store, _ = await store_of(tmp_path / "limits.sqlite3", "one")
    (thread,) = [one for one in threading.enumerate() if one.name == "omeda_async limits"]
    await store.aclose()
    with pytest.raises(StoreAway):
        await store.turn(Ask(client="one", number=2, rate_limit=ONE, lease=LEASE))
    thread.join(5.0)
    assert not thread.is_alive()
    await store.aclose()
    await SqliteStore(tmp_path / "limits.sqlite3", "spring", middle).aclose()
