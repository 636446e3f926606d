"""Journals kept in SQLite files: what a run writes, a group in one transaction."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import Any, Final
from weakref import finalize
from zlib import crc32

import orjson

from omeda_async import _clock
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import (
    SETTLED,
    Aside,
    Entries,
    Kept,
    Known,
    Opened,
    WriteGroup,
    Written,
    ranges,
)
from omeda_async.bulk.journal.sqlite_asides import EarlierAsides
from omeda_async.bulk.journal.sqlite_connection import INODE
from omeda_async.bulk.journal.sqlite_file import Files, displaced, journal_file, unusable
from omeda_async.bulk.journal.sqlite_find import Finder
from omeda_async.bulk.journal.sqlite_mark import MARK, close_mark, mark_of, open_mark
from omeda_async.bulk.journal.sqlite_sums import ASIDE_SUM, RESULT_SUM, sum_of, sums

_BEGUN: Final = """
SELECT id, ids, (SELECT started FROM runs ORDER BY id LIMIT 1),
    ifnull((SELECT max(id) FROM records), 0), ifnull((SELECT max(id) FROM answers), 0)
FROM runs ORDER BY id DESC LIMIT 1
"""
# Few statements, many rows: each step of SQLite lets go of the interpreter, and has to wait to get it back.
_INSERT_RECORDS: Final = """
INSERT INTO records SELECT :first + key, substr(:fingerprints, 16 * key + 1, 16), value, substr(:sums, 8 * key + 1, 8)
FROM json_each(:entries)
WHERE key NOT IN (SELECT value FROM json_each(:known))
"""
_INSERT_RESULTS: Final = """
INSERT INTO results SELECT *, <sum> FROM (
    SELECT json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS last,
    json_extract(value, '$[2]') AS status, json_extract(value, '$[3]') AS attempts,
    json_extract(value, '$[4]') AS answer FROM json_each(?)
)
""".replace("<sum>", RESULT_SUM)
_INSERT_ASIDES: Final = """
INSERT OR REPLACE INTO asides (position, run, repeats, status, attempts, answer, entry, entry_sum, known_by, sum)
SELECT *, <sum> FROM (
    SELECT json_extract(value, '$[0]') AS position, :run AS run, json_extract(value, '$[1]') AS repeats,
    json_extract(value, '$[2]') AS status, json_extract(value, '$[3]') AS attempts,
    json_extract(value, '$[4]') AS answer, json_extract(value, '$[5]'), json_extract(value, '$[6]') AS entry_sum,
    json_extract(value, '$[7]') AS known_by FROM json_each(:asides)
)
""".replace("<sum>", ASIDE_SUM)
_INSERT_STORED: Final = """
INSERT INTO answers SELECT :first + key, value, substr(:sums, 4 * key + 1, 4) FROM json_each(:texts)
"""
_MOVE: Final = """
UPDATE records SET entry = json_extract(:entries, '$[' || :place || ']'), sum = substr(:sums, 8 * :place + 1, 8)
WHERE id = :record
"""
# SQLite reads the same clock: what is not asked for in Python costs nothing there.
_SO_FAR: Final = """
UPDATE runs SET requests = :requests, recent = :recent, ids = :ids, writes = :writes,
sum = <sum>, seen = iif(:now, (julianday('now') - 2440587.5) * 86400.0, seen)
WHERE id = :run
""".replace("<sum>", sum_of(":requests", ":recent", ":ids", ":writes"))
_END: Final = "UPDATE runs SET ended = ?, complete = ?, counts = ?, cause = ? WHERE id = ?"
_PLACE: Final = attrgetter("place")
_STORED_REMEMBERED: Final = 1000


class SqliteBackend:
    """Keeps the journal of a run in an SQLite file; a :class:`~omeda_async.bulk.journal.interface.Backend`.

    Args:
        path: The file; made if it does not exist, with mode 0600.
        identity: Whose run it is.
        lookback: Seconds that requests count as made of late.
    """

    _run: int
    _files: Files
    _begun: tuple[float, int]
    _mark: int
    _sql: sqlite3.Connection
    _earlier: EarlierAsides
    find: Callable[[bytes], Sequence[Known]]
    lapsed: None = None
    """A lock that dies with its holder does not lapse."""
    _last: int
    """The last record of earlier runs."""
    _next_record: int
    _next_stored: int

    def __init__(self, path: Path, identity: Identity, lookback: float = 0.0) -> None:
        self._path, self.place = path, str(path)
        self._opening = journal_file(path, identity, lookback)
        self._stack = ExitStack()
        self.close = self._stack.close
        self._numbers: dict[str, int] = {}
        """Of stored results."""

    def open(self) -> Opened:
        """Open or create the file, lock it, and note that a run begins."""
        self._sql, self._files, opened = self._stack.enter_context(self._opening)
        self._stack.callback(finalize(self, self._sql.close))  # also where nobody closes the journal
        try:
            self._start()
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path, error) from error
        return opened

    def _start(self) -> None:
        """Note how far it has come, and where it goes on."""
        run, ids, began, self._last, stored = self._sql.execute(_BEGUN).fetchone()
        self._run, self._begun = run, (began, run)
        self._mark = open_mark(self._path)
        self._stack.callback(finalize(self, close_mark, self._mark))
        os.write(self._mark, MARK.pack(*self._begun, 0))
        self._stack.callback(self._tidy)
        self._so_far = {"run": run, "requests": 0, "recent": 0, "ids": ids, "writes": 0, "now": False}
        self._earlier = EarlierAsides(self._sql, run)
        self._next_record, self._next_stored = self._last + 1, stored + 1
        self.find = Finder(self._sql, self._last, self._path).find

    def write(self, group: WriteGroup) -> Written:
        """Write a group in one transaction."""
        with self._transaction():
            return self._write(group)

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        """Note how the run ended."""
        with self._transaction():
            self._so_far |= {"requests": requests, "now": False}
            self._sql.execute(_SO_FAR, self._so_far)
            if cause is None:
                self._earlier.end()
            now = _clock.utc_now().timestamp()
            self._sql.execute(_END, (now, cause is None, _dumped(counts), cause, self._run))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do something in one transaction, which counts if the files are where they were: SQLite would not miss one."""
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
            os.lseek(self._mark, 0, os.SEEK_SET)
            os.write(self._mark, MARK.pack(*self._begun, self._so_far["writes"]))
            if [*map(INODE, map(os.stat, self._files))] != [*self._files.values()]:
                raise displaced(self._path)
        except FileNotFoundError as error:
            raise displaced(self._path) from error
        except (sqlite3.Error, OSError) as error:
            raise unusable(self._path, error) from error

    def _tidy(self) -> None:
        """Make it a single file, unless someone is reading it, or what is beside it may be another's."""
        with suppress(sqlite3.Error, OSError):
            if [*map(INODE, map(os.stat, self._files))] == [*self._files.values()]:
                self._sql.execute("PRAGMA busy_timeout = 0")
                if self._sql.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",):
                    mark_of(self._path).unlink()

    def _write(self, group: WriteGroup) -> Written:
        records: Sequence[int] = ()
        known: Sequence[Known] = ()
        if group.results:
            self._note(group.results)
        if group.entries.positions:
            records, known = self._enter(group.entries)
        if known:
            again = group.again(known)
            self._forget(zip(again, again, strict=True))
        if group.left:
            self._note(group.left_new(records, known))
        if group.asides:
            self._set_aside(group.asides)
        so_far = self._so_far
        so_far["now"] = group.requests is not None
        if group.requests is not None:
            so_far |= {"requests": group.requests, "recent": group.recent}
        so_far["writes"] += 1
        self._sql.execute(_SO_FAR, so_far)
        return Written(records, known)

    def _enter(self, entries: Entries) -> tuple[Sequence[int], Sequence[Known]]:
        """Write down the records that are new; return the numbers of all, and what is known about the others."""
        positions, fingerprints, text, _, refused_as = entries
        if refused_as:
            self._earlier.take_back(_dumped(refused_as))
        found = self.find(fingerprints) if self._last else []
        records: Sequence[int] = range(self._next_record, self._next_record + len(positions))
        if len(found) < len(positions):
            self._next_record += len(positions)  # the numbers of those found are left out
            self._so_far["ids"] += sum(records) - sum(map(records.__getitem__, map(_PLACE, found)))
            places = _dumped([one.place for one in found]) if found else "[]"
            values = {"first": records[0], "fingerprints": fingerprints, "entries": text, "known": places}
            self._sql.execute(_INSERT_RECORDS, {**values, "sums": entries.sums})
        if not found:
            return records, ()
        records = list(records)
        for one in found:
            records[one.place] = one.record
        values = {"entries": text, "sums": entries.sums}
        moved = [one for one in found if positions[one.place] < one.position]
        self._sql.executemany(_MOVE, [{**values, "place": one.place, "record": one.record} for one in moved])
        return records, found

    def _note(self, results: list[tuple[Sequence[int], Kept]]) -> None:
        self._store([kept.stored for _, kept in results])
        rows: list[tuple[int, ...]] = []
        for records, kept in results:
            told = STATUS_CODES[kept.status], kept.attempts, self._numbers[kept.stored]
            # What may change yet stands alone.
            together = len(records) > 1 and kept.status in SETTLED
            spans = ranges(records) if together else zip(records, records, strict=True)
            rows += [(first, last, *told) for first, last in spans]
        if self._last:
            self._forget((row[0], row[1]) for row in rows if row[0] <= self._last)
        if rows:
            self._sql.execute(_INSERT_RESULTS, (_dumped(rows),))

    def _forget(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._sql.executemany("DELETE FROM results WHERE first BETWEEN ? AND ?", ranges)

    def _set_aside(self, asides: list[Aside]) -> None:
        self._store([one.kept.stored for one in asides])
        rows = [
            (
                *(position, entry is None, STATUS_CODES[kept.status], kept.attempts, self._numbers[kept.stored]),
                *(entry, crc32((entry or "").encode()), known_by),
            )
            for position, kept, entry, known_by in asides
        ]
        dumped = _dumped(rows)
        self._earlier.meet(dumped)
        self._sql.execute(_INSERT_ASIDES, {"run": self._run, "asides": dumped})

    def _store(self, texts: list[str]) -> None:
        """Write what is stored of results, each text once."""
        if len(self._numbers) > _STORED_REMEMBERED:
            self._numbers.clear()
        if new := [text for text in dict.fromkeys(texts) if text not in self._numbers]:
            values = {"first": self._next_stored, "texts": _dumped(new), "sums": sums(map(str.encode, new))}
            self._sql.execute(_INSERT_STORED, values)
            self._numbers.update(zip(new, count(self._next_stored)))
            self._next_stored += len(new)


def _dumped(rows: Any) -> str:
    return orjson.dumps(rows).decode()
