"""A process that is forked from one with a journal or outbox open leaves it to that one, and says so if it is used."""

import asyncio
import os
import sqlite3
import sys
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ClosedError
from omeda_async._thread import Worker
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.sqlite_connection import connect
from omeda_async.journal import read_status as read_journal
from omeda_async.outbox import is_outbox, read_status as read_outbox
from tests.bulk import journal_help
from tests.bulk.outbox_help import new, store_at

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]
FORKED = "this process was forked from one that had it open"


def in_a_child(work: Callable[[], object]) -> str:
    """Do something in a forked process; give its error, or what it returns."""
    hear, tell = os.pipe()
    if (child := os.fork()) == 0:
        try:
            told = str(work())
        except BaseException as error:  # noqa: BLE001 whatever it is, nothing of the test goes on here
            told = f"{type(error).__name__}: {error}"
        os.write(tell, told.encode())
        os._exit(0)
    os.close(tell)
    with open(hear, encoding="utf-8") as told_by:  # noqa: PTH123 of a pipe
        said = told_by.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def test_an_outbox_that_another_process_had_open_is_refused(tmp_path: Path) -> None:
    """SQLite would take the locks of the other process for its own, and put away what that is writing."""
    path = tmp_path / "opt-outs.sqlite3"
    store = store_at(path, lambda: 1.0)
    store.put([new(1)])
    assert FORKED in in_a_child(lambda: store_at(path, lambda: 1.0))
    assert FORKED in in_a_child(lambda: read_outbox(path))
    assert FORKED in in_a_child(lambda: is_outbox(path))
    store.put([new(2)])
    store.close()
    assert in_a_child(lambda: is_outbox(path)) == "True"
    assert in_a_child(lambda: read_outbox(path).total) == "2"


def test_a_journal_that_another_process_had_open_is_refused(tmp_path: Path) -> None:
    """It was in use there for as long as this process lived."""
    path = tmp_path / "run.sqlite3"
    backend = SqliteBackend(path, journal_help.identity())
    backend.open()
    assert FORKED in in_a_child(SqliteBackend(path, journal_help.identity()).open)
    assert FORKED in in_a_child(lambda: read_journal(path))
    backend.end(1, {}, None)
    backend.close()
    assert in_a_child(lambda: read_journal(path).runs[0].complete) == "True"


def test_a_process_that_ends_leaves_what_the_other_one_does(tmp_path: Path) -> None:
    """SQLite waited there for a thread that no longer was, or took back what it was writing."""
    path = tmp_path / "opt-outs.sqlite3"
    store: Any = store_at(path, lambda: 1.0)
    store._sql.execute("BEGIN IMMEDIATE")
    store._sql.execute("UPDATE meta SET value = 77 WHERE name = 'writes'")
    assert in_a_child(weakref.finalize._exitfunc) == "None"  # type: ignore[attr-defined]  # as atexit calls it
    store._sql.execute("COMMIT")
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'writes'").fetchone() == (77,)


def test_a_connection_of_another_process_is_never_let_go(tmp_path: Path) -> None:
    """Not even where nobody knows it any more."""
    path = tmp_path / "opt-outs.sqlite3"
    store_at(path, lambda: 1.0).close()
    connection = connect(path)
    before = sys.getrefcount(connection)
    assert in_a_child(lambda: sys.getrefcount(connection)) == str(before + 1)
    connection.close()


async def test_a_thread_of_another_process_is_not_waited_for() -> None:
    """Who uses what was opened before is told to open it anew."""
    worker = Worker("test")
    await worker.do(int)

    async def use() -> int:
        return await worker.do(int)

    said = in_a_child(lambda: asyncio.run(use()))
    assert said == f"{ClosedError.__name__}: {_OPENED_BEFORE}"
    assert await worker.do(int) == 0
    worker.end()


_OPENED_BEFORE = (
    "it was opened before this process was forked: open it after the fork only, or use a process that is started anew"
)
