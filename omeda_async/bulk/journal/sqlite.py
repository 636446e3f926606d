"""Journals kept in SQLite files: what a run writes, a group in one transaction, in a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

import orjson

from omeda_async import _clock
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import (
    SETTLED,
    Aside,
    Kept,
    Known,
    Opened,
    WriteGroup,
)
from omeda_async.bulk.journal.sqlite_file import JournalFile, unusable
from omeda_async.bulk.journal.sqlite_find import Finder
from omeda_async.bulk.journal.thread import Worker

T = TypeVar("T")

_HIGHEST: Final = "SELECT ifnull((SELECT max(id) FROM records), 0), ifnull((SELECT max(id) FROM answers), 0)"
# Few statements, many rows: each step of SQLite lets go of the interpreter, and has to wait to get it back.
_INSERT_RECORDS: Final = """
INSERT INTO records SELECT ?1 + key, substr(?2, 16 * key + 1, 16), value FROM json_each(?3)
"""
_INSERT_RESULTS: Final = """
INSERT INTO results SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
json_extract(value, '$[3]'), json_extract(value, '$[4]') FROM json_each(?)
"""
_INSERT_ASIDES: Final = """
INSERT OR REPLACE INTO asides SELECT json_extract(value, '$[0]'), ?1, json_extract(value, '$[1]'),
json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(?2)
"""
_INSERT_STORED: Final = "INSERT INTO answers SELECT ? + key, value FROM json_each(?)"
_MOVE: Final = "UPDATE records SET entry = json_set(entry, '$[0]', ?) WHERE id = ?"
_REQUESTS: Final = "UPDATE runs SET requests = ?, recent = ?, seen = ? WHERE id = ?"
_END: Final = "UPDATE runs SET ended = ?, requests = ?, complete = ?, counts = ?, cause = ? WHERE id = ?"
_STORED_REMEMBERED: Final = 1000


class SqliteBackend:
    """Keeps the journal of a run in an SQLite file; a :class:`~omeda_async.bulk.journal.interface.Backend`.

    What has no underscore is for the event loop, all else runs in the thread.

    Args:
        path: The file; made if it does not exist, with mode 0600.
        identity: Whose run it is.
        lookback: Seconds that requests count as made of late.
    """

    _file: JournalFile
    _sql: sqlite3.Connection
    _last: int
    """The last record of earlier runs."""
    _finder: Finder

    def __init__(self, path: Path, identity: Identity, lookback: float = 0.0) -> None:
        self._open = partial(JournalFile.open, path, identity, lookback)
        self._worker = Worker("omeda_async journal")
        self._next_record = self._next_stored = 0
        self._numbers: dict[str, int] = {}
        """Of stored results."""

    def open(self) -> asyncio.Future[Opened]:
        """Open or create the file, lock it, and note that a run begins."""
        return self._worker.do(self._begin)

    def find(self, fingerprints: bytes) -> asyncio.Future[list[Known | None]]:
        """Return what earlier runs have written about records."""
        return self._do(lambda: self._finder.find(fingerprints))

    def write(self, group: WriteGroup) -> asyncio.Future[range]:
        """Write a group in one transaction."""
        return self._do(lambda: self._transaction(lambda: self._write(group)))

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> asyncio.Future[None]:
        """Note how the run ended."""
        return self._do(lambda: self._transaction(lambda: self._end(requests, counts, cause)))

    async def close(self) -> None:
        """Close the file, and end the thread."""
        await self._worker.do(self._shut)
        self._worker.end()

    def _do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        def checked() -> T:
            try:
                return work()
            except sqlite3.Error as error:
                raise unusable(self._file.path, error) from error

        return self._worker.do(checked)

    def _begin(self) -> Opened:
        self._file = self._open()
        self._sql = self._file.connection
        self._last, stored = self._sql.execute(_HIGHEST).fetchone()
        self._next_record, self._next_stored = self._last + 1, stored + 1
        self._finder = Finder(self._sql, self._last)
        return self._file.opened

    def _shut(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _transaction(self, work: Callable[[], T]) -> T:
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            given = work()
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise
        return given

    def _write(self, group: WriteGroup) -> range:
        if group.moved:
            self._sql.executemany(_MOVE, group.moved)
        self._forget([(record, record) for record in group.again])
        self._note(group.results)
        number, fingerprints, text = group.entries
        records = range(self._next_record, self._next_record + number)
        if number:
            self._next_record += number
            self._sql.execute(_INSERT_RECORDS, (records.start, fingerprints, text))
        self._note([((records[place],), kept) for place, kept in group.left])
        self._set_aside(group.asides)
        made = (group.requests, group.recent, _clock.utc_now().timestamp(), self._file.run)
        self._sql.execute(_REQUESTS, made)
        return records

    def _end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        run, complete = self._file.run, cause is None
        if complete:
            self._sql.execute("DELETE FROM asides WHERE run != ?", (run,))
        now, counted = _clock.utc_now().timestamp(), orjson.dumps(counts).decode()
        self._sql.execute(_END, (now, requests, complete, counted, cause, run))

    def _note(self, results: list[tuple[Sequence[int], Kept]]) -> None:
        numbers = self._store([kept for _, kept in results])
        rows = [
            (first, last, STATUS_CODES[kept.status], kept.attempts, number)
            for (records, kept), number in zip(results, numbers, strict=True)
            # What may change yet stands alone.
            for first, last in (_ranges(records) if kept.status in SETTLED else zip(records, records, strict=True))
        ]
        self._forget([(first, last) for first, last, *_ in rows if first <= self._last])
        if rows:
            self._sql.execute(_INSERT_RESULTS, (orjson.dumps(rows).decode(),))

    def _forget(self, ranges: list[tuple[int, int]]) -> None:
        if ranges:
            self._sql.executemany("DELETE FROM results WHERE first BETWEEN ? AND ?", ranges)

    def _set_aside(self, asides: list[Aside]) -> None:
        numbers = self._store([one.kept for one in asides])
        rows = [
            (one.position, one.entry is None, STATUS_CODES[one.kept.status], one.kept.attempts, number, one.entry)
            for one, number in zip(asides, numbers, strict=True)
        ]
        if rows:
            self._sql.execute(_INSERT_ASIDES, (self._file.run, orjson.dumps(rows).decode()))

    def _store(self, results: list[Kept]) -> list[int]:
        """Write what is stored of results, each text once, and give the numbers."""
        if len(self._numbers) > _STORED_REMEMBERED:
            self._numbers.clear()
        texts = [kept.stored for kept in results]
        if new := [text for text in dict.fromkeys(texts) if text not in self._numbers]:
            self._sql.execute(_INSERT_STORED, (self._next_stored, orjson.dumps(new).decode()))
            self._numbers.update(zip(new, count(self._next_stored)))
            self._next_stored += len(new)
        return [self._numbers[text] for text in texts]


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of numbers that follow on one another."""
    numbers, first = sorted(numbers), 0
    if numbers and numbers[-1] - numbers[0] + 1 == len(numbers):
        yield numbers[0], numbers[-1]
        return
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[first], numbers[place - 1]
            first = place
