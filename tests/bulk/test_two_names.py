"""A file with two names has two logs: SQLite goes by the name, and by the other finds nothing of what was written."""

import os
from pathlib import Path

import pytest

from omeda_async import JournalError, OutboxError
from omeda_async.journal import read_status as read_journal
from omeda_async.outbox import read_status as read_outbox
from tests.bulk.journal_help import Work, journalled
from tests.bulk.outbox_help import new, store_at

TWO = "it is a hard link of a file that may have a log beside its other name"


async def test_a_journal_goes_on_by_its_first_name_alone(tmp_path: Path) -> None:
    """By the other one, a run sent all again; backups by hard links do not matter."""
    path, other = tmp_path / "run.sqlite3", tmp_path / "other.sqlite3"
    await journalled(path, ["a"])
    os.link(path, other)
    os.link(f"{path}-lock", tmp_path / "backup-lock")
    work = Work()
    with pytest.raises(JournalError, match=TWO):
        await journalled(other, ["a"], work)
    with pytest.raises(JournalError, match=TWO):
        await journalled(other, ["a"], work).plan()
    with pytest.raises(JournalError, match=TWO):
        read_journal(other)
    assert (await journalled(path, ["a", "b"]).plan()).settled == 1
    await journalled(path, ["a", "b"], work)
    assert read_journal(path).total == 2
    assert work.sent == ["b"]


async def test_one_that_is_still_empty_has_no_first_name(tmp_path: Path) -> None:
    """Of a young one, all is in the log."""
    path, other = tmp_path / "run.sqlite3", tmp_path / "other.sqlite3"
    path.touch()
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(JournalError, match=TWO):
            await journalled(name, ["a"])


def test_an_outbox_goes_on_by_its_first_name_alone(tmp_path: Path) -> None:
    """What was put by the one would not be delivered by the other."""
    path, other = tmp_path / "opt-outs.sqlite3", tmp_path / "other.sqlite3"
    store = store_at(path, lambda: 1.0)
    os.link(path, other)
    store.put([new(1)])
    with pytest.raises(OutboxError, match=TWO):
        store_at(other, lambda: 1.0)
    with pytest.raises(OutboxError, match=TWO):
        read_outbox(other)
    store.close()
    store_at(path, lambda: 1.0).close()
    assert read_outbox(path).waiting
