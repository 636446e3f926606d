"""SQLite files that nobody closes, as where a process is left in a hurry or a loop of its own ends."""

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omeda_async.bulk.journal.sqlite import SqliteBackend
from tests.bulk import journal_help, outbox_help
from tests.limits.test_sqlite_store import Client


def _journal(path: Path) -> tuple[Any, ...]:
    backend = SqliteBackend(path, journal_help.identity())
    backend.open()
    return backend, backend._sql, backend._opening


def _outbox(path: Path) -> tuple[Any, ...]:
    store: Any = outbox_help.store_at(path, lambda: 1.0)
    return store, store._sql


def _limits(path: Path) -> tuple[Any, ...]:
    client = Client(path)
    client.turn()
    return client.file, client.file._connection


@pytest.mark.parametrize("opened", [_journal, _outbox, _limits])
def test_a_file_that_nobody_closes_is_closed_with_its_owner(
    tmp_path: Path, opened: Callable[[Path], tuple[Any, ...]]
) -> None:
    """By its owner's end, not by the connection's own, of which CPython from 3.13 on would warn."""
    owner, connection, *more = opened(tmp_path / "file.sqlite3")
    connection.execute("SELECT 1")
    del owner
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    assert len(more) <= 1
