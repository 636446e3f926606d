"""What SQLite says of a file reaches a user with what it means, and what to do."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError
from omeda_async.bulk.journal.sqlite_file import unusable as unusable_journal
from omeda_async.bulk.outbox.sqlite_file import unusable as unusable_outbox
from omeda_async.journal import read_status
from tests.bulk.journal_help import Work, journalled


def _failed(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("so it says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_READONLY, "so it says: this user may not write it, its folder, or what stands beside it"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "run as its owner"),
        (sqlite3.SQLITE_PERM, "run as its owner"),
        (sqlite3.SQLITE_AUTH, "run as its owner"),
        (sqlite3.SQLITE_CANTOPEN, "is not there, or not this user's to read and write to"),
        (sqlite3.SQLITE_BUSY, "another program has it open, such as a backup or a database browser: close that one"),
        (sqlite3.SQLITE_LOCKED, "close that one"),
        (sqlite3.SQLITE_FULL, "so it says: make room on its disk"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "so it says: make room on its disk"),
        (sqlite3.SQLITE_IOERR_WRITE, "give a file on a disk of this host"),
        (sqlite3.SQLITE_PROTOCOL, "give a file on a disk of this host"),
        (sqlite3.SQLITE_NOMEM, "give it more"),
        (sqlite3.SQLITE_TOOBIG, "leave that one out"),
        (sqlite3.SQLITE_ERROR, "it is damaged (so it says)"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "it is damaged (so it says)"),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, "it is damaged (so it says)"),
        (sqlite3.SQLITE_MISMATCH, "it is damaged (so it says)"),
    ],
)
@pytest.mark.parametrize("unusable", [unusable_journal, unusable_outbox])
def test_each_error_of_sqlite_says_what_to_do(
    unusable: Callable[[Path, Exception], Exception], code: int, advice: str
) -> None:
    """Of journals and of outboxes alike."""
    told = str(unusable(Path("x.sqlite3"), _failed(code)))
    assert "x.sqlite3 cannot be used: " in told
    assert advice in told


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE answers")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut, r"is damaged \(database disk image is malformed\).* put a copy in its place"),
        (_without_a_table, r"is damaged \(no such table: answers\).* put a copy in its place"),
        (
            lambda path: path.write_text("email\na@example.com\n" * 100),
            "file is not a database: give another file if it is another program's; if it was a journal, it is ",
        ),
        (
            lambda path: path.with_name(f"{path.name}-lock").write_text("no lock of ours\n" * 100),
            r"run.sqlite3-lock is not what a run makes beside its journal .* remove it while none is under way",
        ),
    ],
)
async def test_a_journal_that_is_not_as_it_was_says_what_to_do(tmp_path: Path, damage: Any, told: str) -> None:
    """In runs and in readers, and nothing is sent."""
    path, work = tmp_path / "run.sqlite3", Work()
    await journalled(path, [f"record {number}" for number in range(100)])
    damage(path)
    with pytest.raises(JournalError, match=told):
        await journalled(path, ["a"], work)
    with pytest.raises(JournalError, match=told):
        read_status(path)
    assert not work.sent
