# ruff: noqa: ASYNC240 the files are looked at while no run is under way
"""A journal that somebody has emptied is none that is new; one that is new is never taken for emptied."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError
from omeda_async.bulk.journal import sqlite_file
from omeda_async.bulk.journal.sqlite_lock import guarding
from omeda_async.bulk.journal.sqlite_mark import MARK
from omeda_async.journal import read_status
from tests.bulk.journal_help import Work, journalled

TOLD = "it is empty, although a run has written it"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


async def test_a_journal_that_was_emptied_is_refused(path: Path) -> None:
    """It was taken for a new one, so that all was sent again; removed, it is begun anew."""
    await journalled(path, ["a"])
    os.truncate(path, 0)
    again = Work()
    with pytest.raises(JournalError, match=TOLD):
        await journalled(path, ["a"], again)
    with pytest.raises(JournalError, match=TOLD):
        await journalled(path, ["a"]).plan()
    with pytest.raises(JournalError, match=TOLD):
        read_status(path)
    assert not again.sent
    assert path.stat().st_size == 0
    path.unlink()
    await journalled(path, ["a"], again)
    assert again.sent == ["a"]


async def test_a_journal_that_was_emptied_while_a_run_held_it_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks before the lock is free cannot tell; whoever has it can."""
    await journalled(path, ["a"])
    os.truncate(path, 0)
    again = Work()
    monkeypatch.setattr(sqlite_file, "was_begun", lambda _: False)
    with pytest.raises(JournalError, match=TOLD):
        await journalled(path, ["a"], again)
    assert not again.sent


@pytest.mark.parametrize("step", ["create", "_check", "keep_log", "_prepare", "_recent", "_begin_run", "note"])
@pytest.mark.parametrize("was_there", [False, True], ids=["new", "removed before"])
async def test_a_run_that_ends_as_it_begins_a_journal_leaves_none_that_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, was_there: bool
) -> None:
    """Whichever step it comes to: the next run goes on there."""
    if was_there:
        await journalled(path, ["a"])
        path.unlink()
    real, work = getattr(sqlite_file, step), Work()

    def killed(*given: Any, **named: Any) -> Any:
        if named == {"begun": False}:  # that of the journal that was there
            return real(*given, **named)
        raise sqlite3.OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, step, killed)
        with pytest.raises(JournalError, match="killed"):
            await journalled(path, ["a"], work)
    assert not work.sent
    await journalled(path, ["a"], work)
    assert work.sent == ["a"]


async def test_the_mark_of_a_journal_that_was_removed_is_no_matter_to_readers(path: Path) -> None:
    """A run was killed, its journal removed, and the next run killed as it made another: that is empty, not damaged."""
    path.touch()
    Path(f"{path}-mark").write_bytes(MARK.pack(1.0, 1, 1))
    with pytest.raises(JournalError, match="is empty: no run has begun it"):
        read_status(path)
    assert (await journalled(path, ["a"]).plan()).settled == 0


async def test_an_empty_file_that_no_run_has_written_is_begun(path: Path) -> None:
    """As ``mktemp`` makes it; also with a -lock of before it noted anything, or of a run that came to nothing."""
    path.touch()
    Path(f"{path}-lock").touch()
    await journalled(path, ["a"])
    assert read_status(path).total == 1


async def test_a_journal_that_was_moved_without_its_log_is_refused(path: Path) -> None:
    """The run was killed before SQLite had put its log into the file, which is as good as empty: all was sent again."""
    alone, again = path.with_name("moved.sqlite3"), Work()

    def moved(_: object) -> float:
        alone.write_bytes(path.read_bytes())
        return 0.01

    await journalled(path, ["a"], Work(answer_time=moved))
    before = alone.read_bytes()
    with pytest.raises(JournalError, match="moved or copied without its log"):
        await journalled(alone, ["a"], again)
    with pytest.raises(JournalError, match="moved or copied without its log"):
        read_status(alone)
    assert (again.sent, alone.read_bytes()) == ([], before)
    assert not guarding(alone).exists()
    guarding(alone).touch()  # a run was killed before it had written anything
    await journalled(alone, ["a"], again)
    assert again.sent == ["a"]
