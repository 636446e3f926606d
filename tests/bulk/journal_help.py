"""Runs with a journal, of work made of plain Python."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import psycopg

from omeda_async import BulkRun
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.place import journal_at
from omeda_async.bulk.journal.url import JournalUrl, where_of
from omeda_async.bulk.journal.writer import Journal
from tests.bulk.bulk_fakes import FakeAccount, FakeSettings, FakeWork, run_of

Place: TypeAlias = Path | str


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


def journalled(path: Place | None, records: Any, work: Work | None = None, **options: Any) -> BulkRun:
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


def journal_of(path: Place) -> Journal:
    """Make the journal of such a run."""
    return journal_at(where_of(path), identity())


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


def asked(url: str, sql: str, **values: Any) -> list[Any]:
    """Ask the tables of a journal in PostgreSQL; ``%(journal)s`` is its number."""
    where = where_of(url)
    assert isinstance(where, JournalUrl)
    with psycopg.connect(where.server, autocommit=True) as connection:
        row = connection.execute("SELECT id FROM omeda_async_journals WHERE name = %s", (where.run,)).fetchone()
        cursor = connection.execute(sql.encode(), {"journal": row and row[0], **values})
        return cursor.fetchall() if cursor.description is not None else []


def is_there(place: Place) -> bool:
    """Whether anything is there."""
    if isinstance(place, Path):
        return place.exists() and place.stat().st_size > 0
    made = asked_of_server(place, "SELECT to_regclass('omeda_async_journals') IS NOT NULL")
    return made == [(True,)] and bool(asked(place, "SELECT 1 FROM omeda_async_journals WHERE id = %(journal)s"))


def asked_of_server(url: str, sql: str) -> list[Any]:
    """Carry out a statement where a journal may be."""
    where = where_of(url)
    assert isinstance(where, JournalUrl)
    with psycopg.connect(where.server, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description is not None else []


def kept_records(place: Place) -> set[Any]:
    """Return the records that are written down: strings."""
    if isinstance(place, Path):
        return {entry for (entry,) in rows(place, "SELECT json_extract(entry, '$[1]') FROM records")}
    sql = "SELECT record::json #>> '{}' FROM omeda_async_journal_records WHERE journal = %(journal)s"
    return {record for (record,) in asked(place, sql)}


def results_noted(place: Place) -> int:
    """Return how many records have a result."""
    if isinstance(place, Path):
        noted: int = rows(place, "SELECT ifnull(sum(last - first + 1), 0) FROM results")[0][0]
    else:
        ((noted,),) = asked(
            place,
            "SELECT count(status) FROM omeda_async_journal_records WHERE journal = %(journal)s",
        )
    return noted


def forget_result(place: Place, record: int) -> None:
    """Take the result of a record away, by its number from 1, as if the run had been killed before it."""
    if isinstance(place, Path):
        connection = sqlite3.connect(place)
        connection.execute("DELETE FROM results WHERE first = ?", (record,))
        connection.commit()
        connection.close()
    else:
        asked(
            place,
            "UPDATE omeda_async_journal_records SET status = NULL WHERE id = %(journal)s * 1099511627776 + %(record)s",
            record=record,
        )


def trace(place: Place) -> bytes:
    """Return everything that is kept, for words to be looked for."""
    if isinstance(place, Path):
        return b"".join(file.read_bytes() for file in place.parent.iterdir())
    tables = ("journal_records", "journal_asides", "journal_runs")
    found = [asked(place, "SELECT * FROM omeda_async_journal_answers WHERE id / 1099511627776 = %(journal)s")]
    found += [asked(place, "SELECT * FROM omeda_async_journals WHERE id = %(journal)s")]
    found += [asked(place, f"SELECT * FROM omeda_async_{name} WHERE journal = %(journal)s") for name in tables]  # noqa: S608 our own words
    return repr(found).encode()


def noted_of_late(place: Place) -> list[int]:
    """Return how many requests each run has noted as made of late."""
    if isinstance(place, Path):
        return [number for (number,) in rows(place, "SELECT recent FROM runs ORDER BY id")]
    sql = "SELECT recent FROM omeda_async_journal_runs WHERE journal = %(journal)s ORDER BY number"
    return [number for (number,) in asked(place, sql)]
