"""Whoever looks at a file that the same process has open leaves the locks that SQLite has on it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from omeda_async import JournalError, OutboxError
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.status import JournalStatus
from omeda_async.journal import read_status as read_journal
from omeda_async.outbox import is_outbox, read_status as read_outbox
from tests.bulk import journal_help
from tests.bulk.outbox_help import new, store_at

ANOTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
connection.close()
"""


@contextmanager
def _journal(path: Path) -> Iterator[Callable[[], object]]:
    backend = SqliteBackend(path, journal_help.identity())
    backend.open()
    yield lambda: backend.end(1, {}, None)
    backend.close()


@contextmanager
def _outbox(path: Path) -> Iterator[Callable[[], object]]:
    store = store_at(path, lambda: 1.0)
    store.put([new(1)])
    yield lambda: store.put([new(2)])
    store.close()


def _opened_again(path: Path) -> None:
    with suppress(OutboxError):
        store_at(path, lambda: 1.0).close()


def _begun_again(path: Path) -> None:
    with suppress(JournalError):
        SqliteBackend(path, journal_help.identity()).open()


def _status(path: Path) -> JournalStatus | None:
    with suppress(JournalError):
        return read_journal(path)
    with suppress(JournalError, OutboxError):
        read_outbox(path)
    return None


Opened: TypeAlias = Callable[[Path], AbstractContextManager[Callable[[], object]]]


@pytest.mark.parametrize("look", [_opened_again, _begun_again, _status, is_outbox])
@pytest.mark.parametrize("opened", [_journal, _outbox])
def test_the_next_process_that_closes_the_file_knows_that_this_one_has_it_open(
    tmp_path: Path, opened: Opened, look: Callable[[Path], object]
) -> None:
    """Else it puts SQLite's log away, and this one writes what nobody will find."""
    path = tmp_path / "file.sqlite3"
    with opened(path) as write:
        look(path)
        subprocess.run([sys.executable, "-c", ANOTHER, path], check=True)  # noqa: S603 our own words
        assert path.with_name("file.sqlite3-wal").exists()
        write()
