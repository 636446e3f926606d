"""Journals kept in SQLite files: what a run writes, a group in one transaction, in a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from omeda_async import _clock
from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import (
    AGAIN,
    SETTLED,
    Aside,
    Entries,
    Kept,
    Known,
    Opened,
    WriteGroup,
    Written,
)
from omeda_async.bulk.journal.sqlite_file import JournalFile, unusable
from omeda_async.bulk.journal.sqlite_find import Finder, Found
from omeda_async.bulk.journal.thread import Worker

T = TypeVar("T")

_HIGHEST: Final = "SELECT ifnull((SELECT max(id) FROM records), 0), ifnull((SELECT max(id) FROM answers), 0)"
# Few statements, many rows: each step of SQLite lets go of the interpreter, and has to wait to get it back.
_INSERT_RECORDS: Final = """
INSERT INTO records SELECT :first + key, substr(:fingerprints, 16 * key + 1, 16), value FROM json_each(:entries)
WHERE key NOT IN (SELECT value FROM json_each(:known))
"""
_INSERT_RESULTS: Final = """
INSERT INTO results SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
json_extract(value, '$[3]'), json_extract(value, '$[4]') FROM json_each(?)
"""
_INSERT_ASIDES: Final = """
INSERT OR REPLACE INTO asides SELECT json_extract(value, '$[0]'), :run, json_extract(value, '$[1]'),
json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(:asides)
"""
_INSERT_STORED: Final = "INSERT INTO answers SELECT ? + key, value FROM json_each(?)"
_STORED: Final = "SELECT id, answer FROM answers WHERE id IN (SELECT value FROM json_each(?))"
_MOVE: Final = "UPDATE records SET entry = json_set(entry, '$[0]', ?) WHERE id = ?"
# SQLite reads the same clock: what is not asked for in Python costs nothing there.
_REQUESTS: Final = """
UPDATE runs SET requests = ?, recent = ?, seen = (julianday('now') - 2440587.5) * 86400.0 WHERE id = ?
"""
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
        self._kept: dict[tuple[int | None, int, int], Kept] = {}

    def open(self) -> asyncio.Future[Opened]:
        """Open or create the file, lock it, and note that a run begins."""
        return self._worker.do(self._begin)

    def write(self, group: WriteGroup) -> asyncio.Future[Written]:
        """Write a group in one transaction."""
        return self._worker.do(partial(self._transaction, self._write, group))

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> asyncio.Future[None]:
        """Note how the run ended."""
        return self._worker.do(partial(self._transaction, self._end, requests, counts, cause))

    async def close(self) -> None:
        """Close the file, and end the thread."""
        await self._worker.do(self._shut)
        self._worker.end()

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

    def _transaction(self, work: Callable[..., T], *what: Any) -> T:
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                given = work(*what)
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise unusable(self._file.path, error) from error
        return given

    def _write(self, group: WriteGroup) -> Written:
        if group.results:
            self._note(group.results)
        records: Sequence[int] = ()
        known: Sequence[Known] = ()
        if group.entries.positions:
            records, known = self._enter(group.entries)
        if known:
            again = [one.record for one in known if one.place < group.sent and one.kept and one.kept.status in AGAIN]
            self._forget([(record, record) for record in again])
        if group.left:
            stand = {one.place for one in known}
            self._note(
                [([records[place] for place in places if place not in stand], kept) for places, kept in group.left]
            )
        if group.asides:
            self._set_aside(group.asides)
        if group.requests is not None:
            self._sql.execute(_REQUESTS, (group.requests, group.recent, self._file.run))
        return Written(records, known)

    def _end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        run, complete = self._file.run, cause is None
        if complete:
            self._sql.execute("DELETE FROM asides WHERE run != ?", (run,))
        now, counted = _clock.utc_now().timestamp(), orjson.dumps(counts).decode()
        self._sql.execute(_END, (now, requests, complete, counted, cause, run))

    def _enter(self, entries: Entries) -> tuple[Sequence[int], list[Known]]:
        """Write down the records that are new; give the numbers of all, and what is known about the others."""
        positions, fingerprints, text = entries
        found = self._finder.find(fingerprints) if self._last else []
        records: Sequence[int] = range(self._next_record, self._next_record + len(positions))
        if len(found) < len(positions):
            self._next_record += len(positions)  # the numbers of those found are left out
            places = orjson.dumps([one.place for one in found]).decode()
            values = {"first": records[0], "fingerprints": fingerprints, "entries": text, "known": places}
            self._sql.execute(_INSERT_RECORDS, values)
        if found:
            records = list(records)
            for one in found:
                records[one.place] = one.record
            moved = [(positions[one.place], one.record) for one in found if positions[one.place] < one.position]
            self._sql.executemany(_MOVE, moved)
        return records, self._known(found) if found else []

    def _known(self, found: list[Found]) -> list[Known]:
        results = {one[3:] for one in found if one.status is not None}
        if new := results - self._kept.keys():
            if len(self._kept) > _STORED_REMEMBERED:
                self._kept.clear()
                new = results
            texts = dict(self._sql.execute(_STORED, (orjson.dumps([one[2] for one in new]).decode(),)).fetchall())
            self._kept |= {one: Kept(STATUSES[one[0] or 0], one[1], texts[one[2]]) for one in new}
        return [Known(one.place, one.record, one.position, self._kept.get(one[3:])) for one in found]

    def _note(self, results: list[tuple[Sequence[int], Kept]]) -> None:
        numbers = self._store([kept for _, kept in results])
        rows = [
            (first, last, STATUS_CODES[kept.status], kept.attempts, number)
            for (records, kept), number in zip(results, numbers, strict=True)
            # What may change yet stands alone.
            for first, last in (_ranges(records) if kept.status in SETTLED else zip(records, records, strict=True))
        ]
        if self._last:
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
            self._sql.execute(_INSERT_ASIDES, {"run": self._file.run, "asides": orjson.dumps(rows).decode()})

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
