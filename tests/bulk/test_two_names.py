"""A file with two names has two logs: SQLite goes by the name, and by the other finds nothing of what was written."""

import os
from pathlib import Path

import pytest

from omeda_async import JournalError, OutboxError
from omeda_async.journal import read_status as read_journal
from omeda_async.outbox import read_status as read_outbox
from tests.bulk.journal_help import Work, journalled
from tests.bulk.outbox_help import new, store_at

TWO = "it has another name as well, a hard link, by which SQLite does not find its log: remove that, or give a copy"


async def test_a_journal_with_two_names_is_refused_by_either(tmp_path: Path) -> None:
    """By the other one, a run sent all again; it goes on once there is one name."""
    path, other = tmp_path / "run.sqlite3", tmp_path / "other.sqlite3"
    await journalled(path, ["a"])
    os.link(path, other)
    work = Work()
    for name in (path, other):
        with pytest.raises(JournalError, match=TWO):
            await journalled(name, ["a"], work)
        with pytest.raises(JournalError, match=TWO):
            await journalled(name, ["a"], work).plan()
        with pytest.raises(JournalError, match=TWO):
            read_journal(name)
    other.unlink()
    await journalled(path, ["a", "b"], work)
    assert work.sent == ["b"]


async def test_so_is_one_that_is_still_empty(tmp_path: Path) -> None:
    """Of a young one, all is in the log."""
    path, other = tmp_path / "run.sqlite3", tmp_path / "other.sqlite3"
    path.touch()
    os.link(path, other)
    with pytest.raises(JournalError, match=TWO):
        await journalled(other, ["a"])


def test_an_outbox_with_two_names_is_refused_by_either(tmp_path: Path) -> None:
    """What was put by the one would not be delivered by the other."""
    path, other = tmp_path / "opt-outs.sqlite3", tmp_path / "other.sqlite3"
    store = store_at(path, lambda: 1.0)
    os.link(path, other)
    store.put([new(1)])
    for name in (path, other):
        with pytest.raises(OutboxError, match=TWO):
            store_at(name, lambda: 1.0)
        with pytest.raises(OutboxError, match=TWO):
            read_outbox(name)
    store.close()
