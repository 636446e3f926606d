"""A process may be killed while SQLite makes its file, or notes that it has a log: whoever comes next goes on there."""

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError, OutboxError
from omeda_async.bulk.journal import sqlite_connection
from omeda_async.journal import read_status as read_journal
from omeda_async.outbox import read_status as read_outbox
from omeda_async.sandbox import Sandbox
from tests.bulk.journal_help import Work, journalled
from tests.bulk.outbox_help import client, outbox_on

# https://www.sqlite.org/fileformat.html 3: a rollback journal without pages, of a file that was empty before.
HOT = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 1, 0, 512, 4096) + bytes(484)


def _make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def before_its_first_page(path: Path) -> None:
    """Nothing is written but what would take it back."""
    path.touch(0o600)
    _log(path).write_bytes(HOT)


def with_its_first_page(path: Path) -> None:
    """And that would take it back."""
    _make(path)
    _log(path).write_bytes(HOT)


def before_its_tables(path: Path) -> None:
    """It is an SQLite file, with nothing in it."""
    _make(path)


moments = pytest.mark.parametrize("moment", [before_its_first_page, with_its_first_page, before_its_tables])


@moments
async def test_a_journal_is_begun_where_its_making_ended(tmp_path: Path, moment: Callable[[Path], None]) -> None:
    """Its plan and its status find nothing in it, and a run goes."""
    path = tmp_path / "run.sqlite3"
    path.with_name(f"{path.name}-lock").touch(0o600)  # a run makes it before anything else
    moment(path)
    plan = await journalled(path, ["a", "b"]).plan()
    assert plan.records == 2
    with pytest.raises(JournalError, match="no run has begun it"):
        read_journal(path)
    work = Work()
    await journalled(path, ["a", "b"], work)
    assert work.sent == ["a", "b"]
    assert read_journal(path).total == 2


@moments
async def test_an_outbox_is_begun_where_its_making_ended(tmp_path: Path, moment: Callable[[Path], None]) -> None:
    """Its status finds nothing in it, and what is put goes."""
    path = tmp_path / "opt-outs.sqlite3"
    moment(path)
    with pytest.raises(OutboxError, match="empty"):
        read_outbox(path)
    async with Sandbox() as sandbox, outbox_on(sandbox, path) as outbox:
        assert (await outbox.outcome(await outbox.put(client(1)))).status == "done"
    assert read_outbox(path).counts == {"done": 1}


async def test_what_would_take_back_another_file_is_not_let_near_a_journal(tmp_path: Path) -> None:
    """SQLite would believe any."""
    path = tmp_path / "run.sqlite3"
    await journalled(path, ["a"])
    _log(path).write_bytes(HOT)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="the -journal beside it is not its own"):
        await journalled(path, ["a", "b"])
    with pytest.raises(JournalError, match="the -journal beside it is not its own"):
        read_journal(path)
    assert path.read_bytes() == before
    _log(path).unlink()
    assert read_journal(path).total == 1


async def test_nor_near_an_outbox(tmp_path: Path) -> None:
    """Nor there."""
    path = tmp_path / "opt-outs.sqlite3"
    async with Sandbox() as sandbox:
        async with outbox_on(sandbox, path) as outbox:
            await outbox.put(client(1))
        _log(path).write_bytes(HOT)
        before = path.read_bytes()
        with pytest.raises(OutboxError, match="the -journal beside it is not its own"):
            async with outbox_on(sandbox, path):
                pass
    assert path.read_bytes() == before


def _page_taken_back(path: Path, page: bytes, *, with_log: bool, pages: int | None = None) -> bytes:
    """What SQLite writes down before it notes in a file's first page that it has a log, or none."""
    had = page[:18] + (b"\2\2" if with_log else b"\1\1") + page[20:]
    had = had[:24] + struct.pack(">I", struct.unpack_from(">I", had, 24)[0] - 1) + had[28:]
    pages = path.stat().st_size // 4096 if pages is None else pages
    head = HOT[:8] + struct.pack(">5I", 1, 7, pages, 512, 4096) + bytes(484)
    return head + struct.pack(">I", 1) + had + struct.pack(">I", 7 + sum(had[4096 - 200 : 0 : -200]))


@pytest.mark.parametrize("length", [512, 514, 516, 2000, 4612, 4616])
@pytest.mark.parametrize("with_log", [True, False])
async def test_a_journal_goes_on_where_a_run_was_killed_as_it_began_or_ended(
    tmp_path: Path, length: int, *, with_log: bool
) -> None:
    """It is whole then, and is read as it is; a run has SQLite put it in order."""
    path = tmp_path / "run.sqlite3"
    await journalled(path, ["a", "b"])
    _log(path).write_bytes(_page_taken_back(path, path.read_bytes()[:4096], with_log=with_log)[:length])
    before = path.read_bytes(), _log(path).read_bytes()
    assert read_journal(path).counts == {"done": 2}
    assert (await journalled(path, ["a", "b", "c"]).plan()).settled == 2
    assert (path.read_bytes(), _log(path).read_bytes()) == before
    work = Work()
    await journalled(path, ["a", "b", "c"], work)
    assert work.sent == ["c"]
    assert not _log(path).exists()
    assert read_journal(path).counts == {"done": 3}


@pytest.mark.parametrize("which", ["other content", "fewer pages", "more pages to take back"])
async def test_nor_where_it_looks_like_that(tmp_path: Path, which: str) -> None:
    """Whatever SQLite would put back has to be what is there."""
    path = tmp_path / "run.sqlite3"
    await journalled(path, ["a", "b"])
    page = path.read_bytes()[:4096]
    log = _page_taken_back(path, page, with_log=True)
    if which == "other content":
        log = _page_taken_back(path, page[:200] + bytes([page[200] ^ 1]) + page[201:], with_log=True)
    elif which == "fewer pages":
        log = _page_taken_back(path, page, with_log=True, pages=2)
    else:
        log += log[512:]
    _log(path).write_bytes(log)
    with pytest.raises(JournalError, match="the -journal beside it is not its own"):
        read_journal(path)
    with pytest.raises(JournalError, match="the -journal beside it is not its own"):
        await journalled(path, ["a", "b"])


@pytest.mark.parametrize("moment", ["its kind", "its place"])
def test_a_connection_that_nobody_gets_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Where what is there is found to be another's, or is gone by then."""
    path = tmp_path / "run.sqlite3"
    with_its_first_page(path)
    made, real = list[sqlite3.Connection](), sqlite3.connect

    def noted(*given: Any, **named: Any) -> sqlite3.Connection:
        made.append(real(*given, **named))
        return made[-1]

    def refuse(*_: object) -> bool:
        raise JournalError("no")

    def vanish(_: object) -> tuple[int, int]:
        raise FileNotFoundError

    monkeypatch.setattr(sqlite3, "connect", noted)
    if moment == "its place":
        monkeypatch.setattr(sqlite_connection, "INODE", vanish)
    with pytest.raises((JournalError, FileNotFoundError)):
        sqlite_connection.connect_to_read(path, refuse)
    assert made
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
