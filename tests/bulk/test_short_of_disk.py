"""The system may refuse any call that a journal or an outbox makes: the error is ours, and nothing stays locked."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError, OutboxError
from omeda_async.bulk.journal import sqlite as journal_module
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.sqlite_connection import _Connection
from omeda_async.bulk.outbox import sqlite as outbox_module
from tests.bulk import journal_help
from tests.bulk.journal_help import Work, journalled
from tests.bulk.outbox_help import new, store_at


def _full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["open_mark", "MARK"])
async def test_a_journal_that_cannot_note_how_far_it_has_come_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Nothing is sent then, and it is free for the next run."""
    path = tmp_path / "run.sqlite3"
    broken = _full if call == "open_mark" else type("Mark", (), {"pack": staticmethod(_full)})
    work = Work()
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, call, broken)
        with pytest.raises(JournalError, match="No space left on device"):
            await journalled(path, ["a"], work)
    assert not work.sent
    await journalled(path, ["a"], work)
    assert work.sent == ["a"]


@pytest.mark.parametrize("call", ["open_mark", "note"])
def test_an_outbox_that_cannot_note_how_far_it_has_come_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Its error says so."""
    path = tmp_path / "opt-outs.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(outbox_module, call, _full)
        with pytest.raises(OutboxError, match="No space left on device"):
            store_at(path, lambda: 1.0)
    store_at(path, lambda: 1.0).close()


@pytest.fixture
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite does not come to have a log, as on a disk that is full, or that processes share no memory by."""

    def execute(connection: sqlite3.Connection, sql: str, *values: Any) -> sqlite3.Cursor:
        return sqlite3.Connection.execute(connection, sql.replace(" = WAL", ""), *values)

    monkeypatch.setattr(_Connection, "execute", execute)


@pytest.mark.usefixtures("no_log")
async def test_a_journal_without_a_log_is_refused(tmp_path: Path) -> None:
    """Its error said that there is no such file."""
    with pytest.raises(JournalError, match="SQLite cannot make its log beside it; see that the disk has room"):
        await journalled(tmp_path / "run.sqlite3", ["a"])


@pytest.mark.usefixtures("no_log")
def test_an_outbox_without_a_log_is_refused(tmp_path: Path) -> None:
    """Its error said that there is no such file."""
    with pytest.raises(OutboxError, match="SQLite cannot make its log beside it; see that the disk has room"):
        store_at(tmp_path / "opt-outs.sqlite3", lambda: 1.0)


class _Worn:
    """A connection that cannot read what it is to put in order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Do it, but for that."""
        if "wal_checkpoint" in sql or "journal_mode" in sql:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _closed_badly(close: Callable[[int], None], file: int) -> None:
    close(file)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_is_written_counts_where_putting_in_order_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an outbox, and of a journal; both end as they would have."""
    store: Any = store_at(tmp_path / "opt-outs.sqlite3", lambda: 1.0)
    backend: Any = SqliteBackend(tmp_path / "run.sqlite3", journal_help.identity())
    backend.open()
    close = os.close
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", lambda file: _closed_badly(close, file))
        store._sql = _Worn(store._sql)
        store.put([new(1)])
        store.prune(0.0, 1)
        store.close()
        backend._sql = _Worn(backend._sql)
        backend.end(1, {}, None)
        backend.close()
    assert store_at(tmp_path / "opt-outs.sqlite3", lambda: 1.0).status().total == 1
