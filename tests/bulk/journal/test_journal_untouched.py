"""Nothing about a file is changed before it is known to be a journal of ours, or to be empty and ours."""

import os
import pty
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError
from omeda_async.journal import read_status
from tests.bulk.bulk_fakes import adds_up
from tests.bulk.journal_help import Work, half_moved, journalled


@pytest.fixture
def terminal() -> Iterator[Path]:
    """Make a device of our own."""
    leader, follower = pty.openpty()
    path = Path(os.ttyname(follower))
    path.chmod(0o622)
    yield path
    os.close(leader)
    os.close(follower)


def state(path: Path) -> Any:
    """Everything about a file that can be looked at, and what lies beside it."""
    found = os.lstat(path)
    content = path.read_bytes() if stat.S_ISREG(path.stat().st_mode) else None
    beside = sorted(path.parent.iterdir()) if content is not None or path.is_fifo() else None
    return found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns, found.st_ctime_ns, content, beside


async def refused(path: Path) -> str:
    """Be refused by a run, by its plan and by a look, and find everything as it was."""
    before, work = state(path), Work()
    run = journalled(path, ["a"], work)
    with pytest.raises(JournalError) as caught:
        await run
    assert state(path) == before
    with pytest.raises(JournalError):
        await journalled(path, ["a"], Work()).plan()
    with pytest.raises(JournalError):
        read_status(path)
    assert state(path) == before
    assert work.sent == []
    assert adds_up(run, 0)
    return str(caught.value)


async def test_a_device_is_refused_as_it_is(terminal: Path) -> None:
    """Its mode belongs to everybody on the machine."""
    assert f"{terminal} is no file" in await refused(terminal)


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o644)


def directory(path: Path) -> None:
    path.mkdir(mode=0o755)


def text(path: Path) -> None:
    path.write_text("email\na@example.com\n" * 400)


def byte(path: Path) -> None:
    """Write what SQLite itself takes for an empty file."""
    path.write_text("x")


def database(path: Path) -> None:
    """Write somebody else's database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()


def unfinished(path: Path) -> None:
    """Write somebody else's database whose last writer was killed: a look could finish what that had begun."""
    made = path.with_name("made")
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute("PRAGMA wal_checkpoint(FULL)")
        connection.execute("INSERT INTO theirs VALUES (1)")
        connection.commit()
        shutil.copy(made, path)
        shutil.copy(f"{made}-wal", f"{path}-wal")


def newer(path: Path) -> None:
    """Write a journal of a version to come."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1869441644")
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE meta (x)")
        connection.commit()


@pytest.mark.parametrize("make", [fifo, directory, text, byte, database, unfinished, newer])
async def test_what_is_no_journal_is_refused_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Mode, times, content and what lies beside it stay; also where it is reached by a link."""
    path = tmp_path / "it"
    make(path)
    if path.is_file():
        path.chmod(0o644)
        os.utime(path, (1, 1))
    await refused(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    await refused(link)


@pytest.mark.parametrize("name", ["lock", "mark"])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("length", [1, 1400])
async def test_a_lock_or_mark_that_is_none_is_refused_as_it_is(
    tmp_path: Path, name: str, length: int, *, begun: bool
) -> None:
    """The names of the files beside a journal may be taken."""
    lock = tmp_path / f"run.sqlite3-{name}"
    if begun:
        await journalled(tmp_path / "run.sqlite3", ["a"], Work())
    lock.write_text("t" * length)
    lock.chmod(0o644)
    before = state(lock)[:-1]
    with pytest.raises(JournalError):
        await journalled(tmp_path / "run.sqlite3", ["a"], Work())
    assert state(lock)[:-1] == before


async def test_an_empty_file_of_somebody_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be waited for by its owner; an empty file of ours becomes a journal."""
    path = tmp_path / "run.sqlite3"
    path.touch(0o644)
    before = state(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(JournalError, match="an empty file of another user"):
            await journalled(path, ["a"], Work())
    assert state(path) == before
    await journalled(path, ["a"], Work())
    assert read_status(path).total == 1


async def test_a_journal_whose_pages_are_just_coming_from_the_wal_is_fine(tmp_path: Path) -> None:
    """To who looks while a run writes, and to the run after one that was killed right then."""
    path = tmp_path / "run.sqlite3"
    await journalled(path, [f"a{number}" for number in range(50)])
    before, copies = path.read_bytes(), list[Path]()
    async for outcome in journalled(path, [f"b{number:0200}" for number in range(500)]):
        if outcome.position == 400:
            copies.append(half_moved(path, before))
    assert read_status(copies[0]).total > 50
    work = Work()
    await journalled(copies[0], [f"a{number}" for number in range(51)], work)
    assert work.sent == ["a50"]
