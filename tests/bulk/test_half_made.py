"""A process may be killed while SQLite makes its file: whoever comes next begins there."""

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from omeda_async import JournalError, OutboxError
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
