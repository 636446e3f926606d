"""Runs with a journal, of work made of plain Python."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from omeda_async import BulkRun
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.place import journal_at
from omeda_async.bulk.journal.writer import Journal
from tests.bulk.bulk_fakes import FakeAccount, FakeSettings, FakeWork, run_of


@attrs.define
class Settings(FakeSettings):
    """Settings with the base URL that a journal notes."""

    url: str = "https://fake.example.com"


@attrs.define
class Account(FakeAccount):
    """An account with such settings."""

    settings: Settings = attrs.field(factory=Settings)


@attrs.define
class Work(FakeWork):
    """Work whose records end as ``endings`` says; it notes who came as doubtful."""

    account: Any = attrs.field(factory=Account)
    scope: dict[str, Any] = attrs.field(factory=dict)
    endings: dict[Any, Result[Any]] = attrs.field(factory=dict)
    doubtful: list[Any] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.answer = self._answer

    def _answer(self, items: list[Item]) -> Result[Any]:
        self.doubtful += [item.raw for item in items if item.doubtful]
        known = isinstance(items[0].raw, str) and items[0].raw in self.endings
        return self.endings[items[0].raw] if known else Result(receipt=None, attempts=1)


def journalled(path: Path | None, records: Any, work: Work | None = None, **options: Any) -> BulkRun:
    """Make a run with a journal."""
    return run_of(work or Work(), records, journal=path, **options)


def identity(**changes: Any) -> Identity:
    """Give the identity of such a run."""
    named: dict[str, Any] = {
        "provider": "fake",
        "operation": "fakes.do_many",
        "base_url": "https://fake.example.com",
    }
    return Identity(**{**named, **changes})


def journal_of(path: Path) -> Journal:
    """Make the journal of such a run."""
    return journal_at(path, identity())


def rows(path: Path, sql: str) -> list[Any]:
    """Ask a journal's tables."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def half_moved(path: Path, before: bytes) -> Path:
    """Copy a file as it is while SQLite moves pages from the -wal into it: of what is new, it has only the head."""
    copy = path.parent / "copy" / path.name
    copy.parent.mkdir()
    for name in ("", "-wal", "-mark"):
        shutil.copy(f"{path}{name}", f"{copy}{name}")
    log = Path(f"{copy}-wal")
    kept = log.read_bytes()
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        after = copy.read_bytes()
    assert len(after) > len(before)
    copy.write_bytes(after[:4096] + before[4096:])
    log.write_bytes(kept)
    return copy
