"""A store in a file: what it is, what happens to it, and what is refused. The clock is an argument."""

import asyncio
import errno
import gc
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
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
    assert not two.file.is_called("two")
    shutil.rmtree(path.parent)
    assert two.file.is_called("two")
    assert one.turn().held_for == pytest.approx(HOLD)
    assert two.turn(interactive=1).held_for == pytest.approx(HOLD)
    Client.now += HOLD - 0.01
    assert two.turn(interactive=1).permits == ()
    Client.now += 0.02
    assert len(two.turn(interactive=20).permits) == 10
    for client in (one, two):
        client.file.close()


def test_a_log_that_is_removed_beside_a_file_in_use_is_lost_data_too(path: Path) -> None:
    """Who has it open goes on with what nobody else sees."""
    client = Client(path)
    assert len(client.turn(interactive=10).permits) == 10
    path.with_name(f"{path.name}-wal").rename(path.with_name("elsewhere"))
    assert client.turn(interactive=1).held_for == pytest.approx(HOLD)
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
    byte = tmp_path / "byte"
    byte.write_text("x")  # SQLite itself takes it for an empty file
    for path, said in ((theirs, "something else"), (text, "damaged, or no SQLite file"), (byte, "no SQLite file")):
        before = path.read_bytes()
        with pytest.raises(StoreRefused, match=said):
            Client(path).turn()
        assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [byte, text, theirs]


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    """It says which."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreRefused, match=r"format 9, and this one's is 1"):
        Client(path).turn()


def test_processes_that_make_the_file_at_once_do_not_take_it_for_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them looks while the other has not written all of it."""
    path = tmp_path / "limits.sqlite3"

    class Slow:
        """Tells of each statement before it is executed."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self.real, self.first = connection, True

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            """Have the other make the file between two statements about it."""
            found = self.real.execute(sql, *rest)
            if self.first and sql.startswith("PRAGMA application_id"):
                self.first = False
                monkeypatch.undo()
                with suppress(StoreAway):  # it may have to wait for the one that looks
                    assert Client(path, "other").turn().held_for > 0
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: Slow(connect(*args, **options)))
    client = Client(path)
    assert client.turn().held_for > 0
    client.file.close()


def test_a_path_that_is_a_link_leads_to_one_state(path: Path) -> None:
    """SQLite keeps its log beside the file itself."""
    folder, file = path.parents[1] / "link", path.parents[1] / "link.sqlite3"
    folder.symlink_to(path.parent)
    file.symlink_to(path)
    clients = [Client(one, str(place)) for place, one in enumerate((path, folder / path.name, file))]
    assert [len(client.turn(interactive=3).permits) for client in clients] == [3, 3, 3]
    for client in clients:
        client.file.close()


def test_a_file_that_is_removed_again_and_again_is_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn ends."""
    client = Client(path)
    monkeypatch.setattr(LimitsFile, "_is_in_place", lambda _: False)
    with pytest.raises(StoreAway, match="again and again"):
        client.turn()
    client.file.close()


def test_a_log_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be opened for another reason is away for now."""
    (path.parent / f"{path.name}-wal").mkdir()  # SQLite cannot open that either
    client = Client(path)
    with pytest.raises(StoreAway, match="unable to open"):
        client.turn()
    access = os.access
    monkeypatch.setattr(
        "os.access", lambda place, *how, **more: "-wal" not in str(place) and access(place, *how, **more)
    )
    with pytest.raises(StoreRefused, match="another user's: run as that one"):
        client.turn()


@pytest.mark.parametrize("moment", ["made", "opened"])
def test_a_file_that_vanishes_while_it_is_opened_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It is for now; nothing else is made in its place unseen."""
    client, connect = Client(path), sqlite3.connect

    def vanish(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options) if moment == "opened" else None
        monkeypatch.undo()
        shutil.rmtree(path.parent)
        return connection or sqlite3.Connection(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", vanish)
    with pytest.raises(StoreAway):
        client.turn()
    assert client.turn(interactive=1).held_for == pytest.approx(HOLD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client.file.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC])
def test_what_is_used_up_for_now_is_away(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """It comes back when others have let go of it."""
    client = Client(path)

    def fail(*_: object) -> int:
        raise OSError(code, "all of it is used")

    with monkeypatch.context() as patch:
        patch.setattr("os.open", fail)
        with pytest.raises(StoreAway, match="it cannot be used: all of it is used"):
            client.turn()
    assert len(client.turn(interactive=1).permits) == 1
    client.file.close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """It says why."""
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreRefused, match="it cannot be used: File exists; what it is to be in is a file: give a folder"
    ):
        Client(tmp_path / "file" / "limits.sqlite3").turn()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (0, "Permission denied; it and its folder have to be this user's"),
        (os.ST_RDONLY, "Read-only file system; give a folder on a disk"),
    ],
)
def test_a_file_that_may_not_be_written_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, flag: int, said: str
) -> None:
    """It says what to do."""
    access = os.access
    monkeypatch.setattr("os.access", lambda place, *how, **more: place != path and access(place, *how, **more))
    monkeypatch.setattr("os.statvfs", lambda _: os.statvfs_result([0, 0, 0, 0, 0, 0, 0, 0, flag, 255]))
    with pytest.raises(StoreRefused, match=said):
        Client(path).turn()


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


class Watched(LimitsFile):
    """Notes which thread makes its turns."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "spring", middle)
        self.threads: list[str] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def _step(self, *args: Any) -> Reply:
        self.threads.append("loop" if threading.current_thread() is threading.main_thread() else "thread")
        assert self.may_go.wait(10.0)
        return super()._step(*args)


def watched(path: Path) -> tuple[SqliteStore, Watched]:
    """Make a store whose file is watched."""
    store, file = SqliteStore(path, "spring", middle), Watched(path)
    store._file = file
    return store, file


def ask_of(number: int) -> Ask:
    """Make the ask of a turn."""
    return Ask(client="one", number=number, rate_limit=ONE, lease=LEASE, interactive=1)


async def test_a_turn_at_a_file_that_is_open_and_free_is_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and waiting for somebody who has locked it are for the thread; what was slow stays there for a while."""
    store, file = watched(tmp_path / "limits.sqlite3")
    for number in (1, 2):
        await store.turn(ask_of(number))
    assert file.threads == ["thread", "loop"]
    other = sqlite3.connect(tmp_path / "limits.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAway, match="locked"):
        await store.turn(ask_of(3))
    other.execute("ROLLBACK")
    other.close()
    monkeypatch.setattr("omeda_async.limits._sqlite_store.SLOW", -1.0)
    for number in (4, 5):
        await store.turn(ask_of(number))
    assert file.threads == ["thread", "loop", "loop", "thread"]
    await store.aclose()


async def test_no_turn_is_made_beside_one_that_nobody_waits_for_any_more(tmp_path: Path) -> None:
    """The thread is still at it, with the same connection."""
    store, file = watched(tmp_path / "limits.sqlite3")
    await store.turn(ask_of(1))
    store._slow_until = 1e12
    file.may_go.clear()
    given_up = asyncio.create_task(store.turn(ask_of(2)))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait({given_up})
    store._slow_until = 0.0
    then = asyncio.create_task(store.turn(ask_of(3)))
    await asyncio.sleep(0)
    file.may_go.set()
    assert (await then).held_for > 0
    assert file.threads == ["thread"] * 3
    await store.aclose()


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


def test_a_loop_that_ends_without_closing_its_store_leaves_no_thread(tmp_path: Path) -> None:
    """As under a job queue whose tasks each run a loop of their own."""
    path = tmp_path / "limits.sqlite3"

    async def forget() -> weakref.ref[Any]:
        await store_of(path, "one")
        (thread,) = [one for one in threading.enumerate() if one.name == "omeda_async limits"]
        return weakref.ref(thread)

    thread = asyncio.run(forget())()
    gc.collect()
    if thread is not None:
        thread.join(10.0)
        assert not thread.is_alive()


def in_another_process(path: Path, what: str) -> None:
    """Have another program take one turn, and leave."""
    code = (
        "import sys; from pathlib import Path; from tests.limits.test_sqlite_store import Client;"
        f"client = Client(Path(sys.argv[1]), {what!r}); client.turn(leaves=True); client.file.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)  # noqa: S603 our own words


def test_a_second_manager_in_a_process_leaves_the_first_ones_locks_alone(path: Path) -> None:
    """Whoever closes a file lets go of all locks of its process; SQLite's log would go with the next that leaves."""
    first, second = Client(path, "first"), Client(path, "second")
    first.turn()
    second.turn()
    in_another_process(path, "a command")
    assert first.turn(interactive=1).held_for == second.turn().held_for == 0
    for client in (first, second):
        client.file.close()


def exit_code_of(child: int) -> int:
    """Wait until a child has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_of_a_process_that_has_the_file_open_opens_it_anew(path: Path) -> None:
    """SQLite's connections cannot be taken across a fork: the child's would be without a lock."""
    parent = Client(path, "parent")
    parent.turn()
    (hear, tell), (listen, answer), child = os.pipe(), os.pipe(), os.fork()
    if not child:
        try:
            mine = Client(path, "child")
            granted = len(mine.turn(interactive=1).permits)
            os.write(answer, b"1")
            os.read(hear, 1)
            granted += len(mine.turn(interactive=1).permits)
            os._exit(2 - granted)
        finally:
            os._exit(3)
    os.read(listen, 1)
    assert len(parent.turn(interactive=1).permits) == 1
    parent.file.close()  # who leaves last takes SQLite's log along
    os.write(tell, b"1")
    assert exit_code_of(child) == 0
    for end in (hear, tell, listen, answer):
        os.close(end)


def test_a_fork_waits_for_what_a_thread_does_with_the_file(path: Path) -> None:
    """What is locked in the middle of a turn would stay locked in the child for ever."""
    client, is_in_turn = Client(path), threading.Event()
    client.turn()

    def clock() -> float:
        is_in_turn.set()
        while client.file not in module._stopped:
            pass
        return Client.now

    client.file.clock = clock
    thread = threading.Thread(target=client.turn)
    thread.start()
    assert is_in_turn.wait(10)
    child = os.fork()
    if not child:
        os._exit(0 if client.file.at_work.acquire(blocking=False) else 1)
    assert exit_code_of(child) == 0
    thread.join()
    client.file.clock = lambda: Client.now
    assert client.turn(interactive=1).held_for == 0
    client.file.close()


class _WithoutLog(sqlite3.Connection):
    """One that SQLite does not come to keep a log for, as on a disk that is full."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Do it, but for that."""
        return super().execute(sql.replace(" = WAL", ""), *values)


def test_a_file_without_a_log_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said is what to look for; that the file was removed again and again was not so."""
    client = Client(tmp_path / "limits.sqlite3")
    with monkeypatch.context() as patch:
        connect = sqlite3.connect
        patch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, factory=_WithoutLog, **how))
        with pytest.raises(StoreAway, match="SQLite cannot make its log beside it; see that the disk has room"):
            client.turn()
    assert client.turn().held_for == pytest.approx(HOLD)


def test_a_file_with_two_names_is_refused_by_either(path: Path) -> None:
    """SQLite's log goes by the name: who uses the one would not see what is sent by the other."""
    other = path.with_name("other.sqlite3")
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(StoreRefused, match="it has another name as well, a hard link"):
            Client(name).turn()
    other.unlink()
    assert len(Client(path).turn(interactive=1).permits) == 1
