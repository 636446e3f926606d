"""The file of shared limits, statement by statement: what is done with it, and what its errors mean."""

import errno
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from omeda_async import _clock
from omeda_async.limits import _sqlite_file as module
from omeda_async.limits._sqlite_file import LimitsFile
from omeda_async.limits._store import Ask, Ended, StoreAway, StoreRefused
from tests.limits.fake_store import middle
from tests.limits.test_sqlite_store import HOLD, LEASE, LIMIT, Client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file is, whose state is known."""
    path = tmp_path / "new" / "folder" / "limits.sqlite3"
    first = Client(path, "first")
    first.turn()
    first.turn(leaves=True)
    first.file.close()
    Client.now += HOLD + 0.01
    return path


class Recorder(sqlite3.Connection):
    """Notes what is done with it."""

    made: list["Recorder"]

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.said: list[str] = []
        self.is_closed = False
        Recorder.made.append(self)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Note it, and do it."""
        self.said.append(" ".join(sql.split()[:4]))
        return super().execute(sql, *values)

    def close(self) -> None:
        """Note it, and do it."""
        self.is_closed = True
        super().close()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """Have all connections noted."""
    connect = sqlite3.connect
    Recorder.made = []
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, factory=Recorder, **how))
    return Recorder.made


def test_a_turn_is_one_transaction(path: Path, recorded: list[Recorder]) -> None:
    """The file is opened once; who waits for its lock waits a second; nobody waits for the disk."""
    client = Client(path)
    client.turn()
    (connection,) = recorded
    opened, turn = connection.said[:-7], connection.said[-7:]
    assert opened == [
        "BEGIN",
        "PRAGMA application_id",
        "PRAGMA user_version",
        "SELECT count(*) FROM sqlite_schema",
        "ROLLBACK",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = OFF",
        "BEGIN IMMEDIATE",
        "SELECT count(*) FROM sqlite_schema",
        "SELECT inode FROM place",
        "COMMIT",
        "PRAGMA busy_timeout = 0",
    ]
    assert turn == [
        "PRAGMA busy_timeout = 1000",
        "BEGIN IMMEDIATE",
        "PRAGMA busy_timeout = 0",
        "PRAGMA data_version",
        "SELECT state FROM accounts",
        "INSERT INTO accounts VALUES",
        "COMMIT",
    ]
    connection.said.clear()
    client.turn()
    assert connection.said == [*turn[:4], *turn[5:]]  # what it says is known
    connection.said.clear()
    assert not client.file.is_called("a")
    assert not client.file.is_called("a")
    assert connection.said == ["PRAGMA data_version", "SELECT called FROM accounts", "PRAGMA data_version"]
    client.file.close()
    client.file.close()
    assert connection.is_closed
    assert not path.with_name(f"{path.name}-wal").exists()
    client.turn()
    client.file.close()


def test_what_others_have_done_while_a_file_was_closed_is_read(path: Path) -> None:
    """The number of its version says nothing from one connection to the next."""
    one, two = Client(path, "one"), Client(path, "two")
    permits = one.turn(interactive=4).permits
    one.file.close()
    assert len(two.turn(interactive=4).permits) == 4
    two.file.close()
    assert len(one.turn(interactive=9, held=tuple(number for number, _ in permits)).permits) == 2
    one.file.close()


def test_a_turn_that_fails_has_done_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps nobody out, and what it would have changed is not believed."""
    client, other = Client(path), Client(path, "other")
    client.turn()
    with monkeypatch.context() as patch:
        patch.setattr(module, "dump_state", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.turn(interactive=3)
    assert [number for number, _ in client.turn(interactive=1).permits] == [1]
    with monkeypatch.context() as patch:
        patch.setattr(module, "dump_state", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.turn()
    assert len(other.turn(interactive=1).permits) == 1
    for one in (client, other):
        one.file.close()


def test_before_the_first_turn_nothing_is_shown_and_somebody_may_have_called(path: Path) -> None:
    """Whoever waits comes then; nothing is made at once where the file has to be opened."""
    client = Client(path)
    assert client.file.view() is None
    assert client.file.is_called("a")
    assert client.file.turn_at_once(Ask(client="a", number=1, rate_limit=LIMIT, lease=LEASE)) is None
    assert LimitsFile(path, "spring", middle).clock is _clock.monotonic


def test_a_turn_is_made_at_once_where_nobody_has_locked_the_file(path: Path) -> None:
    """Where it is elsewhere by now, it is left to a turn that may wait."""
    client, other = Client(path), sqlite3.connect(path, isolation_level=None)
    client.turn()
    ask = Ask(client="a", number=2, rate_limit=LIMIT, lease=LEASE, interactive=1)
    other.execute("BEGIN IMMEDIATE")
    assert client.file.turn_at_once(ask) is None
    other.execute("ROLLBACK")
    other.close()
    reply = client.file.turn_at_once(ask)
    assert reply is not None
    assert len(reply.permits) == 1
    shutil.rmtree(path.parent)
    client.number = 2
    assert client.file.turn_at_once(ask) is None
    assert client.turn().held_for == pytest.approx(HOLD)
    client.file.close()


def test_an_account_that_somebody_has_removed_is_held(path: Path) -> None:
    """Whoever waits comes for that; it is the same host as ever."""
    client, other = Client(path), sqlite3.connect(path, isolation_level=None)
    client.turn()
    other.execute("DELETE FROM accounts")
    other.close()
    assert client.file.is_called("a")
    assert client.turn().held_for == pytest.approx(HOLD)
    client.file.close()


def test_a_file_is_looked_for_three_times(
    path: Path, monkeypatch: pytest.MonkeyPatch, recorded: list[Recorder]
) -> None:
    """Each time it is opened anew, and what was open is closed."""
    client = Client(path)
    monkeypatch.setattr(LimitsFile, "_is_in_place", lambda _: False)
    with pytest.raises(StoreAway, match="again and again"):
        client.turn()
    assert [connection.is_closed for connection in recorded] == [True] * 3


def test_a_log_that_is_gone_is_a_hold_though_no_permit_was_given_since(path: Path) -> None:
    """Nobody knows what else it held."""
    client = Client(path)
    client.turn()
    path.with_name(f"{path.name}-wal").rename(path.with_name("elsewhere"))
    assert client.turn().held_for == pytest.approx(HOLD)
    Client.now += HOLD + 0.01
    assert client.turn().held_for == 0
    client.file.close()


def test_a_copy_in_another_place_is_a_file_of_its_own(path: Path) -> None:
    """It is held once, and knows no host of the first."""
    there = Client(path)
    there.file.host = "there"
    there.turn()
    there.file.close()
    copy = path.with_name("copy.sqlite3")
    shutil.copy(path, copy)
    here = Client(copy)
    here.file.host = "here"
    assert here.turn().held_for == pytest.approx(HOLD)
    Client.now += HOLD + 0.01
    here.file.close()
    assert here.turn().held_for == 0
    other = sqlite3.connect(copy, isolation_level=None)
    other.execute("DELETE FROM accounts")
    other.close()
    assert here.turn().held_for == pytest.approx(HOLD)
    here.file.close()


def test_a_file_says_what_it_is(path: Path) -> None:
    """Versions know each other by these numbers."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (0x6F6D6C73,)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("mark", ["user_version", "application_id"])
def test_a_file_that_somebody_has_only_marked_is_somebody_elses(
    tmp_path: Path, recorded: list[Recorder], mark: str
) -> None:
    """There is no table in it yet; it is let go of."""
    path = tmp_path / "theirs.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA {mark} = 5")
    connection.close()
    with pytest.raises(StoreRefused, match="an SQLite file of something else"):
        Client(path).turn()
    assert [one.is_closed for one in recorded] == [True, True]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It says what is wanted."""
    with pytest.raises(StoreRefused, match="it is no SQLite file: give another one, or a folder"):
        Client(tmp_path).turn()


def test_a_folder_in_which_nothing_may_be_written_will_not_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite keeps its log there."""
    access = os.access
    monkeypatch.setattr("os.access", lambda place, *how, **more: place != path.parent and access(place, *how, **more))
    with pytest.raises(StoreRefused, match="its folder cannot be written, and SQLite needs files beside it"):
        Client(path).turn()


def failed(code: int | None) -> sqlite3.Error:
    """Make an error of SQLite's."""
    error = sqlite3.OperationalError("so it says")
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (sqlite3.SQLITE_IOERR, StoreAway, "so it says"),
        (sqlite3.SQLITE_IOERR_WRITE, StoreAway, "so it says"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreAway, "so it says"),
        (
            sqlite3.SQLITE_READONLY,
            StoreRefused,
            "it cannot be used: so it says; it and its folder have to be",
        ),
        (sqlite3.SQLITE_PERM, StoreRefused, "it cannot be used: so it says; it and its folder have to be"),
        (sqlite3.SQLITE_BUSY, StoreAway, "so it says"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreAway, "so it says"),
        (sqlite3.SQLITE_FULL, StoreAway, "so it says"),
        (sqlite3.SQLITE_CANTOPEN, StoreAway, "so it says"),
        (sqlite3.SQLITE_CORRUPT, StoreRefused, "it is damaged, or no SQLite file (so it says): remove it, and another"),
        (sqlite3.SQLITE_NOTADB, StoreRefused, "it is damaged, or no SQLite file (so it says): remove it, and another"),
        (sqlite3.SQLITE_AUTH, StoreRefused, "it cannot be used: so it says"),
        (None, StoreRefused, "it cannot be used: so it says"),
    ],
)
def test_what_an_error_of_sqlite_means(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, kind: type[Exception], said: str
) -> None:
    """What passes is waited for; after one of the disk, the file is opened anew, and what it had may be lost."""
    client = Client(path)
    client.turn()

    def fail(*_: object) -> None:
        raise failed(code)

    with monkeypatch.context() as patch:
        patch.setattr(LimitsFile, "_step", fail)
        with pytest.raises(kind) as caught:
            client.turn()
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)
    is_lost = code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_READONLY_DBMOVED}
    assert client.turn().held_for == (pytest.approx(HOLD) if is_lost else 0)
    client.file.close()


def test_an_error_of_a_turn_at_once_that_is_no_lock_is_told(path: Path) -> None:
    """It is not left to the thread."""
    client = Client(path)
    client.turn()

    class Full(sqlite3.Connection):
        def execute(self, *_: object) -> sqlite3.Cursor:
            raise failed(sqlite3.SQLITE_FULL)

    open_one, full = client.file._connection, Full(":memory:")
    client.file._connection = full
    with pytest.raises(StoreAway, match="so it says"):
        client.file.turn_at_once(Ask(client="a", number=2, rate_limit=LIMIT, lease=LEASE))
    client.file._connection = open_one
    full.close()
    client.file.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("odd"), "it cannot be used: odd"), (OSError(errno.EPERM, "never"), "it cannot be used: never")],
)
def test_an_error_of_the_system_is_said_in_its_words(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    """With what to do about it, where that is known."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(LimitsFile, "_made", fail)
    with pytest.raises(StoreRefused) as caught:
        Client(path).turn()
    assert str(caught.value) == said


def test_a_process_goes_on_with_what_it_has_open_after_a_fork(path: Path, recorded: list[Recorder]) -> None:
    """Nothing is opened anew, and every thread may use it."""
    client = Client(path)
    (permit, _), *_ = client.turn(interactive=1).permits
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread = threading.Thread(target=client.turn, args=(Ended(permit, sent=False),), daemon=True)
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()
    assert (len(recorded), recorded[0].is_closed) == (1, False)
    client.file.close()
